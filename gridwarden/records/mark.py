"""How far the records have come, told outside of them: ``records.mark``.

SQLite drops a torn end of its write-ahead log without a word, and what was committed there and acknowledged is gone.
So each commit leaves its number and what it makes the ledger, in one small write to a file of its own. At the next
start the two are held against each other; see :mod:`gridwarden.records.damage`.

Two slots are written in turn, each with a checksum: a write that is torn leaves the other. The file is not brought to
the disk with each commit: after a power loss it may be behind the records, and then claims nothing.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from gridwarden.errors import GridwardenError

FILE = "records.mark"
TOTALS = ("received", "stored", "duplicate", "dead_lettered", "quarantined")
"""The columns of the ledger whose sums are marked."""
_SLOT = struct.Struct("<4sQ16sQQ5q8sII?")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"GWM1"
_APART = 512
"""Bytes from one slot to the other: no sector holds both."""


class BadMark(GridwardenError):
    """Neither slot of the file holds what was written."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the write-ahead log stands: what a torn one must be held against."""

    salt: bytes = bytes(8)
    """Tells one log from the one before it; all zero: not known."""
    frames: int = 0
    """Frames of committed pages in it …"""
    moved: int = 0
    """… of which so many have been moved into the database."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the newest commit left."""

    epoch: str
    offset: int
    seq: int
    """The newest number of the journal."""
    totals: tuple[int, int, int, int, int]
    """Sums over the ledger, in the order of :data:`TOTALS`."""
    log: Position = Position()
    clean: bool = False
    """Whether the writer was closed after it, and nothing was written since."""


class MarkFile:
    """The file, opened for writing. One thread at a time.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, data: Path) -> None:
        self._handle = os.open(data / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        slots = [_unpacked(os.pread(self._handle, _SLOT.size + _CHECKSUM.size, place)) for place in (0, _APART)]
        self._count = max((slot[0] for slot in slots if slot), default=0)

    def write(self, mark: Mark) -> None:
        """Put ``mark`` over the older slot, in the system's memory alone."""
        self._count += 1
        os.pwrite(self._handle, _packed(self._count, mark), self._count % 2 * _APART)

    def sync(self) -> None:
        """Bring it to the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)


def read(data: Path) -> Mark | None:
    """The newest mark in ``data``; ``None`` where there is no such file.

    Raises:
        BadMark: neither slot is whole.
    """
    path = data / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    slots = [_unpacked(content[place : place + _SLOT.size + _CHECKSUM.size]) for place in (0, _APART)]
    found = max((slot for slot in slots if slot), key=lambda slot: slot[0], default=None)
    if found is None:
        raise BadMark(f"{path}: neither of its two slots is whole")
    return found[1]


def _packed(count: int, mark: Mark) -> bytes:
    log = mark.log
    body = _SLOT.pack(_MAGIC, count, mark.epoch.encode(), mark.offset, mark.seq, *mark.totals,
                      log.salt, log.frames, log.moved, mark.clean)  # fmt: skip
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _unpacked(slot: bytes) -> tuple[int, Mark] | None:
    body, checksum = slot[: _SLOT.size], slot[_SLOT.size :]
    if len(slot) != _SLOT.size + _CHECKSUM.size or checksum != _CHECKSUM.pack(zlib.crc32(body)):
        return None
    magic, count, epoch, offset, seq, *rest = _SLOT.unpack(body)
    if magic != _MAGIC:
        return None
    received, stored, duplicate, dead_lettered, quarantined, salt, frames, moved, clean = rest
    totals = (received, stored, duplicate, dead_lettered, quarantined)
    return count, Mark(epoch.rstrip(b"\0").decode(), offset, seq, totals, Position(salt, frames, moved), clean)

"""Where SQLite's write-ahead log stands, read from its index (``records.db-shm``); see sqlite.org/walformat.html.

Never closes the index while a connection of this process is open: POSIX would let go of that connection's locks.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from gridwarden.records.mark import Position

_HEADER = struct.Struct("=I4x4xB3xI4x8x8s8x")
"""Version, whether it is set up, frames, salt; twice, the second one is read by nobody here."""
_BOOKS = struct.Struct("=I20x8xI")
"""Frames moved into the database; frames that were about to be moved."""
_VERSION = 3_007_000
_SIZE = 2 * _HEADER.size + _BOOKS.size


class Index:
    """The index of one database's log, opened for reading; to be closed after the last connection."""

    def __init__(self, database: Path) -> None:
        self._handle = os.open(f"{database}-shm", os.O_RDONLY | os.O_CLOEXEC)

    def position(self) -> Position:
        """Where the log stands now; all zero where the index is not of a kind we know."""
        return _read(os.pread(self._handle, _SIZE, 0))[0]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)


def left_behind(database: Path) -> tuple[Position, int]:
    """The position as a killed process left it, and how many frames it was about to move. For when nobody works."""
    try:
        return _read(Path(f"{database}-shm").read_bytes()[:_SIZE])
    except FileNotFoundError:
        return Position(), 0


def _read(index: bytes) -> tuple[Position, int]:
    if len(index) < _SIZE:
        return Position(), 0
    version, ready, frames, salt = _HEADER.unpack_from(index)
    moved, attempted = _BOOKS.unpack_from(index, 2 * _HEADER.size)
    if version != _VERSION or not ready:
        return Position(), 0
    return Position(salt, frames, moved), attempted

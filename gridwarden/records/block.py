"""Intake blocks: the decoded readings of one transaction as one compact row. Pure: bytes in, bytes out.

Layout (little endian): ``GWB`` · version 1 byte · CRC-32 of the rest 4 bytes · deflated JSON.
The JSON is one array of rows, each ``[device_id, kind, gateway, occurred_at_ms, received_at_ms, seq, key, flags,
values, quality]``. Stored names and positions are for
ever: a change of the layout is a new version beside this one.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from gridwarden.errors import GridwardenError
from gridwarden.model import Reading

_HEAD = struct.Struct("<3sBI")
_MAGIC = b"GWB"
_VERSION = 1
_KEYED, _REGISTERED, _ENTITLED, _LATE = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """One intake block as it lies in the records."""

    offset: int
    committed_at_ms: int
    body: bytes
    """``b""``: a transaction without readings."""
    reading_count: int = 0
    """How many it holds, told beside them."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Blocks that are not there any more, for one who has not followed them."""

    from_offset: int
    through_offset: int
    readings_through: int
    """Readings ever stored in blocks up to there, less those that were stated as lost: what a follower should have."""


class CorruptBlock(GridwardenError):
    """A stored block whose bytes are not what was written."""


def rows_json(readings: list[Reading]) -> bytes:
    """The readings as JSON; the part of :func:`encode` that needs the interpreter."""
    return to_json(
        [
            (r.device_id, r.kind, r.gateway, r.occurred_at_ms, r.received_at_ms, r.seq, r.key,
             r.keyed | r.registered << 1 | r.entitled << 2 | r.late << 3, r.values, r.quality)
            for r in readings
        ]
    )  # fmt: skip


def seal(rows: bytes) -> bytes:
    """Deflate and check-sum rows made by :func:`rows_json`; releases the interpreter while it works."""
    body = zlib.compress(rows, 1)
    return _HEAD.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body


def encode(readings: list[Reading]) -> bytes:
    """The block of these readings."""
    return seal(rows_json(readings))


def decode(block: bytes) -> list[Reading]:
    """The readings of a block, in the order they were stored.

    Raises:
        CorruptBlock: the bytes are damaged, or of a later version than this program knows.
    """
    if len(block) < _HEAD.size:
        msg = f"a block of {len(block)} bytes has no head"
        raise CorruptBlock(msg)
    magic, version, crc = _HEAD.unpack_from(block)
    if magic != _MAGIC or version != _VERSION:
        msg = f"magic {magic!r}, version {version}: not a block of version {_VERSION}"
        raise CorruptBlock(msg)
    body = memoryview(block)[_HEAD.size :]
    if zlib.crc32(body) != crc:
        msg = "checksum does not match"
        raise CorruptBlock(msg)
    try:
        return [_reading(row) for row in from_json(zlib.decompress(body))]
    except (zlib.error, ValueError, TypeError) as error:
        msg = f"a whole block that is no block: {error}"
        raise CorruptBlock(msg) from error


def _reading(row: list[Any]) -> Reading:
    device_id, kind, gateway, occurred_at_ms, received_at_ms, seq, key, flags, values, quality = row
    return Reading(
        device_id, kind, gateway, occurred_at_ms, received_at_ms, seq, key, bool(flags & _KEYED), values, quality,
        bool(flags & _REGISTERED), bool(flags & _ENTITLED), bool(flags & _LATE),
    )  # fmt: skip

"""Intake blocks: what goes in comes out, and no damage passes unseen."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.model import Quality, Reading
from gridwarden.records.block import CorruptBlock, decode, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
READING = st.builds(
    Reading, TEXT, TEXT, TEXT, st.integers(0, 2**48), st.integers(0, 2**48), st.none() | st.integers(0, 2**63 - 1),
    st.integers(0, 2**64 - 1), st.booleans(), st.dictionaries(TEXT, VALUE, max_size=4),
    st.dictionaries(TEXT, st.sampled_from(Quality), max_size=2), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip


@given(st.lists(READING, max_size=5))
def test_what_goes_in_comes_out(readings: list[Reading]) -> None:
    again = decode(encode(readings))
    assert again == readings
    types = [[type(value) for value in reading.values.values()] for reading in readings]
    assert [[type(value) for value in reading.values.values()] for reading in again] == types


ONE = encode([Reading("D", "lift", "g", 1, 2, 3, 4, True, {"floor": 3})])


@pytest.mark.parametrize("position", range(len(ONE)))
def test_any_damaged_byte_is_noticed(position: int) -> None:
    for bit in range(8):
        damaged = bytearray(ONE)
        damaged[position] ^= 1 << bit
        with pytest.raises(CorruptBlock):
            decode(bytes(damaged))


@pytest.mark.parametrize("length", range(len(ONE)))
def test_a_block_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(CorruptBlock):
        decode(ONE[:length])


def test_bytes_too_many_are_noticed() -> None:
    with pytest.raises(CorruptBlock):
        decode(ONE + b"\0")


@pytest.mark.parametrize(
    "body", [b"no deflate", zlib.compress(b"no json"), zlib.compress(b"[[1]]"), zlib.compress(b"7")]
)
def test_a_right_checksum_over_something_else_is_noticed(body: bytes) -> None:
    with pytest.raises(CorruptBlock):
        decode(struct.pack("<3sBI", b"GWB", 1, zlib.crc32(body)) + body)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_block_or_corrupt(garbage: bytes) -> None:
    with pytest.raises(CorruptBlock):
        decode(garbage)

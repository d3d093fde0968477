"""Packed answers: the same bytes for everybody, made once, few at a time, never older than asked for."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from api import packed
from api.packed import Shelf, pack


def test_packing_and_unpacking_in_pieces() -> None:
    parts = [b"[", *(f"{number}," for number in range(100_000)), b"0]"]
    whole = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    body = pack(part if isinstance(part, bytes) else part.encode() for part in parts)
    assert body.length == len(whole)
    assert gzip.decompress(body.packed) == whole
    pieces = list(body.plain())
    assert b"".join(pieces) == whole
    assert max(map(len, pieces)) <= packed._PIECE_BYTES
    assert b"".join(pack([]).plain()) == b""


def test_it_is_made_once_for_all_who_ask_and_anew_under_another_validator() -> None:
    shelf, made, barrier = Shelf(), [0], threading.Barrier(8)

    def parts() -> Iterator[bytes]:
        made[0] += 1
        yield f"number {made[0]}".encode()

    def asked(_number: int) -> packed.Packed:
        barrier.wait()
        return shelf.get("map", "v1", parts)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(asked, range(8)))
    assert all(one is found[0] for one in found)
    assert b"".join(shelf.get("map", "v2", parts).plain()) == b"number 2"
    assert len(shelf) == 1


def test_few_are_kept_the_latest_used() -> None:
    shelf = Shelf()
    first = shelf.get("first", "v", lambda: [b"first"])
    for number in range(packed.KEPT - 1):
        shelf.get(number, "v", lambda: [b"x"])
    assert shelf.get("first", "v", list) is first
    shelf.get("one more", "v", lambda: [b"x"])
    assert len(shelf) == packed.KEPT
    assert shelf.get("first", "v", list) is first
    assert shelf.get(0, "v", lambda: [b"anew"]).length == 4

"""Windows: rebuilt from snapshots and blocks they equal the live ones, wherever they were cut."""

from __future__ import annotations

import struct
from base64 import b85encode
from dataclasses import replace
from zlib import compress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from gridwarden.core import windows as module
from gridwarden.core.windows import SHARDS, Windows, shard_of
from gridwarden.model import Reading
from gridwarden.records.block import encode

NOW_MS = 1_800_000_000_000


def reading(device: str = "D", at: int = 0, key: int | None = None, **options: bool) -> Reading:
    number = at if key is None else key
    return Reading(device, "lift", "gw", NOW_MS + at, NOW_MS + at, at, number, True, {"floor": at}, **options)


def live(windows: Windows, one: Reading) -> bool:
    """What the judge does with a reading, without its rules; whether it is stored."""
    window = windows.get(one)
    if window.knows(one):
        return False
    one.late = window.is_late(one)
    windows.observe(window, one)
    return True


def dumped(windows: Windows) -> dict[str, object]:
    return {scope: [*window.dump(), bytes(window.keys)] for scope, window in windows._windows.items()}


READINGS = st.builds(
    lambda device, at, registered, entitled: reading(
        f"D{device}", at, registered=registered or not entitled, entitled=entitled
    ),
    st.integers(0, 12),
    st.integers(0, 300),
    st.booleans(),
    st.booleans(),
)


@settings(deadline=None)
@given(batches=st.lists(st.lists(READINGS, max_size=8), max_size=30), cut=st.data())
def test_snapshots_and_the_blocks_since_make_the_same_windows(batches: list[list[Reading]], cut: st.DataObject) -> None:
    windows, blocks, shards = Windows(), [], {}
    for offset, batch in enumerate(batches, start=1):
        stored = [one for one in (replace(one) for one in batch) if live(windows, one)]
        blocks.append((offset, encode(stored) if stored else b""))
        for _ in range(cut.draw(st.sampled_from([0, 1, 40]))):
            snapshot = windows.snapshot()
            shards[snapshot.shard] = (offset, snapshot.body)
    rebuilt = Windows()
    for shard, (offset, body) in shards.items():
        rebuilt.load(shard, offset, body)
    rebuilt.replay([one for one in blocks if one[0] > min(rebuilt.offsets)])
    assert dumped(rebuilt) == dumped(windows)
    assert rebuilt._strangers == windows._strangers
    assert rebuilt.latest_at_ms() == windows.latest_at_ms()
    assert len(rebuilt) == len(windows)


def test_a_block_without_readings_is_passed_over() -> None:
    assert Windows().replay([(1, b"")]) == 0


def test_what_an_unentitled_gateway_says_has_a_window_of_its_own() -> None:
    windows = Windows()
    own, foreign = reading(), reading(entitled=False)
    assert windows.get(own) is not windows.get(foreign)
    assert foreign.scope == "\x1fgw/D"


def test_strangers_are_limited_and_the_limit_outlives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRANGERS_LIMIT", 3)
    windows = Windows()
    for number in range(5):
        live(windows, reading(f"S{number}", registered=False))
    live(windows, reading("KNOWN"))
    assert len(windows) == 4

    restarted = Windows()
    for _ in range(SHARDS):
        snapshot = windows.snapshot()
        restarted.load(snapshot.shard, 1, snapshot.body)
    live(restarted, reading("S9", registered=False))
    assert len(restarted) == 4
    live(restarted, reading("S0", 1, registered=True))  # one of them is registered: that makes room
    live(restarted, reading("S9", registered=False))
    assert len(restarted) == 5


def test_the_next_snapshot_is_of_the_oldest_shard() -> None:
    windows = Windows()
    for shard in range(SHARDS):
        windows.load(shard, 5 if shard == 77 else 9, Windows().snapshot().body)
    assert windows.snapshot().shard == 77
    assert windows.snapshot().shard == 78


def test_shards_are_stable_for_ever() -> None:
    assert [shard_of("LIFT-000001"), shard_of("\x1fgw/烟感-1")] == [16, 64]


def test_when_a_device_was_last_heard() -> None:
    windows = Windows()
    assert windows.heard_at_ms("D") == -1
    live(windows, reading(at=7))
    live(windows, reading(at=3))
    live(windows, reading(at=9, entitled=False))
    assert windows.heard_at_ms("D") == NOW_MS + 7


def test_a_shard_of_an_older_version_is_read() -> None:
    windows = Windows()
    live(windows, reading("D", 1))
    (window,) = windows._windows.values()
    dumped = window.dump()
    dumped[4] = b85encode(struct.pack("<Qqq", 1, NOW_MS, NOW_MS + 5)).decode()
    again = Windows()
    again.load(shard_of("D"), 7, compress(to_json({"D": dumped[:6]}), 1))
    (old,) = again._windows.values()
    assert (old.values, list(old.keys), old.received_at_ms) == ({"floor": 1}, [1], -1)
    assert old.keys.received_at_ms(1) == NOW_MS + 5

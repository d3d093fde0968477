"""What core says of itself: the values, and when they are said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Self

from gridwarden.core.health import (
    WAITING_LIMIT,
    Door,
    Health,
    broker_values,
    core_values,
    supervised_values,
    told_values,
)
from gridwarden.errors import RecordsUnavailable
from gridwarden.supervised import Supervised

NOW_MS = 1_800_000_000_000
STATUS: dict[str, Any] = {
    "received": 100, "stored": 90, "duplicate": 4, "dead_lettered": 3, "quarantined": 2, "in_flight": 1,
    "spool": {"bytes": 25, "quota_bytes": 100, "full": False}, "records": "ok", "strangers": 7, "webs": 1,
    "ledger_imbalance": 0, "aside": {"fill": 0.3},
    "sessions": [
        {"broker": "b", "connected": True, "redelivered": 5}, {"broker": "b", "connected": True, "redelivered": 1},
        {"broker": "c", "connected": False, "redelivered": 0},
    ],
}  # fmt: skip


def test_what_core_says_when_all_is_well() -> None:
    assert core_values(STATUS, STATUS, {"disk_free_share": 0.5}) == {
        "records_failing": False, "spool_fill": 0.25, "ledger_imbalance": 0, "dead_letters": 0, "unentitled": 0,
        "strangers": 7, "aside_fill": 0.3, "web_connected": True, "disk_free_share": 0.5,
    }  # fmt: skip


def test_counts_are_those_of_the_interval_and_never_below_none() -> None:
    later = STATUS | {"dead_lettered": 13, "quarantined": 1, "records": "failing", "webs": 0, "ledger_imbalance": 3}
    values = core_values(later, STATUS, {})
    assert (values["dead_letters"], values["unentitled"]) == (10, 0)
    assert values["ledger_imbalance"] == 3
    assert (values["records_failing"], values["web_connected"]) == (True, False)


def test_a_broker_is_all_its_sessions() -> None:
    later = STATUS | {"sessions": [session | {"redelivered": 9} for session in STATUS["sessions"]]}
    assert broker_values("b", later, STATUS) == {"connected": True, "redelivered": 12}
    assert broker_values("c", later, STATUS) == {"connected": False, "redelivered": 9}


def test_of_what_web_tells_only_known_plain_values_are_taken() -> None:
    told = {"websockets": 3, "history_failing": True, "history_behind_s": float("inf"), "memory_mb": "much", "x": 1,
            "hub_behind_s": [1], "history_behind": 2**60}  # fmt: skip
    assert told_values(told) == {"websockets": 3, "history_failing": True, "history_behind": 2**60}
    for garbage in (None, 7, "web", ["websockets"]):
        assert told_values(garbage) == {}


def test_restarts_are_those_since_the_last_word_of_the_supervisor() -> None:
    first = Supervised(NOW_MS, {"core": 2, "web": 5, "broker": 1}, 30, 120)
    assert supervised_values(None, first) == ({}, {})
    assert supervised_values(first, None) == (
        {"restarts": 1},
        {"restarts": 0, "store_fill": 0.25},
    )  # core was just started
    assert supervised_values(first, first) == ({"restarts": 0}, {"restarts": 0, "store_fill": 0.25})
    later = Supervised(NOW_MS, {"core": 2, "web": 7, "broker": 2}, None, 120)
    assert supervised_values(later, first) == ({"restarts": 2}, {"restarts": 1})
    anew = Supervised(NOW_MS, {"core": 0, "web": 0})  # another supervisor, and no embedded broker
    assert supervised_values(anew, later) == ({"restarts": 0}, {})


def test_what_is_not_durable_is_bounded() -> None:
    door = Door()
    for number in range(WAITING_LIMIT + 10):
        door.put({"gridwarden:core": {"strangers": number}, "gridwarden:web": {}}, NOW_MS)
    taken = door.take(10_000)
    assert len(taken) == WAITING_LIMIT
    assert json.loads(taken[-1].payload) == [
        {"device": "gridwarden:core", "at": NOW_MS, "values": {"strangers": WAITING_LIMIT - 1}}
    ]
    assert door.waiting == 0
    door.put({"gridwarden:core": {"strangers": 0}}, NOW_MS)
    assert door.waiting == 0
    door.acknowledge(taken[:1])
    door.put({"gridwarden:core": {"strangers": 0}}, NOW_MS)
    assert door.waiting == 1


class Asked:
    """A health whose surroundings the test sets."""

    def __init__(self, data: Path, every_s: float = 0.02) -> None:
        self.status = dict(STATUS)
        self.spool_at_ms: int | Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.said = asyncio.Event()
        self.health = Health(every_s, data, ["b", "c"], lambda: dict(self.status), lambda: {"commit_slowest_s": 0.5}, self._spool,
                             lambda: NOW_MS, self.said.set)  # fmt: skip

    async def _spool(self) -> int | None:
        await self.answers.wait()
        if isinstance(self.spool_at_ms, Exception):
            raise self.spool_at_ms
        return self.spool_at_ms

    async def next(self) -> dict[str, dict[str, Any]]:
        async with asyncio.timeout(60):
            while not self.health.door.waiting:
                self.said.clear()
                await self.said.wait()
        (message,) = self.health.door.take(1)
        self.health.door.acknowledge([message])
        return {reading["device"]: reading["values"] for reading in json.loads(message.payload)}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.health.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_every_part_says_what_it_knows(tmp_path: Path) -> None:
    async with Asked(tmp_path) as asked:
        asked.spool_at_ms = NOW_MS - 4_000
        asked.health.stepped(90_000)
        parts = await asked.next()
        core = parts.pop("gridwarden:core")
        assert set(parts) == {"gridwarden:broker:b", "gridwarden:broker:c"}
        assert 0 < core["disk_free_share"] < 1
        assert core["memory_mb"] > 1
        assert (core["spool_age_s"], core["commit_slowest_s"], core["clock_step_s"]) == (4, 0.5, 90)
        assert (await asked.next())["gridwarden:core"]["clock_step_s"] == 0


async def test_web_is_heard_until_it_is_silent_for_three_intervals(tmp_path: Path) -> None:
    async with Asked(tmp_path, every_s=0.5) as asked:
        asked.health.hear({"web": {"websockets": 2}, "history": {"history_behind": 0}})
        asked.health.hear(None)
        parts = await asked.next()
        assert (parts["gridwarden:web"], parts["gridwarden:history"]) == ({"websockets": 2}, {"history_behind": 0})
        async with asyncio.timeout(60):
            while "gridwarden:web" in parts:
                parts = await asked.next()


async def test_a_disk_that_does_not_answer_is_left_out_and_holds_up_nothing(tmp_path: Path) -> None:
    async with Asked(tmp_path) as asked:
        asked.answers.clear()
        core = (await asked.next())["gridwarden:core"]
        assert "disk_free_share" not in core
        assert "spool_age_s" not in core
        assert core["records_failing"] is False
        asked.answers.set()
        asked.spool_at_ms = RecordsUnavailable("no")
        asked.spool_at_ms = None
        async with asyncio.timeout(60):
            while "spool_age_s" not in core:
                core = (await asked.next())["gridwarden:core"]
        assert core["spool_age_s"] == 0

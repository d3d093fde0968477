"""What a cut of the power costs, tried on a disk that forgets what was not forced to it (:mod:`tests.faults.disk`).

Everything of an instance is killed in one moment, the disk loses what was not forced, and the same directory is started
again. The gateway lives elsewhere: what has no PUBACK it publishes again, as after any break.

With ``embedded.sync_s = 0`` nothing that was acknowledged may be missing. With an interval the broker may forget what it
acknowledged since: only messages that core had not committed yet, and none older than the interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from simulators.publisher import Publisher
from tests.faults import book, evidence
from tests.faults import disk as faulty
from tests.faults.disk import FaultyDisk
from tests.faults.evidence import Evidence
from tests.faults.harness import Instance, until
from tests.faults.workload import ROUNDS, Key, Workload

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
    pytest.mark.skipif(bool(faulty.why_not()), reason=faulty.why_not() or ""),
]
LONG_RUNS = 12
MARGIN_S = 1.0
"""Between the moment in which the broker acknowledges and the one in which we note it, and its timer's own delay."""


@dataclass
class Lit:
    """An instance on a disk whose power can be cut."""

    instance: Instance
    disk: FaultyDisk
    workload: Workload
    acknowledged_at_s: dict[int, float] = field(default_factory=dict)
    """When each round had been acknowledged, all of it."""
    began_at_s: dict[int, float] = field(default_factory=dict)
    cut_at_s: float = 0.0
    records: Evidence = field(default_factory=Evidence)
    rows: Counter[Any] = field(default_factory=Counter)

    async def cut(self, seed: int | None) -> None:
        """Everything dies at once, and the disk forgets."""
        pids = [self.instance.pid, *self.instance.children().values()]
        self.cut_at_s = time.monotonic()
        for pid in pids:
            assert pid is not None
            with contextlib.suppress(ProcessLookupError):  # it ended with the first one
                os.kill(pid, signal.SIGKILL)
        await until("all of it is dead", lambda: self.instance.pid is None and not self.instance.survivors())
        self.disk.cut_power(seed)

    async def play(self, publisher: Publisher, rounds: range) -> None:
        """Some rounds, each acknowledged by the broker before the next one begins."""
        for number in rounds:
            self.began_at_s[number] = time.monotonic()
            for sent in self.workload.rounds[number]:
                await publisher.publish(sent.topic, sent.payload, sent.readings)
            await publisher.drain()
            self.acknowledged_at_s[number] = time.monotonic()
            await asyncio.sleep(0.01)

    def lost(self) -> set[Key]:
        """Readings that were acknowledged (all were, in the end) and are not there."""
        published = self.workload.stored | self.workload.quarantined
        return published.keys() - self.records.stored.keys() - self.records.quarantined.keys()

    def round_of(self, key: Key) -> int:
        """The round that published a reading (those with a time of their own are told by their number)."""
        return key[2] if key[2] < ROUNDS else 14


@asynccontextmanager
async def lit(folder: Path, sync_s: float, tag: str) -> AsyncIterator[Lit]:
    """Ready, with the workload's devices registered."""
    folder.mkdir()
    with FaultyDisk(folder / "data") as disk:
        own = {"GRIDWARDEN_EMBEDDED__SYNC_S": str(sync_s), "GRIDWARDEN_EMBEDDED__MQTT_PORT": str(_free_port())}
        instance = Instance(folder, **own)
        async with instance.running():
            workload = Workload(tag, (int(time.time()) - 3_600) * 1000)
            workload.register([workload], folder / "devices.csv")
            await instance.import_devices(folder / "devices.csv")
            yield Lit(instance, disk, workload)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def power_cut(folder: Path, sync_s: float, seed: int, *, stalled: bool) -> Lit:
    """Publish, cut the power somewhere in the second half, start again, publish the rest.

    ``stalled``: core stands still before the cut, so that what the broker acknowledged lies with it alone.
    """
    chance = random.Random(seed)
    async with lit(folder, sync_s, f"power-{seed}") as house:
        async with Publisher(house.instance.mqtt(house.workload.tag)) as publisher:
            await house.play(publisher, range(ROUNDS // 2))
            if stalled:
                os.kill(await house.instance.child("core"), signal.SIGSTOP)
            rest = asyncio.create_task(house.play(publisher, range(ROUNDS // 2, ROUNDS)))
            await asyncio.sleep(chance.uniform(0.05, 0.5))
            await house.cut(chance.choice([None, seed]))
            await house.instance.start()
            await rest
        evidence.check_ledger(await house.instance.drained(), house.instance.data)
        assert await house.instance.stop() == 0
        house.records = evidence.records(house.instance.data)[house.workload.tag]
        house.rows = evidence.history(house.instance.data)[house.workload.tag]
    return house


def enter(house: Lit, fault: str) -> None:
    """Into the book."""
    found, truths = house.records, house.workload.truths
    there = {(one["rule_id"], one["scope"], one["pending_at_ms"]) for one in found.alarms.values()}
    book.enter(
        book.Run(
            fault,
            acknowledged=house.workload.readings,
            lost=len(house.lost()) + len(house.workload.dead - found.dead.keys()),
            doubled=sum(count - 1 for counts in (found.stored, found.quarantined) for count in counts.values()),
            events=len(truths),
            events_lost=len({(one.rule_id, one.scope) for one in truths} - {(rule, scope) for rule, scope, _ in there}),
            events_doubled=max(0, len(there) - len(truths)),
        )
    )


def check_whole(house: Lit) -> None:
    """As if nothing had happened."""
    evidence.check_readings(house.workload, house.records)
    evidence.check_history(house.workload, house.rows)
    evidence.forgive_redelivery(house.workload, house.records)
    evidence.check_truth(house.workload, house.records)


CASES = [(1, False), (2, True)]
LONG_CASES = [(seed, stalled) for seed in range(3, 3 + LONG_RUNS) for stalled in (False, True)]


async def nothing_is_missing(folder: Path, seed: int, *, stalled: bool) -> None:
    house = await power_cut(folder, 0.0, seed, stalled=stalled)
    enter(house, f"power cut, sync_s = 0, core {'stands still' if stalled else 'at work'}")
    check_whole(house)


@pytest.mark.parametrize(("seed", "stalled"), CASES)
async def test_what_is_forced_before_it_is_acknowledged_survives(tmp_path: Path, seed: int, stalled: bool) -> None:
    await nothing_is_missing(tmp_path / "house", seed, stalled=stalled)


@pytest.mark.long
@pytest.mark.parametrize(("seed", "stalled"), LONG_CASES)
async def test_what_is_forced_before_it_is_acknowledged_survives_whenever(
    tmp_path: Path,
    seed: int,
    stalled: bool,
) -> None:
    await nothing_is_missing(tmp_path / "house", seed, stalled=stalled)


async def test_an_interval_costs_what_was_acknowledged_within_it_at_most(tmp_path: Path) -> None:
    sync_s = 1.0
    for seed in range(1, 6):  # until one comes when something is at stake
        house = await power_cut(tmp_path / f"house-{seed}", sync_s, seed, stalled=True)
        if lost := house.lost():
            break
    print(f"LOST {len(lost)} readings of {house.workload.readings}")  # noqa: T201 - shown with -rP
    assert lost, "the cut came when nothing was at stake: this shows nothing"
    since_s = house.cut_at_s - sync_s - MARGIN_S
    assert all(house.acknowledged_at_s[house.round_of(key)] >= since_s for key in lost)
    assert set(house.records.stored.values()) == {1}

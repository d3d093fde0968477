"""Gateways that send everything up to three times, late and in any order, as some do after every hiccup, across kills.

``repeated`` keeps each device's own order: a repeat comes up to two rounds after the first, so the alarms are the
script's. ``shuffled`` does not: messages are up to two rounds late. A late reading is stored and clears nothing, so then
the script's alarms cannot be told to the millisecond; that no reading is lost or doubled, and no event of a fire or an
entrapment, can.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults import evidence
from tests.faults.harness import VICTIMS
from tests.faults.lanes import (
    Cell,
    Played,
    Stage,
    check,
    judged,
    plain_stage,
    playing,
    redelivered,
    wanted,
    workloads_of,
)
from tests.faults.workload import ROUNDS, Sent, Workload

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
LANES = 3
LATEST_S = 0.8
LONG_RUNS = 12
COPIES = 2
"""Besides the first, at most."""
ROUNDS_LATE = 2
LIFE_SAFETY = ("fire/", "rescue/")


class Repeated(Workload):
    """The same, each message up to three times, a round in any order."""

    def __init__(self, tag: str, base_ms: int, rng: Random) -> None:
        super().__init__(tag, base_ms)
        for number, some in enumerate(list(map(list, self.rounds))):
            for sent in some:
                self._repeat(sent, number, rng)
        for some in self.rounds:
            rng.shuffle(some)

    def _repeat(self, sent: Sent, number: int, rng: Random) -> None:
        if {"garbage", "bad"} & set(sent.readings):
            return  # it has no key to know it again by
        for _ in range(rng.randint(0, COPIES)):
            self.rounds[min(ROUNDS - 1, number + rng.randint(0, ROUNDS_LATE))].append(sent)
            self.repeated += len(sent.readings)


class Shuffled(Repeated):
    """The same, and each first one up to two rounds late as well."""

    def __init__(self, tag: str, base_ms: int, rng: Random) -> None:
        super().__init__(tag, base_ms, rng)
        rounds: list[list[Sent]] = [[] for _ in self.rounds]
        for number, some in enumerate(self.rounds):
            for sent in some:
                rounds[min(ROUNDS - 1, number + rng.randint(0, ROUNDS_LATE))].append(sent)
        self.rounds = rounds
        self.incidents = {incident for incident in self.incidents if incident.startswith(LIFE_SAFETY)}


@dataclass(frozen=True)
class Repeats(Cell):
    """One of them."""

    shuffled: bool
    victim: str | None

    @property
    def fault(self) -> str:
        sent = "messages up to three times and out of order" if self.shuffled else "messages up to three times"
        return f"{sent}, {self.victim} killed" if self.victim else sent

    @property
    def tag(self) -> str:
        return f"{'shuffled' if self.shuffled else 'repeats'}-{self.victim or 'nobody'}-{self.run}"

    @property
    def seed(self) -> str:
        return str(self.run)

    def workload(self, base_ms: int) -> Workload:
        return (Shuffled if self.shuffled else Repeated)(self.tag, base_ms, Random(self.run))

    async def strike(self, stage: Stage, place: Path) -> dict[str, Any]:
        await asyncio.sleep(Random(self.run).uniform(0, LATEST_S))
        return {"pid": await stage.instance.kill(self.victim) if self.victim else None}


def check_shuffled(played: Played) -> None:
    """What holds in any order."""
    workload = played.workload
    assert played.account.readings == played.account.readings_acknowledged == workload.readings
    evidence.check_readings(workload, played.records)
    evidence.check_history(workload, played.history)
    assert workload.incidents <= played.records.events.keys()
    assert set(played.records.rows_of.values()) == {1}
    assert played.changes == played.journal
    redelivered(played)


CELLS = [Repeats(run, shuffled, victim) for run in range(1, LONG_RUNS + 1)
         for shuffled in (False, True) for victim in (None, *VICTIMS)]  # fmt: skip
SHORT_CELLS = [cell for cell in CELLS if cell.run == 1 and cell.shuffled == (cell.victim in {"broker", "web"})]


Judge = Callable[[Repeats], None]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a cell; they are played on several lanes at once."""
    folder = tmp_path_factory.mktemp("repeats")
    with playing(folder, workloads_of(wanted(request)), plain_stage, LANES) as results:

        def one(cell: Repeats) -> None:
            with judged(cell, results) as played:
                (check_shuffled if cell.shuffled else check)(played)

        yield one


def ids(cell: Repeats) -> str:
    return cell.tag


@pytest.mark.parametrize("cell", SHORT_CELLS, ids=ids)
def test_what_comes_again_counts_once(cell: Repeats, judge: Judge) -> None:
    judge(cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in SHORT_CELLS], ids=ids)
def test_what_comes_again_counts_once_however_often(cell: Repeats, judge: Judge) -> None:
    judge(cell)

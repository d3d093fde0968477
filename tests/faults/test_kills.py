"""The proof of the first promise: whatever dies, and wherever it is at that moment, nothing is lost and nothing twice.

At each failpoint the program stands still; core, web or the broker is killed with kill -9; the supervisor starts it
again. Meanwhile a publisher goes on that repeats until it has its PUBACK. Afterwards everything it published must lie
in records and history exactly once, the alarms must be the script's and those of a clean run, a dashboard that comes
back with the last change it saw must have seen each change once and in order, and the ledger must be equal to the
publisher's own account and to a recount. A dead letter, too, lies there once, and
counts how often a gateway sent it.

The cells share three instances, so that they take a minute and not ten, beside one instance where nothing is killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gridwarden import failpoints
from simulators.publisher import Publisher
from tests.faults import evidence
from tests.faults.evidence import Evidence
from tests.faults.harness import VICTIMS, Instance, until
from tests.faults.lanes import (
    PAUSE_S,
    Cell,
    Played,
    Stage,
    check,
    judged,
    plain_stage,
    playing,
    publish,
    redelivered,
    register,
    wanted,
    workloads_of,
)
from tests.faults.workload import ROUNDS, Workload

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
LANES = 3
LONG_RUNS = 10
GATHERING_PAUSE_S = 0.15
"""Between two rounds where the history stands still: it gathers for a second, and the publisher is to be at it still."""


@dataclass(frozen=True)
class KillCell(Cell):
    """One failpoint, one victim, one run."""

    name: str
    victim: str

    @property
    def fault(self) -> str:
        return f"{self.victim} killed at {self.name}"

    @property
    def tag(self) -> str:
        return f"{self.name.replace('.', '-')}-{self.victim}-{self.run}"

    @property
    def pause_s(self) -> float:
        return GATHERING_PAUSE_S if self.name.startswith("history") else PAUSE_S

    @property
    def forgiven(self) -> bool:
        return self.victim != "web"

    @property
    def paused(self) -> str:
        """The process that stands still there."""
        return "web" if self.name.startswith(("history", "push")) else "core"

    @property
    def passage(self) -> int:
        """At which passage after the middle it stands still; web passes its own seldom."""
        return 1 + (self.run - 1) % 3 if self.paused == "core" else 1

    async def strike(self, stage: Stage, place: Path) -> dict[str, Any]:
        with stage.instance.failpoint(self.name, self.passage, place) as paused:
            paused_pid = await until(f"somebody is at {self.name}", paused)
            killed_pid = await stage.instance.kill(self.victim)
        return {"paused_pid": paused_pid, "killed_pid": killed_pid}


CELLS = [KillCell(1, name, victim) for name in failpoints.NAMES for victim in VICTIMS]
LONG_CELLS = [KillCell(run, name, victim) for run in range(2, LONG_RUNS + 1)
              for name in failpoints.NAMES for victim in VICTIMS]  # fmt: skip


def play_clean(folder: Path, workloads: Sequence[Workload]) -> dict[str, Evidence]:
    """The workloads on an instance where nothing is killed."""

    async def play() -> None:
        async with Instance(folder).running() as instance:
            await register(instance, workloads)
            async with Publisher(instance.mqtt("clean")) as publisher:
                for number in range(ROUNDS):
                    for workload in workloads:
                        await publish(publisher, workload, number)
                    await publisher.drain()
                    await asyncio.sleep(PAUSE_S)
            ledger = await instance.drained()
            evidence.check_ledger(ledger, instance.data)
            assert ledger["received"] == sum(workload.readings for workload in workloads)
            assert ledger["duplicate"] == sum(workload.repeated for workload in workloads)

    asyncio.run(play())
    return evidence.records(folder / "data")


Judge = Callable[[KillCell], None]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a cell; all of them are played on three lanes at once."""
    folder = tmp_path_factory.mktemp("kills")
    workloads = workloads_of(wanted(request))
    with (
        playing(folder, workloads, plain_stage, LANES) as results,
        ThreadPoolExecutor(1) as thread,
    ):
        clean = thread.submit(play_clean, folder / "clean", list(workloads.values()))

        def one(cell: KillCell) -> None:
            with judged(cell, results) as played:
                check(played)
                check_kill(played, clean.result()[played.workload.tag])

        yield one


def check_kill(played: Played, clean: Evidence) -> None:
    """What is true of these cells besides."""
    cell, workload, facts = played.cell, played.workload, played.facts
    assert (facts["paused_pid"] == facts["killed_pid"]) == (cell.paused == cell.victim)
    evidence.check_readings(workload, clean)
    evidence.check_truth(workload, clean)
    if cell.forgiven:
        evidence.forgive_redelivery(workload, played.records, clean)
    evidence.check_equal(played.records, clean)
    if cell.victim != "broker":  # what a gateway sends again because the broker died came twice
        assert played.after["dead_lettered"] - played.before["dead_lettered"] == len(workload.dead)
    again = redelivered(played)
    if cell.victim == "web":
        assert again == 0, "nothing that came in was touched"
    if (cell.name, cell.victim) == ("commit.after", "core"):
        assert again > 0, "what was stored and not acknowledged comes again, and is known"


def ids(cell: KillCell) -> str:
    return f"{cell.name}-{cell.victim}-{cell.run}"


@pytest.mark.parametrize("cell", CELLS, ids=ids)
def test_nothing_is_lost_and_nothing_is_twice(cell: KillCell, judge: Judge) -> None:
    judge(cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", LONG_CELLS, ids=ids)
def test_nothing_is_lost_and_nothing_is_twice_however_often(cell: KillCell, judge: Judge) -> None:
    judge(cell)

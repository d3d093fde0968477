"""kill -9 at no named place: of a random part, of two at once, of the supervisor, at a random moment.

What is killed and when follows from the number of the run, which is its seed. See ``test_kills.py``, ``lanes.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.harness import VICTIMS, Instance, until
from tests.faults.lanes import Cell, Stage, check, judged, plain_stage, playing, wanted, workloads_of

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
LANES = 3
LATEST_S = 0.8
"""The second half of a workload takes about as long."""


class Kill(StrEnum):
    """Who is killed at a random moment."""

    ONE = "one part"
    TWO = "two parts at once"
    SUPERVISOR = "the supervisor"


SHORT_RUNS = {Kill.ONE: 3, Kill.TWO: 2, Kill.SUPERVISOR: 1}
LONG_RUNS = {Kill.ONE: 140, Kill.TWO: 70, Kill.SUPERVISOR: 40}


@dataclass(frozen=True)
class RandomKill(Cell):
    """One of them."""

    kill: Kill

    @property
    def fault(self) -> str:
        return f"{self.kill} killed at a random moment"

    @property
    def tag(self) -> str:
        return f"random-{self.kill.replace(' ', '-')}-{self.run}"

    @property
    def seed(self) -> str:
        return str(self.run)

    async def strike(self, stage: Stage, place: Path) -> dict[str, Any]:
        rng = Random(self.run)
        moment_s = rng.uniform(0, LATEST_S)
        victims = rng.sample(list(VICTIMS), 1 if self.kill is Kill.ONE else 2)
        await asyncio.sleep(moment_s)
        if self.kill is Kill.SUPERVISOR:
            await kill_supervisor(stage.instance)
        else:
            await kill_at_once(stage.instance, victims)
        return {"victims": victims, "moment_s": moment_s}


async def kill_at_once(instance: Instance, victims: list[str]) -> None:
    """kill -9 of all of them, with nothing between."""
    pids = {name: await instance.child(name) for name in victims}
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    await until(f"{victims} are gone", lambda: not set(pids.items()) & set(instance.children().items()))


async def kill_supervisor(instance: Instance) -> None:
    """kill -9, and a new start as soon as its children have ended by themselves."""
    await instance.kill_supervisor()
    await until("its children are gone", lambda: not instance.survivors(), 15.0)
    await instance.start()


def cells(runs: dict[Kill, int], after: dict[Kill, int] | None = None) -> list[RandomKill]:
    return [RandomKill(run, kill) for kill, last in runs.items() for run in range((after or {}).get(kill, 0) + 1, last + 1)]  # fmt: skip


Judge = Callable[[RandomKill], None]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a cell; all of them are played on three lanes at once."""
    folder = tmp_path_factory.mktemp("random")
    with playing(folder, workloads_of(wanted(request)), plain_stage, LANES) as results:

        def one(cell: RandomKill) -> None:
            with judged(cell, results) as played:
                check(played)

        yield one


def ids(cell: RandomKill) -> str:
    return f"{cell.kill.replace(' ', '-')}-{cell.run}"


@pytest.mark.parametrize("cell", cells(SHORT_RUNS), ids=ids)
def test_whoever_dies_whenever(cell: RandomKill, judge: Judge) -> None:
    judge(cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", cells(LONG_RUNS, SHORT_RUNS), ids=ids)
def test_whoever_dies_whenever_and_however_often(cell: RandomKill, judge: Judge) -> None:
    judge(cell)

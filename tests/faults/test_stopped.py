"""SIGSTOP: a process that is there and does nothing, as under a debugger, in a frozen machine or in heavy swapping.

Three seconds in the short form, thirty in the long one: longer than the broker waits for an acknowledgement, and than any
keepalive of a gateway.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import VICTIMS
from tests.faults.lanes import Cell, Stage, check, judged, plain_stage, playing, wanted, workloads_of

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
LANES = 6
"""They stand still most of the time."""
SHORT_S, LONG_S = 3, 30
LONG_RUNS = 12


@dataclass(frozen=True)
class Stopped(Cell):
    """One part, once."""

    victim: str
    seconds: int

    @property
    def fault(self) -> str:
        return f"{self.victim} stopped for {self.seconds} s"

    @property
    def tag(self) -> str:
        return f"stopped-{self.victim}-{self.seconds}-{self.run}"

    async def strike(self, stage: Stage, place: Path) -> dict[str, Any]:
        pid = await stage.instance.child(self.victim)
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return {"pid": pid, "afterwards": stage.instance.children()[self.victim]}


Judge = Callable[[Stopped], None]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a cell; they are played on several lanes at once."""
    folder = tmp_path_factory.mktemp("stopped")
    cells = workloads_of(wanted(request))
    with playing(folder, cells, plain_stage, min(LANES, len(cells))) as results:

        def one(cell: Stopped) -> None:
            with judged(cell, results) as played:
                check(played)
                assert played.facts["pid"] == played.facts["afterwards"], "it was not slow but dead"

        yield one


def ids(cell: Stopped) -> str:
    return f"{cell.victim}-{cell.run}"


@pytest.mark.parametrize("cell", [Stopped(1, victim, SHORT_S) for victim in VICTIMS], ids=ids)
def test_standing_still_costs_nothing(cell: Stopped, judge: Judge) -> None:
    judge(cell)


LONG_CELLS = [Stopped(run, victim, LONG_S) for run in range(1, LONG_RUNS + 1) for victim in VICTIMS]


@pytest.mark.long
@pytest.mark.parametrize("cell", LONG_CELLS, ids=ids)
def test_nor_for_half_a_minute(cell: Stopped, judge: Judge) -> None:
    judge(cell)

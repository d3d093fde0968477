"""The machine's clock is set while everything runs: an hour or a day, forward or back, with readings sent thrice across it.

Supervisor, core and web live under libfaketime, which tells them another time as soon as a file says so; what only ever
runs on (the monotonic clock) it leaves alone, as setting a clock does. The broker is not under it: it asks the system
itself. Gateways go on by their own clocks, three days back, so that no step makes them the future.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.faults.harness import Instance, free_port
from tests.faults.lanes import Cell, Played, Stage, check, judged, playing, wanted, workloads_of
from tests.faults.test_repeats import Repeated
from tests.faults.workload import Workload

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(LIBRARY is None or sys.platform != "linux", reason="no libfaketime on this machine"),
]
LANES = 2
LATEST_S = 0.4
SEEN_S = 2.5
"""libfaketime looks at its file once a second."""
HOUR_S, DAY_S = 3_600, 86_400
BACK_MS = 3 * DAY_S * 1000
STEPS = {"an hour forward": HOUR_S, "a day back": -DAY_S, "a day forward": DAY_S, "an hour back": -HOUR_S}
"""In this order they come to nothing, and never to more than a day."""
LONG_RUNS = 10
IDLE_S = 12 * HOUR_S
"""A session that was not used for so long is over."""


class ClockStage(Stage):
    """An instance whose clock can be set."""

    def __init__(self, instance: Instance, port: int, ahead: Path, token: str) -> None:
        super().__init__(instance)
        self._url = f"http://127.0.0.1:{port}"
        self._ahead = ahead
        self._token = token
        self.ahead_s = 0

    def step(self, seconds: int) -> None:
        """Set the clock forward, or back."""
        self.ahead_s += seconds
        fresh = self._ahead.with_suffix(".new")
        fresh.write_text(f"{self.ahead_s:+d}\n")
        fresh.replace(self._ahead)

    async def told_by_token(self) -> int:
        """The answer to a program with a token, over TCP as any other."""
        return await self._ask({"authorization": f"Bearer {self._token}"})

    async def told_by_session(self, cookie: str) -> int:
        """The answer to a browser that signed in before."""
        return await self._ask({"cookie": f"gridwarden_session={cookie}"})

    async def _ask(self, headers: dict[str, str]) -> int:
        async with httpx.AsyncClient(timeout=60, base_url=self._url, headers=headers) as client:
            return (await client.get("/api/v1/auth/session")).status_code

    async def sign_in(self) -> str:
        """A session, as a browser gets it."""
        async with httpx.AsyncClient(timeout=60, base_url=self._url) as client:
            answer = await client.post("/api/v1/auth/session", json={"name": "watcher", "password": "a-long-password"})
            answer.raise_for_status()
            return answer.cookies["gridwarden_session"]


@asynccontextmanager
async def clock_stage(folder: Path) -> AsyncIterator[ClockStage]:
    folder.mkdir(parents=True)
    ahead = folder / "ahead"
    ahead.write_text("+0\n")
    port = free_port()
    environment = {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(ahead), "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "GRIDWARDEN_EMBEDDED__MQTT_PORT": str(free_port()),
        "GRIDWARDEN_HISTORY__SEAL_AFTER_H": "2400",  # sealed rows are counted elsewhere
    }  # fmt: skip
    instance = Instance(folder, "--port", str(port), **environment)
    async with instance.running():
        user = {"name": "watcher", "role": "viewer", "areas": [""], "password": "a-long-password"}
        (await instance.client.post("/api/v1/local/users", json=user)).raise_for_status()
        made = await instance.client.post("/api/v1/local/users/watcher/tokens", json={"name": "t"})
        yield ClockStage(instance, port, ahead, made.json()["secret"])


@dataclass(frozen=True)
class ClockCell(Cell):
    """One step; in every second run core is killed a moment later, so that much comes again across it."""

    step: str

    @property
    def killed(self) -> bool:
        return self.run % 2 == 0

    @property
    def fault(self) -> str:
        return f"clock set {self.step}{', core killed' if self.killed else ''}"

    @property
    def tag(self) -> str:
        return f"clock-{self.step.replace(' ', '-')}-{self.run}"

    @property
    def seed(self) -> str:
        return str(self.run)

    @property
    def blocks_stay(self) -> bool:
        return False

    def workload(self, base_ms: int) -> Workload:
        return Repeated(self.tag, base_ms - BACK_MS, Random(self.run))

    async def strike(self, stage: ClockStage, place: Path) -> dict[str, Any]:
        cookie = await stage.sign_in()
        await asyncio.sleep(Random(self.run).uniform(0, LATEST_S))
        stage.step(STEPS[self.step])
        if self.killed:
            await stage.instance.kill("core")
        await asyncio.sleep(SEEN_S)
        return {"token": await stage.told_by_token(), "session": await stage.told_by_session(cookie)}


def check_step(played: Played) -> None:
    """The promise, and who is still signed in."""
    check(played)
    idle = STEPS[played.cell.step] > IDLE_S
    assert played.facts == {"token": 200, "session": 401 if idle else 200}


Judge = Callable[[ClockCell], None]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a cell; they are played on two lanes at once."""
    folder = tmp_path_factory.mktemp("clock")
    with playing(folder, workloads_of(wanted(request)), clock_stage, LANES) as results:

        def one(cell: ClockCell) -> None:
            with judged(cell, results) as played:
                check_step(played)

        yield one


def ids(cell: ClockCell) -> str:
    return f"{cell.step.replace(' ', '-')}-{cell.run}"


CELLS = [ClockCell(run, step) for run in range(1, LONG_RUNS + 1) for step in STEPS]
SHORT_CELLS = [ClockCell(1, "an hour forward"), ClockCell(1, "a day back"), ClockCell(2, "a day forward"),
               ClockCell(2, "an hour back")]  # fmt: skip


@pytest.mark.parametrize("cell", SHORT_CELLS, ids=ids)
def test_a_clock_that_is_set_loses_nothing(cell: ClockCell, judge: Judge) -> None:
    judge(cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in SHORT_CELLS], ids=ids)
def test_a_clock_that_is_set_loses_nothing_however_often(cell: ClockCell, judge: Judge) -> None:
    judge(cell)

"""Brokers told to end under load, as an upgrade does: the embedded one, and a Mosquitto as the compose file has it.

What Mosquitto keeps it keeps in memory and writes at its end (SIGTERM); what it loses when it is killed is its own and is
not tried here. See ``docs/guide/deployment.md``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simulators.publisher import Address
from tests.conftest import Mosquitto, mosquitto_program
from tests.faults.harness import Instance, until
from tests.faults.lanes import Cell, Stage, check, judged, plain_stage, playing, wanted, workloads_of

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
LATEST_S = 0.6
SHORT_RUNS, LONG_RUNS = 2, 40
needs_mosquitto = pytest.mark.skipif(not mosquitto_program(), reason="no mosquitto on this machine")


class MosquittoStage(Stage):
    """An instance and a Mosquitto."""

    def __init__(self, instance: Instance, mosquitto: Mosquitto) -> None:
        super().__init__(instance)
        self.mosquitto = mosquitto

    def address(self, client_id: str) -> Address:
        return Address(self.mosquitto.host, self.mosquitto.port, client_id)


@asynccontextmanager
async def mosquitto_stage(folder: Path) -> AsyncIterator[MosquittoStage]:
    (folder / "mosquitto").mkdir(parents=True)
    mosquitto = Mosquitto(folder / "mosquitto")
    mosquitto.start()
    try:
        broker = {"name": "mosquitto", "host": mosquitto.host, "port": mosquitto.port}
        settings = {"GRIDWARDEN_EMBEDDED__ENABLED": "false", "GRIDWARDEN_BROKER": json.dumps([broker])}
        async with Instance(folder, **settings).running() as instance:
            yield MosquittoStage(instance, mosquitto)
    finally:
        mosquitto.stop()


@dataclass(frozen=True)
class EmbeddedRestart(Cell):
    """SIGTERM for the embedded broker; the supervisor starts it again."""

    @property
    def fault(self) -> str:
        return "embedded broker told to end"

    @property
    def tag(self) -> str:
        return f"embedded-restart-{self.run}"

    @property
    def seed(self) -> str:
        return str(self.run)

    async def strike(self, stage: Stage, place: Path) -> dict[str, Any]:
        await asyncio.sleep(Random(self.run).uniform(0, LATEST_S))
        pid = await stage.instance.child("broker")
        os.kill(pid, signal.SIGTERM)
        await until("it has ended", lambda: stage.instance.children().get("broker") != pid)
        return {}


@dataclass(frozen=True)
class MosquittoRestart(Cell):
    """SIGTERM for Mosquitto, and a new start."""

    @property
    def fault(self) -> str:
        return "Mosquitto told to end, and started again"

    @property
    def tag(self) -> str:
        return f"mosquitto-restart-{self.run}"

    @property
    def seed(self) -> str:
        return str(self.run)

    async def strike(self, stage: MosquittoStage, place: Path) -> dict[str, Any]:
        rng = Random(self.run)
        await asyncio.sleep(rng.uniform(0, LATEST_S))
        await asyncio.to_thread(stage.mosquitto.stop)
        await asyncio.sleep(rng.uniform(0, LATEST_S))
        await asyncio.to_thread(stage.mosquitto.start)
        return {}


Judge = Callable[[Any], None]


def judging(request: pytest.FixtureRequest, folder: Path, kind: type[Cell], staging: Any) -> Iterator[Judge]:
    cells = [cell for cell in wanted(request) if isinstance(cell, kind)]
    with playing(folder, workloads_of(cells), staging, 2) as results:

        def one(cell: Cell) -> None:
            with judged(cell, results) as played:
                check(played)

        yield one


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a restart of the embedded broker."""
    yield from judging(request, tmp_path_factory.mktemp("embedded"), EmbeddedRestart, plain_stage)


@pytest.fixture(scope="module")
def judge_mosquitto(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a restart of Mosquitto."""
    yield from judging(request, tmp_path_factory.mktemp("mosquitto"), MosquittoRestart, mosquitto_stage)


def ids(cell: Cell) -> str:
    return str(cell.run)


def runs(kind: type[Cell]) -> list[Any]:
    return [
        pytest.param(kind(run), marks=pytest.mark.long if run > SHORT_RUNS else ()) for run in range(1, LONG_RUNS + 1)
    ]


@pytest.mark.parametrize("cell", runs(EmbeddedRestart), ids=ids)
def test_the_embedded_broker_restarts_under_load(cell: EmbeddedRestart, judge: Judge) -> None:
    judge(cell)


@needs_mosquitto
@pytest.mark.parametrize("cell", runs(MosquittoRestart), ids=ids)
def test_mosquitto_restarts_under_load(cell: MosquittoRestart, judge_mosquitto: Judge) -> None:
    judge_mosquitto(cell)

"""A disk that is full, read-only or fails, in part or as a whole, while everything is at work; then it is well again.

Meanwhile nothing that cannot be kept is acknowledged, and an alarm that core has is told all the same. Afterwards nobody
has to restart anything: broker, records and history go on by themselves, and everything acknowledged is there once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults import disk as faulty
from tests.faults.disk import FaultyDisk
from tests.faults.harness import Instance, free_port, until
from tests.faults.lanes import Cell, Stage, check, judged, playing, wanted, workloads_of
from tests.faults.watcher import Watcher

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
    pytest.mark.skipif(bool(faulty.why_not()), reason=faulty.why_not() or ""),
]
ILL_S = 3.0
LONG_RUNS = 5
ILLNESSES: dict[str, dict[str, Any]] = {
    "disk full": {"capacity_bytes": 0},
    "disk read-only": {"read_only": True},
    "I/O errors of every write": {"errors": ["write"]},
    "I/O errors of every fsync": {"errors": ["fsync"]},
    "I/O errors of every read": {"errors": ["read"]},
    "I/O errors of the records": {"errors": ["write", "fsync"], "matching": "records.db*"},
    "I/O errors of the history": {"errors": ["write", "fsync"], "matching": "history.duckdb*"},
    "I/O errors of the broker": {"errors": ["write", "fsync"], "matching": "*.blk"},
}
RECORDS = "I/O errors of the records"
NOT_READY = {"disk full", "disk read-only", "I/O errors of every write", RECORDS, "I/O errors of the broker"}


@dataclass(frozen=True)
class Illness(Cell):
    """One illness, once."""

    name: str = ""

    @property
    def fault(self) -> str:
        return self.name

    @property
    def tag(self) -> str:
        return f"ill{list(ILLNESSES).index(self.name)}-{self.run}"

    async def strike(self, stage: DiskStage, place: Path) -> dict[str, Any]:
        """Be ill for a while; with how many provisional alarms a dashboard was told."""
        async with Watcher(stage.instance.socket).watching() as watcher:
            with stage.disk.being(**ILLNESSES[self.name]):
                if self.name in NOT_READY:
                    await until("it says that it is not ready", lambda: _unready(stage.instance))
                await asyncio.sleep(ILL_S)
                if self.name == RECORDS:
                    await until("an alarm is told though it cannot be kept", lambda: watcher.provisional)
            return {"provisional": watcher.provisional}


async def _unready(instance: Instance) -> bool:
    return (await instance.client.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE


class DiskStage(Stage):
    """An instance on a disk that may fall ill."""

    def __init__(self, instance: Instance, disk: FaultyDisk) -> None:
        super().__init__(instance)
        self.disk = disk


@asynccontextmanager
async def disk_stage(folder: Path) -> AsyncIterator[DiskStage]:
    """The data directory on such a disk; a plain copy of it is left."""
    folder.mkdir(parents=True)
    with FaultyDisk(folder / "data") as disk:
        async with Instance(folder, GRIDWARDEN_EMBEDDED__MQTT_PORT=str(free_port())).running() as instance:
            yield DiskStage(instance, disk)
        disk.leave()


CELLS = [Illness(1, name) for name in ILLNESSES]
LONG_CELLS = [Illness(run, name) for run in range(2, 2 + LONG_RUNS) for name in ILLNESSES]


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Every wanted cell's result."""
    folder = tmp_path_factory.mktemp("ill")
    with playing(folder, workloads_of(wanted(request)), disk_stage, 2) as played:
        yield played


def _check(cell: Illness, results: Any) -> None:
    with judged(cell, results) as played:
        check(played)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.tag)
def test_nobody_has_to_do_anything_but_mend_the_disk(cell: Illness, results: Any) -> None:
    _check(cell, results)


@pytest.mark.long
@pytest.mark.parametrize("cell", LONG_CELLS, ids=lambda cell: cell.tag)
def test_nobody_has_to_do_anything_but_mend_the_disk_however_often(cell: Illness, results: Any) -> None:
    _check(cell, results)

"""Faults by the hundred: lanes, each an instance on which cells are played one after the other, each judged by itself.

A cell publishes half of a workload of its own, strikes while the other half is being published, and waits until
everything has arrived. What it has cost is read from the files when its instance has ended. A cell that goes wrong is
that cell's result; the cells after it are played on a fresh instance.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.publisher import Account, Address, Publisher
from tests.faults import evidence
from tests.faults.book import Draft, entering
from tests.faults.evidence import Evidence
from tests.faults.harness import Instance, free_port, until
from tests.faults.toll import toll
from tests.faults.watcher import Watcher
from tests.faults.workload import ROUNDS, Workload

CELLS_PER_INSTANCE = 30
"""Then a fresh one: all that was ever played on it is looked through for every cell."""
PAUSE_S = 0.02
"""Between two rounds, so that they are several batches."""


class Stage:
    """An instance whose broker keeps its port, and the way to it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def address(self, client_id: str) -> Address:
        """Where a publisher of ours goes."""
        return self.instance.mqtt(client_id)


@asynccontextmanager
async def plain_stage(folder: Path) -> AsyncIterator[Stage]:
    """An instance with its embedded broker, and nothing between."""
    async with Instance(folder, GRIDWARDEN_EMBEDDED__MQTT_PORT=str(free_port())).running() as instance:
        yield Stage(instance)


Staging = Callable[[Path], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True)
class Cell:
    """One fault, one run."""

    run: int

    @property
    def fault(self) -> str:
        """As the book calls it."""
        raise NotImplementedError

    @property
    def tag(self) -> str:
        """Names its workload; letters, digits and hyphens."""
        raise NotImplementedError

    @property
    def seed(self) -> str:
        """Its chance, if it has any."""
        return ""

    @property
    def pause_s(self) -> float:
        """Between two rounds."""
        return PAUSE_S

    @property
    def keepalive_s(self) -> int:
        """How long the publisher's connection may be silent."""
        return 15

    @property
    def blocks_stay(self) -> bool:
        """Whether all blocks are still in the records at the end: not if the clock says that they are old."""
        return True

    @property
    def forgiven(self) -> bool:
        """Whether the alarm lane may have been sent something again, and so have judged its newest first."""
        return True

    def workload(self, base_ms: int) -> Workload:
        """What it publishes."""
        return Workload(self.tag, base_ms)

    async def strike(self, stage: Any, place: Path) -> dict[str, Any]:
        """Do it, while the second half of the workload is being published; facts for the judgement."""
        raise NotImplementedError


@dataclass
class Played:
    """What came of a cell."""

    cell: Any
    workload: Workload
    account: Account
    before: dict[str, Any]
    after: dict[str, Any]
    facts: dict[str, Any]
    changes: list[tuple[int, str, str]] = field(default_factory=list)
    """Number, operation, alarm: what the dashboard was told."""
    journal: list[tuple[int, str, str]] = field(default_factory=list)
    """What it should have been told."""
    snapshots: int = 0
    seconds: float = 0.0
    records: Evidence = field(default_factory=Evidence)
    history: Any = None


async def register(instance: Instance, workloads: Sequence[Workload]) -> None:
    """Make the devices of the workloads known."""
    file = instance.folder / "devices.csv"
    workloads[0].register(workloads, file)
    await instance.import_devices(file)


async def publish(publisher: Publisher, workload: Workload, number: int) -> None:
    """One round."""
    for sent in workload.rounds[number]:
        await publisher.publish(sent.topic, sent.payload, sent.readings)


async def play(publisher: Publisher, workload: Workload, rounds: range, pause_s: float) -> None:
    """Some rounds, each acknowledged by the broker before the next one begins."""
    for number in rounds:
        await publish(publisher, workload, number)
        await publisher.drain()
        await asyncio.sleep(pause_s)


class Lane:
    """Cells that are played one after the other."""

    def __init__(self, folder: Path, cells: dict[Any, Workload], staging: Staging) -> None:
        self._folder = folder
        self._left = deque(cells.items())
        self._staging = staging
        self._gone_wrong = False
        self.results: dict[Any, Future[Played]] = {cell: Future() for cell in cells}

    def play(self) -> None:
        """Play them, on as many instances as it takes."""
        for number in range(len(self._left)):
            if not self._left:
                return
            self._play_on(self._folder / f"instance-{number}")

    def _play_on(self, folder: Path) -> None:
        """As many as an instance plays without a fault of its own."""
        played: dict[Any, Played] = {}
        left = len(self._left)
        try:
            asyncio.run(self._play(folder, played))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._blame(error, played, came_up=len(self._left) < left)
        try:
            found, rows = evidence.records(folder / "data"), evidence.history(folder / "data")
            for cell, result in played.items():
                result.records, result.history = found[result.workload.tag], rows[result.workload.tag]
                if not cell.blocks_stay:
                    result.records.take_readings(result.workload, result.history)
                self.results[cell].set_result(result)
        except BaseException as error:  # noqa: BLE001 - likewise
            for cell in played:
                self._fail(cell, error)

    def _blame(self, error: BaseException, played: dict[Any, Played], *, came_up: bool) -> None:
        """Name who has what went wrong with the instance: the last one, unless a cell went wrong before.

        If it did not even come up, the next cell has it, so that there is an end.
        """
        if not came_up:
            self._fail(self._left.popleft()[0], error)
        elif not self._gone_wrong:
            self._fail(played.popitem()[0], error)

    def _fail(self, cell: Any, error: BaseException) -> None:
        if not self.results[cell].done():
            self.results[cell].set_exception(error)

    async def _play(self, folder: Path, played: dict[Any, Played]) -> None:
        self._gone_wrong = False
        async with self._staging(folder) as stage:
            instance: Instance = stage.instance
            some = min(CELLS_PER_INSTANCE, len(self._left))
            await register(instance, [workload for _, workload in itertools.islice(self._left, some)])
            async with Watcher(instance.socket).watching() as watcher:
                for _ in range(some):
                    cell, workload = self._left.popleft()
                    try:
                        played[cell] = await play_cell(stage, watcher, cell, workload)
                    except Exception as error:  # noqa: BLE001 - as above
                        error.add_note(f"--- log of {instance.folder}\n{instance.last_words()}")
                        self._fail(cell, error)
                        self._gone_wrong = True
                        break
            assert await instance.stop() == 0
        assert "Traceback" not in instance.log.read_text()


async def play_cell(stage: Any, watcher: Watcher, cell: Any, workload: Workload) -> Played:
    """Publish half, strike while the rest is being published, wait until everything has arrived."""
    began = time.monotonic()
    instance: Instance = stage.instance
    await at_rest(stage)
    before = await instance.drained()
    await watched(instance, watcher)
    seen, snapshots, first_seq = len(watcher.changes), watcher.snapshots, watcher.seq
    account = Account()
    async with Publisher(stage.address(workload.tag), account=account, keepalive_s=cell.keepalive_s) as publisher:
        await play(publisher, workload, range(ROUNDS // 2), cell.pause_s)
        rest = asyncio.create_task(play(publisher, workload, range(ROUNDS // 2, ROUNDS), cell.pause_s))
        try:
            facts = await cell.strike(stage, instance.folder / workload.tag)
            await rest
        finally:
            rest.cancel()
        await publisher.drain()
    await arrived(instance, before, workload)
    after = await instance.drained()
    await watched(instance, watcher)
    if cell.blocks_stay:
        evidence.check_ledger(after, instance.data)
    journal = evidence.records(instance.data)
    return Played(
        cell, workload, account, before, after, facts,
        changes=[(one["seq"], one["op"], one["alarm"]["alarm_id"]) for one in watcher.changes[seen:] if one.get("alarm")],
        journal=sorted((seq, *told) for one in journal.values() for seq, told in one.journal.items() if seq > first_seq),
        snapshots=watcher.snapshots - snapshots, seconds=time.monotonic() - began,
    )  # fmt: skip


async def arrived(instance: Instance, before: dict[str, Any], workload: Workload) -> None:
    """Wait until every reading has been stored or set aside: not every broker can be asked what it holds.

    If that does not happen, what is missing is found when it is counted.
    """
    wanted = len(workload.stored) + len(workload.quarantined)

    async def stored() -> bool:
        try:
            ledger = await instance.ledger()
        except (httpx.HTTPError, AssertionError):
            return False
        return sum(int(ledger[fate]) - int(before[fate]) for fate in ("stored", "quarantined")) >= wanted

    with contextlib.suppress(AssertionError):
        await until("every reading was stored", stored)


async def at_rest(stage: Any) -> None:
    """Wait until telemetry is taken at once again: after a connect it is held back, to be put into order."""
    before = (await stage.instance.drained())["received"]
    async with Publisher(stage.address("probe")) as publisher:
        await publisher.publish("gridwarden/v1/probe/up", b'{"device": "probe", "values": {}}', ["probe"])

    async def taken() -> bool:
        return bool((await stage.instance.ledger())["received"] > before)

    await until("telemetry is taken", taken)


async def watched(instance: Instance, watcher: Watcher) -> None:
    """Wait until the dashboard has heard everything."""
    journal = await instance.get(f"/journal?since={watcher.seq}&limit=1000")
    through = journal["through"]
    await until(f"the dashboard has heard of change {through}, after {watcher.seq}", lambda: watcher.seq >= through)


def check(played: Played) -> None:
    """What must be true of every cell: nothing lost, nothing twice, everything told, all of it accounted for."""
    workload = played.workload
    assert played.account.readings == played.account.readings_acknowledged == workload.readings
    evidence.check_readings(workload, played.records)
    evidence.check_history(workload, played.history)
    if played.cell.forgiven:
        evidence.forgive_redelivery(workload, played.records)
    evidence.check_truth(workload, played.records)
    assert played.snapshots == 0, "it was not told what it had missed, but to begin anew"
    assert played.changes == played.journal
    redelivered(played)


def redelivered(played: Played) -> int:
    """Readings that came again and were known, by a ledger that must agree with the publisher."""
    workload = played.workload
    fate = {name: played.after[name] - played.before[name] for name in (*evidence.FATES, "received")}
    repeated_letters = fate["dead_lettered"] - len(workload.dead)
    assert fate["stored"] + fate["quarantined"] + len(workload.dead) + workload.repeated == played.account.readings
    assert fate["received"] == played.account.readings + (fate["duplicate"] - workload.repeated) + repeated_letters
    return int(fate["duplicate"]) - workload.repeated + repeated_letters


# --- as tests ---------------------------------------------------------------------------------------------------


def wanted(request: pytest.FixtureRequest) -> list[Any]:
    """The cells of this module that are to be played."""
    return [item.callspec.params["cell"] for item in request.session.items
            if item.path == request.path and hasattr(item, "callspec") and "cell" in item.callspec.params]  # fmt: skip


def workloads_of(cells: Sequence[Any]) -> dict[Any, Workload]:
    """A workload each, an hour ago."""
    base_ms = (int(time.time()) - 3_600) * 1000
    return {cell: cell.workload(base_ms) for cell in cells}


@contextmanager
def playing(
    folder: Path, workloads: dict[Any, Workload], staging: Staging, lanes: int
) -> Iterator[dict[Any, Future[Played]]]:
    """The result of each cell, played on so many lanes at once.

    A lane takes its cells in turn, so that each victim has time to be well again: what dies again and again is started
    ever more slowly.
    """
    cells = list(workloads)
    shares = [cells[number * len(cells) // lanes : (number + 1) * len(cells) // lanes] for number in range(lanes)]
    played = [Lane(folder / f"lane-{number}", {cell: workloads[cell] for cell in some}, staging)
              for number, some in enumerate(shares) if some]  # fmt: skip
    with ThreadPoolExecutor(lanes) as threads:
        for lane in played:
            threads.submit(lane.play)
        yield {cell: future for lane in played for cell, future in lane.results.items()}


@contextmanager
def judged(cell: Any, results: dict[Any, Future[Played]]) -> Iterator[Played]:
    """A cell's result, entered in the book with what is asserted of it in the block."""
    with entering(cell.fault, cell.seed) as draft:
        played = results[cell].result()
        _count(draft, played)
        print(f"CELL {cell.tag:<40} {played.seconds:5.1f} s {cell.seed}")  # noqa: T201 - shown with -rP
        yield played


def _count(draft: Draft, played: Played) -> None:
    draft.run = toll(
        played.cell.fault, played.workload, played.account, played.records, rows=played.history, told=played.changes
    )

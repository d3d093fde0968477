"""The proof of the first promise: whatever dies, and wherever it is at that moment, nothing is lost and nothing twice.

At each failpoint the program stands still; core, web or the broker is killed with kill -9; the supervisor starts it
again. Meanwhile a publisher goes on that repeats until it has its PUBACK. Afterwards everything it published must lie
in records and history exactly once, the alarms must be the script's and those of a clean run, a dashboard that comes
back with the last change it saw must have seen each change once and in order, and the ledger must be equal to the
publisher's own account and to a recount. What may be there twice is a dead letter: it has no key to know it again by.

The cells share three instances, so that they take a minute and not ten; each has devices of its own and is judged by
itself, from files read back when its instance has ended. The lanes run beside each other, and beside one instance
where nothing is killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gridwarden import failpoints
from simulators.publisher import Account, Publisher
from tests.faults import evidence
from tests.faults.evidence import Evidence
from tests.faults.harness import VICTIMS, Instance, until
from tests.faults.watcher import Watcher
from tests.faults.workload import ROUNDS, Workload

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
LANES = 3
LONG_RUNS = 5
PAUSE_S = 0.02
"""Between two rounds, so that they are several batches."""
GATHERING_PAUSE_S = 0.15
"""Likewise where the history stands still: it gathers for a second, and the publisher is to be at it still."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One failpoint, one victim, one run."""

    name: str
    victim: str
    run: int

    @property
    def tag(self) -> str:
        return f"{self.name.replace('.', '-')}-{self.victim}-{self.run}"

    @property
    def paused(self) -> str:
        """The process that stands still there."""
        return "web" if self.name.startswith(("history", "push")) else "core"

    @property
    def passage(self) -> int:
        """At which passage after the middle it stands still; web passes its own seldom."""
        return 1 + (self.run - 1) % 3 if self.paused == "core" else 1


CELLS = [Cell(name, victim, 1) for name in failpoints.NAMES for victim in VICTIMS]
LONG_CELLS = [Cell(name, victim, run) for run in range(2, LONG_RUNS + 1)
              for name in failpoints.NAMES for victim in VICTIMS]  # fmt: skip


@dataclass
class Played:
    """What came of a cell."""

    cell: Cell
    workload: Workload
    account: Account
    before: dict[str, Any]
    after: dict[str, Any]
    paused_pid: int
    killed_pid: int
    changes: list[tuple[int, str, str]] = field(default_factory=list)
    """Number, operation, alarm: what the dashboard was told."""
    journal: list[tuple[int, str, str]] = field(default_factory=list)
    """What it should have been told."""
    snapshots: int = 0
    seconds: float = 0.0
    records: Evidence = field(default_factory=Evidence)
    history: Any = None
    clean: Evidence = field(default_factory=Evidence)


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


async def register(instance: Instance, workloads: Sequence[Workload]) -> None:
    """Make the devices of the workloads known."""
    file = instance.folder / "devices.csv"
    workloads[0].register(workloads, file)
    await instance.import_devices(file)


async def publish(publisher: Publisher, workload: Workload, number: int) -> None:
    """One round."""
    for sent in workload.rounds[number]:
        await publisher.publish(sent.topic, sent.payload, sent.readings)


class Lane:
    """One instance and the cells that are played on it, one after the other."""

    def __init__(self, folder: Path, cells: dict[Cell, Workload]) -> None:
        self._folder = folder
        self._cells = cells
        self.results: dict[Cell, Future[Played]] = {cell: Future() for cell in cells}

    def play(self) -> None:
        """Play them; a cell that goes wrong is that cell's result, and the next one is played all the same."""
        played: dict[Cell, Played] = {}
        try:
            asyncio.run(self._play(played))
            found, rows = evidence.records(self._folder / "data"), evidence.history(self._folder / "data")
            for cell, result in played.items():
                result.records, result.history = found[result.workload.tag], rows[result.workload.tag]
                self.results[cell].set_result(result)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            for future in self.results.values():
                if not future.done():
                    future.set_exception(error)

    async def _play(self, played: dict[Cell, Played]) -> None:
        async with Instance(self._folder).running() as instance:
            await register(instance, list(self._cells.values()))
            async with Watcher(instance.socket).watching() as watcher:
                for cell, workload in self._cells.items():
                    try:
                        played[cell] = await play_cell(instance, watcher, cell, workload)
                    except Exception as error:  # noqa: BLE001 - likewise
                        error.add_note(f"--- log of {instance.folder}\n{instance.last_words()}")
                        self.results[cell].set_exception(error)
            assert await instance.stop() == 0
        assert "Traceback" not in instance.log.read_text()


async def play_cell(instance: Instance, watcher: Watcher, cell: Cell, workload: Workload) -> Played:
    """Publish half, arm the failpoint, go on publishing, kill at the failpoint, wait until everything has arrived."""
    began = time.monotonic()
    await at_rest(instance)
    before = await instance.drained()
    await watched(instance, watcher)
    place = instance.folder / workload.tag
    seen, snapshots = len(watcher.changes), watcher.snapshots
    first_seq = watcher.seq
    pause_s = GATHERING_PAUSE_S if cell.name.startswith("history") else PAUSE_S
    account = Account()
    async with Publisher(instance.mqtt(workload.tag), account=account) as publisher:
        await play(publisher, workload, range(ROUNDS // 2), pause_s)
        with instance.failpoint(cell.name, cell.passage, place) as paused:
            rest = asyncio.create_task(play(publisher, workload, range(ROUNDS // 2, ROUNDS), pause_s))
            paused_pid = await until(f"somebody is at {cell.name}", paused)
            killed_pid = await instance.kill(cell.victim)
        await rest
        await publisher.drain()
    after = await instance.drained()
    await watched(instance, watcher)
    evidence.check_ledger(after, instance.data)
    journal = evidence.records(instance.data)
    return Played(
        cell, workload, account, before, after, paused_pid, killed_pid,
        changes=[(one["seq"], one["op"], one["alarm"]["alarm_id"]) for one in watcher.changes[seen:] if one.get("alarm")],
        journal=sorted((seq, *told) for one in journal.values() for seq, told in one.journal.items() if seq > first_seq),
        snapshots=watcher.snapshots - snapshots, seconds=time.monotonic() - began,
    )  # fmt: skip


async def play(publisher: Publisher, workload: Workload, rounds: range, pause_s: float) -> None:
    """Some rounds, each acknowledged by the broker before the next one begins."""
    for number in rounds:
        await publish(publisher, workload, number)
        await publisher.drain()
        await asyncio.sleep(pause_s)


async def at_rest(instance: Instance) -> None:
    """Wait until telemetry is taken at once again: after a connect it is held back, to be put into order."""
    before = (await instance.drained())["received"]
    async with Publisher(instance.mqtt("probe")) as publisher:
        await publisher.publish("gridwarden/v1/probe/up", b'{"device": "probe", "values": {}}', ["probe"])

    async def taken() -> bool:
        return bool((await instance.ledger())["received"] > before)

    await until("telemetry is taken", taken)


async def watched(instance: Instance, watcher: Watcher) -> None:
    """Wait until the dashboard has heard everything."""
    journal = await instance.get(f"/journal?since={watcher.seq}&limit=1000")
    through = journal["through"]
    await until(f"the dashboard has heard of change {through}, after {watcher.seq}", lambda: watcher.seq >= through)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Every wanted cell's result, played on three lanes at once."""
    cells = [item.callspec.params["cell"] for item in request.session.items
             if hasattr(item, "callspec") and isinstance(item.callspec.params.get("cell"), Cell)]  # fmt: skip
    base_ms = (int(time.time()) - 3_600) * 1000
    workloads = {cell: Workload(cell.tag, base_ms) for cell in cells}
    folder = tmp_path_factory.mktemp("kills")
    # In turns, so that each victim has time to be well again: what dies again and again is started ever more slowly.
    lanes = [Lane(folder / f"lane-{number}", {cell: workloads[cell] for cell in some})
             for number in range(LANES) if (some := cells[number * len(cells) // LANES : (number + 1) * len(cells) // LANES])]  # fmt: skip
    with ThreadPoolExecutor(LANES + 1) as threads:
        clean = threads.submit(play_clean, folder / "clean", list(workloads.values()))
        for lane in lanes:
            threads.submit(lane.play)
        futures = {cell: future for lane in lanes for cell, future in lane.results.items()}

        def result(cell: Cell) -> Played:
            played = futures[cell].result()
            played.clean = clean.result()[played.workload.tag]
            return played

        yield result


def check(played: Played) -> None:
    """Everything that must be true of a cell."""
    cell, workload = played.cell, played.workload
    print(f"CELL {cell.name:<15} {cell.victim:<7} {played.seconds:5.1f} s")  # noqa: T201 - shown with -rP
    assert (played.paused_pid == played.killed_pid) == (cell.paused == cell.victim)
    assert played.account.readings == played.account.readings_acknowledged == workload.readings

    evidence.check_readings(workload, played.records)
    evidence.check_history(workload, played.history)
    evidence.check_readings(workload, played.clean)
    evidence.check_truth(workload, played.clean)
    if cell.victim != "web":
        evidence.forgive_redelivery(workload, played.records, played.clean)
    evidence.check_truth(workload, played.records)
    evidence.check_equal(played.records, played.clean)

    assert played.snapshots == 0, "it was not told what it had missed, but to begin anew"
    assert played.changes == played.journal

    fate = {name: played.after[name] - played.before[name] for name in (*evidence.FATES, "received")}
    repeated_letters = fate["dead_lettered"] - len(workload.dead)
    assert fate["stored"] + fate["quarantined"] + len(workload.dead) + workload.repeated == played.account.readings
    assert fate["received"] == played.account.readings + (fate["duplicate"] - workload.repeated) + repeated_letters
    redelivered = fate["duplicate"] - workload.repeated + repeated_letters
    if cell.victim == "web":
        assert redelivered == 0, "nothing that came in was touched"
    if (cell.name, cell.victim) == ("commit.after", "core"):
        assert redelivered > 0, "what was stored and not acknowledged comes again, and is known"


def ids(cell: Cell) -> str:
    return f"{cell.name}-{cell.victim}-{cell.run}"


@pytest.mark.parametrize("cell", CELLS, ids=ids)
def test_nothing_is_lost_and_nothing_is_twice(cell: Cell, results: Any) -> None:
    check(results(cell))


@pytest.mark.long
@pytest.mark.parametrize("cell", LONG_CELLS, ids=ids)
def test_nothing_is_lost_and_nothing_is_twice_however_often(cell: Cell, results: Any) -> None:
    check(results(cell))

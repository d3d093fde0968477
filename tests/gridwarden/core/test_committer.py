"""The committer: order, acknowledgement after durability, provisional alarms once each, recovery."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from gridwarden.core.committer import Committer
from gridwarden.model import Operation
from gridwarden.records.transaction import Tally, Transaction
from gridwarden.records.writer import Committed, Writer

NOW_MS = 1_800_000_000_000
Until = Callable[[Callable[[], object]], Awaitable[None]]


def fire(device: str) -> dict[str, Any]:
    return {"device": device, "at": NOW_MS, "seq": 1, "values": {"state": "alarm"}}


def resize(writer: Writer, pages: int) -> None:
    """Let the database grow to so many pages; 1 is as it is now: a full disk."""
    with writer._engine.connect().execution_options(reads=True) as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


class Slow(Writer):
    """Stops in the middle of a commit until told to go on."""

    def hold(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def commit(self, transaction: Transaction) -> Committed:
        self.begun.set()
        self.go.wait(20)
        return super().commit(transaction)


class Rig:
    def __init__(self, site: Any, writer: Writer | None = None) -> None:
        self.site = site
        self.announced: list[dict[str, Any]] = []
        self.done: list[int] = []
        self.committer = Committer(
            writer or site.writer, self.announced.extend, self._done, slow_s=0.05 if writer else 60, retry_s=0.02
        )
        self.task = asyncio.create_task(self.committer.run())

    def _done(self, transaction: Transaction, committed: Committed) -> None:
        assert not set(transaction.messages) & set(self.site.source.acknowledged)
        self.done.append(committed.offset)

    def hear(self, *bodies: Any) -> Transaction:
        transaction: Transaction = self.site.judged(*bodies)
        self.committer.submit(transaction)
        return transaction

    @property
    def devices(self) -> list[str]:
        return [change["alarm"]["device_id"] for change in self.announced]


@pytest.fixture
async def rig(site: Any) -> AsyncIterator[Rig]:
    rig = Rig(site)
    yield rig
    rig.task.cancel()
    await asyncio.wait([rig.task])
    rig.committer.close()


async def test_what_is_durable_is_acknowledged_in_order(rig: Rig, until: Until) -> None:
    transactions = [rig.hear(fire(f"N{number}")) for number in range(20)]
    assert rig.committer.in_flight().received == 20
    assert rig.committer.messages_waiting == 20
    await until(lambda: not rig.committer.waiting)
    assert rig.done == list(range(1, 21))
    assert rig.site.source.acknowledged == [message for one in transactions for message in one.messages]
    assert rig.announced == []
    assert rig.committer.in_flight() == Tally()
    assert rig.committer.messages_waiting == 0


async def test_a_full_disk_alarms_provisionally_once_and_acknowledges_nothing(
    rig: Rig, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        resize(rig.site.writer, 1)
        rig.hear(fire("N1"), *({**fire("HYD-1"), "seq": n, "values": {"fault_text": f"{n:0200}"}} for n in range(3000)))
        await until(lambda: rig.committer.failing)
        rig.hear(fire("N2"))
        assert rig.devices == ["N1", "N2"]  # at once, not at the next try
        rig.hear({**fire("N3"), "values": {"state": "normal"}})
        tries: list[Transaction] = []
        commit = rig.site.writer.commit
        monkeypatch.setattr(rig.site.writer, "commit", lambda one: (tries.append(one), commit(one))[1])
        await until(lambda: len(tries) == 3)
        assert rig.devices == ["N1", "N2"]
        assert [change["alarm"]["device_id"] for change in rig.committer.announced()] == ["N1", "N2"]
        assert all(change["operation"] == Operation.ALARM_FIRED for change in rig.announced)
        assert rig.site.source.acknowledged == []
        assert rig.done == []
        assert rig.committer.in_flight().received == 3003

        resize(rig.site.writer, 1_000_000)
        await until(lambda: not rig.committer.waiting)
    assert not rig.committer.failing
    assert rig.done == [1, 2, 3]
    assert len(rig.site.source.acknowledged) == 3003
    assert rig.devices == ["N1", "N2"]
    assert rig.committer.announced() == []
    assert [entry["log_level"] for entry in logs] == ["error", "warning"]
    reader = rig.site.reader()
    assert [entry.body["alarm"]["device_id"] for entry in reader.journal(0)] == ["N1", "N2"]
    reader.close()


async def test_a_damaged_database_is_told_once_with_what_to_do(rig: Rig, until: Until) -> None:
    with rig.site.writer._engine.connect().execution_options(reads=True) as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("PRAGMA shrink_memory")  # what is in memory is not read again
    path = rig.site.data / "records.db"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"?" * (path.stat().st_size - 4096))
    with capture_logs() as logs:
        rig.hear(fire("N1"))
        tries: list[Transaction] = []
        commit = rig.site.writer.commit
        rig.site.writer.commit = lambda one: (tries.append(one), commit(one))[1]
        await until(lambda: len(tries) >= 3)
    assert rig.devices == ["N1"]
    assert rig.site.source.acknowledged == []
    assert [entry["log_level"] for entry in logs] == ["error", "critical"]
    assert "docs/guide/damage.md" in logs[1]["event"]


@pytest.fixture
async def slow(site: Any) -> AsyncIterator[tuple[Rig, Slow]]:
    writer = Slow(site.data)
    writer.start()
    writer.hold()
    rig = Rig(site, writer)
    yield rig, writer
    writer.go.set()
    rig.task.cancel()
    await asyncio.wait([rig.task])
    rig.committer.close()
    writer.close()


async def test_a_slow_commit_alarms_provisionally_also_what_comes_while_it_lasts(
    slow: tuple[Rig, Slow], until: Until
) -> None:
    rig, writer = slow
    rig.hear(fire("N1"))
    await until(lambda: rig.devices == ["N1"])
    rig.hear(fire("N2"))
    assert rig.devices == ["N1", "N2"]
    assert not rig.committer.failing
    assert rig.committer.under_way_s >= 0.01
    writer.go.set()
    await until(lambda: not rig.committer.waiting)
    assert rig.committer.took_s > 0
    assert rig.committer.under_way_s == 0
    assert rig.devices == ["N1", "N2"]


async def test_a_commit_under_way_at_the_end_is_finished_and_settled(slow: tuple[Rig, Slow], until: Until) -> None:
    rig, writer = slow
    rig.hear(fire("N1"))
    rig.hear(fire("N2"))
    await until(writer.begun.is_set)
    rig.task.cancel()
    await asyncio.sleep(0.02)
    assert not rig.task.done()
    writer.go.set()
    await asyncio.wait([rig.task])
    assert rig.task.cancelled()
    assert rig.done == [1]
    assert len(rig.site.source.acknowledged) == 1
    assert rig.committer.waiting == 1


async def test_reads_come_after_the_commit_under_way(slow: tuple[Rig, Slow], until: Until) -> None:
    rig, writer = slow
    rig.hear(fire("N1"))
    await until(writer.begun.is_set)
    reading = asyncio.create_task(rig.committer.read(lambda: writer.offset))
    writer.go.set()
    assert await reading == 1


async def test_each_session_hears_of_its_own(rig: Rig, until: Until, source: Any) -> None:
    other = source(broker="c")
    transaction = rig.site.judge.batch(
        [rig.site.source.message(fire("N1")), other.message(fire("N2")), rig.site.source.message(fire("N3"))]
    )
    rig.committer.submit(transaction)
    await until(lambda: not rig.committer.waiting)
    assert (len(rig.site.source.acknowledged), len(other.acknowledged)) == (2, 1)

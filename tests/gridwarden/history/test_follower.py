"""The follower: everything, once, in order, however often history or records fail."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gridwarden.clock import ReplayClock
from gridwarden.errors import RecordsUnavailable
from gridwarden.history import HistoryMismatch, HistoryUnavailable, follower
from gridwarden.history.audit import audit
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.follower import StoredBlock, _until_it_works, backoff, follow
from gridwarden.model import Reading
from gridwarden.records.block import Gone, encode

START_MS = 1_800_000_000_000


def reading(offset: int) -> Reading:
    return Reading("H-1", "hydrant", "gw", START_MS + offset, START_MS + offset, offset, offset, True, {"leak": False})


class Records:
    """Blocks in memory."""

    def __init__(self, count: int = 0) -> None:
        self.stored: list[StoredBlock] = []
        self.name = "records-1"
        self.descends: dict[str, int] = {}
        self.gone_readings = 0
        self.failing = False
        self.asked = threading.Event()
        self.add(count)

    def add(self, count: int) -> None:
        for _ in range(count):
            offset = len(self.stored) + 1
            body = encode([reading(offset)]) if offset % 3 else b""
            self.stored.append(StoredBlock(offset, START_MS + offset, body))

    def epoch(self) -> str:
        return self.name

    def ancestors(self) -> dict[str, int]:
        return self.descends

    def gone(self, after: int) -> Gone | None:
        trimmed = self.stored[0].offset - 1 if self.stored else 0
        return Gone(after + 1, trimmed, self.gone_readings) if trimmed > after else None

    def head(self) -> int:
        if self.failing:
            raise RecordsUnavailable
        return self.stored[-1].offset if self.stored else 0

    def readings_through(self, offset: int) -> int:
        return self.gone_readings + sum(bool(block.body) for block in self.stored if block.offset <= offset)

    def blocks(self, after: int, limit_bytes: int) -> list[StoredBlock]:
        self.asked.set()
        return [block for block in self.stored if block.offset > after][:4]


class Stated:
    """A witness that keeps what it is told, with how far the history was then."""

    def __init__(self, history: DuckDBHistory) -> None:
        self.history = history
        self.blocks: list[tuple[int, str, int]] = []
        self.gone: list[tuple[Gone, int]] = []

    async def block_damaged(self, block: StoredBlock, reason: str) -> None:
        self.blocks.append((block.offset, reason, self.history.offset()))

    async def readings_gone(self, gone: Gone, readings: int) -> None:
        self.gone.append((gone, readings))


class Flaky(DuckDBHistory):
    """Fails on demand, before the commit or (the worse case) after it."""

    before = after = 0
    appends = 0

    def append(self, *arguments: object) -> None:
        if self.before:
            self.before -= 1
            raise HistoryUnavailable("disk full")
        super().append(*arguments)  # type: ignore[arg-type]
        self.appends += 1
        if self.after:
            self.after -= 1
            raise HistoryUnavailable("fsync failed")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[Flaky]:
    history = Flaky(tmp_path)
    yield history
    history.close()


class Running:
    stated: Stated

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.followed: list[int] = []
        self.news = asyncio.Event()

    async def on_followed(self, offset: int) -> None:
        self.followed.append(offset)
        self.news.set()

    async def until(self, offset: int) -> None:
        async with asyncio.timeout(20):
            while not self.followed or self.followed[-1] < offset:
                await self.news.wait()
                self.news.clear()


def at_once() -> Iterator[float]:
    while True:
        yield 0.001


@asynccontextmanager
async def following(
    records: Records, history: Flaky, waits: Callable[[], Iterator[float]] = at_once
) -> AsyncIterator[Running]:
    running = Running()
    running.stated = Stated(history)
    clock = ReplayClock(START_MS + 1_000_000)
    task = asyncio.create_task(
        follow(
            records, history, woken=running.woken, clock=clock, on_followed=running.on_followed,
            witness=running.stated, pause_s=0, waits=waits,
        )
    )  # fmt: skip
    try:
        yield running
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def times(history: Flaky) -> list[int]:
    return [at_ms - START_MS for at_ms in history.series("H-1", "leak", 0, 2**62, 10_000).t_ms]


def carrying(count: int) -> list[int]:
    return [offset for offset in range(1, count + 1) if offset % 3]


async def complete(history: Flaky, until_ms: int) -> None:
    async with asyncio.timeout(20):
        while history.complete_until_ms() != until_ms:  # noqa: ASYNC110 - a history has no event to wait for
            await asyncio.sleep(0.01)


async def test_it_follows_what_was_there_and_what_comes(history: Flaky) -> None:
    records = Records(10)
    async with following(records, history) as running:
        await running.until(10)
        await complete(history, START_MS + 1_000_000)
        records.add(3)
        running.woken.set()
        await running.until(13)
    assert running.followed == [4, 8, 10, 13]
    assert times(history) == carrying(13)
    assert (history.offset(), history.epoch()) == (13, "records-1")


async def test_while_behind_it_is_complete_up_to_the_last_block(history: Flaky) -> None:
    records = Records(10)
    seen: list[int] = []
    running = Running()

    async def on_followed(offset: int) -> None:
        seen.append(history.complete_until_ms())
        await running.on_followed(offset)

    task = asyncio.create_task(
        follow(
            records,
            history,
            woken=running.woken,
            clock=ReplayClock(START_MS + 99),
            on_followed=on_followed,
            pause_s=0,
            witness=Stated(history),
        )
    )
    await running.until(10)
    task.cancel()
    await asyncio.wait([task])
    assert seen == [START_MS + 4, START_MS + 8, START_MS + 99]


async def test_a_lost_wake_up_is_made_good(history: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL_S", 0.01)
    records = Records()
    async with following(records, history) as running:
        records.add(1)
        await running.until(1)


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_failing_append_is_tried_again_and_counts_once(history: Flaky, where: str) -> None:
    records = Records(10)
    setattr(history, where, 3)
    with capture_logs() as logs:
        async with following(records, history) as running:
            await running.until(10)
    assert times(history) == carrying(10)
    edges = [entry["event"] for entry in logs]
    assert edges == ["history.stalled", "history.resumed"]


async def test_records_that_fail_are_asked_again(history: Flaky) -> None:
    records = Records(2)
    records.failing = True
    async with following(records, history) as running:
        records.failing = False
        await running.until(2)
    assert times(history) == carrying(2)


def test_the_pauses_double_up_to_half_a_minute() -> None:
    pauses = backoff()
    assert [next(pauses) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


async def fails(
    records: Records, history: Flaky, error: type[Exception], match: str
) -> pytest.ExceptionInfo[Exception]:
    async def on_followed(offset: int) -> None: ...

    with pytest.raises(error, match=match) as caught:
        async with asyncio.timeout(20):
            await follow(
                records, history, woken=asyncio.Event(), clock=ReplayClock(), on_followed=on_followed,
                witness=Stated(history), pause_s=0,
            )  # fmt: skip
    return caught


async def test_a_damaged_block_is_stated_and_then_passed_over(history: Flaky) -> None:
    records = Records(8)
    body = records.stored[4].body[:-1] + b"?"
    records.stored[4] = StoredBlock(5, START_MS, body, 1)
    records.stored[0] = StoredBlock(1, START_MS, body, 1)
    async with following(records, history) as running:
        await running.until(8)
    wanted = [offset for offset in carrying(8) if offset not in {1, 5}]
    assert [offset for offset, _, _ in running.stated.blocks] == [1, 5]
    assert all(reason == "checksum does not match" for _, reason, _ in running.stated.blocks)
    assert [followed for _, _, followed in running.stated.blocks] == [0, 4]  # before it is passed over, not after
    assert times(history) == wanted


async def test_a_damaged_block_at_the_end_is_stated_once(history: Flaky) -> None:
    records = Records(2)
    records.stored[1] = StoredBlock(2, START_MS, b"GWB", 1)
    async with following(records, history) as running:
        await running.until(2)
        records.add(2)
        running.woken.set()
        await running.until(4)
    assert len(running.stated.blocks) == 1
    assert times(history) == [1, 4]


async def test_blocks_that_went_before_they_were_followed_are_stated_with_their_readings(history: Flaky) -> None:
    records = Records(9)
    records.gone_readings = len(carrying(6))
    del records.stored[:6]
    async with following(records, history) as running:
        await running.until(9)
    assert running.stated.gone == [(Gone(1, 6, 4), 4)]
    assert times(history) == [7, 8]


async def test_what_the_history_has_of_them_is_not_lost(history: Flaky) -> None:
    history.begin("records-1")
    history.append([reading(1), reading(2)], 2, 0)
    records = Records(9)
    records.gone_readings = len(carrying(6))
    del records.stored[:6]
    async with following(records, history) as running:
        await running.until(9)
    assert running.stated.gone == [(Gone(3, 6, 4), 2)]


async def test_it_goes_on_with_records_that_descend_from_those_it_followed(history: Flaky) -> None:
    """Transactions 5 to 8 were lost from the records and followed before: their rows stay, their numbers are not given again."""
    history.begin("records-0")
    history.append([reading(8)], 8, 0)
    records = Records(10)
    records.descends = {"records-0": 9}
    del records.stored[4:9]
    async with following(records, history) as running:
        await running.until(10)
    assert (history.epoch(), running.stated.gone, times(history)) == ("records-1", [], [8, 10])


async def test_an_ancestor_that_was_followed_further_is_refused(history: Flaky) -> None:
    history.begin("records-0")
    history.append([], 10, 0)
    records = Records(10)
    records.descends = {"records-0": 9}
    await fails(records, history, HistoryMismatch, "records-0")


async def test_other_records_are_refused(history: Flaky) -> None:
    history.begin("records-0")
    await fails(Records(3), history, HistoryMismatch, "records-0")


async def test_records_that_were_set_back_are_refused(history: Flaky) -> None:
    history.begin("records-1")
    history.append([], 5, 0)
    await fails(Records(3), history, HistoryMismatch, "offset 5, these records end at 3")


async def test_a_cancellation_waits_for_the_append_that_runs(history: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go = threading.Event(), threading.Event()
    passed: list[str] = []

    def reach(name: str) -> None:
        passed.append(name)
        if name == "history.before":
            inside.set()
            go.wait(20)

    monkeypatch.setattr(follower.failpoints, "reach", reach)
    running = Running()
    task = asyncio.create_task(
        follow(
            Records(1),
            history,
            woken=running.woken,
            clock=ReplayClock(),
            on_followed=running.on_followed,
            witness=Stated(history),
        )
    )
    await asyncio.to_thread(inside.wait, 20)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (history.offset(), passed) == (1, ["history.before", "history.after"])


async def test_what_a_failed_step_had_read_is_let_go_at_once() -> None:
    """Without a collection, which web has few of: each try holds thousands of readings."""

    class Readings(list[bytes]):
        """Something a weak reference can follow."""

    held: list[weakref.ref[Readings]] = []

    def step() -> int:
        readings = Readings()
        held.append(weakref.ref(readings))
        if len(held) < 4:
            raise HistoryUnavailable("down")
        return len(readings)

    gc.disable()
    try:
        with capture_logs():
            assert await _until_it_works(step, lambda: repeat(0.0)) == 0
        assert [one() for one in held] == [None] * 4
    finally:
        gc.enable()


async def test_an_account_is_kept_from_the_beginning_and_of_an_older_history_from_where_it_is(history: Flaky) -> None:
    records = Records(6)
    history.before, history.after = 1, 1
    async with following(records, history) as running:
        await running.until(6)
    account = history.account()
    assert account is not None
    assert audit(account, records.readings_through(6), 0).missing == 0
    assert (account.since_offset, account.written) == (0, 4)


async def test_of_a_history_that_kept_no_account_it_begins_where_it_stands(history: Flaky) -> None:
    records = Records(9)
    history.begin("records-1")
    history.append([reading(1)], 3, START_MS)  # it lacks one: nobody can tell any more
    async with following(records, history) as running:
        await running.until(9)
    account = history.account()
    assert account is not None
    assert (account.since_offset, account.before, account.held_before, account.written) == (3, 2, 1, 4)
    assert audit(account, records.readings_through(9), 0).missing == 0

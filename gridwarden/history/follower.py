"""What feeds the history from the blocks of records: late if it must be, never in the way, never twice.

Runs beside the API in one event loop; reading, decoding and appending happen in a worker thread, one step at
a time. A step that has begun is always finished, also when the task is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol, TypeVar

import structlog

from gridwarden import failpoints
from gridwarden.clock import Clock
from gridwarden.errors import Unavailable
from gridwarden.history import History, HistoryMismatch
from gridwarden.model import Reading
from gridwarden.records.block import CorruptBlock, Gone, StoredBlock, decode

POLL_S = 5.0
"""Longest wait for a wake-up: one may be lost, and ``complete_until`` moves on while nothing arrives."""

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class BlockSource(Protocol):
    """Records, as far as a follower reads them. Called from a worker thread."""

    def epoch(self) -> str:
        """Identity of these records."""
        ...

    def blocks(self, after: int, limit_bytes: int) -> list[StoredBlock]:
        """Blocks above the offset ``after``, ascending: as many as fit the limit, at least one if there is one."""
        ...

    def head(self) -> int:
        """The highest offset committed."""
        ...

    def readings_through(self, offset: int) -> int:
        """Readings committed up to ``offset``, whose block or a later one must still be there."""
        ...

    def ancestors(self) -> Mapping[str, int]:
        """Identities these records had before, each with the last offset up to which it still holds."""
        ...

    def gone(self, after: int) -> Gone | None:
        """The blocks after ``after`` that are not there any more; ``None``: all are there."""
        ...


class Witness(Protocol):
    """Who states what is lost. Each returns when it is stated durably, and may be told the same again."""

    async def block_damaged(self, block: StoredBlock, reason: str) -> None:
        """The block cannot be read; it is passed over next."""
        ...

    async def readings_gone(self, gone: Gone, readings: int) -> None:
        """So many readings are neither in the history nor in a block."""
        ...


def backoff() -> Iterator[float]:
    """Seconds to wait between tries: doubling from 1 to 30."""
    seconds = 1.0
    while True:
        yield seconds
        seconds = min(seconds * 2, 30.0)


async def follow(
    source: BlockSource,
    history: History,
    *,
    woken: asyncio.Event,
    clock: Clock,
    on_followed: Callable[[int], Awaitable[None]],
    witness: Witness,
    pause_s: float = 1.0,
    waits: Callable[[], Iterator[float]] = backoff,
) -> None:
    """Follow ``source`` until cancelled.

    Args:
        source: the records.
        history: what is fed; it must be new, or follow the same records.
        woken: set by whoever hears that there is news.
        clock: for ``complete_until`` once everything is followed.
        on_followed: told each offset after it is durable in the history.
        witness: is told of a damaged block before it is passed over, and of blocks that went before they were followed.
        pause_s: how long to gather after a wake-up, since appending a second's worth at once is cheapest.
        waits: seconds between tries while source or history fails.

    Raises:
        HistoryMismatch: the history follows other records, or is ahead of these.
    """
    follower = _Follower(source, history, clock)
    lost = await _until_it_works(follower.begin, waits)
    if lost is not None:
        await witness.readings_gone(*lost)
        await _until_it_works(follower.count_anew, waits)  # only now: before it the history's own count is the proof
    while True:
        before = follower.offset
        drained = await _until_it_works(follower.step, waits)
        if follower.damaged is not None:
            await witness.block_damaged(*follower.damaged)
            follower.pass_over()
        if follower.offset > before:
            await on_followed(follower.offset)
        if drained:
            await _news(woken, pause_s)


async def _news(woken: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(POLL_S):
            await woken.wait()
    except TimeoutError:
        return
    await asyncio.sleep(pause_s)
    woken.clear()


async def _until_it_works(step: Callable[[], _T], waits: Callable[[], Iterator[float]]) -> _T:
    """The result of ``step``, tried again while something is unavailable; tells the log at both edges."""
    pauses: Iterator[float] | None = None
    while True:
        try:
            result = await _whole(step)
        except (Unavailable, OSError) as error:
            if pauses is None:
                _log.error("history.stalled", reason=str(error))
                pauses = waits()
            await asyncio.sleep(next(pauses))
        else:
            if pauses is not None:
                _log.info("history.resumed")
            return result


async def _whole(step: Callable[[], _T]) -> _T:
    """Run ``step`` in a worker thread; a cancellation waits until it is over, then goes on."""
    task = asyncio.create_task(asyncio.to_thread(step))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("history.failed_while_stopping", reason=str(error))
        raise
    finally:
        # It may hold an exception whose traceback holds this frame and all that the step had read: a cycle, which would
        # stay until the next full collection. Measured while InfluxDB failed for minutes: 15 MB a minute.
        del task


class _Follower:
    """The part that works in the worker thread."""

    def __init__(self, source: BlockSource, history: History, clock: Clock) -> None:
        self._source = source
        self._history = history
        self._clock = clock
        self.offset = 0
        self.damaged: tuple[StoredBlock, str] | None = None
        """The block that comes next and cannot be read, and why."""
        self._passed = 0

    def begin(self) -> tuple[Gone, int] | None:
        """Where to go on; the blocks that went before they were followed, and how many readings are lost with them."""
        followed = self._history.epoch()
        epoch = self._source.epoch()
        self._history.begin(epoch, self._source.ancestors())
        self.offset = self._history.offset()
        head = self._source.head()
        if self.offset > head:
            msg = f"it has followed up to offset {self.offset}, these records end at {head}: they were set back"
            raise HistoryMismatch(msg)
        gone = self._source.gone(self.offset)
        lost = None if gone is None else (gone, self._lost(gone))
        if lost is None and (followed != epoch or not self._history.counts_itself()):
            self.count_anew()
        return lost

    def _lost(self, gone: Gone) -> int:
        account = self._history.account() if self._history.counts_itself() else None
        if account is None:
            return max(0, gone.readings_through - self._history.count())
        taken = account.before + account.written + account.refused
        return max(0, self._source.readings_through(self.offset) - taken)

    def count_anew(self) -> None:
        """From here on: what is missing before was stated, or is the history's alone."""
        self._history.begin_account(self._source.readings_through(self._history.offset()), self._clock.now_ms())

    def pass_over(self) -> None:
        """Go on behind the damaged block."""
        if self.damaged is not None:
            self._passed = self.damaged[0].offset
        self.damaged = None

    def step(self) -> bool:
        """Take blocks once; whether everything was followed."""
        # The stored offset, not the one remembered: a failed append may have been durable all the same.
        stored = self._history.offset()
        now_ms = self._clock.now_ms()  # before the head is read, so that what commits in between is later
        head = self._source.head()
        blocks = self._source.blocks(stored, self._history.step_bytes)
        blocks, readings, self.damaged = _decoded(blocks, self._passed)
        if self.damaged is not None and not blocks:
            return False
        offset = blocks[-1].offset if blocks else stored
        drained = self.damaged is None and (offset >= head or not blocks)
        complete_until_ms = now_ms if drained else blocks[-1].committed_at_ms
        failpoints.reach("history.before")
        self._history.append(readings, offset, complete_until_ms)
        failpoints.reach("history.after")
        if stored < self._passed <= offset:
            self.count_anew()
        self.offset = offset
        return drained


def _decoded(
    blocks: list[StoredBlock], passed: int
) -> tuple[list[StoredBlock], list[Reading], tuple[StoredBlock, str] | None]:
    """The blocks before the first damaged one, their readings, and that one; damaged ones up to ``passed`` are empty."""
    readings: list[Reading] = []
    for position, block in enumerate(blocks):
        try:
            readings += decode(block.body) if block.body else []
        except CorruptBlock as error:
            if block.offset > passed:
                return blocks[:position], readings, (block, str(error))
    return blocks, readings, None

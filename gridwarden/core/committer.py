"""Transactions to disk, one after the other, and what follows from a commit: acknowledge, wake, answer.

While the records cannot commit, transactions wait in order and nothing is acknowledged; their alarms are pushed at
once, marked provisional. Core takes no more when ``messages_waiting`` is too high.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from time import perf_counter
from typing import Any

import structlog

from gridwarden import failpoints
from gridwarden.errors import RecordsCorrupt, RecordsUnavailable
from gridwarden.model import Change
from gridwarden.platform import OURSELVES
from gridwarden.records import rows
from gridwarden.records.transaction import Tally, Transaction
from gridwarden.records.writer import Committed, Writer

SLOW_S = 1.0
"""A commit that takes longer holds up alarms: they are pushed as provisional."""
RETRY_S = 1.0
_log = structlog.get_logger("records")


class Committer:
    """The queue before the records, and its one worker thread."""

    def __init__(
        self,
        writer: Writer,
        announce: Callable[[list[dict[str, Any]]], None],
        done: Callable[[Transaction, Committed], None],
        *,
        slow_s: float = SLOW_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """``announce`` pushes provisional changes; ``done`` hears of each commit, before anything is acknowledged."""
        self._writer = writer
        self._announce = announce
        self._done = done
        self._slow_s = slow_s
        self._retry_s = retry_s
        self._waiting: deque[Transaction] = deque()
        self._work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._slow = False
        self._corrupt = False
        self.failing = False
        """Whether the last commit failed."""
        self.messages_waiting = 0
        """Messages whose transaction is not yet durable."""
        self.took_s = 0.0
        """How long the last commit took."""
        self._began_s: float | None = None

    @property
    def waiting(self) -> int:
        """Transactions not yet durable."""
        return len(self._waiting)

    @property
    def provisional(self) -> bool:
        """Whether what is decided now would be told before it is durable."""
        return self.failing or self._slow

    def pending(self) -> Sequence[Transaction]:
        """The transactions not yet durable, in order; one whose commit is under way is among them."""
        return tuple(self._waiting)

    def in_flight(self) -> Tally:
        """What is counted of brokers in transactions that are not yet durable; what we say of ourselves is not."""
        total = Tally()
        for transaction in self._waiting:
            for (broker, _, _), tally in transaction.tallies.items():
                if broker != OURSELVES:
                    total.add(tally)
        return total

    def announced(self) -> list[dict[str, Any]]:
        """The provisional changes as they stand, for somebody who comes later."""
        waiting = (transaction for transaction in self._waiting if transaction.announced)
        return [provisional(change) for transaction in waiting for change in transaction.changes]

    def submit(self, transaction: Transaction) -> None:
        """Queue a transaction; the order of submission is the order of offsets."""
        self._waiting.append(transaction)
        self.messages_waiting += len(transaction.messages)
        self._work.set()
        if self.failing or self._slow:
            self._announce_waiting()

    async def read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a read of the records in the writer's thread, after the commit that is under way."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def run(self) -> None:
        """Commit until cancelled; a commit under way is finished first."""
        while True:
            while self._waiting:
                await self._commit(self._waiting[0])
            self._work.clear()
            await self._work.wait()

    @property
    def under_way_s(self) -> float:
        """How long the commit that is under way has taken so far; 0: none is."""
        return 0.0 if self._began_s is None else perf_counter() - self._began_s

    async def _commit(self, transaction: Transaction) -> None:
        self._began_s = perf_counter()  # the loop's own clock may go by whole milliseconds
        committing = asyncio.get_running_loop().run_in_executor(self._thread, self._commit_in_thread, transaction)
        try:
            committed = await self._ended(committing)
        except RecordsUnavailable as error:
            await self._failed(error)
            return
        except asyncio.CancelledError:
            # The thread cannot be stopped: what it makes durable is settled like any other commit.
            await asyncio.wait([committing])
            if committing.exception() is None:
                self._settle(transaction, committing.result())
            raise
        self._settle(transaction, committed)
        if transaction.messages:
            await asyncio.sleep(0)  # the acknowledgements leave with the loop's next turn
            failpoints.reach("puback.after")

    async def _ended(self, committing: asyncio.Future[Committed]) -> Committed:
        try:
            done, _ = await asyncio.wait([committing], timeout=self._slow_s)
            if not done:
                self._slow = True
                self._announce_waiting()
            return await asyncio.shield(committing)
        finally:
            self._slow = False
            self.took_s, self._began_s = self.under_way_s, None

    def _settle(self, transaction: Transaction, committed: Committed) -> None:
        if self.failing:
            self.failing = False
            _log.warning("records commit again", waiting=len(self._waiting))
        self._waiting.popleft()
        self.messages_waiting -= len(transaction.messages)
        self._done(transaction, committed)
        _acknowledge(transaction)

    def _commit_in_thread(self, transaction: Transaction) -> Committed:
        if transaction.messages:
            failpoints.reach("commit.before")
        committed = self._writer.commit(transaction)
        if transaction.messages:
            failpoints.reach("commit.after")
        return committed

    async def _failed(self, error: RecordsUnavailable) -> None:
        if not self.failing:
            self.failing = True
            _log.error("records cannot commit; nothing is acknowledged, alarms go out as provisional", error=str(error))
        if isinstance(error, RecordsCorrupt) and not self._corrupt:
            self._corrupt = True  # once: it is tried again all the same, for a page may have been read wrongly
            _log.critical(
                "records.db is damaged: stop, and restore a backup; see docs/guide/damage.md", error=str(error)
            )
        self._announce_waiting()
        await asyncio.sleep(self._retry_s)

    def _announce_waiting(self) -> None:
        for transaction in self._waiting:
            if not transaction.announced and transaction.changes:
                self._announce([provisional(change) for change in transaction.changes])
            transaction.announced = True

    def close(self) -> None:
        """End the worker thread."""
        self._thread.shutdown()


def provisional(change: Change) -> dict[str, Any]:
    """A change as the link carries it before it has a ``seq``."""
    return {"operation": change.operation, "at_ms": change.at_ms, "area": change.area, **rows.change_body(change)}


def _acknowledge(transaction: Transaction) -> None:
    by_session = sorted(transaction.messages, key=lambda message: id(message.session))
    for _, messages in groupby(by_session, key=lambda message: id(message.session)):
        group = list(messages)
        group[0].session.acknowledge(group)

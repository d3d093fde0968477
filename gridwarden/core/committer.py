"""Transactions to disk, one after the other, and what follows from a commit: acknowledge, wake, answer.

While the records cannot commit, transactions wait in order and nothing is acknowledged; their alarms are pushed at
once, marked provisional. How many can wait is bounded by what the brokers leave unacknowledged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import structlog

from gridwarden import failpoints
from gridwarden.errors import RecordsUnavailable
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
    ) -> None:
        """``announce`` pushes provisional changes; ``done`` hears of each commit, before anything is acknowledged."""
        self._writer = writer
        self._announce = announce
        self._done = done
        self._waiting: deque[Transaction] = deque()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        self.failing = False
        """Whether the last commit failed."""

    @property
    def waiting(self) -> int:
        """Transactions not yet durable."""
        return len(self._waiting)

    def in_flight(self) -> int:
        """Readings judged and not yet durable."""
        return sum(tally.received for transaction in self._waiting for tally in transaction.tallies.values())

    def submit(self, transaction: Transaction) -> None:
        """Queue a transaction; the order of submission is the order of offsets."""
        self._waiting.append(transaction)
        self._work.set()
        if self.failing:
            self._announce_waiting()

    async def drained(self) -> None:
        """Wait until everything submitted is durable.

        Raises:
            RecordsUnavailable: the records cannot commit now.
        """
        while self._waiting:
            if self.failing:
                raise RecordsUnavailable("the records cannot commit; nothing was done")
            self._room.clear()
            await self._room.wait()

    async def room(self) -> None:
        """Wait until one transaction or none is waiting."""
        while len(self._waiting) > 1:
            self._room.clear()
            await self._room.wait()

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

    async def _commit(self, transaction: Transaction) -> None:
        committing = asyncio.get_running_loop().run_in_executor(self._thread, self._commit_in_thread, transaction)
        try:
            done, _ = await asyncio.wait([committing], timeout=SLOW_S)
            if not done:
                self._announce_waiting()
            committed = await asyncio.shield(committing)
        except RecordsUnavailable as error:
            await self._failed(error)
            return
        except asyncio.CancelledError:
            await asyncio.wait([committing])
            raise
        if self.failing:
            self.failing = False
            _log.warning("records commit again", waiting=len(self._waiting))
        self._waiting.popleft()
        self._done(transaction, committed)
        _acknowledge(transaction)
        self._room.set()
        if transaction.messages:
            await asyncio.sleep(0)  # the acknowledgements leave with the loop's next turn
            failpoints.reach("puback.after")

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
        self._announce_waiting()
        self._room.set()
        await asyncio.sleep(RETRY_S)

    def _announce_waiting(self) -> None:
        for transaction in self._waiting:
            if not transaction.announced and transaction.changes:
                self._announce([provisional(change) for change in transaction.changes])
            transaction.announced = True

    def close(self) -> None:
        """End the worker thread."""
        self._thread.shutdown()


def provisional(change: Any) -> dict[str, Any]:
    """A change as the link carries it before it has a ``seq``."""
    return {"operation": change.operation, "at_ms": change.at_ms, "area": change.area, **rows.change_body(change)}


def _acknowledge(transaction: Transaction) -> None:
    by_session = sorted(transaction.messages, key=lambda message: id(message.session))
    for _, messages in groupby(by_session, key=lambda message: id(message.session)):
        group = list(messages)
        group[0].session.acknowledge(group)


def add_up(totals: dict[tuple[str, str], Tally], transaction: Transaction) -> None:
    """Add what a committed transaction counted to the totals."""
    for key, tally in transaction.tallies.items():
        totals.setdefault(key, Tally()).add(tally)

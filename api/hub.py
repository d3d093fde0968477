"""The journal to every open websocket. Follows the records from its own position; waits for nobody.

Changes are never dropped and never merged: a client whose queue is full is told of the gap and cut off, and comes
back with what it last saw.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import structlog

from gridwarden import failpoints
from gridwarden.areas import within
from gridwarden.errors import RecordsUnavailable
from gridwarden.model import Operation
from gridwarden.records.reader import Entry, Reader

QUEUE_LIMIT = 2_000
"""Changes that may wait for one client."""
POLL_S = 1.0
"""How long a change may go unnoticed when the link to core is down."""
RETRY_S = 0.2
"""Pause after the records could not be read."""
_log = structlog.get_logger("hub")


@dataclass(eq=False, slots=True)
class Change:
    """One change for many listeners."""

    area: str
    entry: Entry | None
    """The journal entry; ``None``: a provisional change, which has no number yet."""
    provisional: dict[str, Any] | None = None
    text: str | None = None
    """Its JSON once the first listener has needed it: the same for all of them."""

    @property
    def seq(self) -> int | None:
        """Its journal number."""
        return self.entry.seq if self.entry else None


@dataclass(eq=False, slots=True)
class Listener:
    """One subscription to changes: what waits to be sent to it."""

    scopes: Sequence[str]
    stir: Callable[[], None] = lambda: None
    waiting: deque[Change] = field(default_factory=deque)
    overflowed: bool = False
    through: int = 0
    """Everything up to this journal number has been put into ``waiting`` or was not for it."""

    def wants(self, area: str) -> bool:
        """Whether a change in ``area`` is for this listener."""
        return any(within(area, scope) for scope in self.scopes)

    def put(self, change: Change) -> None:
        """Queue one change; a full queue ends the listener."""
        if len(self.waiting) >= QUEUE_LIMIT:
            self.overflowed = True
        elif not self.overflowed:
            self.waiting.append(change)


class Hub:
    """Follows the journal and hands every entry to those who listen.

    ``reader`` should be its own: with one connection and one thread that nobody else uses, no crowd of requests,
    no import and no sealing of the history can keep an alarm waiting.
    """

    def __init__(self, reader: Reader) -> None:
        """Begin where the journal ends now, so that whoever listens from here on misses nothing."""
        self._reader = reader
        self._listeners: set[Listener] = set()
        self._woken = asyncio.Event()
        self._failing = False
        self.on_rules_loaded: Callable[[], None] = lambda: None
        self.seq = reader.last_seq()
        """The last journal entry handed out."""
        self._newest = self.seq
        self._behind_since_s: float | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def behind_s(self) -> float:
        """How long it has handed out nothing though core told of more; 0: it has handed out everything."""
        return 0.0 if self._behind_since_s is None else time.monotonic() - self._behind_since_s

    def wake(self, seq: int | None = None) -> None:
        """Core says that something was committed, and the newest number in the journal if it knows.

        Most commits are readings without a change: dozens a second, for which the journal need not be read.
        """
        if seq is not None and seq > self.seq:
            self._newest = max(self._newest, seq)
            self._behind_since_s = self._behind_since_s or time.monotonic()
        if seq is None or seq > self.seq:
            self._woken.set()

    def listen(self, listener: Listener) -> None:
        """Hand ``listener`` everything after :attr:`seq` from now on."""
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """Stop."""
        self._listeners.discard(listener)

    def push_provisional(self, changes: list[dict[str, Any]]) -> None:
        """Alarms that the records could not take: shown at once, without a number."""
        self._hand_out([Change(change["area"], None, change) for change in changes])

    async def run(self) -> None:
        """Follow until cancelled; clients fetch what is older themselves."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="hub")
        try:
            while True:
                entries = await self._read(thread)
                if entries:
                    failpoints.reach("push.before")
                    self.seq = entries[-1].seq
                    self._behind_since_s = time.monotonic() if self._newest > self.seq else None
                    if any(entry.operation == Operation.RULES_LOADED for entry in entries):
                        self.on_rules_loaded()
                    self._hand_out([Change(entry.area, entry) for entry in entries])
                    failpoints.reach("push.after")
                else:
                    await self._wait()
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    async def _read(self, thread: ThreadPoolExecutor) -> list[Entry]:
        try:
            entries = await asyncio.get_running_loop().run_in_executor(thread, self._reader.journal, self.seq)
        except RecordsUnavailable as error:
            if not self._failing:
                self._failing = True
                _log.error("records cannot be read; alarms wait for it", error=str(error))
            await asyncio.sleep(RETRY_S)
            return []
        if self._failing:
            self._failing = False
            _log.warning("records can be read again")
        return entries

    def _hand_out(self, changes: list[Change]) -> None:
        for listener in tuple(self._listeners):
            for change in changes:
                if listener.wants(change.area):
                    listener.put(change)
            if not listener.overflowed:
                listener.through = max(listener.through, self.seq)
            listener.stir()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

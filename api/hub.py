"""The journal to every open websocket. Follows the records from its own position; waits for nobody.

Changes are never dropped and never merged: a client whose queue is full is told of the gap and cut off, and comes
back with what it last saw.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from gridwarden import failpoints
from gridwarden.areas import within
from gridwarden.errors import RecordsUnavailable
from gridwarden.records.reader import Entry, Reader

QUEUE_LIMIT = 2_000
"""Frames that may wait for one client."""
POLL_S = 1.0
"""How long a change may go unnoticed when the link to core is down."""
_log = structlog.get_logger("hub")


@dataclass(eq=False, slots=True)
class Listener:
    """One subscription to changes: what waits to be sent to it."""

    scopes: Sequence[str]
    waiting: deque[Entry | dict[str, Any]] = field(default_factory=deque)
    """Journal entries, and provisional changes (dicts) that have no number yet."""
    stir: Callable[[], None] = lambda: None
    overflowed: bool = False
    through: int = 0
    """Everything up to this journal number has been put into ``waiting`` or was not for it."""

    def wants(self, area: str) -> bool:
        """Whether a change in ``area`` is for this listener."""
        return any(within(area, scope) for scope in self.scopes)

    def put(self, item: Entry | dict[str, Any]) -> None:
        """Queue one item; a full queue ends the listener."""
        if len(self.waiting) >= QUEUE_LIMIT:
            self.overflowed = True
        elif not self.overflowed:
            self.waiting.append(item)


class Hub:
    """Follows the journal and hands every entry to those who listen."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._listeners: set[Listener] = set()
        self._woken = asyncio.Event()
        self._revoked: dict[str, Callable[[], None]] = {}
        self.seq = 0
        """The last journal entry handed out."""

    def __len__(self) -> int:
        return len(self._listeners)

    def wake(self) -> None:
        """Core says that something was committed."""
        self._woken.set()

    def listen(self, listener: Listener) -> None:
        """Hand ``listener`` everything from now on."""
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """Stop."""
        self._listeners.discard(listener)

    def on_revoke(self, token: str, close: Callable[[], None]) -> None:
        """Call ``close`` when the session ``token`` is signed out."""
        self._revoked[token] = close

    def forget_revoke(self, token: str) -> None:
        """The socket of that session is gone."""
        self._revoked.pop(token, None)

    def revoke(self, token: str) -> None:
        """Close the sockets of a session."""
        close = self._revoked.pop(token, None)
        if close:
            close()

    def push_provisional(self, changes: list[dict[str, Any]]) -> None:
        """Alarms that the records could not take: shown at once, without a number."""
        for change in changes:
            for listener in tuple(self._listeners):
                if listener.wants(change["area"]):
                    listener.put(change)
                    listener.stir()

    async def run(self) -> None:
        """Follow until cancelled, from the newest entry on; clients fetch what is older themselves."""
        self.seq = await asyncio.to_thread(self._reader.last_seq)
        while True:
            try:
                entries = await asyncio.to_thread(self._reader.journal, self.seq)
            except RecordsUnavailable as error:
                _log.warning("records cannot be read", error=str(error))
                entries = []
            if entries:
                failpoints.reach("push.before")
                self._hand_out(entries)
                failpoints.reach("push.after")
            else:
                await self._wait()

    def _hand_out(self, entries: list[Entry]) -> None:
        self.seq = entries[-1].seq
        for listener in tuple(self._listeners):
            for entry in entries:
                if listener.wants(entry.area):
                    listener.put(entry)
            listener.through = self.seq
            listener.stir()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

"""The latest state of every device, for those who watch: latest wins, versions are block offsets.

Reads the blocks only while somebody watches, so that an unwatched city costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from gridwarden.clock import rfc3339
from gridwarden.errors import RecordsUnavailable, Unavailable
from gridwarden.model import Reading, Value
from gridwarden.records import block
from gridwarden.records.reader import Reader

EVERY_S = 0.25
"""How often news are looked for: a picture that changes faster is no easier to read."""
STRANGERS_LIMIT = 20_000
"""States kept of devices that are not registered: anybody can make such names up."""
LOOKBACK = 1_000
"""Transactions before the newest that are looked at when somebody begins to watch, if the history is behind."""
_BYTES = 512 * 1024
"""Blocks taken at once; deflated, about 15,000 readings, which the loop takes in within some 20 ms."""
_log = structlog.get_logger("states")


@dataclass(slots=True)
class State:
    """One device as of the block ``version``."""

    version: int
    device_id: str
    occurred_at_ms: int
    received_at_ms: int
    values: dict[str, Value]
    quality: dict[str, str]

    def body(self) -> dict[str, Any]:
        """What a client is told."""
        return {
            "device_id": self.device_id, "occurred_at": rfc3339(self.occurred_at_ms),
            "received_at": rfc3339(self.received_at_ms), "values": self.values, "quality": self.quality,
        }  # fmt: skip


class States:
    """Follows the blocks while watched."""

    def __init__(self, reader: Reader, followed: Callable[[], int] = lambda: 0) -> None:
        """``followed`` says how far the history is: what it does not have yet must come from here."""
        self._reader = reader
        self._followed = followed
        self._begun = False
        self._states: dict[str, State] = {}
        """Oldest version first: what changes goes to the end."""
        self._strangers: set[str] = set()
        self._watchers: dict[object, Callable[[], None]] = {}
        self._watched = asyncio.Event()
        self.version = 0
        """The last block taken in."""
        self.since = 0
        """Everything after this block has been taken in: the oldest version one can resume from."""

    def __len__(self) -> int:
        return len(self._states)

    def watch(self, key: object, stir: Callable[[], None]) -> None:
        """Call ``stir`` after news until :meth:`leave`."""
        self._watchers[key] = stir
        self._watched.set()

    def leave(self, key: object) -> None:
        """Stop watching."""
        self._watchers.pop(key, None)

    def can_resume(self, version: int) -> bool:
        """Whether all that changed after ``version`` is known here."""
        return self._begun and self.since <= version <= self.version

    def newer(self, version: int, devices: frozenset[str] | None) -> list[State]:
        """States newer than ``version``, oldest first, of ``devices`` or of all."""
        found: list[State] = []
        for state in reversed(self._states.values()):
            if state.version <= version:
                break
            if devices is None or state.device_id in devices:
                found.append(state)
        found.reverse()
        return found

    async def run(self) -> None:
        """Follow until cancelled."""
        failing = False
        while True:
            await self._watched.wait()
            if not self._watchers:
                self._rest()
                continue
            try:
                more = await self._catch_up()
                failing = False
            except RecordsUnavailable as error:
                if not failing:
                    _log.warning("records cannot be read; device states stand still", error=str(error))
                failing, more = True, False
            await asyncio.sleep(0 if more else EVERY_S)

    def _rest(self) -> None:
        self._watched.clear()
        self._begun = False
        self._states.clear()
        self._strangers.clear()
        self.version = self.since = 0

    async def _catch_up(self) -> bool:
        """Take some blocks in; whether there are more at once. What came meanwhile can wait for the next look."""
        if not self._begun:
            self.version = self.since = await asyncio.to_thread(self._beginning)
            self._begun = True
        offset, readings, more = await asyncio.to_thread(self._read, self.version)
        if offset == self.version:
            return False
        for at, reading in readings:
            self._take(at, reading)
        self.version = offset
        for stir in tuple(self._watchers.values()):
            stir()
        return more

    def _beginning(self) -> int:
        head = self._reader.head()
        try:
            return max(min(head, self._followed()), head - LOOKBACK)
        except Unavailable:
            return head

    def _read(self, after: int) -> tuple[int, list[tuple[int, Reading]], bool]:
        """Blocks after an offset as readings, the offset they reach to, and whether they were too many for once.

        A damaged one is passed over: the history follower, which may not lose it, says so loudly.
        """
        readings: list[tuple[int, Reading]] = []
        size = 0
        for stored in self._reader.blocks(after, _BYTES):
            after, size = stored.offset, size + len(stored.body)
            try:
                decoded = block.decode(stored.body) if stored.body else []
            except block.CorruptBlock as error:
                _log.error("a block is damaged", offset=stored.offset, error=str(error))
                continue
            readings += [(stored.offset, one) for one in decoded if one.entitled and not one.late]
        return after, readings, size >= _BYTES

    def _take(self, version: int, reading: Reading) -> None:
        known = self._states.pop(reading.device_id, None)
        if known is None and not reading.registered:
            if len(self._strangers) >= STRANGERS_LIMIT:
                return
            self._strangers.add(reading.device_id)
        values = {**known.values, **reading.values} if known else reading.values
        self._states[reading.device_id] = State(
            version, reading.device_id, reading.occurred_at_ms, reading.received_at_ms, values, reading.quality
        )

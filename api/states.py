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
from gridwarden.errors import RecordsUnavailable
from gridwarden.model import Reading
from gridwarden.records import block
from gridwarden.records.reader import Reader

EVERY_S = 0.25
_BYTES = 4 * 2**20
_log = structlog.get_logger("states")


@dataclass(slots=True)
class State:
    """One device as of the block ``version``."""

    version: int
    body: dict[str, Any]


class States:
    """Follows the blocks while watched."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._states: dict[str, State] = {}
        self._watchers: dict[object, Callable[[], None]] = {}
        self._watched = asyncio.Event()
        self.version = 0
        """The last block taken in."""
        self.since = 0
        """Everything after this block has been taken in: the oldest version one can resume from."""

    def watch(self, key: object, stir: Callable[[], None]) -> None:
        """Call ``stir`` after news until :meth:`leave`."""
        self._watchers[key] = stir
        self._watched.set()

    def leave(self, key: object) -> None:
        """Stop watching."""
        self._watchers.pop(key, None)

    def newer(self, version: int, devices: frozenset[str] | None) -> list[dict[str, Any]]:
        """States newer than ``version``, of ``devices`` or of all."""
        if devices is not None:
            found = ((device_id, self._states[device_id]) for device_id in devices if device_id in self._states)
        else:
            found = ((device_id, state) for device_id, state in self._states.items())
        return [state.body for _, state in found if state.version > version]

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self._watched.wait()
            if not self._watchers:
                self._watched.clear()
                self._states.clear()
                self.version = self.since = 0
                continue
            try:
                await self._catch_up()
            except RecordsUnavailable as error:
                _log.warning("records cannot be read", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def _catch_up(self) -> None:
        if not self.version:
            self.version = self.since = await asyncio.to_thread(self._reader.head)
        blocks = await asyncio.to_thread(self._reader.blocks, self.version, _BYTES)
        for stored in blocks:
            for reading in block.decode(stored.body) if stored.body else ():
                if reading.entitled and not reading.late:
                    self._take(stored.offset, reading)
            self.version = stored.offset
        if blocks:
            for stir in tuple(self._watchers.values()):
                stir()

    def _take(self, version: int, reading: Reading) -> None:
        known = self._states.get(reading.device_id)
        before = known.body if known else {"values": {}, "quality": {}}
        self._states[reading.device_id] = State(
            version,
            {
                "device_id": reading.device_id,
                "occurred_at": rfc3339(reading.occurred_at_ms),
                "received_at": rfc3339(reading.received_at_ms),
                "values": {**before["values"], **reading.values},
                "quality": reading.quality,
            },
        )

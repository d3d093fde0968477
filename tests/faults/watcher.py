"""A dashboard that never gives up: it remembers the last change it saw and comes back with it after every cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import WebSocketException


@dataclass
class Watcher:
    """One client of the websocket; what it was told, in the order it was told."""

    socket: Path
    changes: list[dict[str, Any]] = field(default_factory=list)
    provisional: int = 0
    connections: int = 0
    snapshots: int = 0
    epoch: str = ""
    seq: int = -1

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Watcher]:
        """Watch within the block; subscribed when it begins."""
        task = asyncio.create_task(self._watch())
        try:
            while self.seq < 0 and not task.done():  # noqa: ASYNC110 - it has nobody else to tell
                await asyncio.sleep(0.02)
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with unix_connect(
                    str(self.socket), "ws://localhost/api/v1/ws", subprotocols=["gridwarden.v1"], open_timeout=5  # type: ignore[list-item]
                ) as connection:  # fmt: skip
                    self.connections += 1
                    await self._listen(connection)
            await asyncio.sleep(0.05)

    async def _listen(self, connection: ClientConnection) -> None:
        wish: dict[str, Any] = {"t": "sub", "id": 1, "ch": "events", "q": {"area": ""}}
        if self.seq >= 0:
            wish["resume"] = {"epoch": self.epoch, "seq": self.seq}
        await connection.send(json.dumps(wish))
        async for text in connection:
            frame = json.loads(text)
            if frame["t"] == "sub_ok":
                self.snapshots += frame["mode"] == "snapshot"
                self.epoch = frame["epoch"]
            elif frame["t"] == "snap_end":
                self.seq = frame["seq"]
            elif frame["t"] == "ev" and frame["seq"] is None:
                self.provisional += 1
            elif frame["t"] == "ev":
                self.changes.append(frame)
                self.seq = frame["seq"]

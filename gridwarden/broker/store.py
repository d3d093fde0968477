"""What waits in the embedded broker's store, looked at every second, and what follows from it: the window."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog

from gridwarden.broker import consumers, probe
from gridwarden.broker.config_file import MAX_ACK_PENDING
from gridwarden.broker.stream import STREAM
from gridwarden.broker.window import SURE_FROM, Window
from gridwarden.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """Of the message stream."""

    messages: int
    """That wait to be acknowledged by us."""
    bytes: int
    last_seq: int
    """Number of the last message that was stored."""
    subscriptions: int


@dataclass(frozen=True, slots=True)
class Server:
    """Where the child is asked, on loopback, and as whom."""

    client_port: int
    monitor_port: int
    user: str
    password: str


class Store:
    """Looks after the window of our subscriptions."""

    def __init__(self) -> None:
        self._window = Window()
        self._in_force = (0, 0)
        """Messages, and of how many subscriptions: one that is made later has the window of the configuration."""

    async def begin(self, server: Server) -> None:
        """The child has started, nobody has come yet: what is in force, and verified, before the first message goes out.

        Raises:
            BrokerUnavailable: it cannot be asked, or does not keep what it is told.
        """
        state = await look(server.monitor_port)
        if state is None:
            raise BrokerUnavailable("the embedded broker's monitor does not tell of its message stream")
        self._in_force = (0, 0)
        await self._adjust(server, state)

    async def watch(self, server: Server) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            state = await look(server.monitor_port)
            if state is None:  # it ended; whoever supervises it begins anew
                continue
            try:
                await self._adjust(server, state)
            except BrokerUnavailable as error:
                log.warning("broker.window_not_set", reason=str(error))

    async def _adjust(self, server: Server, state: State) -> None:
        cuts = await _cuts(server.monitor_port) if state.messages >= SURE_FROM else 0
        window = self._window.look(state.messages, state.bytes, cuts)
        in_force, subscriptions = self._in_force
        if window == in_force and (window == MAX_ACK_PENDING or state.subscriptions == subscriptions):
            return
        changed = await consumers.enforce(server.client_port, server.user, server.password, window)
        if changed:
            log.info("broker.window", messages=window, subscriptions=changed)
        self._in_force = window, state.subscriptions


async def look(monitor_port: int) -> State | None:
    """The message stream as it stands; ``None`` while nobody tells."""
    found = await probe.monitor(monitor_port, "/jsz?acc=$G&streams=true")
    details = (found or {}).get("account_details") or [{}]
    for one in details[0].get("stream_detail", ()):
        if one["name"] == STREAM:
            state: dict[str, Any] = one["state"]
            return State(state["messages"], state["bytes"], state["last_seq"], state["consumer_count"])
    return None


async def _cuts(monitor_port: int) -> int:
    told = await probe.monitor(monitor_port, "/varz")
    return int((told or {}).get("slow_consumers", 0))

"""What waits in the embedded broker's store, looked at every second, and what follows: the window, and what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from gridwarden.broker import consumers, mark, probe
from gridwarden.broker.config_file import MAX_ACK_PENDING
from gridwarden.broker.stream import STREAM
from gridwarden.broker.window import SURE_FROM, Window
from gridwarden.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
NEVER = mark.Mark(-1, -1)


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
    """Looks after the window of our subscriptions, and notices what is missing.

    Args:
        directory: of the broker.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._window = Window()
        self._in_force = (0, 0)
        """Messages, and of how many subscriptions: one that is made later has the window of the configuration."""
        self._kept = NEVER
        """The mark as it lies on the disk, or should."""
        self._counted = -1
        """Subscriptions when ours were looked for."""

    async def begin(self, server: Server) -> None:
        """The child has started, nobody has come yet: what is missing is told, and what is in force is verified.

        Raises:
            BrokerUnavailable: it cannot be asked, does not keep what it is told, or has lost a subscription for good.
        """
        known = mark.load(self._directory)
        if known is not None:
            await self._restore(server, known)
        self._in_force = (0, 0)
        await self._adjust(server, await _looked(server))  # whoever asks for its subscriptions makes it read its blocks
        state = await _looked(server)
        loss = mark.compare(known, state.messages, state.last_seq) if known is not None else None
        if loss is not None:
            log.critical("broker.lost_messages", **asdict(loss))
            mark.enter(self._directory, loss)
        self._kept, self._counted = NEVER, -1
        await self._keep(server, state)

    async def watch(self, server: Server) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            state = await look(server.monitor_port)
            if state is None:  # it ended; whoever supervises it begins anew
                continue
            try:
                await self._adjust(server, state)
                await self._keep(server, state)
            except (BrokerUnavailable, OSError) as error:
                log.warning("broker.store_not_looked_after", reason=str(error))

    async def end(self, server: Server) -> None:
        """Nobody takes anything any more and the child is about to be ended: from now on every missing message counts."""
        state = await look(server.monitor_port)
        if state is not None:
            with contextlib.suppress(BrokerUnavailable, OSError):
                await self._keep(server, state, clean=True)

    async def _keep(self, server: Server, state: State, *, clean: bool = False) -> None:
        ours, count = self._kept.subscriptions, state.subscriptions
        if count != self._counted and len(ours) < len(consumers.OURS):
            ours = await consumers.ours(server.client_port, server.user, server.password)
        fresh = mark.Mark(state.messages, state.last_seq, clean, ours)
        if fresh != self._kept:
            await asyncio.to_thread(mark.save, self._directory, fresh)
        self._kept, self._counted = fresh, count

    async def _restore(self, server: Server, known: mark.Mark) -> None:
        """Make those of our subscriptions again that the server could not read.

        Their sessions believe that they have them. So what waits would wait for ever, and what comes would be
        acknowledged and kept for nobody. One that ended in order has left no folder behind.
        """
        folders = self._directory / "js" / "jetstream" / "$G" / "streams" / STREAM / "obs"
        there = await consumers.ours(server.client_port, server.user, server.password)
        for name, config in known.subscriptions.items():
            if name not in there and (folders / name).exists():
                aside = self._directory / "damaged" / f"{name}.{time.time_ns()}"
                aside.parent.mkdir(exist_ok=True)
                (folders / name).rename(aside)
                await consumers.make_again(server.client_port, server.user, server.password, name, config)
                log.critical(
                    "broker.subscription_was_damaged", name=name, topic=config["filter_subject"], aside=str(aside)
                )

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


async def _looked(server: Server) -> State:
    state = await look(server.monitor_port)
    if state is None:
        raise BrokerUnavailable("the embedded broker's monitor does not tell of its message stream")
    return state


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

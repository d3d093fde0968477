"""Many clients at once, each with connections of its own: what a district's broker has to carry.

Each client has one connection for telemetry and, once it has something to alarm of, a second one for that, as a gateway
should. A device always speaks through the same client, so that its order is kept.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from gridwarden.errors import ConfigError
from gridwarden.model import Device
from simulators.publisher import Account, Address, Publisher

MOST = 4_500
"""Connections of this process: the embedded broker takes 12,000, and somebody else may want to speak, too."""
IN_FLIGHT = 2_000
"""Messages of all clients together that may be unacknowledged."""
WINDOW = 50
"""And those of one connection, of many."""
KEEPALIVE_S = 60
"""Thousands of connections on a busy machine may be silent for longer than one alone."""
_AT_ONCE = 32
"""Clients that connect at the same moment."""
_FILES_BESIDES = 200
_LOOK_S = 0.002

Addresses = Callable[[str], Address]
"""Where a client connects to and as whom; the client id is ours."""


def shares(devices: Iterable[Device], clients: int) -> dict[str, str]:
    """For each device the name of its client: equal shares, neighbours of one kind and gateway together."""
    ordered = sorted(devices, key=lambda device: (device.kind, device.gateway or "", device.device_id))
    return {device.device_id: f"GW-{n * clients // len(ordered) + 1:05}" for n, device in enumerate(ordered)}


def dealt(devices: Sequence[Device], clients: int) -> list[Device]:
    """The same devices, each bound to a gateway of the name of its client."""
    named = shares(devices, clients)
    return [replace(device, gateway=named[device.device_id]) for device in devices]


def allow_files(connections: int) -> None:
    """Let this process, and those it starts, have so many connections open.

    Raises:
        ConfigError: the system does not allow as many.
    """
    needed = connections + _FILES_BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        reason = f"{connections} connections need {needed} open files, and this system allows {hard} (ulimit -Hn)"
        raise ConfigError(reason, place="--clients")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Fleet:
    """All clients, connected within ``async with``; publishes as :class:`simulators.publisher.Publisher` does.

    Args:
        clients: the client of each device (:func:`shares`).
        address: of each client.
        account: the account of all of them together.
        window: messages of one connection that may be unacknowledged.
    """

    def __init__(
        self, clients: Mapping[str, str], address: Addresses, account: Account, *, window: int = WINDOW
    ) -> None:
        self.account = account
        self._window = window
        self._clients = clients
        self._address = address
        self._publishers: dict[tuple[str, str], Publisher] = {}
        self._stack = AsyncExitStack()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._publishers)

    async def __aenter__(self) -> Self:
        """Connect all of them for telemetry.

        Raises:
            ExceptionGroup: of :class:`~gridwarden.errors.BrokerUnavailable`: they are not let in.
        """
        room = asyncio.Semaphore(_AT_ONCE)

        async def connect(client: str) -> None:
            async with room:
                await self._connected(client, "up")

        async with AsyncExitStack() as stack:
            self._stack = stack
            async with asyncio.TaskGroup() as tasks:
                for client in sorted(set(self._clients.values())):
                    tasks.create_task(connect(client), name=f"connect {client}")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def publish(self, topic: str, payload: bytes, devices: Sequence[str]) -> None:
        """Hand one message over to the client of its (first) device, on the connection of its lane.

        Raises:
            BrokerUnavailable: nothing could be delivered for a minute.
        """
        client, lane = self._clients[devices[0]], topic.rpartition("/")[2]
        publisher = self._publishers.get((client, lane)) or await self._connected(client, lane)
        while self.account.messages - self.account.messages_acknowledged >= IN_FLIGHT:
            self._check()
            await asyncio.sleep(_LOOK_S)
        await publisher.publish(topic, payload, devices)

    async def drain(self) -> None:
        """Wait until everything handed over is acknowledged; raises as :meth:`publish` does."""
        for publisher in self._publishers.values():
            await publisher.drain()

    def _check(self) -> None:
        for publisher in self._publishers.values():
            publisher.check()

    async def _connected(self, client: str, lane: str) -> Publisher:
        address = replace(self._address(client), client_id=f"{client}-{lane}")
        publisher = await self._stack.enter_async_context(
            Publisher(address, window=self._window, account=self.account, keepalive_s=KEEPALIVE_S)
        )
        self._publishers[client, lane] = publisher
        return publisher

"""Publishes over MQTT at QoS 1 until every message is acknowledged, and keeps its own account of it.

At most ``window`` messages are unacknowledged. When the connection breaks, a new one is made and everything not yet
acknowledged is published again, in the same order with the same bytes: the receiver may see a message twice,
never not at all, and its account can be held against ours.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from gridwarden.errors import BrokerUnavailable

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
_ASK_AGAIN_S = 0.5
_log = logging.getLogger(__name__)


@dataclass
class Account:
    """What was sent, by the one who sent it."""

    messages: int = 0
    readings: int = 0
    """Readings handed over for publishing; each is counted once, however often it was repeated."""
    messages_acknowledged: int = 0
    readings_acknowledged: int = 0
    messages_repeated: int = 0
    """Messages published again after a connection broke; the receiver may have them twice."""
    connections: int = 0
    devices: Counter[str] = field(default_factory=Counter)
    """Readings handed over, per device."""


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: bytes
    readings: int


@dataclass(frozen=True)
class Address:
    """Where the broker is and who we are there."""

    host: str = "127.0.0.1"
    port: int = 1883
    client_id: str = "gridwarden-publisher"
    """Fixed, so that a second one under the same name is noticed: the broker ends the first."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def backoff(uniform: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Seconds to wait before each further attempt: exponential, capped, full jitter."""
    ceiling = _FIRST_WAIT_S
    while True:
        yield uniform(0, ceiling)
        ceiling = min(ceiling * 2, _LONGEST_WAIT_S)


class Publisher:
    """A connection to the broker that mends itself; use it with ``async with``.

    Leaving the block waits until everything is acknowledged (unless an exception leaves it).

    Args:
        address: the broker.
        window: most messages in flight; :meth:`publish` waits when it is full.
        patience_s: how long there may be no connection, or connections that break before anything is acknowledged,
            until :class:`BrokerUnavailable` is raised.
        account: the account to keep, if not one of its own.
        keepalive_s: how long the connection may be silent.
    """

    def __init__(
        self, address: Address, *, window: int = 200, patience_s: float = 60.0, account: Account | None = None,
        keepalive_s: int = 15,
    ) -> None:  # fmt: skip
        self.account = account or Account()
        self._address = address
        self._window = window
        self._patience_s = patience_s
        self._keepalive_s = keepalive_s
        self._unacknowledged: dict[int, _Message] = {}
        self._sends: dict[int, asyncio.Task[None]] = {}
        self._next_unsent = 0
        self._client: aiomqtt.Client | None = None
        self._progress_at = 0.0
        self._failure: BrokerUnavailable | ValueError | None = None
        self._connected = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._room.set()
        self._idle.set()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailable: not within ``patience_s``, or refused (user, password).
        """
        self._keeper = asyncio.create_task(self._keep_connected(), name=f"publisher {self._address.client_id}")
        self._keeper.add_done_callback(lambda _: self._wake_all())
        try:
            await self._wait(self._connected)
        except BaseException:
            await _ended(self._keeper)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.drain()
        finally:
            if self._keeper is not None:
                await _ended(self._keeper)

    async def publish(self, topic: str, payload: bytes, devices: Sequence[str]) -> None:
        """Take one message over: returns when there is room for it in the window, not when it is acknowledged.

        Args:
            topic: the MQTT topic.
            payload: the bytes; the same for every repetition.
            devices: the device of each reading in ``payload``, for the account.

        Raises:
            BrokerUnavailable: nothing could be delivered for ``patience_s``.
            ValueError: an earlier message was no MQTT message (topic empty or with a wildcard, payload too long).
        """
        await self._wait(self._room)
        while len(self._unacknowledged) >= self._window:  # several may have waited for one place
            await self._wait(self._room)
        if not self._unacknowledged:
            self._progress_at = asyncio.get_running_loop().time()
        number = self.account.messages
        self.account.messages += 1
        self.account.readings += len(devices)
        self.account.devices.update(devices)
        self._unacknowledged[number] = _Message(topic, payload, len(devices))
        self._idle.clear()
        if len(self._unacknowledged) >= self._window:
            self._room.clear()
        if self._client is not None:
            self._start(self._client, number)

    def check(self) -> None:
        """Raise what :meth:`publish` would raise, without publishing."""
        if self._failure:
            raise self._failure
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()  # it never ends by itself: raise what ended it

    async def drain(self) -> None:
        """Wait until everything handed over is acknowledged; raises as :meth:`publish` does."""
        await self._wait(self._idle)

    async def _wait(self, event: asyncio.Event) -> None:
        await event.wait()
        self.check()

    def _start(self, client: aiomqtt.Client, number: int) -> None:
        # Tasks start in the order they are made and reach paho's queue before their first await: order is kept.
        self._next_unsent = max(self._next_unsent, number + 1)
        self._sends[number] = asyncio.create_task(self._send(client, number))

    async def _send(self, client: aiomqtt.Client, number: int) -> None:
        message = self._unacknowledged[number]
        try:
            await client.publish(message.topic, message.payload, qos=1, timeout=math.inf)
        except aiomqtt.MqttError:
            return  # the connection broke: the keeper hears of it too and publishes it again
        except ValueError as error:
            self._failure = error
            self._wake_all()
            return
        finally:
            self._sends.pop(number, None)
        self._progress_at = asyncio.get_running_loop().time()
        del self._unacknowledged[number]
        self.account.messages_acknowledged += 1
        self.account.readings_acknowledged += message.readings
        self._room.set()
        if not self._unacknowledged:
            self._idle.set()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        waits, progress_at = backoff(), loop.time()
        self._progress_at = progress_at
        while True:
            try:
                async with self._new_client() as client:
                    await self._serve(client)
            except aiomqtt.MqttError as error:
                if self._is_hopeless(error, loop.time()):
                    self._fail(error)
                    return
                _log.info("no connection to the broker: %s", error)
            finally:
                await self._stop_sends()
            if self._progress_at > progress_at:
                # A broker that lets us in and throws us out again must not be hammered: only progress resets it.
                waits, progress_at = backoff(), self._progress_at
            await asyncio.sleep(next(waits))

    def _is_hopeless(self, error: aiomqtt.MqttError, now: float) -> bool:
        if isinstance(error, MqttConnectError) and not self._connected.is_set():
            return True  # refused from the start: waiting does not mend a password
        was_idle = self._client is not None and not self._unacknowledged
        if was_idle:
            self._progress_at = now
        return now - self._progress_at > self._patience_s

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Publish what is unacknowledged again, then stay until the connection breaks."""
        self.account.connections += 1
        self.account.messages_repeated += sum(number < self._next_unsent for number in self._unacknowledged)
        self._client = client
        for number in self._unacknowledged:
            self._start(client, number)
        self._connected.set()
        # Nothing is subscribed. Waiting for messages is how aiomqtt tells, by MqttError, that the connection broke.
        async for _ in client.messages:
            pass

    async def _stop_sends(self) -> None:
        self._client = None
        sends = list(self._sends.values())
        for send in sends:
            send.cancel()
        await asyncio.gather(*sends, return_exceptions=True)
        # One that was cancelled before it ran never reached its own clean-up.
        self._sends.clear()

    def _fail(self, error: aiomqtt.MqttError) -> None:
        address = self._address
        self._failure = BrokerUnavailable(f"{address.host}:{address.port} ({address.client_id}): {error}")
        self._wake_all()

    def _wake_all(self) -> None:
        for event in (self._connected, self._room, self._idle):
            event.set()

    def _new_client(self) -> aiomqtt.Client:
        # A new one each time: an old one would repeat on its own what it remembers, in an order of its own.
        address = self._address
        client = aiomqtt.Client(
            address.host, address.port, identifier=address.client_id, username=address.username,
            password=address.password, clean_session=True, max_inflight_messages=self._window, keepalive=self._keepalive_s,
        )  # fmt: skip
        client.pending_calls_threshold = self._window + 1
        return client


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel ``task`` and wait for its end; what it ended by is raised.

    Asked again while it goes on: ``wait_for`` of Python 3.11, in which aiomqtt waits, loses a cancellation that comes in
    the same moment as what it waits for.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_ASK_AGAIN_S)
    if not task.cancelled():
        task.result()

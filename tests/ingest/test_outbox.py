"""What is said to gateways, over a real nats-server and a real Mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiomqtt
import pytest

from gridwarden.broker import EmbeddedBroker, probe
from gridwarden.config import Broker
from ingest import outbox as module
from ingest.outbox import LIMIT, Outbox

TOPIC = "gridwarden/v1/gw1/errors"
pytestmark = pytest.mark.process


@dataclass
class Place:
    """A broker, and a gateway's account there."""

    connection: Broker
    user: str | None = None
    password: str | None = None

    def gateway(self) -> aiomqtt.Client:
        return aiomqtt.Client(self.connection.host, self.connection.port, username=self.user, password=self.password)


@pytest.fixture(params=["nats", "mosquitto-3.1.1", "mosquitto-5"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "nats":
        broker: EmbeddedBroker = request.getfixturevalue("broker")
        return Place(broker.connection(), *broker.credentials("gw1"))
    server = request.getfixturevalue("mosquitto")
    return Place(server.connection(request.param.removeprefix("mosquitto-")))


@contextlib.asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        task.cancel()
        assert [type(one) for one in await asyncio.gather(task, return_exceptions=True)] == [asyncio.CancelledError]


async def test_a_gateway_hears_what_is_said_to_it_and_nothing_is_retained(place: Place, until: Any) -> None:
    outbox = Outbox(place.connection)
    async with running(outbox), place.gateway() as gateway:
        await gateway.subscribe(TOPIC, qos=1)
        for number in range(100):
            outbox.put(TOPIC, str(number).encode())
        async with asyncio.timeout(20):
            heard = [(await anext(gateway.messages)) for _ in range(100)]
        assert [message.payload for message in heard] == [str(number).encode() for number in range(100)]
        assert {(message.qos, message.retain) for message in heard} == {(1, False)}
        await until(lambda: outbox.told == 100)
    assert outbox.lost == 0


async def test_with_nothing_to_say_there_is_no_connection(
    place: Place, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.05)
    outbox = Outbox(place.connection)
    async with running(outbox):
        for told in (1, 2):
            outbox.put(TOPIC, b"x")
            await until(lambda told=told: outbox.told == told)
            await asyncio.sleep(0.2)
    assert (outbox.told, outbox.lost) == (2, 0)


@pytest.fixture
def unused_port() -> int:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def test_a_broker_that_is_away_costs_no_more_than_what_may_wait(unused_port: int) -> None:
    outbox = Outbox(Broker(name="away", host="127.0.0.1", port=unused_port))
    async with running(outbox):
        for number in range(LIMIT + 7):
            outbox.put(TOPIC, str(number).encode())
        await asyncio.sleep(0.1)
    assert (outbox.told, outbox.lost) == (0, 7)


async def test_what_a_connection_takes_along_is_counted_and_the_next_one_goes_on(
    broker: EmbeddedBroker, until: Any
) -> None:
    outbox = Outbox(broker.connection())
    async with running(outbox):
        outbox.put("gridwarden/v1/a b/errors", b"nats takes no space in a topic, and ends the connection")
        await until(lambda: outbox.lost == 1)
        outbox.put(TOPIC, b"x")
        await until(lambda: outbox.told == 1)


async def test_who_never_listens_costs_the_broker_nothing(broker: EmbeddedBroker, until: Any) -> None:
    outbox = Outbox(broker.connection())
    async with running(outbox):
        outbox.put(TOPIC, b"x")
        await until(lambda: outbox.told == 1)
        before = await broker.store()  # with the session of the connection itself
        for number in range(500):
            outbox.put(f"gridwarden/v1/gw{number}/errors", b"x" * 1000)
        await until(lambda: outbox.told == 501)
        after = await broker.store()
    assert before is not None
    assert after is not None
    assert (after["messages"], after["bytes"]) == (before["messages"], before["bytes"])


async def test_the_ingester_may_say_nothing_else(broker: EmbeddedBroker, until: Any) -> None:
    outbox = Outbox(broker.connection())
    user, password = broker.credentials("gw1")
    async with (
        running(outbox),
        aiomqtt.Client(broker.host, broker.mqtt_port, username=user, password=password) as gateway,
    ):
        await gateway.subscribe("gridwarden/v1/gw1/down", qos=1)
        await gateway.subscribe(TOPIC, qos=1)
        outbox.put("gridwarden/v1/gw1/down", b"open the door")
        outbox.put("gridwarden/v1/gw1/up", b"forged")
        outbox.put(TOPIC, b"allowed")
        async with asyncio.timeout(20):
            assert (await anext(gateway.messages)).payload == b"allowed"
    assert await probe.monitor(broker.monitor_port, "/healthz") is not None

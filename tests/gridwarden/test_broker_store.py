"""What waits in a real nats-server, and the window of its subscriptions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gridwarden.broker import EmbeddedBroker, config_file, consumers, store, stream
from gridwarden.config import Embedded
from gridwarden.errors import BrokerUnavailable

pytestmark = pytest.mark.process
SETTINGS = Embedded(mqtt_port=0, gateways=("gw1",), store_bytes=256 * 2**20)


def client(broker: EmbeddedBroker, user: str, **options: Any) -> aiomqtt.Client:
    name, password = broker.credentials(user)
    settings = {"identifier": f"{user}-client", "timeout": 10} | options
    return aiomqtt.Client(broker.host, broker.mqtt_port, username=name, password=password, **settings)


async def subscribe(broker: EmbeddedBroker) -> None:
    """A session for telemetry and one for alarms, left at once."""
    for lane in ("up", "alarm"):
        async with client(broker, "ingester", identifier=f"ours-{lane}", clean_session=False) as session:
            await session.subscribe(f"gridwarden/v1/+/{lane}", qos=1)


async def publish(broker: EmbeddedBroker, count: int, size: int) -> None:
    async with client(broker, "gw1") as gateway:
        for _ in range(count):
            await gateway.publish("gridwarden/v1/gw1/up", b"x" * size, qos=1)


async def configs(broker: EmbeddedBroker) -> list[dict[str, Any]]:
    async with stream.connected(broker.client_port, *broker.credentials("supervisor")) as connection:
        page = await stream.ask(connection, f"CONSUMER.LIST.{stream.STREAM}", b"{}")
    return [one["config"] for one in page["consumers"]]


async def windows(broker: EmbeddedBroker) -> set[int]:
    return {config["max_ack_pending"] for config in await configs(broker)}


async def has_window(broker: EmbeddedBroker, wanted: int) -> None:
    async with asyncio.timeout(60):
        while await windows(broker) != {wanted}:  # noqa: ASYNC110 - another process has it
            await asyncio.sleep(0.05)


async def test_subscriptions_of_an_older_installation_get_what_is_in_force_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(config_file, "MAX_ACK_PENDING", 20_000)
        older.setattr(store, "MAX_ACK_PENDING", 20_000)
        older.setattr(config_file, "ACK_WAIT_S", 5)
        older.setattr(store.Window, "look", lambda *_: 20_000)
        older.setattr(consumers, "ACK_WAIT_S", 5)
        async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
            await subscribe(broker)
            assert await windows(broker) == {20_000}
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        found = await configs(broker)
        assert [one["max_ack_pending"] for one in found] == [config_file.MAX_ACK_PENDING] * 2
        assert [one["ack_wait"] for one in found] == [config_file.ACK_WAIT_S * 10**9] * 2
        assert {one["filter_subject"] for one in found} == {
            f"$MQTT.msgs.gridwarden.v1.*.{lane}" for lane in ("up", "alarm")
        }


async def test_the_window_shrinks_while_large_messages_wait(tmp_path: Path) -> None:
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        await subscribe(broker)
        await publish(broker, 120, 40_000)

        await has_window(broker, 125)
        async with client(broker, "ingester", identifier="another", clean_session=False) as session:
            await session.subscribe("gridwarden/v1/+/+", qos=1)
        await has_window(broker, 125)  # the new one as well

        user, password = broker.credentials("supervisor")
        assert await consumers.enforce(broker.client_port, user, password, 125) == 0
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        assert await windows(broker) == {125}, "before the first message goes out"


async def test_it_does_not_start_with_another_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the server took the update and did not keep it."""
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        await subscribe(broker)
    real = stream.ask

    async def forgetful(connection: Any, what: str, body: bytes) -> dict[str, Any]:
        if what.startswith("CONSUMER.DURABLE.CREATE"):
            body = json.dumps(
                json.loads(body) | {"config": json.loads(body)["config"] | {"max_ack_pending": 7}}
            ).encode()
        return await real(connection, what, body)

    monkeypatch.setattr(consumers, "ask", forgetful)
    monkeypatch.setattr(store.Window, "look", lambda *_: 500)
    broker = EmbeddedBroker(SETTINGS, tmp_path)
    with pytest.raises(BrokerUnavailable, match="does not keep the window"):
        await broker.__aenter__()
    assert broker.pid is None

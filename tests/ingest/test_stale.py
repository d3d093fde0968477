"""What a broker keeps for sessions that nobody comes back to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiomqtt
import nats
import pytest

from gridwarden.broker import EmbeddedBroker
from gridwarden.config import Broker
from gridwarden.errors import ConfigError
from ingest.mqtt import PahoSession, client_ids
from ingest.session import Lane
from ingest.stale import forget_stale


async def leave_a_session(connection: Broker, topic_filter: str, until: Any) -> None:
    session = PahoSession(connection, topic_filter, Lane.TELEMETRY, asyncio.Event())
    task = asyncio.create_task(session.run())
    await until(lambda: session.connected)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def waiting(broker: EmbeddedBroker) -> int:
    """Messages that the broker keeps for its sessions."""
    user, password = broker.credentials("supervisor")
    client = await nats.connect(f"nats://127.0.0.1:{broker.client_port}", user=user, password=password)
    try:
        reply = await client.request("$JS.API.STREAM.INFO.$MQTT_msgs", b"")
    finally:
        await client.close()
    messages: int = json.loads(reply.data)["state"]["messages"]
    return messages


@pytest.mark.process
async def test_a_filter_taken_out_takes_what_waits_for_it_along(
    broker: EmbeddedBroker, tmp_path: Path, until: Any
) -> None:
    file = tmp_path / "sessions.json"
    old = broker.connection().model_copy(update={"telemetry": ("gridwarden/v1/gw1/up", "gridwarden/v1/gw2/up")})
    new = old.model_copy(update={"telemetry": ("gridwarden/v1/gw2/up",)})
    for topic_filter in old.telemetry:
        await leave_a_session(old, topic_filter, until)
    assert await forget_stale(file, [old]) == []
    user, password = broker.credentials("gw1")
    async with aiomqtt.Client(broker.host, broker.mqtt_port, username=user, password=password) as gateway:
        await gateway.publish("gridwarden/v1/gw1/up", "nobody takes this", qos=1)
    assert await waiting(broker) == 1

    assert await forget_stale(file, [new]) == [one for one in client_ids(old) if one not in client_ids(new)]
    async with asyncio.timeout(10):
        while await waiting(broker):  # noqa: ASYNC110 the broker tells nobody
            await asyncio.sleep(0.02)
    assert await forget_stale(file, [new]) == []


@pytest.mark.process
@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_the_broker_has_forgotten_it(mosquitto: Any, tmp_path: Path, until: Any, version: str) -> None:
    old = mosquitto.connection(version, telemetry=("a", "b"))
    await leave_a_session(old, "a", until)
    await forget_stale(tmp_path / "sessions.json", [old])
    await forget_stale(tmp_path / "sessions.json", [mosquitto.connection(version, telemetry=("b",))])
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as gateway:
        await gateway.publish("a", "1", qos=1)

    session = PahoSession(old, "a", Lane.TELEMETRY, asyncio.Event())
    task = asyncio.create_task(session.run())
    await until(lambda: session.connected)
    assert session.waiting == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_that_cannot_be_ended_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "sessions.json"
    down = Broker(name="down", host="127.0.0.1", port=1, telemetry=("a",), alarm=())
    file.write_text(json.dumps({"down": ["gone"]}))

    assert await forget_stale(file, [down]) == []
    assert json.loads(file.read_text())["down"] == [*client_ids(down), "gone"]


async def test_a_file_that_is_not_ours_is_named(tmp_path: Path) -> None:
    file = tmp_path / "sessions.json"
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"sessions\.json"):
        await forget_stale(file, [])

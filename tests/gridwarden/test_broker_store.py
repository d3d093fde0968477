"""What waits in a real nats-server, and the window of its subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gridwarden.broker import EmbeddedBroker, config_file, consumers, mark, store, stream
from gridwarden.config import Embedded
from gridwarden.errors import BrokerUnavailable
from simulators.raw_mqtt import connected, publish_packet

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


# -- damage ----------------------------------------------------------------------------------------------------------

COUNT = 3_000
SIZE = 4_000
"""Three blocks of the store."""


async def fill(tmp_path: Path) -> None:
    """A session that is away, ``COUNT`` messages that wait for it, and a broker ended in order."""
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        await subscribe(broker)
        user, password = broker.credentials("gw1")
        async with connected(broker.host, broker.mqtt_port, "gw1", user, password) as gateway:
            for number in range(COUNT):
                gateway.write(publish_packet("gridwarden/v1/gw1/up", b"%06d" % number + bytes(SIZE), number))
                await gateway.until(lambda number=number: number - gateway.acknowledged < 500)
            await gateway.until(lambda: gateway.acknowledged == COUNT)


def stream_folder(tmp_path: Path) -> Path:
    return tmp_path / "broker" / "js" / "jetstream" / "$G" / "streams" / stream.STREAM


def blocks(tmp_path: Path) -> list[Path]:
    found = (block for block in (stream_folder(tmp_path) / "msgs").glob("*.blk") if block.stat().st_size)
    return sorted(found, key=lambda block: int(block.stem))


def truncate(block: Path) -> None:
    os.truncate(block, block.stat().st_size // 2)


def overwrite(block: Path) -> None:
    with block.open("r+b") as file:
        file.seek(block.stat().st_size // 2)
        file.write(bytes(range(256)) * 16)


async def come(broker: EmbeddedBroker, wanted: int) -> set[int]:
    """What the session gets that comes back; ``wanted`` messages are waited for, and none beyond them."""
    came: set[int] = set()
    async with client(broker, "ingester", identifier="ours-up", clean_session=False) as session:
        await session.subscribe("gridwarden/v1/+/up", qos=1)
        messages = aiter(session.messages)
        async with asyncio.timeout(60):
            while len(came) < wanted:
                came.add(int(bytes((await anext(messages)).payload)[:6]))
    return came


async def waiting(broker: EmbeddedBroker) -> int:
    state = await store.look(broker.monitor_port)
    assert state is not None
    return state.messages


@pytest.mark.parametrize(
    ("damage", "which"),
    [
        (truncate, 0),
        (truncate, -1),
        (overwrite, 0),
        (overwrite, 1),
        (overwrite, -1),
        (Path.unlink, 0),
        (Path.unlink, -1),
    ],
)
async def test_what_a_damaged_store_has_lost_is_stated_exactly(
    damage: Callable[[Path], None], which: int, tmp_path: Path
) -> None:
    await fill(tmp_path)
    damage(blocks(tmp_path)[which])
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        (loss,) = mark.losses(tmp_path / "broker")
        assert 0 < loss["at_least"] == loss["at_most"] < COUNT
        assert len(await come(broker, COUNT - loss["at_most"])) == COUNT - loss["at_most"]
    async with EmbeddedBroker(SETTINGS, tmp_path):
        assert len(mark.losses(tmp_path / "broker")) == 1, "stated once"


async def test_a_store_that_is_gone_is_stated(tmp_path: Path) -> None:
    await fill(tmp_path)
    shutil.rmtree(stream_folder(tmp_path))
    for _ in range(2):
        async with EmbeddedBroker(SETTINGS, tmp_path):
            (loss,) = mark.losses(tmp_path / "broker")
            assert loss["at_least"] == loss["at_most"] == COUNT


def as_if_the_power_had_been_cut(tmp_path: Path) -> None:
    known = mark.load(tmp_path / "broker")
    assert known is not None
    assert known.clean
    mark.save(tmp_path / "broker", replace(known, clean=False))
    (stream_folder(tmp_path) / "msgs" / "index.db").unlink()


async def test_a_killed_broker_has_lost_nothing_and_states_nothing_but_a_shorter_store_is_stated(
    tmp_path: Path,
) -> None:
    await fill(tmp_path)
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        os.kill(broker.pid or 0, signal.SIGKILL)
        async with asyncio.timeout(60):
            while broker.restarts == 0:  # noqa: ASYNC110 - a counter
                await asyncio.sleep(0.02)
        assert mark.losses(tmp_path / "broker") == []
    as_if_the_power_had_been_cut(tmp_path)
    truncate(blocks(tmp_path)[-1])
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        (loss,) = mark.losses(tmp_path / "broker")
        assert loss["at_least"] == 0
        assert loss["at_most"] == COUNT - await waiting(broker) > 0


async def test_what_comes_after_numbers_were_lost_is_delivered(tmp_path: Path) -> None:
    """A subscription that has acknowledged numbers which are given anew."""
    await fill(tmp_path)
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        await come(broker, COUNT)
    as_if_the_power_had_been_cut(tmp_path)
    truncate(blocks(tmp_path)[-1])
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        state = await store.look(broker.monitor_port)
        assert state is not None
        assert state.last_seq < COUNT
        async with client(broker, "gw1") as gateway:
            for number in range(3):
                await gateway.publish("gridwarden/v1/gw1/up", f"{number:06}", qos=1)
        assert await come(broker, 3) == {0, 1, 2}


@pytest.mark.parametrize(("file", "made_again"), [("o.dat", 2), ("meta.inf", 2), ("meta.sum", 0)])
async def test_a_subscription_that_cannot_be_read_is_made_again_and_loses_nothing(
    file: str, made_again: int, tmp_path: Path
) -> None:
    """Without that nats-server acknowledges what is published, and keeps it for nobody."""
    await fill(tmp_path)
    found = list((stream_folder(tmp_path) / "obs").glob(f"*/{file}"))
    assert len(found) == 2
    for one in found:
        one.write_bytes(b"damaged")
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        async with client(broker, "gw1") as gateway:
            await gateway.publish("gridwarden/v1/gw1/up", f"{COUNT:06}", qos=1)
        assert await come(broker, COUNT + 1) == set(range(COUNT + 1))
        assert mark.losses(tmp_path / "broker") == []
        assert len(list((tmp_path / "broker" / "damaged").glob("*"))) == made_again
        assert await windows(broker) == {config_file.MAX_ACK_PENDING // 2}


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
@pytest.mark.parametrize("file", ["meta.inf", "meta.sum"])
async def test_a_stream_that_cannot_be_read_is_said_and_not_begun_anew(
    file: str, damage: Callable[[Path], object], tmp_path: Path
) -> None:
    await fill(tmp_path)
    whole = (stream_folder(tmp_path) / file).read_bytes()
    damage(stream_folder(tmp_path) / file)
    with pytest.raises(BrokerUnavailable, match=r"(?i)stream (metafile|checksum file)"):
        await EmbeddedBroker(SETTINGS, tmp_path).__aenter__()
    (stream_folder(tmp_path) / file).write_bytes(whole)
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        assert len(await come(broker, COUNT)) == COUNT


async def test_a_full_store_refuses_alarms_too_and_deletes_nothing(tmp_path: Path) -> None:
    async with EmbeddedBroker(SETTINGS.model_copy(update={"store_bytes": 64 * 2**20}), tmp_path) as broker:
        await subscribe(broker)
        user, password = broker.credentials("gw1")
        acknowledged = 0
        with contextlib.suppress(BrokerUnavailable):
            async with connected(broker.host, broker.mqtt_port, "gw1", user, password) as gateway:
                for number in range(2_000):
                    gateway.write(publish_packet("gridwarden/v1/gw1/up", bytes(40_000), number))
                    await gateway.until(lambda number=number: gateway.acknowledged > number)
                    acknowledged += 1
        assert 1_000 < acknowledged < 1_300
        async with connected(broker.host, broker.mqtt_port, "gw1-alarm", user, password) as alarms:
            alarms.write(publish_packet("gridwarden/v1/gw1/alarm", bytes(40_000), 0))
            with pytest.raises(BrokerUnavailable):
                await alarms.until(lambda: alarms.acknowledged > 0)
        assert await waiting(broker) == acknowledged

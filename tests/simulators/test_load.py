"""Load against the real broker: what arrives is what was published, each once."""

import asyncio
import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiomqtt
import pytest

from gridwarden.errors import BrokerUnavailable
from simulators import load
from simulators.load import Load, Plan, Templates
from simulators.raw_mqtt import Connection, connected

if TYPE_CHECKING:
    from tests.simulators.conftest import NatsServer, ScriptedBroker

LIFTS, GATEWAYS = 30, 7


def _plan(port: int, **values: object) -> Plan:
    known = {"host": "127.0.0.1", "port": port, "client_id": "load", "lifts": LIFTS, "gateways": GATEWAYS}
    return Plan.model_validate(known | values)


async def _published(plan: Plan, count: int) -> load.Account:
    async with asyncio.timeout(20), connected(plan.host, plan.port, plan.client_id) as connection:
        made = Load(plan, connection)
        made.limit = count
        running = asyncio.create_task(made.run())
        await _until(lambda: running.done() or connection.acknowledged >= count)
        made.stopped = True
        connection.stirred.set()
        return await running


async def _until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_arrives_is_what_was_published_each_once(nats_server: "NatsServer") -> None:
    count = 1_234
    got: list[tuple[str, dict[str, object]]] = []
    async with asyncio.timeout(30), aiomqtt.Client("127.0.0.1", nats_server.port, identifier="judge") as client:
        await client.subscribe("gridwarden/v1/+/up", qos=1)
        account = await _published(_plan(nats_server.port, first=500), count)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            got.append((str(message.topic), json.loads(message.payload)))
            if len(got) == count:
                break
    assert (account.published, account.acknowledged, account.done) == (count, count, True)
    assert sorted(body["seq"] for _, body in got) == [1_000_000_500 + n for n in range(count)]
    for topic, body in got:
        number = int(str(body["device"]).removeprefix("LIFT-"))
        assert topic == load.topic_of(number, GATEWAYS)
        assert isinstance(body["values"], dict)
    assert {str(body["device"]) for _, body in got} == {load.lift_id(n) for n in range(LIFTS)}


async def test_the_window_bounds_what_is_in_flight(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.acknowledges = lambda number: number < 100
    async with connected("127.0.0.1", scripted_broker.port, "load") as connection:
        made = Load(_plan(scripted_broker.port, window=250), connection)
        made.limit = 10_000
        running = asyncio.create_task(made.run())
        await _until(lambda: connection.acknowledged == 100 and len(scripted_broker.received) >= 300)
        for _ in range(20):
            await asyncio.sleep(0)
        assert made.account.published - connection.acknowledged <= 250
        running.cancel()


async def test_the_limit_holds_until_it_is_raised(scripted_broker: "ScriptedBroker") -> None:
    async with connected("127.0.0.1", scripted_broker.port, "load") as connection:
        made = Load(_plan(scripted_broker.port), connection)
        made.limit = 30
        running = asyncio.create_task(made.run())
        await _until(lambda: connection.acknowledged == 30)
        assert made.account.published == 30
        made.limit = 70
        connection.stirred.set()
        await _until(lambda: connection.acknowledged == 70)
        made.stopped = True
        connection.stirred.set()
        await running
    assert len(scripted_broker.received) == 70


async def test_a_rate_gives_as_many_as_the_time_asks_for() -> None:
    made = Load(_plan(1, rate=200.0, window=500), Connection())
    made.limit = 10_000
    assert made._due(0.0) == 0
    assert made._due(0.1) == 20
    made.account.published = 15
    assert made._due(0.1) == 5
    assert made._due(10.0) == load.CHUNK


async def test_a_broken_connection_is_an_error(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.cuts = lambda number: number == 50
    with pytest.raises(BrokerUnavailable, match="connection lost"):
        await _published(_plan(scripted_broker.port), 200)


def test_all_packets_have_their_places_where_the_first_has_them() -> None:
    templates = Templates(LIFTS, GATEWAYS)
    packets = templates.packets(0, 4 * LIFTS, 1_800_000_000_123)
    bodies = [json.loads(found) for found in re.findall(rb'\{"device".*?\}\}', packets)]
    assert [body["seq"] for body in bodies] == [1_000_000_000 + n for n in range(4 * LIFTS)]
    assert {body["at"] for body in bodies} == {1_800_000_000_123}
    assert [body["device"] for body in bodies[:LIFTS]] == [load.lift_id(n) for n in range(LIFTS)]
    assert bodies[0]["values"] != bodies[LIFTS]["values"]


async def test_as_a_process_it_is_told_and_tells(nats_server: "NatsServer") -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    async with asyncio.timeout(20):
        process.stdin.write(_plan(nats_server.port).model_dump_json().encode() + b"\n350\n")
        account: dict[str, object] = {}
        while account.get("acknowledged") != 350:
            account = json.loads(await process.stdout.readline())
        process.stdin.close()
        told = (await process.stdout.read()).splitlines()
        assert await process.wait() == 0
    last = json.loads(told[-1])
    assert (last["published"], last["acknowledged"], last["done"]) == (350, 350, True)

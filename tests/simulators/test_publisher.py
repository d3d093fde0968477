import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest

from gridwarden.errors import BrokerUnavailable
from simulators.publisher import Address, Publisher, _ended, backoff

if TYPE_CHECKING:
    from tests.simulators.conftest import NatsServer, ScriptedBroker

TOPIC = "gridwarden/v1/gw/up"


def _address(port: int) -> Address:
    return Address(port=port, client_id="test-publisher")


@contextlib.asynccontextmanager
async def _publishing(port: int, **options: Any) -> AsyncIterator[Publisher]:
    """A publisher that may not hang: a message that is never acknowledged ends the test."""
    async with asyncio.timeout(20), Publisher(_address(port), **options) as publisher:
        yield publisher


async def _publish(publisher: Publisher, numbers: range) -> None:
    for number in numbers:
        await publisher.publish(TOPIC, b"%d" % number, [f"DEV-{number % 3}"])


async def test_keeps_an_account_of_what_was_acknowledged(scripted_broker: "ScriptedBroker") -> None:
    async with _publishing(scripted_broker.port) as publisher:
        await _publish(publisher, range(10))
        await publisher.publish(TOPIC, b"[]", ["DEV-0", "DEV-0"])
    account = publisher.account
    assert (account.messages, account.readings) == (11, 12)
    assert (account.messages_acknowledged, account.readings_acknowledged) == (11, 12)
    assert account.devices == {"DEV-0": 6, "DEV-1": 3, "DEV-2": 3}
    assert account.messages_repeated == 0
    assert scripted_broker.client_ids == ["test-publisher"]


async def test_repeats_in_order_what_a_broken_connection_left_unacknowledged(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.acknowledges = lambda number: number < 5 or number >= 12
    scripted_broker.cuts = lambda number: number == 11
    async with _publishing(scripted_broker.port) as publisher:
        await _publish(publisher, range(40))
    sent = [int(payload) for _, payload in scripted_broker.received]
    assert sent[:12] == list(range(12))
    assert sent[12:] == list(range(5, 40))
    assert publisher.account.messages_acknowledged == 40
    assert publisher.account.messages_repeated == 40 - 5
    assert publisher.account.connections == 2


async def test_survives_many_breaks_without_losing_or_reordering(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.cuts = lambda number: number % 97 == 96
    scripted_broker.acknowledges = lambda number: number % 97 < 60 or number > 600
    async with _publishing(scripted_broker.port, window=50) as publisher:
        await _publish(publisher, range(300))
    sent = [int(payload) for _, payload in scripted_broker.received]
    assert list(dict.fromkeys(sent)) == list(range(300))
    assert publisher.account.messages_acknowledged == 300


async def test_the_window_bounds_what_is_in_flight(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.acknowledges = lambda _: False
    publisher = Publisher(_address(scripted_broker.port), window=7)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), publisher:
            await _publish(publisher, range(100))
    assert publisher.account.messages == 7
    assert len(scripted_broker.received) == 7


async def test_says_at_once_that_the_broker_refuses(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.connack_code = 5
    with pytest.raises(BrokerUnavailable, match="test-publisher"):
        async with _publishing(scripted_broker.port):
            pytest.fail("was let in")


async def test_gives_up_when_nobody_listens(closed_port: int) -> None:
    with pytest.raises(BrokerUnavailable):
        async with _publishing(closed_port, patience_s=0.2):
            pytest.fail("connected")


async def test_gives_up_on_a_broker_that_takes_nothing(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.acknowledges = lambda _: False
    scripted_broker.cuts = lambda _: True
    with pytest.raises(BrokerUnavailable):
        async with _publishing(scripted_broker.port, patience_s=0.3) as publisher:
            await _publish(publisher, range(3))
    assert publisher.account.messages_acknowledged == 0


async def test_says_that_a_message_is_none(scripted_broker: "ScriptedBroker") -> None:
    with pytest.raises(ValueError, match="Publish topic cannot contain wildcards"):
        async with _publishing(scripted_broker.port) as publisher:
            await publisher.publish("gridwarden/v1/+/up", b"", [])


async def test_an_exception_leaves_without_waiting(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.acknowledges = lambda _: False

    async def fail_halfway() -> None:
        async with _publishing(scripted_broker.port) as publisher:
            await _publish(publisher, range(3))
            raise LookupError

    with pytest.raises(LookupError):
        await fail_halfway()


async def test_a_lost_cancellation_is_asked_for_again() -> None:
    """``wait_for`` of Python 3.11 swallows one that comes as its future is done; the end must not wait for ever."""
    heard = 0

    async def deaf_at_first() -> None:
        nonlocal heard
        while heard < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1
        raise asyncio.CancelledError

    task = asyncio.create_task(deaf_at_first())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await _ended(task)
    assert heard == 3


def test_backoff_grows_to_its_cap() -> None:
    waits = list(itertools.islice(backoff(lambda _low, high: high), 9))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


@pytest.mark.process
async def test_nothing_is_lost_when_the_broker_is_killed(nats_server: "NatsServer") -> None:
    session = {"identifier": "reader", "clean_session": False}
    async with aiomqtt.Client("127.0.0.1", nats_server.port, **session) as reader:
        await reader.subscribe(TOPIC, qos=1)
    async with _publishing(nats_server.port) as publisher:
        await _publish(publisher, range(1000))
        await asyncio.to_thread(nats_server.kill)
        killed_at = publisher.account.messages_acknowledged
        more = asyncio.create_task(_publish(publisher, range(1000, 2000)))
        await asyncio.to_thread(nats_server.start)
        await more
    assert killed_at < 2000
    assert publisher.account.messages_acknowledged == 2000
    assert publisher.account.connections == 2
    seen: set[bytes] = set()
    async with asyncio.timeout(20), aiomqtt.Client("127.0.0.1", nats_server.port, **session) as reader:
        async for message in reader.messages:
            seen.add(message.payload)
            if len(seen) == 2000:
                break
    assert seen == {b"%d" % number for number in range(2000)}

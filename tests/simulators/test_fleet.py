import asyncio
import resource
from collections import Counter

import pytest

from gridwarden.errors import BrokerUnavailable, ConfigError
from simulators import fleet
from simulators.fleet import Fleet
from simulators.publisher import Account, Address
from simulators.world import registry
from tests.simulators.conftest import ScriptedBroker


def test_devices_are_dealt_out_evenly_and_neighbours_stay_together() -> None:
    devices = registry.devices()
    dealt = fleet.dealt(devices, 100)
    assert [device.device_id for device in dealt] == [device.device_id for device in devices]
    counted = Counter(device.gateway for device in dealt)
    assert (len(counted), set(counted.values())) == (100, {7})
    assert {device.device_id: device.gateway for device in dealt} == fleet.shares(devices, 100)
    kinds = {gateway: {device.kind for device in dealt if device.gateway == gateway} for gateway in counted}
    assert sum(len(found) > 1 for found in kinds.values()) <= 2


async def test_each_client_has_a_connection_and_one_for_alarms_when_it_needs_it(
    scripted_broker: ScriptedBroker,
) -> None:
    clients = {f"D-{n}": f"GW-{n % 50}" for n in range(100)}
    account = Account()
    address = Address(port=scripted_broker.port)
    async with asyncio.timeout(20), Fleet(clients, lambda _client: address, account) as gateways:
        assert gateways.connections == 50
        for number in range(300):
            await gateways.publish("gridwarden/v1/G/up", b"%d" % number, [f"D-{number % 100}"])
        await gateways.publish("gridwarden/v1/G/alarm", b"fire", ["D-7"])
        await gateways.drain()
        assert gateways.connections == 51
    assert (account.messages_acknowledged, account.connections) == (301, 51)
    assert sorted(scripted_broker.client_ids) == sorted([*(f"GW-{n}-up" for n in range(50)), "GW-7-alarm"])
    first = [int(payload) for _, payload in scripted_broker.received if payload.isdigit() and int(payload) % 50 == 7]
    assert first == sorted(first)


async def test_what_is_in_flight_is_bounded_for_all_of_them_together(
    scripted_broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "IN_FLIGHT", 10)
    scripted_broker.acknowledges = lambda _: False
    clients = {f"D-{n}": f"GW-{n}" for n in range(5)}
    account = Account()

    async def publish() -> None:
        async with (
            asyncio.timeout(1),
            Fleet(clients, lambda _: Address(port=scripted_broker.port), account) as gateways,
        ):
            for number in range(100):
                await gateways.publish("gridwarden/v1/G/up", b"", [f"D-{number % 5}"])

    with pytest.raises(TimeoutError):
        await publish()
    assert account.messages == 10


async def test_who_is_not_let_in_is_told(scripted_broker: ScriptedBroker) -> None:
    scripted_broker.connack_code = 5
    with pytest.raises(ExceptionGroup) as told:
        async with asyncio.timeout(20), Fleet({"D": "GW-1"}, lambda _: Address(port=scripted_broker.port), Account()):
            pytest.fail("was let in")
    assert told.group_contains(BrokerUnavailable, match="GW-1-up")


def test_the_system_must_allow_as_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (256, 1_000)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.update(now=wanted))
    fleet.allow_files(10)
    assert limits["now"] == (256, 1_000)
    fleet.allow_files(500)
    assert limits["now"] == (700, 1_000)
    with pytest.raises(ConfigError, match="2000 connections need 2200 open files, and this system allows 1000"):
        fleet.allow_files(2_000)

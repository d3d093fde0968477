"""The little of MQTT that measurements publish with, against a scripted broker."""

from typing import TYPE_CHECKING

import pytest

from gridwarden.errors import BrokerUnavailable
from simulators.raw_mqtt import Connection, connected, packet_id, publish_packet

if TYPE_CHECKING:
    from tests.simulators.conftest import ScriptedBroker


async def test_publishes_and_counts_what_is_acknowledged(scripted_broker: "ScriptedBroker") -> None:
    async with connected("127.0.0.1", scripted_broker.port, "raw", "user", "secret") as connection:
        for number in range(3):
            connection.write(publish_packet("gridwarden/v1/gw/up", b"%d" % number * 200, number))
        await connection.until(lambda: connection.acknowledged == 3)
    assert scripted_broker.client_ids == ["raw"]
    assert scripted_broker.received == [("gridwarden/v1/gw/up", b"%d" % number * 200) for number in range(3)]


async def test_a_broken_connection_is_an_error(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.cuts = lambda _: True
    scripted_broker.acknowledges = lambda _: False
    async with connected("127.0.0.1", scripted_broker.port, "raw") as connection:
        connection.write(publish_packet("t", b"x", 0))
        with pytest.raises(BrokerUnavailable, match="connection lost"):
            await connection.until(lambda: connection.acknowledged == 1)


async def test_a_refusal_is_an_error(scripted_broker: "ScriptedBroker") -> None:
    scripted_broker.connack_code = 5
    with pytest.raises(BrokerUnavailable, match="refused"):
        async with connected("127.0.0.1", scripted_broker.port, "raw", "somebody", "wrong"):
            pytest.fail("was let in")


async def test_nobody_there_is_an_error(closed_port: int) -> None:
    with pytest.raises(BrokerUnavailable):
        async with connected("127.0.0.1", closed_port, "raw"):
            pytest.fail("connected")


def test_acknowledgements_in_pieces_are_counted_once() -> None:
    connection = Connection()
    for piece in (b"\x20\x02", b"\x00\x00\x40", b"\x02\x00\x01\x40\x02", b"\x00\x02"):
        connection.data_received(piece)
    assert connection.acknowledged == 2
    connection.data_received(b"\x30\x02\x00\x03")
    assert connection.broken is not None


def test_packet_ids_are_never_zero_and_begin_again() -> None:
    assert packet_id(0) == b"\x00\x01"
    assert packet_id(59_999) == (60_000).to_bytes(2)
    assert packet_id(60_000) == b"\x00\x01"

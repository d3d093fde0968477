"""Sessions against a real nats-server and a real Mosquitto; an independent client publishes.

Where a broker's behaviour at one exact moment matters, a scripted peer speaks the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gridwarden.broker import EmbeddedBroker
from gridwarden.config import Broker, Embedded
from gridwarden.errors import BrokerUnavailable
from ingest import mqtt
from ingest.mqtt import PahoSession, client_id, sessions
from ingest.session import Lane, Message, Session

UP = "gridwarden/v1/+/up"
TOPIC = "gridwarden/v1/gw1/up"


@dataclass
class Site:
    """A broker as the ingester and a gateway see it."""

    connection: Broker
    restart: Callable[[], Awaitable[None]]
    user: str | None = None
    password: str | None = None

    async def publish(self, *payloads: str | bytes, topic: str = TOPIC, qos: int = 1) -> None:
        host, port = self.connection.host, self.connection.port
        async with aiomqtt.Client(host, port, username=self.user, password=self.password) as gateway:
            for payload in payloads:
                await gateway.publish(topic, payload, qos=qos)

    def session(self, topic_filter: str = UP, lane: Lane = Lane.TELEMETRY, **settings: Any) -> PahoSession:
        return PahoSession(self.connection.model_copy(update=settings), topic_filter, lane, asyncio.Event())


@pytest.fixture(params=["nats", "mosquitto-3.1.1", "mosquitto-5"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, until: Any) -> AsyncIterator[Site]:
    if request.param == "nats":
        async with EmbeddedBroker(Embedded(mqtt_port=0, gateways=("gw1",)), tmp_path) as broker:
            without_hold = broker.connection().model_copy(update={"hold_after_connect_s": 0.0})

            async def kill() -> None:
                restarts = broker.restarts
                os.kill(broker.pid or 0, signal.SIGKILL)
                await until(lambda: broker.restarts > restarts and broker.running)

            yield Site(without_hold, kill, *broker.credentials("gw1"))
        return
    server = request.getfixturevalue("mosquitto")

    async def restart() -> None:
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)

    yield Site(server.connection(request.param.removeprefix("mosquitto-")), restart)


@contextlib.asynccontextmanager
async def running(*ours: PahoSession, connected: bool = True) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(session.run(), name=session.name) for session in ours]
    try:
        async with asyncio.timeout(20):
            while connected and not all(session.connected for session in ours):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in ended] == [asyncio.CancelledError] * len(tasks)


def payloads(messages: list[Message]) -> list[bytes]:
    return [message.payload for message in messages]


# -- with real brokers ---------------------------------------------------------------------------------------------


@pytest.mark.process
async def test_messages_come_in_order_with_what_is_known_of_them(site: Site, until: Any) -> None:
    session = site.session()
    async with running(session):
        await site.publish(*(str(number) for number in range(50)))
        await until(lambda: session.waiting == 50)
        first, rest = session.take(20), session.take(2000)

        assert payloads(first + rest) == [str(number).encode() for number in range(50)]
        message = first[0]
        assert (message.topic, message.qos, message.connection) == (TOPIC, 1, 1)
        assert message.session is session
        assert type(message.payload) is bytes
        assert message.received_at_ms > 1_600_000_000_000
        assert (session.received, session.waiting, session.redelivered) == (50, 0, 0)
        assert session._arrived.is_set()


@pytest.mark.process
async def test_acknowledged_messages_do_not_come_again_the_others_do(site: Site, until: Any) -> None:
    before = site.session()
    async with running(before):
        await site.publish(*"abcd")
        await until(lambda: before.waiting == 4)
        before.acknowledge(before.take(2))
        before.take(1)  # c is taken and not stored, d is not even taken
    after = site.session()
    async with running(after):
        await site.publish("e")
        await until(lambda: after.waiting == 3)
        assert sorted(payloads(after.take(10))) == [b"c", b"d", b"e"]


@pytest.mark.process
async def test_what_comes_while_we_are_away_waits_for_us(site: Site, until: Any) -> None:
    async with running(site.session()):
        pass
    await site.publish(*"abc")
    session = site.session()
    async with running(session):
        await until(lambda: session.waiting == 3)
        assert payloads(session.take(10)) == [b"a", b"b", b"c"]


@pytest.mark.process
async def test_a_restart_of_the_broker_redelivers_what_was_not_acknowledged(site: Site, until: Any) -> None:
    session = site.session()
    async with running(session):
        await site.publish(*"abc")
        await until(lambda: session.waiting == 3)
        acknowledged, stale = session.take(1), session.take(1)
        session.acknowledge(acknowledged)
        await asyncio.sleep(0.2)  # an acknowledgement sent in the moment of a kill may be lost
        await site.restart()
        await until(lambda: session.connected and session.waiting == 2)

        session.acknowledge(stale)  # of the connection before: must not acknowledge another message under its id
        again = session.take(10)
        assert sorted(payloads(again)) == [b"b", b"c"]
        assert {message.connection for message in again} == {session.connection}
        session.acknowledge(again)
        assert session._held == {}


@pytest.mark.process
async def test_qos_0_is_delivered_counted_and_never_acknowledged(site: Site, until: Any) -> None:
    session = site.session()
    async with running(session):
        await site.publish("a", "b", qos=0)
        await until(lambda: session.waiting == 2)
        messages = session.take(10)
        session.acknowledge(messages)
        assert [(message.qos, message.packet_id) for message in messages] == [(0, 0), (0, 0)]
        assert session.not_covered == 2


@pytest.mark.process
async def test_many_messages_at_once_come_complete(site: Site, until: Any) -> None:
    session = site.session()
    came: list[bytes] = []

    def drain() -> bool:
        messages = session.take(500)
        session.acknowledge(messages)
        came.extend(payloads(messages))
        return len(came) >= 3000

    async with running(session):
        publishing = asyncio.create_task(site.publish(*(f"{number}:{'x' * (number % 700)}" for number in range(3000))))
        await until(drain)
        await publishing
    assert [int(payload.partition(b":")[0]) for payload in came] == list(range(3000))
    assert session.redelivered == 0


@pytest.mark.process
async def test_a_stalled_reader_neither_loses_nor_grows_beyond_its_bound(mosquitto: Any, until: Any) -> None:
    site = Site(mosquitto.connection(), mosquitto.stop)
    session = site.session(receive_maximum=10)
    async with running(session):
        await site.publish(*(str(number) for number in range(2000)), qos=0)
        await until(lambda: session._paused)
        assert session.waiting <= 10 + mqtt.PACKETS_PER_TURN
        came: list[Message] = []
        await until(lambda: came.extend(session.take(100)) or len(came) == 2000)
        assert payloads(came) == [str(number).encode() for number in range(2000)]


@pytest.mark.process
async def test_large_payloads_that_wait_are_bounded_in_bytes(
    mosquitto: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "INBOX_BYTES", 50_000)
    site = Site(mosquitto.connection(), mosquitto.stop)
    session = site.session()
    async with running(session):
        await site.publish(*(str(number) * 1000 for number in range(1000, 3000)), qos=0)
        await until(lambda: session._paused)
        assert session._inbox_bytes <= 50_000 + mqtt.PACKETS_PER_TURN * 4_100
        came: list[Message] = []
        await until(lambda: came.extend(session.take(100)) or len(came) == 2000)
        assert payloads(came) == [(str(number) * 1000).encode() for number in range(1000, 3000)]


@pytest.mark.process
async def test_an_unacknowledged_message_is_ignored_when_it_comes_again(broker: EmbeddedBroker, until: Any) -> None:
    """nats-server sends it again on the same connection after ack_wait."""
    site = Site(broker.connection(), asyncio.Event().wait, *broker.credentials("gw1"))
    session = site.session()
    async with running(session):
        await site.publish("a")
        await until(lambda: session.redelivered == 1)
        assert payloads(session.take(10)) == [b"a"]
        assert session.waiting == 0


@pytest.mark.process
async def test_a_refused_filter_is_never_connected_and_another_session_goes_on(
    broker: EmbeddedBroker, until: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """nats-server takes no space in a topic."""
    site = Site(broker.connection(), asyncio.Event().wait, *broker.credentials("gw1"))
    refused, well = site.session("gridwarden/v1/a b/up"), site.session()
    async with running(refused, well, connected=False):
        await until(lambda: refused.connection >= 2 and well.connected)
        assert not refused.connected
        await site.publish("a")
        await until(lambda: well.waiting == 1)
    assert "refuses the filter" in capsys.readouterr().out


@pytest.mark.process
async def test_a_broker_of_another_version_is_said(
    broker: EmbeddedBroker, until: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    session = PahoSession(broker.connection().model_copy(update={"version": "5"}), UP, Lane.ALARM, asyncio.Event())
    async with running(session, connected=False):
        await until(lambda: session.connection >= 2)
    assert "Unsupported protocol version" in capsys.readouterr().out


@pytest.mark.process
async def test_a_wrong_password_is_said(broker: EmbeddedBroker, until: Any, capsys: pytest.CaptureFixture[str]) -> None:
    session = PahoSession(broker.connection().model_copy(update={"password": None}), UP, Lane.ALARM, asyncio.Event())
    async with running(session, connected=False):
        await until(lambda: session.connection >= 2)
    assert "connection refused" in capsys.readouterr().out


@pytest.mark.process
async def test_the_telemetry_session_holds_after_a_reconnect_and_the_alarm_session_does_not(
    mosquitto: Any, until: Any
) -> None:
    site = Site(mosquitto.connection(hold_after_connect_s=0.3), mosquitto.stop)
    both = [site.session(), site.session(lane=Lane.ALARM)]
    async with running(*both):
        assert not both[0]._holding  # a new session has nothing to come back
    await site.publish("a")
    telemetry, alarm = site.session(), site.session(lane=Lane.ALARM)
    async with running(telemetry, alarm):
        await until(lambda: telemetry.waiting == 1 and alarm.waiting == 1)
        assert telemetry.take(10) == []
        assert not telemetry._arrived.is_set()
        assert payloads(alarm.take(10)) == [b"a"]
        await asyncio.wait_for(telemetry._arrived.wait(), 10)
        assert payloads(telemetry.take(10)) == [b"a"]


@pytest.mark.process
@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_tls_with_a_certificate_of_our_own(mosquitto: Any, until: Any, tmp_path: Path, version: str) -> None:
    authority, certificate, key = certificates(tmp_path)
    mosquitto.stop()
    mosquitto.lines = [f"cafile {authority}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"]
    mosquitto.start()
    tls = {"ca_file": authority, "cert_file": certificate, "key_file": key}
    session = PahoSession(mosquitto.connection(version, tls=tls), UP, Lane.TELEMETRY, asyncio.Event())
    large = b"x" * 300_000
    async with running(session):
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(certificate, key)
        async with aiomqtt.Client(mosquitto.host, mosquitto.port, tls_context=context) as gateway:
            for payload in (b"a", large, b"b"):
                await gateway.publish(TOPIC, payload, qos=1)
        await until(lambda: session.waiting == 3)
        messages = session.take(10)
        assert payloads(messages) == [b"a", large, b"b"]
        session.acknowledge(messages)


@pytest.mark.process
async def test_a_certificate_we_do_not_trust_is_refused(mosquitto: Any, tmp_path: Path) -> None:
    authority, certificate, key = certificates(tmp_path)
    mosquitto.stop()
    mosquitto.lines = [f"cafile {authority}", f"certfile {certificate}", f"keyfile {key}"]
    mosquitto.start()
    with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        await mqtt.connect(mosquitto.connection(tls={}), 10)


def certificates(directory: Path) -> tuple[Path, Path, Path]:
    if not shutil.which("openssl"):
        pytest.skip("no openssl on this machine")
    certificate, key = directory / "own.pem", directory / "own.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=gridwarden-test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
                    "-out", str(certificate)], check=True, capture_output=True)  # fmt: skip
    return certificate, certificate, key


# -- with a scripted peer ------------------------------------------------------------------------------------------

CONNACK = b"\x20\x02\x00\x00"
SUBACK = 0x90
DUP = 0x08


@dataclass
class Peer:
    """Answers CONNECT and SUBSCRIBE as told and writes what a test wants."""

    granted: bytes = b"\x01"
    connack: bytes = CONNACK
    acknowledged: list[int] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, body = await packet(reader)
                if first >> 4 == 1:
                    writer.write(self.connack)
                elif first >> 4 == 8:
                    writer.write(bytes((SUBACK, 2 + len(self.granted))) + body[:2] + self.granted)
                elif first >> 4 == 4:
                    self.acknowledged.append(struct.unpack(">H", body[:2])[0])
        writer.close()

    def publish(self, packet_id: int, payload: bytes, topic: bytes = b"t", flags: int = 0) -> None:
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", packet_id) + payload
        assert self.writer is not None
        self.writer.write(bytes((0x32 | flags, len(body))) + body)

    def session(self, **settings: Any) -> PahoSession:
        connection = Broker.model_validate({"name": "peer", "host": "127.0.0.1", "port": self.port} | settings)
        return PahoSession(connection, "#", Lane.TELEMETRY, asyncio.Event())


async def packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    return first, await reader.readexactly(size)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    one = Peer()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()
    await server.wait_closed()


async def test_the_same_message_under_a_held_id_is_ignored(peer: Peer, until: Any) -> None:
    session = peer.session()
    async with running(session):
        peer.publish(1, b"a")
        peer.publish(1, b"a", flags=DUP)
        peer.publish(2, b"end")
        await until(lambda: session.waiting >= 2)
        messages = session.take(10)
        assert payloads(messages) == [b"a", b"end"]
        assert session.redelivered == 1
        session.acknowledge(messages)
        await until(lambda: peer.acknowledged == [1, 2])


@pytest.mark.parametrize("flags", [0, DUP], ids=["first delivery", "redelivery"])
async def test_another_message_under_a_held_id_is_taken_and_alone_acknowledges_it(
    peer: Peer, until: Any, flags: int
) -> None:
    """The broker gave the id away: acknowledging the older message would acknowledge the newer one unstored."""
    session = peer.session()
    async with running(session):
        peer.publish(1, b"old")
        peer.publish(1, b"new", flags=flags)
        await until(lambda: session.waiting == 2)
        old, new = session.take(10)
        session.acknowledge([old])
        peer.publish(2, b"end")
        await until(lambda: session.waiting == 1)
        session.acknowledge(session.take(1))
        await until(lambda: peer.acknowledged)
        assert peer.acknowledged == [2]
        session.acknowledge([new])
        await until(lambda: peer.acknowledged == [2, 1])


async def test_nothing_is_acknowledged_twice(peer: Peer, until: Any) -> None:
    session = peer.session()
    async with running(session):
        peer.publish(1, b"a")
        peer.publish(2, b"b")
        await until(lambda: session.waiting == 2)
        first, second = session.take(2)
        session.acknowledge([first])
        session.acknowledge([first, second])
        await until(lambda: len(peer.acknowledged) >= 2)
        assert peer.acknowledged == [1, 2]


async def test_a_lost_connection_drops_what_was_not_taken_and_keeps_qos_0(peer: Peer, until: Any) -> None:
    session = peer.session()
    async with running(session):
        peer.publish(1, b"comes again")
        assert peer.writer is not None
        peer.writer.write(b"\x30\x04\x00\x01t0")
        await until(lambda: session.waiting == 2)
        peer.writer.close()
        await until(lambda: peer.connections == 2 and session.connected)
        assert payloads(session.take(10)) == [b"0"]
        assert session._held == {}


@pytest.mark.parametrize("granted", [b"\x80", b"\x01\x80", b""], ids=["refused", "one of two", "empty"])
async def test_every_suback_byte_is_checked(peer: Peer, until: Any, granted: bytes) -> None:
    peer.granted = granted
    session = peer.session()
    async with running(session, connected=False):
        await until(lambda: peer.connections >= 2)
        assert not session.connected


@pytest.mark.parametrize("text", [b"\xff\xfe", "网格".encode()], ids=["no UTF-8", "Chinese"])
async def test_any_topic_comes_through(peer: Peer, until: Any, text: bytes) -> None:
    session = peer.session()
    async with running(session):
        peer.publish(1, b"a", topic=text)
        await until(lambda: session.waiting == 1)
        assert session.take(1)[0].topic == text.decode("utf-8", "backslashreplace")
        assert session.connected


@pytest.mark.parametrize("junk", [b"\x32\x01\x00", b"\xf0\x00", b"\x32\xff\xff\xff\xff\xff", b"\x90\x02\x00\x01"])
async def test_a_broken_packet_costs_the_connection_and_no_more(peer: Peer, until: Any, junk: bytes) -> None:
    session = peer.session()
    async with running(session):
        assert peer.writer is not None
        peer.writer.write(junk)
        await until(lambda: peer.connections == 2 and session.connected)


async def test_a_broker_that_accepts_and_says_nothing_is_left(
    peer: Peer, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.1)
    peer.connack = b""
    session = peer.session()
    async with running(session, connected=False):
        await until(lambda: peer.connections >= 2)


async def test_a_session_without_a_broker_tries_on_and_ends_when_told(unused_port: int) -> None:
    session = PahoSession(Broker(name="none", host="127.0.0.1", port=unused_port), UP, Lane.ALARM, asyncio.Event())
    async with running(session, connected=False):
        await asyncio.sleep(0.1)
        assert not session.connected
        assert session.take(10) == []
        session.acknowledge([])


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


# -- names ---------------------------------------------------------------------------------------------------------


def test_every_filter_has_a_session_and_a_fixed_id_of_its_own_alarms_first() -> None:
    broker = Broker(name="city", host="h", telemetry=("a/+", "b/+"), alarm=("a/!",))
    ours: list[Session] = list(sessions(broker, asyncio.Event()))

    assert [(one.name, one.broker, one.lane) for one in ours] == [
        ("city/a/!", "city", Lane.ALARM),
        ("city/a/+", "city", Lane.TELEMETRY),
        ("city/b/+", "city", Lane.TELEMETRY),
    ]
    assert client_id(broker, "a/+", Lane.TELEMETRY) == "gridwarden-city-fdc3fcf4-telemetry"
    assert client_id(broker.model_copy(update={"client_id": "ours"}), "a/+", Lane.ALARM).startswith("ours-fdc3fcf4-")
    assert len({client_id(broker, one, Lane.TELEMETRY) for one in ("a/+", "b/+")}) == 2

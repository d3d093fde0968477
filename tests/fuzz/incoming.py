"""What gateways and brokers send: bodies, topics, whole messages through the judge, bytes of the MQTT connection."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic_core import to_json

from gridwarden.clock import ReplayClock, SystemClock
from gridwarden.config import Broker
from gridwarden.core.rehearsal import Rehearsal
from gridwarden.errors import BrokerUnavailable
from gridwarden.kinds import KINDS
from gridwarden.model import Device, Reading
from gridwarden.records import block
from ingest import values
from ingest.decode import Decoded, decode_native
from ingest.intake import Bounds, read
from ingest.mqtt import PahoSession
from ingest.session import Lane, Message
from rules.load import load
from tests.fuzz.target import CUT, Shape, Target, outcome, parts

NOW_MS = 1_795_327_200_000
LIMIT_BYTES = 256 * 1024
DEVICES = {
    "SMK-1": Device("SMK-1", "smoke", "3301060010010101", gateway="gw1", building="B-1"),
    "SMK-2": Device("SMK-2", "smoke", "3301060010010101", building="B-1"),
    "HYD-1": Device("HYD-1", "hydrant", "3301060010010101", water_main="M-1", attributes={"mount": "riser"}),
    "LIFT-1": Device("LIFT-1", "lift", "3301060010010101", attributes={"public": True}),
    "ODD-1": Device("ODD-1", "unheard_of"),
}
BODIES = (
    b'{"device":"LIFT-1","at":1795327200000,"seq":17,"values":{"floor":3,"door":"closed","occupied":false}}',
    b'{"device":"SMK-1","at":"2026-11-22T06:00:00.123Z","seq":1,"values":{"state":"alarm","smoke_dbm":1.5,"temperature_c":58.0}}',
    b'[{"device":"HYD-1","at":1795327200000,"values":{"pressure_mpa":0.31,"flow_lps":0,"tilt_deg":1.5}},{"device":"HYD-1","at":1795327201000,"values":{"pressure_mpa":0.05}}]',
    b'{"readings":[{"device":"SMK-2","seq":9223372036854775807,"values":{"state":"normal","battery_pct":80}},{"device":"WHO-1","values":{"state":"alarm"}}]}',
    b'{"device":"\xe7\x83\x9f\xe6\x84\x9f","values":{"note":"\xe7\x81\xab","fault_text":"x","rssi_dbm":-80,"battery_v":3.1}}',
    b'{"device":"LIFT-1","values":{"fault_code":"12","entrapment":1,"door":"open","speed_mps":0.0,"direction":"up"}}',
)  # fmt: skip
WORDS = (
    b'"device":',
    b'"values":',
    b'"at":',
    b'"seq":',
    b'"readings":',
    b'"state":"alarm"',
    b"SMK-1",
    b"LIFT-1",
    b"null",
)


# --- bodies -----------------------------------------------------------------------------------------------------


def decode(payload: bytes) -> str:
    """:func:`ingest.decode.decode_native` raises nothing and accounts for everything."""
    decoded = decode_native(payload, LIMIT_BYTES)
    assert decoded.received == len(decoded.readings) + len(decoded.rejected)
    assert decoded.received >= 1
    again = decode_native(payload, LIMIT_BYTES)
    assert [sent.key for sent in again.readings] == [sent.key for sent in decoded.readings]
    for sent in decoded.readings:
        assert sent.at_ms is None or type(sent.at_ms) is int
        assert sent.seq is None or 0 <= sent.seq < 2**63
        for kind in ("", *KINDS):
            _check_values(sent.values, *values.check(kind, sent.values))
    return _codes(decoded)


def _codes(decoded: Decoded) -> str:
    kept = sorted({f"{sent.bad_clock:d}{sent.bad_seq:d}{sent.keyed:d}" for sent in decoded.readings})
    return f"{' '.join(kept)} {' '.join(sorted({outcome(f'{one.code} {one.detail}') for one in decoded.rejected}))}"[
        :200
    ]


def _check_values(sent: dict[str, Any], kept: dict[str, Any], quality: dict[str, str]) -> None:
    for name, value in kept.items():
        assert value is None or type(value) in {bool, int, float, str}, (name, value)
        assert not isinstance(value, float) or math.isfinite(value), (name, value)
        assert not isinstance(value, int) or abs(value) <= 2**53, (name, value)
    for name, value in sent.items():
        if kept[name[:64]] is None and value is not None:
            assert name[:64] in quality, name
    to_json([kept, quality])


# --- messages ---------------------------------------------------------------------------------------------------


@dataclass
class Came:
    """An MQTT message."""

    topic: str
    payload: bytes
    received_at_ms: int = NOW_MS


def message(data: bytes) -> str:
    """:func:`ingest.intake.read` raises nothing; what it gives can be stored as it is and read back."""
    topic, payload = parts(data, 2)
    came = Came(topic.decode("utf-8", "backslashreplace"), payload)
    told = []
    for clock, leap_ms in ((SystemClock(), None), (ReplayClock(NOW_MS), 30 * 86_400_000)):
        bounds = Bounds(LIMIT_BYTES, 300_000, leap_ms, "quarantine")
        taken = read(came, "b", DEVICES, clock, bounds)
        assert taken.received == len(taken.readings) + len(taken.dead_letters)
        assert block.decode(block.encode(taken.readings)) == taken.readings
        for reading in taken.readings:
            assert 0 <= reading.occurred_at_ms < 2**63
            assert 0 <= reading.received_at_ms < 2**63
            assert 0 <= reading.key < 2**64
        for letter in taken.dead_letters:
            f"{letter.topic}{letter.code}{letter.detail}".encode()  # what SQLite is given is UTF-8
            assert len(letter.detail) <= 1000
        told.append(f"{len(taken.readings) > 0:d} {' '.join(sorted({letter.code for letter in taken.dead_letters}))} ")
        told += sorted(
            {
                f"{r.kind}{r.registered:d}{r.entitled:d}{''.join(sorted(set(r.quality.values())))}"
                for r in taken.readings
            }
        )
    return "".join(told)[:200]


# --- the judge --------------------------------------------------------------------------------------------------


class _Court:
    """Core's own judge with the shipped rules, on virtual time; a new one every so many messages."""

    EACH = 250

    def __init__(self) -> None:
        self._heard = 0
        self._rules = load((), shipped_packs=True)
        self._begin()

    def _begin(self) -> None:
        self._operations: set[str] = set()
        self.rehearsal = Rehearsal(self._rules, DEVICES, NOW_MS, self._told, restarts=True)

    def _told(self, transaction: Any) -> None:
        self._operations |= {
            f"{change.operation} {change.alarm.rule_id if change.alarm else ''}" for change in transaction.changes
        }
        for tally in transaction.tallies.values():
            assert tally.received == tally.accounted, tally

    def hear(self, topic: str, payload: bytes) -> str:
        self._heard += 1
        self._operations = set()
        rehearsal = self.rehearsal
        came = Message(topic, payload, rehearsal.clock.now_ms(), 1, 1, 1, rehearsal._door)
        rehearsal._take(rehearsal._judge.batch([came]))
        rehearsal.until(rehearsal.clock.now_ms() + (1, 1_000, 61_000)[self._heard % 3])
        said = " ".join(sorted(self._operations))[:200]
        if not self._heard % self.EACH:
            rehearsal.restart()
            self._begin()
        return said


@cache
def court() -> _Court:
    return _Court()


def judge(data: bytes) -> str:
    """No message makes the judge raise, with the shipped rules; its ledger is balanced after each."""
    topic, payload = parts(data, 2)
    return court().hear(topic.decode("utf-8", "backslashreplace"), payload)


# --- MQTT packets -----------------------------------------------------------------------------------------------

CONNACK, SUBACK = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01"
CONNACK_5, SUBACK_5 = b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01"


def publish(
    topic: bytes, payload: bytes, head: int = 0x32, packet_id: bytes = b"\x00\x07", properties: bytes = b""
) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + packet_id + properties + payload
    length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
    return bytes([head]) + length + body


PACKETS = (
    CONNACK + SUBACK + publish(b"gridwarden/v1/gw1/up", BODIES[0]),
    CONNACK + SUBACK + publish(b"gridwarden/v1/gw1/up", b"{}", 0x30, b"") + publish(b"a/b", b"", 0x3A) + b"\xd0\x00",
    CONNACK + SUBACK + publish(b"gridwarden/v1/gw1/up", b"x", 0x34) + b"\x62\x02\x00\x07",
    b"\x20\x02\x00\x05", CONNACK + b"\x90\x03\x00\x01\x80", CONNACK + SUBACK + b"\xe0\x00",
)  # fmt: skip
PACKETS_5 = (
    CONNACK_5 + SUBACK_5 + publish(b"gridwarden/v1/gw1/up", BODIES[0], properties=b"\x00"),
    CONNACK_5 + SUBACK_5 + publish(b"t", b"x", properties=b"\x0b\x01\x01\x26\x00\x01a\x00\x01b\x08\x00\x01r") + b"\xe0\x02\x8b\x00",
    b"\x20\x06\x00\x00\x03\x21\x00\x0a" + SUBACK_5,
)  # fmt: skip


class _Line:
    """A peer that says the bytes it is given to whoever connects, then hangs up; and a session of ours that connects."""

    def __init__(self, version: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._version = version
        self._say = b""
        server = self._loop.run_until_complete(asyncio.start_server(self._peer, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]

    async def _peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(10)  # the CONNECT has begun to come
            writer.write(self._say)
            writer.write_eof()
            await writer.drain()
            while await reader.read(65_536):
                pass
        writer.close()

    def say(self, data: bytes) -> str:
        self._say = data
        return self._loop.run_until_complete(self._session())

    async def _session(self) -> str:
        broker = Broker(name="b", host="127.0.0.1", port=self._port, version=self._version, receive_maximum=100)
        session = PahoSession(broker, "gridwarden/v1/+/up", Lane.TELEMETRY, asyncio.Event())
        serving = asyncio.ensure_future(session._serve())
        taken = 0
        async with asyncio.timeout(30):
            while not serving.done():
                messages = session.take(50)
                taken += len(messages)
                session.acknowledge(messages)
                await asyncio.wait({serving}, timeout=0.002)
        error = serving.exception()
        assert isinstance(error, BrokerUnavailable), error
        assert not session.connected
        assert all(not one.qos for one in session.take(10_000))
        return outcome(f"{taken > 0} {session.not_covered > 0} {error}")


@cache
def line(version: str) -> _Line:
    return _Line(version)


def mqtt_3(data: bytes) -> str:
    """Whatever a broker of MQTT 3.1.1 says costs this connection (``BrokerUnavailable``), not the process."""
    return line("3.1.1").say(data)


def mqtt_5(data: bytes) -> str:
    """The same for MQTT 5."""
    return line("5").say(data)


def _messages() -> Iterator[bytes]:
    topics = (b"gridwarden/v1/gw1/up", b"gridwarden/v1/gw2/alarm", b"gridwarden/v2/gw1/up", b"gridwarden/v1//up")
    for number, body in enumerate(BODIES):
        yield topics[number % len(topics)] + CUT + body


def _reading() -> Reading:
    return read(
        Came("gridwarden/v1/gw1/up", BODIES[0]), "b", DEVICES, SystemClock(), Bounds(LIMIT_BYTES, 0, None)
    ).readings[0]


INCOMING = (
    Target("decode", decode, BODIES, Shape.JSON, LIMIT_BYTES + 1000, words=WORDS),
    Target("message", message, tuple(_messages()), Shape.JSON, words=WORDS),
    Target("judge", judge, tuple(_messages()), Shape.JSON, 16 * 1024, pure=False, words=WORDS),
    Target("mqtt_3", mqtt_3, PACKETS, Shape.BYTES, 8 * 1024, pure=False),
    Target("mqtt_5", mqtt_5, PACKETS_5, Shape.BYTES, 8 * 1024, pure=False),
)

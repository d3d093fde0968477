"""One MQTT session: batches of messages out, acknowledgements in, reconnecting for ever.

Each filter has a session (client id) of its own: on nats-server a backlog on one filter would delay the others of
its session. Nothing is acknowledged before :meth:`Session.acknowledge`; until then the broker keeps it. paho speaks
the protocol, on the asyncio loop and without threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gridwarden import failpoints
from gridwarden.broker.backoff import backoff
from gridwarden.clock import Clock, SystemClock
from gridwarden.config import Broker
from gridwarden.errors import BrokerUnavailable
from ingest.session import Lane, Message
from ingest.transport import Transport, connect

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 10.0
"""To reach the broker; and again for CONNACK and SUBACK."""
KEEPALIVE_S = 10
"""A connection that died in silence is given up within twice this time; until then its alarms wait at the broker."""
EXPIRY_S = 7 * 86_400
"""How long an MQTT 5 broker keeps the session while we are away."""
STEADY_S = 10.0
"""A connection that lived this long was well: the next try is at once. Two clients that take the same id from each
other never get there, and slow down."""
RETRY_CAP_S = 3.0
"""Longest wait before the next try. Sessions are few and an alarm may wait at a broker that is back."""
PACKETS_PER_TURN = 500
"""Most packets read before others on the loop get their turn."""
INBOX_BYTES = 256 * 2**20
"""Payload that may wait to be taken; beyond it the socket is not read."""
_puback = struct.Struct(">HH").pack
_PUBACK = 0x4002


class _Client(Client):
    """paho on a connection that is already open.

    ``_create_socket`` is the one place where paho lets nobody in otherwise: it would connect there, blocking.
    """

    def __init__(self, transport: Transport, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self._transport_open = transport

    def _create_socket(self) -> Any:
        return self._transport_open


class PahoSession:
    """The :class:`Session` of one filter of one broker.

    Args:
        broker: where to connect, and how.
        topic_filter: what to subscribe to, at QoS 1.
        lane: alarms never hold.
        arrived: set when there is something to take; shared by all sessions of a process.
        clock: gives ``received_at_ms``.
    """

    def __init__(
        self, broker: Broker, topic_filter: str, lane: Lane, arrived: asyncio.Event, clock: Clock | None = None
    ) -> None:
        self.name = f"{broker.name}/{topic_filter}"
        self.broker = broker.name
        self.lane = lane
        self.connected = False
        self.redelivered = 0
        self.received = 0
        self.not_covered = 0
        self.client_id = client_id(broker, topic_filter, lane)
        self._settings = broker
        self._filter = topic_filter
        self._arrived = arrived
        self._clock = clock or SystemClock()
        self._hold_s = broker.hold_after_connect_s if lane is Lane.TELEMETRY else 0.0
        self._holding = False
        self._inbox: deque[Message] = deque()
        self._inbox_bytes = 0
        self._held: dict[int, Message] = {}
        self.connection = 0
        self._now_ms = 0
        self._paused = False
        self._client: _Client | None = None
        self._transport: Transport | None = None
        self._ended: asyncio.Future[str] | None = None

    @property
    def waiting(self) -> int:
        """See :class:`Session`."""
        return len(self._inbox)

    @property
    def holding(self) -> bool:
        """See :class:`Session`."""
        return self._holding

    def take(self, limit: int) -> list[Message]:
        """See :class:`Session`. Nothing while the hold after a connect lasts."""
        inbox = self._inbox
        if self._holding or not inbox:
            return []
        failpoints.reach("receive.before")
        taken = [inbox.popleft() for _ in range(min(limit, len(inbox)))]
        self._inbox_bytes -= sum(len(message.payload) for message in taken)
        self.received += len(taken)
        if self._paused and not self._full():
            self._resume()
        return taken

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """See :class:`Session`. All PUBACKs go out in one write: paho would spend a packet, a lock and a send on each."""
        if self._transport is None:
            return
        held = self._held
        packets = []
        for message in messages:
            # The id may stand for a newer message by now, or for one of a newer connection.
            if held.get(message.packet_id) is message:
                del held[message.packet_id]
                packets.append(_puback(_PUBACK, message.packet_id))
        if packets:
            self._transport.send(b"".join(packets))
            self._write()

    async def run(self) -> None:
        """See :class:`Session`."""
        loop = asyncio.get_running_loop()
        delays = backoff(RETRY_CAP_S)
        while True:
            await asyncio.sleep(next(delays))
            started = loop.time()
            try:
                await self._serve()
            except BrokerUnavailable as error:
                log.warning("session.lost", session=self.name, reason=str(error))
            if loop.time() - started > STEADY_S:
                delays = backoff(RETRY_CAP_S)

    async def _serve(self) -> None:
        """One connection from its opening to its end, which raises ``BrokerUnavailable`` with the reason."""
        transport = await connect(self._settings, CONNECT_TIMEOUT_S)
        loop = asyncio.get_running_loop()
        self._ended = ended = loop.create_future()
        self.connection += 1
        self._transport = transport
        self._client = client = self._new_client(transport)
        try:
            self._open(client)
            deadline = loop.time() + CONNECT_TIMEOUT_S
            while not ended.done():
                await asyncio.wait({ended}, timeout=1.0)
                client.loop_misc()
                if not self.connected and loop.time() > deadline:
                    self._end("no CONNACK and SUBACK in time")
            raise BrokerUnavailable(ended.result())
        finally:
            self._leave(client, transport)

    def _new_client(self, transport: Transport) -> _Client:
        settings = self._settings
        options: dict[str, Any] = {"client_id": self.client_id, "manual_ack": True, "reconnect_on_failure": False}
        if settings.version == "5":
            options |= {"protocol": MQTTProtocolVersion.MQTTv5}
        else:
            options |= {"protocol": MQTTProtocolVersion.MQTTv311, "clean_session": False}
        client = _Client(transport, **options)
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password is not None else None
            client.username_pw_set(settings.username, password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_socket_register_write
        return client

    def _open(self, client: Client) -> None:
        """Send CONNECT, asking for the session we left."""
        settings = self._settings
        if settings.version == "5":
            wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            wishes.SessionExpiryInterval = EXPIRY_S
            wishes.ReceiveMaximum = settings.receive_maximum
            client.connect_async(settings.host, settings.port, KEEPALIVE_S, clean_start=False, properties=wishes)
        else:
            client.connect_async(settings.host, settings.port, KEEPALIVE_S)
        client.reconnect()

    def _leave(self, client: Client, transport: Transport) -> None:
        """Say goodbye where that is still possible, and forget what the broker will send again."""
        self.connected = self._holding = self._paused = False
        client.disconnect()
        client.loop_write()
        transport.close()
        self.connection += 1  # what came on it can no longer be acknowledged
        self._client = self._transport = self._ended = None
        self._held.clear()
        # What came at QoS 0 is with us alone.
        self._inbox = deque(message for message in self._inbox if not message.qos)
        self._inbox_bytes = sum(len(message.payload) for message in self._inbox)

    def _end(self, reason: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)

    # -- what paho calls ------------------------------------------------------------------------------------------

    def _on_connect(
        self, client: Client, _data: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._end(f"connection refused: {reason}")
            return
        if self._hold_s and flags.session_present:  # a new session has nothing to come back
            self._holding = True
            asyncio.get_running_loop().call_later(self._hold_s, self._end_hold, self.connection)
        # With every connect: the broker may have lost the session. A retained message only with a new subscription.
        if self._settings.version == "5":
            client.subscribe(self._filter, options=SubscribeOptions(qos=1, retainHandling=1))
        else:
            client.subscribe(self._filter, qos=1)
        log.info("session.connected", session=self.name, session_present=flags.session_present)

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if not codes or any(code.is_failure for code in codes):
            self._end(f"the broker refuses the filter {self._filter!r}: {', '.join(map(str, codes))}")
            return
        if codes[0].value == 0:
            log.warning("session.not_covered", session=self.name, reason="the broker grants QoS 0 only")
        self.connected = True

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError as error:
            topic = bytes(error.object).decode("utf-8", "backslashreplace")
        packet_id, payload = message.mid, message.payload
        item = Message(topic, payload, self._now_ms, packet_id, message.qos, self.connection, self, message.dup)  # type: ignore[arg-type]  # bytes off the wire
        if message.qos:
            if message.dup and self._is_held(item):
                self.redelivered += 1
                return
            self._held[packet_id] = item
        else:
            self.not_covered += 1
        self._inbox.append(item)
        self._inbox_bytes += len(payload)

    def _is_held(self, item: Message) -> bool:
        """Whether the very message is held under its id.

        Another one under the same id means that the broker has our acknowledgement of the first and gave the id
        away: that one is new.
        """
        held = self._held.get(item.packet_id)
        return held is not None and held.topic == item.topic and held.payload == item.payload

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._end(f"disconnected: {reason}")

    def _on_socket_open(self, _client: Client, _data: Any, transport: Any) -> None:
        asyncio.get_running_loop().add_reader(transport.fileno(), self._read)

    def _on_socket_close(self, _client: Client, _data: Any, transport: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(transport.fileno())
        loop.remove_writer(transport.fileno())

    def _on_socket_register_write(self, _client: Client, _data: Any, _transport: Any) -> None:
        asyncio.get_running_loop().call_soon(self._write)

    # -- what the loop calls --------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read what is there, up to ``PACKETS_PER_TURN``; ``loop_read`` reads one packet a call."""
        client, transport = self._client, self._transport
        if client is None or transport is None or self._paused:
            return
        self._now_ms = self._clock.now_ms()
        try:
            for _ in range(PACKETS_PER_TURN):
                if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or not transport.pending():
                    break
            else:
                asyncio.get_running_loop().call_soon(self._read)
        except Exception as error:
            # Whatever a broken packet does to the parser costs this connection, not the process.
            log.exception("session.protocol_error", session=self.name)
            self._end(f"protocol error: {error!r}")
        if self._inbox and not self._holding:
            self._arrived.set()
        if self._full():
            self._pause()

    def _write(self) -> None:
        client, transport = self._client, self._transport
        if client is None or transport is None or client.socket() is None:
            return
        client.loop_write()
        loop = asyncio.get_running_loop()
        try:
            if transport.flush():
                loop.remove_writer(transport.fileno())
            else:
                loop.add_writer(transport.fileno(), self._write)
        except OSError as error:
            self._end(f"connection lost: {error}")

    def _end_hold(self, connection: int) -> None:
        if connection == self.connection and self._holding:
            self._holding = False
            self._arrived.set()

    def _full(self) -> bool:
        return len(self._inbox) >= self._settings.receive_maximum or self._inbox_bytes >= INBOX_BYTES

    def _pause(self) -> None:
        """Leave the rest in the socket. QoS 1 is bounded by the window; QoS 0, and large payloads, are not."""
        client = self._client
        if client is not None and self._transport is not None and client.socket() is not None:
            self._paused = True
            asyncio.get_running_loop().remove_reader(self._transport.fileno())

    def _resume(self) -> None:
        self._paused = False
        if self._client is not None and self._transport is not None and self._client.socket() is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._transport.fileno(), self._read)
            loop.call_soon(self._read)  # what was fetched already does not make the socket readable


def client_id(broker: Broker, topic_filter: str, lane: Lane) -> str:
    """The fixed id of the session: it lives on under it while we are away."""
    prefix = broker.client_id or f"gridwarden-{broker.name}"
    return f"{prefix}-{hashlib.sha256(topic_filter.encode()).hexdigest()[:8]}-{lane}"


def sessions(broker: Broker, arrived: asyncio.Event, clock: Clock | None = None) -> list[PahoSession]:
    """A session for each filter of ``broker``, alarms first."""
    return [PahoSession(broker, one, lane, arrived, clock) for lane, one in _filters(broker)]


def client_ids(broker: Broker) -> list[str]:
    """The ids of :func:`sessions`."""
    return [client_id(broker, one, lane) for lane, one in _filters(broker)]


def _filters(broker: Broker) -> list[tuple[Lane, str]]:
    return [*((Lane.ALARM, one) for one in broker.alarm), *((Lane.TELEMETRY, one) for one in broker.telemetry)]

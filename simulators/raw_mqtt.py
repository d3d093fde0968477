"""MQTT 3.1.1 by hand, as little of it as publishing at QoS 1 takes: what it costs is known, and it is little.

For measurements only. It sends no pings, mends nothing and subscribes to nothing; see ``publisher`` for the real thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gridwarden.errors import BrokerUnavailable

PATIENCE_S = 30.0
"""How long connecting may take."""
PACKET_IDS = 60_000
"""Packet ids go from 1 to this and begin again; no more may be unacknowledged."""
_NO_KEEPALIVE_S = 0


def packet_id(number: int) -> bytes:
    """The packet id of the ``number``-th message, as it is sent."""
    return (number % PACKET_IDS + 1).to_bytes(2)


def publish_packet(topic: str, payload: bytes, number: int) -> bytes:
    """A PUBLISH at QoS 1, the ``number``-th of its connection."""
    name = topic.encode()
    body = len(name).to_bytes(2) + name + packet_id(number) + payload
    return b"\x32" + _remaining_length(len(body)) + body


def _remaining_length(size: int) -> bytes:
    encoded = bytearray()
    while True:
        size, seven_bits = divmod(size, 128)
        encoded.append(seven_bits | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


class Connection(asyncio.Protocol):
    """An connection that publishes at QoS 1 and counts what is acknowledged."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.stirred = asyncio.Event()
        """Set when something was acknowledged, when there is room to write again, and when the connection broke."""
        self.writable = True
        self.broken: BrokerUnavailable | None = None
        self._admitted = False
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    async def sign_in(self, client_id: str, username: str | None, password: str | None) -> None:
        """Send CONNECT and wait for its answer.

        Raises:
            BrokerUnavailable: it refuses, or the connection broke.
        """
        self.write(_connect_packet(client_id, username, password))
        await self.until(lambda: self._admitted)

    def write(self, packets: bytes) -> None:
        """Publish; see :func:`publish_packet`."""
        if self._transport:
            self._transport.write(packets)

    def close(self) -> None:
        """Say goodbye."""
        if self._transport:
            self._transport.write(b"\xe0\x00")
            self._transport.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds()``, looking again at every stir.

        Raises:
            BrokerUnavailable: the connection broke.
        """
        while not holds():
            if self.broken:
                raise self.broken
            self.stirred.clear()
            await self.stirred.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]  # TCP's

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._break(f"connection lost: {exc or 'closed by the broker'}")

    def pause_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self.writable = False

    def resume_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self.writable = True
        self.stirred.set()

    def data_received(self, data: bytes) -> None:
        """CONNACK, then nothing but PUBACKs (no keepalive was agreed): both of four bytes."""
        data = self._rest + data
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        packets = data[:whole]
        if not self._admitted and packets:
            if packets[0] != 0x20 or packets[3]:  # noqa: PLR2004 - CONNACK
                self._break(f"refused: {packets[:4].hex()}")
                return
            self._admitted = True
            packets = packets[4:]
        if packets[::4].strip(b"\x40"):
            self._break("something else than acknowledgements came")
            return
        self.acknowledged += len(packets) // 4
        self.stirred.set()

    def _break(self, reason: str) -> None:
        self.broken = self.broken or BrokerUnavailable(reason)
        self.stirred.set()


@asynccontextmanager
async def connected(
    host: str, port: int, client_id: str, username: str | None = None, password: str | None = None
) -> AsyncIterator[Connection]:
    """A connection to a broker, within the block.

    Raises:
        BrokerUnavailable: it cannot be reached in time, or refuses.
    """
    connection = Connection()
    try:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
                await connection.sign_in(client_id, username, password)
        except (OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"{host}:{port}: {error or 'no answer in time'}") from error
        yield connection
    finally:
        connection.close()


def _connect_packet(client_id: str, username: str | None, password: str | None) -> bytes:
    texts = [client_id, *([username, password or ""] if username is not None else [])]
    flags = 0xC2 if username is not None else 0x02
    head = b"\x00\x04MQTT\x04" + bytes((flags,)) + _NO_KEEPALIVE_S.to_bytes(2)
    body = head + b"".join(len(text.encode()).to_bytes(2) + text.encode() for text in texts)
    return b"\x10" + _remaining_length(len(body)) + body

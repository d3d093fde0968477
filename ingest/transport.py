"""A connection to a broker that paho takes for its socket: opened without blocking the loop, buffered both ways.

paho reads a PUBLISH with four ``recv`` and writes every packet with a ``send`` of its own. Here one system call
fetches up to 64 kB, small reads are slices of it, and writes gather until ``flush``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from gridwarden.config import Broker, Tls
from gridwarden.errors import BrokerUnavailable

CHUNK_BYTES = 65_536
"""More than a TLS record (16 kB), so that nothing stays behind in the TLS layer, where no selector sees it."""


class Transport:
    """A non-blocking connected socket, plain or TLS, with the part of a socket's methods that paho calls."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._chunk = b""
        self._at = 0
        self._out = bytearray()

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; ``BlockingIOError`` or ``SSLWantReadError`` when there is nothing."""
        at = self._at
        if at == len(self._chunk):
            self._chunk = self._sock.recv(CHUNK_BYTES)
            at = 0
        piece = self._chunk[at : at + size]
        self._at = at + len(piece)
        return piece

    def send(self, data: bytes | bytearray) -> int:
        """Take all of ``data``; :meth:`flush` writes it. So no packet is ever half written between two others."""
        self._out += data
        return len(data)

    def flush(self) -> bool:
        """Write what was gathered; whether all of it is gone.

        Raises:
            OSError: the connection is lost.
        """
        out = self._out
        while out:
            try:
                del out[: self._sock.send(out)]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
        return True

    def pending(self) -> int:
        """Bytes that were fetched and not yet read: the loop's selector does not know of them."""
        return len(self._chunk) - self._at

    def fileno(self) -> int:
        """For the loop's selector."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """It never blocks; paho asks for that."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Write what can be written at once (the DISCONNECT) and close."""
        with contextlib.suppress(OSError):
            self.flush()
        self._sock.close()


async def connect(broker: Broker, timeout_s: float) -> Transport:
    """An open connection to ``broker``, TLS handshake included. Nothing blocks, and a cancellation leaves nothing.

    Raises:
        BrokerUnavailable: it cannot be reached in time, or does not show a certificate we trust.
    """
    try:
        context = None if broker.tls is None else tls_context(broker.tls)
        async with asyncio.timeout(timeout_s):
            sock = await _connect(broker.host, broker.port)
            try:
                return Transport(sock if context is None else await _secured(sock, context, broker.host))
            except BaseException:
                sock.close()
                raise
    except (OSError, TimeoutError) as error:
        raise BrokerUnavailable(f"{broker.host}:{broker.port}: {error or 'no answer in time'}") from error


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, proto, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            # Acknowledgements are small and must not wait for one another.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError("no address")


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What ``tls`` asks for; read at every connect, so that a renewed certificate is taken up."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


async def _secured(sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    loop = asyncio.get_running_loop()
    secured = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(secured, loop.add_reader, loop.remove_reader)
            except ssl.SSLWantWriteError:
                await _ready(secured, loop.add_writer, loop.remove_writer)
            else:
                return secured
    except BaseException:
        secured.close()
        raise


async def _ready(sock: socket.socket, add: Callable[..., Any], remove: Callable[..., Any]) -> None:
    ready = asyncio.Event()
    add(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock.fileno())

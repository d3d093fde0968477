"""A TCP proxy that breaks what goes through it: what a network does to long connections, done when a test asks for it.

A fault strikes the connections that are there, or each as soon as it has passed so many bytes more; connections made
after that are well. Nothing here knows MQTT.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 16_384
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: close sends RST."""


class Way(StrEnum):
    """A direction, as the client sees it."""

    UP = "up"
    DOWN = "down"


class Fault(StrEnum):
    """What may befall a connection."""

    RESET = "reset"
    """Both sides get an RST."""
    CUT = "cut"
    """In the middle of what goes this way: the rest never comes, and the connection ends in good order."""
    HALF_OPEN = "half-open"
    """Nothing passes any more, either way, and neither side is told."""
    BLACK_HOLE = "black hole"
    """What goes this way disappears; the other way is well."""


@dataclass
class _Lot:
    """What awaits one direction of a connection."""

    fault: Fault | None = None
    bytes_left: int = 0


@dataclass(eq=False)
class _Link:
    """One connection and its other half."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    lots: dict[Way, _Lot] = field(default_factory=lambda: {way: _Lot() for way in Way})
    frozen: bool = False
    struck: bool = False

    def end(self, *, reset: bool = False) -> None:
        for writer in (self.client, self.server):
            if reset:
                sock: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()


class Proxy:
    """Listens on a free port of this machine and passes on to ``port``, within ``async with``."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.slow_s = 0.0
        """How long each piece is held back."""
        self.struck = 0
        """Connections that a fault has befallen."""
        self.accepted = 0
        """Connections that were made through it."""
        self._to = port
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip
        assert self._server is not None
        self._server.close()
        for link in tuple(self._links):
            link.end(reset=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __len__(self) -> int:
        """Connections there are."""
        return len(self._links)

    def strike(self, fault: Fault, way: Way = Way.DOWN, after_bytes: Callable[[], int] = lambda: 0) -> None:
        """Let ``fault`` befall every connection that is there, each after so many bytes more of this ``way``.

        A cut, and a fault that waits for bytes, strikes only where there is something to pass.
        """
        for link in tuple(self._links):
            if not link.frozen:
                link.lots[way] = _Lot(fault, after_bytes())
                if fault in {Fault.RESET, Fault.HALF_OPEN} and not link.lots[way].bytes_left:
                    self._befall(link, link.lots[way])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def calm(self) -> None:
        """Let whatever still waits to strike strike no more."""
        for link in self._links:
            if not link.struck:
                link.lots.update((way, _Lot()) for way in Way)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        link = _Link(writer, to_server)
        self._links.add(link)
        try:
            up = self._pass(link, Way.UP, reader, to_server)
            await asyncio.gather(up, self._pass(link, Way.DOWN, from_server, writer))
        finally:
            self._links.discard(link)
            link.end()

    async def _pass(self, link: _Link, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lot = link.lots
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.slow_s:
                    await asyncio.sleep(self.slow_s)
                if link.frozen:
                    continue
                through = self._through(lot[way], len(data))
                writer.write(data[:through])
                if through < len(data):
                    self._befall(link, lot[way])
                await writer.drain()
        if not link.frozen:  # one end is over; a half-open connection does not hear of it
            link.end()

    @staticmethod
    def _through(lot: _Lot, size: int) -> int:
        """How much of a piece of this size goes through."""
        if lot.fault is None:
            return size
        through = min(size, lot.bytes_left)
        lot.bytes_left -= through
        return through

    def _befall(self, link: _Link, lot: _Lot) -> None:
        self.struck += not link.struck
        link.struck = True
        if lot.fault is Fault.HALF_OPEN:
            link.frozen = True
        elif lot.fault in {Fault.RESET, Fault.CUT}:
            link.end(reset=lot.fault is Fault.RESET)

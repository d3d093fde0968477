"""A real nats-server and a scripted broker for what publishes over MQTT."""

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

_CONNECT, _PUBLISH, _PUBACK, _PINGREQ, _DISCONNECT = 1, 3, 4, 12, 14


class ScriptedBroker:
    """Just enough of MQTT 3.1.1 to take QoS 1 publishes and misbehave on purpose."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[tuple[str, bytes]] = []
        """Topic and payload of every PUBLISH, repetitions included."""
        self.client_ids: list[str] = []
        self.connack_code = 0
        self.acknowledges: Callable[[int], bool] = lambda _number: True
        """Asked with the number of the PUBLISH (from 0): acknowledge it?"""
        self.cuts: Callable[[int], bool] = lambda _number: False
        """Asked likewise: cut the connection after it?"""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["ScriptedBroker"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, body = await self._packet(reader)
            if kind == _CONNECT:
                self.client_ids.append(body[12 : 12 + int.from_bytes(body[10:12])].decode())
                writer.write(bytes((0x20, 2, 0, self.connack_code)))
            elif kind == _PUBLISH:
                length = int.from_bytes(body[:2])
                number = len(self.received)
                self.received.append((body[2 : 2 + length].decode(), body[4 + length :]))
                if self.acknowledges(number):
                    writer.write(bytes((_PUBACK << 4, 2)) + body[2 + length : 4 + length])
                if self.cuts(number):
                    await writer.drain()
                    return
            elif kind == _PINGREQ:
                writer.write(b"\xd0\x00")
            elif kind == _DISCONNECT:
                return

    @staticmethod
    async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind = (await reader.readexactly(1))[0] >> 4
        size = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, await reader.readexactly(size)


class NatsServer:
    """nats-server as an MQTT broker; may be killed and started again on the same store."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self._directory / "nats.conf"
        config.write_text(
            f'server_name: test\nlisten: "127.0.0.1:-1"\n'
            f'jetstream {{ store_dir: "{self._directory}/js", sync_interval: "1s" }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.port}", max_ack_pending: 20000 }}\n'
        )
        self._process = subprocess.Popen([_executable(), "-c", str(config), "-l", str(self._directory / "nats.log")])
        deadline = time.monotonic() + 15
        while not _accepts(self.port):
            assert time.monotonic() < deadline, (self._directory / "nats.log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _executable() -> str:
    path = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert path, "nats-server comes with the dependencies"
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
async def scripted_broker() -> AsyncIterator[ScriptedBroker]:
    async with ScriptedBroker().listening() as broker:
        yield broker


@pytest.fixture
def closed_port() -> int:
    return _free_port()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.kill()

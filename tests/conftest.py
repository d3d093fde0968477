"""Real brokers on free loopback ports, for every test that wants one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gridwarden.broker import EmbeddedBroker
from gridwarden.config import Broker, Embedded

pytest_plugins = ["pytester"]
pytest.register_assert_rewrite(*(f"tests.faults.{name}" for name in ("harness", "evidence", "lanes")))
DEADLINE_S = 20.0

Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """What lets the loop run on until a condition is true, and fails after a deadline."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 the conditions are counters and process ids, nobody sets an event
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A running embedded broker with the gateways gw1 and gw2."""
    settings = Embedded(mqtt_port=0, gateways=("gw1", "gw2"), store_bytes=64 * 2**20)
    async with EmbeddedBroker(settings, tmp_path) as running:
        yield running


@dataclass(slots=True)
class Mosquitto:
    """Debian's Mosquitto: MQTT 3.1.1 and 5, persistent, everybody may connect."""

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    lines: list[str] = field(default_factory=list)
    """Further lines of its configuration; restart to apply."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if not self.port:
            with socket.create_server((self.host, 0)) as free:
                self.port = free.getsockname()[1]
        config = self.directory / "mosquitto.conf"
        own = [f"listener {self.port} {self.host}", "allow_anonymous true", "persistence true",
               f"persistence_location {self.directory}/", "max_inflight_messages 0", "max_queued_messages 0"]  # fmt: skip
        if os.getuid() == 0:
            own.append("user root")
        config.write_text("\n".join([*own, *self.lines, ""]))
        with (self.directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([mosquitto_program(), "-c", str(config)], stdout=log, stderr=log)
        self._wait_for_the_port()

    def stop(self) -> None:
        """SIGTERM: it writes its sessions to disk first."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(DEADLINE_S)
            self._process = None

    def connection(self, version: str = "3.1.1", **settings: Any) -> Broker:
        """How the ingester reaches it."""
        values = {"name": "mosquitto", "host": self.host, "port": self.port, "version": version} | settings
        return Broker.model_validate(values)

    def _wait_for_the_port(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto."""
    if not mosquitto_program():
        pytest.skip("no mosquitto on this machine")
    directory = tmp_path / "mosquitto"
    directory.mkdir()
    server = Mosquitto(directory)
    server.start()
    yield server
    server.stop()


def mosquitto_program() -> str:
    """Where Mosquitto is; empty: nowhere."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or ""

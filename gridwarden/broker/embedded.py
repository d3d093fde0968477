"""The life of the embedded broker: start, verify, watch, restart, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import structlog

from gridwarden.broker import child, config_file, credentials, probe, stream
from gridwarden.broker.backoff import backoff
from gridwarden.broker.store import Server, Store
from gridwarden.config import Broker, Embedded
from gridwarden.errors import BrokerUnavailable, ConfigError

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 60.0
"""A store with a million messages takes about a second to read; a full one much longer."""
RELOAD_TIMEOUT_S = 5.0
STEADY_S = 10.0
"""A child that lived this long was well: its next restart is at once again."""
RESTART_CAP_S = 3.0
"""Longest wait before a restart: meanwhile no gateway can tell of a fire."""
POLL_S = 0.02
WATCH_S = 1.0
ILL_LOOKS = 2
"""So often in a row must the store be found ill, so that a moment of the server's own is not taken for it."""


class EmbeddedBroker:
    """nats-server as a child process, within ``async with``: started, bounded, restarted when it ends.

    Args:
        settings: the ``[embedded]`` section. Ports of 0 are chosen at the first start and kept.
        data: the data directory; everything of the broker lies in its ``broker`` folder (0700).
    """

    def __init__(self, settings: Embedded, data: Path) -> None:
        self._settings = settings
        self._directory = data / "broker"
        self._config = self._directory / "nats.conf"
        self._log = self._directory / "nats.log"
        self._bounds = stream.bounds(settings.store_bytes, settings.messages_per_topic)
        self._ports = config_file.Ports(settings.host, settings.mqtt_port, settings.client_port, settings.monitor_port)
        self._credentials = credentials.Credentials()
        self._credentials_version = 0
        self._process: Process | None = None
        self._lock_handle = -1
        self._store = Store(self._directory)
        self._tasks: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        self.restarts = 0
        """How often the child had to be started again."""
        self._forced: dict[Path, int] = {}
        self.illness = ""
        """What keeps the child from storing anything, in its own words; empty while it is well."""
        self._log_read = 0
        self._complaint = ""
        self.running = False
        """Whether the child answers and its bound was verified."""

    @property
    def host(self) -> str:
        """Where gateways connect to."""
        return self._ports.host

    @property
    def mqtt_port(self) -> int:
        """The port gateways connect to; known after the start."""
        return self._ports.mqtt

    @property
    def client_port(self) -> int:
        """The port of the NATS protocol, on loopback, for the supervisor alone."""
        return self._ports.client

    @property
    def monitor_port(self) -> int:
        """The port of the monitor (``/varz``, ``/jsz``), on loopback."""
        return self._ports.monitor

    @property
    def pid(self) -> int | None:
        """The child's process id; ``None`` while there is none."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def credentials(self, user: str) -> tuple[str, str]:
        """User and password of ``supervisor``, ``ingester`` or a gateway.

        Raises:
            NotFound: no such user.
        """
        return self._credentials.of(user)

    def connection(self) -> Broker:
        """How the ingester reaches it, as if it were a ``[[broker]]`` of the configuration."""
        user, password = self.credentials(credentials.INGESTER)
        values = {
            "name": "embedded", "host": self.host, "port": self.mqtt_port, "username": user, "password": password,
            "receive_maximum": config_file.MAX_ACK_PENDING, "errors": True, "hold_after_connect_s": config_file.HOLD_AFTER_CONNECT_S,
        }  # fmt: skip
        return Broker.model_validate(values)

    @property
    def limit_bytes(self) -> int:
        """At how many stored bytes it refuses what is new."""
        limit: int = self._bounds["max_bytes"]
        return limit

    async def store(self) -> dict[str, Any] | None:
        """The monitor's ``/jsz`` (``storage`` is bytes used, ``config.max_storage`` the limit); ``None`` while down."""
        return await probe.monitor(self.monitor_port, "/jsz")

    async def __aenter__(self) -> Self:
        credentials.private_directory(self._directory)
        self._lock_handle = await child.lock(self._directory)
        try:
            self._choose_ports()
            await self._start()
        except BaseException:
            os.close(self._lock_handle)
            raise
        self._tasks = [
            asyncio.create_task(self._supervise(), name="broker.supervise"),
            asyncio.create_task(self._watch_gateways(), name="broker.gateways"),
            asyncio.create_task(self._watch_store(), name="broker.store"),
            asyncio.create_task(self._store.watch(self._server()), name="broker.window"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.running = False
        if self._process is not None:
            await self._store.end(self._server())
            await child.stop(self._process)
        os.close(self._lock_handle)

    async def reload(self) -> None:
        """Take up gateways that were added or removed. The others stay connected, removed ones are cut off.

        Raises:
            BrokerUnavailable: it did not take the new configuration (and keeps the old one).
        """
        async with self._reloading:
            before = await probe.monitor(self.monitor_port, "/varz")
            self._write_config(self._settings.store_bytes)
            if self._process is None or self._process.returncode is not None or before is None:
                return  # its next start reads the file
            self._process.send_signal(signal.SIGHUP)
            deadline = asyncio.get_running_loop().time() + RELOAD_TIMEOUT_S
            while asyncio.get_running_loop().time() < deadline:
                now = await probe.monitor(self.monitor_port, "/varz")
                if now is None or now["config_load_time"] != before["config_load_time"]:
                    return
                await asyncio.sleep(POLL_S)
            raise BrokerUnavailable(f"the embedded broker keeps its old configuration: {child.last_lines(self._log)}")

    def _choose_ports(self) -> None:
        wanted = self._ports
        free = iter(child.free_ports(wanted.host, 1) + child.free_ports("127.0.0.1", 2))
        chosen = [port or next(free) for port in (wanted.mqtt, wanted.client, wanted.monitor)]
        self._ports = config_file.Ports(wanted.host, *chosen)
        child.check_port(wanted.host, self._ports.mqtt, "embedded.mqtt_port")
        child.check_port("127.0.0.1", self._ports.client, "embedded.client_port")
        child.check_port("127.0.0.1", self._ports.monitor, "embedded.monitor_port")

    def _write_config(self, store_bytes: int) -> None:
        self._credentials_version = credentials.version(self._directory)
        self._credentials = credentials.load(self._directory)
        settings = self._settings
        text = config_file.render(
            self._ports, self._directory / "js", store_bytes, settings.max_payload_bytes, self._credentials,
            settings.sync_s,
        )  # fmt: skip
        credentials.write_private(self._config, text)

    async def _start(self) -> None:
        """One child that answers and is bounded; else none is left and the reason is raised."""
        credentials.ensure(self._directory, self._settings.gateways)
        try:
            await self._launch(self._settings.store_bytes)
        except stream.HoldsMoreError as error:
            # store_bytes was lowered: the stream must shrink before the server may.
            await child.stop(await self._launch(error.reserved_bytes * 2))
            await self._launch(self._settings.store_bytes)
        await asyncio.to_thread(child.force_definitions, self._directory, self._forced)
        self.running = True
        log.info("broker.started", host=self.host, mqtt_port=self.mqtt_port, pid=self.pid)

    async def _launch(self, store_bytes: int) -> Process:
        self._write_config(store_bytes)
        self._log_read, self._complaint = child.rotate(self._log), ""
        self._process = process = await child.spawn(child.find_server(), self._config, self._log, self._lock_handle)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._until_it_answers(process)
                await stream.enforce(self.client_port, *self.credentials(credentials.SUPERVISOR), self._bounds)
                await self._store.begin(self._server())
        except BaseException as error:
            await child.stop(process)
            if isinstance(error, TimeoutError):
                reason = f"the embedded broker did not answer within {START_TIMEOUT_S:.0f} s"
                raise BrokerUnavailable(f"{reason}: {child.last_lines(self._log)}") from error
            raise
        return process

    def _server(self) -> Server:
        return Server(self.client_port, self.monitor_port, *self.credentials(credentials.SUPERVISOR))

    async def _until_it_answers(self, process: Process) -> None:
        while await probe.monitor(self.monitor_port, "/healthz") is None or not await self._accepts_mqtt():
            if process.returncode is not None:
                raise BrokerUnavailable(self._why_it_ended(process.returncode))
            if complaint := self._new_complaint():  # it will not get well by itself: better begin anew soon
                raise BrokerUnavailable(f"the embedded broker cannot store anything: {complaint}")
            await asyncio.sleep(POLL_S)

    async def _accepts_mqtt(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 recognised, not bound
        return await probe.mqtt_connect(host, self.mqtt_port, *self.credentials(credentials.INGESTER)) == 0

    def _why_it_ended(self, code: int) -> str:
        lines = child.last_lines(self._log)
        advice = "; end the program that has the port, or set another one" if "address already in use" in lines else ""
        return f"the embedded broker ended with {code}{advice}: {lines}"

    async def _supervise(self) -> None:
        """Start the child again whenever it ends."""
        loop = asyncio.get_running_loop()
        delays = backoff(RESTART_CAP_S)
        while self._process is not None:
            started = loop.time()
            code = await self._process.wait()
            self.running = False
            log.error("broker.ended", code=code, log=child.last_lines(self._log))
            if loop.time() - started > STEADY_S:
                delays = backoff(RESTART_CAP_S)
            await self._restart(delays)
            self.restarts += 1

    async def _restart(self, delays: Iterator[float]) -> None:
        while True:
            await asyncio.sleep(next(delays))
            try:
                return await self._start()
            except (BrokerUnavailable, ConfigError, OSError) as error:
                log.error("broker.start_failed", reason=str(error))  # noqa: TRY400 the reason says it all

    async def _watch_store(self) -> None:
        """End a child whose store has met an I/O error once the disk is well: it would take nothing for ever.

        Killed, not asked: meanwhile no gateway can tell of a fire, and a kill costs nothing that was acknowledged.
        """
        looks = 0
        while True:
            await asyncio.sleep(WATCH_S)
            self.illness = await self._look_at_store() if self.running else ""
            await asyncio.to_thread(child.force_definitions, self._directory, self._forced)
            looks = looks + 1 if self.illness else 0
            if looks == ILL_LOOKS:
                log.error("broker.cannot_store", reason=self.illness)
            if looks >= ILL_LOOKS and await asyncio.to_thread(child.disk_takes, self._directory):
                log.warning("broker.restarted_for_its_store", reason=self.illness)
                looks = 0
                if self._process is not None and self._process.returncode is None:
                    self._process.kill()

    async def _look_at_store(self) -> str:
        """What is wrong with the store: by its own check, or by what it has written to its log (a failed fsync)."""
        return self._new_complaint() or await probe.illness(self.monitor_port)

    def _new_complaint(self) -> str:
        complaint, self._log_read = child.complaint(self._log, self._log_read)
        self._complaint = self._complaint or complaint
        return self._complaint

    async def _watch_gateways(self) -> None:
        """Reload when a command changed the file of gateways."""
        while True:
            await asyncio.sleep(WATCH_S)
            if credentials.version(self._directory) != self._credentials_version:
                with contextlib.suppress(ConfigError):  # half-known state: the next look tells
                    await self._reload_or_say()

    async def _reload_or_say(self) -> None:
        try:
            await self.reload()
            log.info("broker.reloaded", gateways=len(self._credentials.gateways))
        except BrokerUnavailable as error:
            log.error("broker.reload_failed", reason=str(error))  # noqa: TRY400 the reason says it all

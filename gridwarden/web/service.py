"""Web at work: opens its files, keeps the link, follows the records, serves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import structlog
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.auth import LOCAL_KEY
from api.frames import FRAME_LIMIT
from api.hub import Hub
from api.readiness import why_no_heartbeat
from api.services import Services
from api.states import States
from gridwarden.clock import SystemClock
from gridwarden.config import Config
from gridwarden.errors import ConfigError, GridwardenError, RecordsUnavailable
from gridwarden.history import History
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.follower import follow
from gridwarden.link import LinkClient, socket_path
from gridwarden.office.accounts import Accounts
from gridwarden.office.registry import Office
from gridwarden.platform import speaks
from gridwarden.records.reader import Reader
from gridwarden.web.absent import AbsentHistory
from gridwarden.web.backups import Backups, Pin, by_core, by_ourselves
from gridwarden.web.health import WebHealth
from gridwarden.web.heartbeat import Heartbeat
from gridwarden.web.patience import PatientProtocol
from gridwarden.web.witness import CoreWitness
from rules.load import load as load_rules
from rules.rule import RuleSet

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HOUSEKEEPING_S = 900
UNREAD_MS = 30_000
"""How long a client may leave what was sent to it unread before the system ends the connection. Without it a client
that stopped reading would hold its socket for ever: closing waits for what is still to be sent."""
Scope = MutableMapping[str, Any]
_log = structlog.get_logger("web")


class RecordsSetBack(GridwardenError):
    """The records are no more those that web began with: what pages, hub and states remember is not true."""

    def __str__(self) -> str:
        return "the records have lost transactions and go on under a new identity; web begins anew"


class Web:
    """Everything of the web process; ``run`` is its life."""

    def __init__(self, config: Config, rules: RuleSet, page: Path | None, config_path: Path | None = None) -> None:
        self._config = config
        self._config_path = config_path
        self._rules = rules
        self._page = page
        self._pin = Pin()
        self._news = asyncio.Event()
        self._rules_loaded = asyncio.Event()
        self._link_up = asyncio.Event()
        self._services: Services

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Serve until cancelled."""
        with open_services(self._config, self._rules, self._hear) as services:
            self._services = services
            services.on_registry_change = lambda: _tell_registry(services)
            services.hub.on_rules_loaded = self._rules_loaded.set
            copy = by_core(services.link, asyncio.get_running_loop())
            services.backups = Backups(self._config, self._config_path, services.history, copy, self._pin.held)
            app = create_app(services, self._page)
            http = self._config.http
            local = socket_path(self._config.data, "web")
            with contextlib.closing(_listen(http.host, http.port)) as listening, _listen_locally(local) as owner:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(services.link.run(), name="web-link")
                    tasks.create_task(services.hub.run(), name="web-hub")
                    tasks.create_task(services.states.run(), name="web-states")
                    tasks.create_task(self._keep_rules(services), name="web-rules")
                    tasks.create_task(self._watch_epoch(services), name="web-epoch")
                    tasks.create_task(self._follow(services), name="web-history")
                    tasks.create_task(services.auditor.run(), name="web-audit")
                    if speaks(self._config):
                        tasks.create_task(WebHealth(services).run(), name="web-health")
                    if self._config.heartbeat.url.get_secret_value():
                        tasks.create_task(_heartbeat(services).run(), name="web-heartbeat")
                    tasks.create_task(self._keep_house(services.history), name="web-housekeeping")
                    tasks.create_task(_serve(uvicorn_config(_local(app)), [owner]), name="web-local")
                    tasks.create_task(_serve(uvicorn_config(app), [listening], ready), name="web-http")

    def _hear(self, frame: dict[str, Any]) -> None:
        """Something from core: news, provisional alarms, the link itself.

        Raises:
            ValueError: core says no such thing.
        """
        _check(frame)
        services = self._services
        services.hub.wake(frame["wake"]["seq"] if "wake" in frame else None)
        self._news.set()
        if "provisional" in frame:
            services.hub.push_provisional(frame["provisional"])
        if frame.get("link") == "up":
            services.link.tell({"followed": {"history": self._pin.told}})
            self._link_up.set()

    async def _keep_rules(self, services: Services) -> None:
        """Names and texts of the rules that core has loaded, read where core has read them."""
        while True:
            await self._rules_loaded.wait()
            self._rules_loaded.clear()
            try:
                services.rules = await asyncio.to_thread(
                    load_rules, self._config.rules, shipped_packs=self._config.shipped_packs
                )
            except ConfigError as error:  # changed once more meanwhile; core goes on with what it has, and so do we
                _log.error("rules.not_read", reason=str(error))

    async def _watch_epoch(self, services: Services) -> None:
        """Core may come back with records that have lost something: all that was told from them begins anew then.

        Raises:
            RecordsSetBack: the identity of the records has changed. Web ends, and is started again.
        """
        while True:
            await self._link_up.wait()
            self._link_up.clear()
            with contextlib.suppress(RecordsUnavailable):  # whoever needs them says so
                if await asyncio.to_thread(services.reader.epoch) != services.epoch:
                    raise RecordsSetBack

    async def _follow(self, services: Services) -> None:
        async def followed(offset: int) -> None:
            self._pin.followed = offset
            services.link.tell({"followed": {"history": self._pin.told}})
            services.auditor.caught_up.set()

        history = services.history
        if isinstance(history, AbsentHistory):
            return
        try:
            self._pin.followed = await asyncio.to_thread(history.offset)
            witness = CoreWitness(services.link, services.reader.epoch)
            await follow(
                services.reader, history, woken=self._news, clock=services.clock, on_followed=followed, witness=witness
            )
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever it is: loud, and not the end of web. Whoever waits for an alarm must still get it.
            services.counts.history_ended = True
            _log.critical("the history no longer follows the records", error=str(error), exc_info=True)

    async def _keep_house(self, history: History) -> None:
        if isinstance(history, AbsentHistory):
            return
        settings = self._config.history
        while True:
            now_ms = SystemClock().now_ms()
            try:
                await asyncio.to_thread(history.seal, now_ms - round(settings.seal_after_h * HOUR_MS))
                await asyncio.to_thread(history.retain, now_ms - settings.retention_days * DAY_MS)
            except Exception as error:  # noqa: BLE001 - as above: sealing can wait, alarms cannot
                _log.error("sealing failed; it is tried again", error=str(error), exc_info=True)
            await asyncio.sleep(HOUSEKEEPING_S)


def _check(frame: dict[str, Any]) -> None:
    """Raise ``ValueError`` for what core does not say of itself."""
    wake, provisional = frame.get("wake", {"seq": 0}), frame.get("provisional", [])
    if not isinstance(wake, dict) or type(wake.get("seq")) is not int:
        raise ValueError("a wake-up wants a seq")
    if not isinstance(provisional, list) or not all(isinstance(one, dict) and "area" in one for one in provisional):
        raise ValueError("provisional changes are a list of objects with their area")


def _heartbeat(services: Services) -> Heartbeat:
    return Heartbeat(services.config.heartbeat, lambda: why_no_heartbeat(services), services.counts)


def _tell_registry(services: Services) -> None:
    version = services.office.version()
    command = services.link.command(f"registry/{version}", "registry", {"version": version})
    task = asyncio.ensure_future(command)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


@contextlib.contextmanager
def open_services(config: Config, rules: RuleSet, hear: Callable[[dict[str, Any]], None]) -> Iterator[Services]:
    """Open everything web works with, and close it at the end."""
    data = config.data
    clock = SystemClock()
    with ExitStack() as stack:
        reader = Reader(data)
        stack.callback(reader.close)
        office = stack.enter_context(Office.open(data / "office.db"))
        history = _open_history(config)
        stack.callback(history.close)
        journal = Reader(data)
        stack.callback(journal.close)
        yield Services(
            config, clock, reader, office, Accounts(office.database, clock), history,
            LinkClient(socket_path(data, "core"), hear), Hub(journal), States(reader, history.offset), rules, reader.epoch(),
            frozenset(config.http.origins),
        )  # fmt: skip


def _open_history(config: Config) -> History:
    settings = config.history
    try:
        if settings.kind == "influxdb":
            from gridwarden.history.influxdb import InfluxHistory  # noqa: PLC0415 - its client takes long to import

            return InfluxHistory(
                config.data / "history", url=settings.url, org=settings.org, bucket=settings.bucket,
                token=settings.token.get_secret_value(), timeout_s=settings.timeout_s,
                keep_days=settings.retention_days + 1,  # only whole days are dropped
            )  # fmt: skip
        return DuckDBHistory(config.data / "history", memory_limit=f"{settings.memory_mb}MB", threads=settings.threads)
    except (GridwardenError, OSError) as error:
        _log.critical("the history cannot be opened; alarms go on without it", error=str(error))
        return cast("History", AbsentHistory(str(error)))


@contextlib.contextmanager
def _listen_locally(path: Path) -> Iterator[socket.socket]:
    """The socket of the data directory's owner: whoever may open it is admin, so it is never open to others.

    The system gives a socket's file the rights that the mask leaves at bind, so there is no moment in which they are
    wrong; uvicorn would open its own to everybody (0666). What a killed process left there is removed, and what we
    leave too.
    """
    path.unlink(missing_ok=True)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listening:
        mask = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        listening.setblocking(False)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the whole process is ended by cancellation."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield


def uvicorn_config(app: Any) -> uvicorn.Config:
    """Small frames, no compression of telemetry, a quick end. Frames too large for us are told so by us (4400)."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False,
        http=PatientProtocol, ws="websockets-sansio", ws_per_message_deflate=False, ws_max_size=4 * FRAME_LIMIT, ws_ping_interval=None,
        timeout_graceful_shutdown=1, lifespan="off", backlog=512,
    )  # fmt: skip


async def _serve(
    config: uvicorn.Config, sockets: list[socket.socket] | None = None, ready: asyncio.Event | None = None
) -> None:
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets), name="uvicorn")
    try:
        while ready and not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells it in no other way
            await asyncio.sleep(0.01)
        if ready:
            ready.set()
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def _local(app: FastAPI) -> Callable[[Scope, Any, Any], Awaitable[None]]:
    """The same application for those who may open the data directory's socket: this machine's owner of the data."""

    async def local(scope: Scope, receive: Any, send: Any) -> None:
        await app({**scope, LOCAL_KEY: True}, receive, send)

    return local


@asynccontextmanager
async def local_app(config: Config, rules: RuleSet, config_path: Path | None = None) -> AsyncIterator[Any]:
    """The application for a command while nothing runs: opened here, for this one command."""
    with open_services(config, rules, lambda _frame: None) as services:
        services.backups = Backups(config, config_path, services.history, by_ourselves(config.data))
        yield _local(create_app(services, None))

"""The composition root: one data directory, its lock, its migrations, the broker, and the two parts, supervised."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gridwarden.backup.restoring import refuse_half_restored
from gridwarden.broker.backoff import backoff
from gridwarden.broker.child import check_port
from gridwarden.broker.embedded import EmbeddedBroker
from gridwarden.broker.probe import RUNNING_FILE
from gridwarden.clock import SystemClock
from gridwarden.config import Config, load
from gridwarden.errors import ConfigError, Damaged, GridwardenError, Unavailable
from gridwarden.office import mark as office_mark
from gridwarden.office.accounts import Accounts
from gridwarden.office.migrate import refuse_later as refuse_later_office
from gridwarden.office.registry import Office
from gridwarden.part import FAILED, READY, Handover, owner, part, reveal
from gridwarden.records import damage, database, log
from gridwarden.records.writer import Writer
from gridwarden.supervised import Supervised, keep_saying

PARTS = ("core", "web")
OFFICE = "office.db"
START_TIMEOUT_S = 60.0
ORPHANS_S = 5.0
"""How long parts may take to notice that their supervisor was killed."""
STOP_TIMEOUT_S = 10.0
STEADY_S = 10.0
RETRY_CAP_S = 3.0
"""Longest wait before a part is started again: meanwhile no alarm is judged, or none is seen."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = structlog.get_logger("run")


class AlreadyRunning(GridwardenError):
    """Another process holds the data directory."""


@dataclass(slots=True)
class Installation:
    """A configuration, where it was read from, and what was decided on the way."""

    config_path: Path | None
    overrides: dict[str, Any] = field(default_factory=dict)
    config: Config = field(init=False)

    def __post_init__(self) -> None:
        self.config = load(self.config_path, **self.overrides)

    def decide(self, **overrides: Any) -> None:
        """Fix further settings for this run (a free port that was found)."""
        self.overrides |= overrides
        self.config = load(self.config_path, **self.overrides)

    @property
    def address(self) -> str:
        """Where the page is."""
        http = self.config.http
        host = "127.0.0.1" if http.host in {"0.0.0.0", "::"} else http.host  # noqa: S104 - where to look, not listen
        return f"http://{f'[{host}]' if ':' in host else host}:{http.port}"


@contextmanager
def data_lock(data: Path) -> Iterator[None]:
    """Hold the data directory for this process alone.

    Raises:
        AlreadyRunning: another process holds it.
        ConfigError: it cannot be made, or not be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = f"the data directory cannot be used ({error.strerror}); choose another one with --data"
        raise ConfigError(reason, path=data) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            msg = f"{data} is in use by process {holder or 'unknown'}; stop it, or choose another --data"
            raise AlreadyRunning(msg) from error
        _wait_for_orphans(data)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _wait_for_orphans(data: Path) -> None:
    """The parts of a supervisor that was killed end by themselves, at once; one that hangs still writes.

    Raises:
        AlreadyRunning: it does not end.
    """
    deadline_s = time.monotonic() + ORPHANS_S
    while orphans := {name: holder for name in PARTS if (holder := owner(data, name)) is not None}:
        if time.monotonic() > deadline_s:
            left = " and ".join(f"{name} (process {holder})" for name, holder in orphans.items())
            msg = f"{data} is in use by {left}, left over from an instance that was killed; end it, or choose another --data"
            raise AlreadyRunning(msg)
        threading.Event().wait(0.05)


def is_running(data: Path) -> bool:
    """Whether an instance holds ``data``."""
    if not (data / "lock").exists():
        return False
    try:
        with data_lock(data):
            return False
    except AlreadyRunning:
        return True


def embedded_address(data: Path) -> tuple[str, int]:
    """Host and port of the embedded broker of the instance that runs on ``data``.

    Raises:
        Unavailable: it is not up yet.
    """
    try:
        found = json.loads((data / RUNNING_FILE).read_text())
        return str(found["mqtt_host"]), int(found["mqtt_port"])
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(f"the broker of {data} is not up yet; try again") from error


def prepare(data: Path, *, first_user: bool = True) -> tuple[str, str] | None:
    """Bring both databases to this program's schema; name and password of the first account if it was made now.

    Before that both are looked at: what was lost is stated, what cannot be trusted is refused.

    Raises:
        ConfigError: a later program made one of them; neither was touched. Or a restore was broken off.
        Damaged: a file is gone, emptied, or not what was written.
    """
    refuse_half_restored(data)
    left = log.left_behind(data / database.FILE)  # whoever opens the records next makes it anew
    database.refuse_later(data)  # before anything is touched, and before it is taken for damaged
    refuse_later_office(data / OFFICE)
    changes_lost = office_mark.examine(data / OFFICE)
    damage.examine(data, left)
    database.migrate(data)
    with contextlib.closing(Writer(data)) as writer:
        writer.settle()
        if changes_lost:
            _log.critical("changes of the office are lost", changes=changes_lost)
            writer.state_office(changes_lost)
            office_mark.accept(data / OFFICE)
    with Office.open(data / OFFICE) as office:
        if not first_user:
            return None
        made = Accounts(office.database, SystemClock()).ensure_first_user()
    return (made[0].name, made[1]) if made else None


@asynccontextmanager
async def running(
    installation: Installation, *, single: bool = False, log_level: str | None = None
) -> AsyncIterator[Running]:
    """Everything running, within the block; :func:`data_lock` is held and :func:`prepare` was called by the caller.

    ``log_level`` is that of the parts; left out, the configuration's.

    Raises:
        Unavailable: a port is taken, or a part cannot start; with the reason.
    """
    async with AsyncExitStack() as stack:
        config = installation.config
        if not config.http.port:
            installation.decide(http__port=_free_port(config.http.host))
        else:
            check_port(config.http.host, config.http.port, "http.port")
        embedded = None
        if config.embedded.enabled:
            embedded = await stack.enter_async_context(EmbeddedBroker(config.embedded, config.data))
            facts = {"mqtt_host": embedded.host, "mqtt_port": embedded.mqtt_port, "monitor_port": embedded.monitor_port}
            stack.enter_context(_told(config.data / RUNNING_FILE, facts))
        handover = Handover(
            config_path=installation.config_path,
            overrides=installation.overrides,
            embedded=reveal(embedded.connection()) if embedded else None,
            log_level=log_level or config.log_level,
        )
        run = Running(installation, embedded)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        saying = tasks.create_task(keep_saying(config.data, run.supervised), name="supervised")
        lives = [_live_here(name, installation.config, handover) if single else _supervise(name, handover, run)
                 for name in PARTS]  # fmt: skip
        ready = [asyncio.Event() for _ in lives]
        started = [tasks.create_task(life(event), name=f"part-{name}")
                   for life, event, name in zip(lives, ready, PARTS, strict=True)]  # fmt: skip
        try:
            await _all_up(ready)
            yield run
        finally:
            for task in (*started, saying):
                task.cancel()


async def _all_up(ready: list[asyncio.Event]) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            for event in ready:
                await event.wait()
    except TimeoutError as error:
        down = [name for name, event in zip(PARTS, ready, strict=True) if not event.is_set()]
        raise Unavailable(
            f"{' and '.join(down)} did not come up within {START_TIMEOUT_S:.0f} s; the log says why"
        ) from error


@contextmanager
def _told(path: Path, facts: dict[str, Any]) -> Iterator[None]:
    """Where commands of this machine find what was decided at the start."""
    path.write_text(json.dumps(facts))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@dataclass(slots=True)
class Running:
    """What is up."""

    installation: Installation
    broker: EmbeddedBroker | None
    processes: dict[str, Process] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    """How often each part had to be started again."""

    async def supervised(self) -> Supervised:
        """What the parts cannot know themselves."""
        now_ms = SystemClock().now_ms()
        if self.broker is None:
            return Supervised(now_ms, dict(self.restarts))
        store = await self.broker.store()
        return Supervised(
            now_ms,
            self.restarts | {"broker": self.broker.restarts},
            store.get("storage") if store else None,
            self.broker.limit_bytes,
        )


def _live_here(name: str, config: Config, handover: Handover) -> Callable[[asyncio.Event], Any]:
    return lambda ready: part(name, config, handover.brokers(config), ready, handover.config_path)


def _supervise(name: str, handover: Handover, run: Running) -> Callable[[asyncio.Event], Any]:
    async def supervise(ready: asyncio.Event) -> None:
        """Start the part, and start it again with back-off whenever it ends."""
        pauses = backoff(RETRY_CAP_S)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            reason = ""
            async with _child(name, handover) as process:
                run.processes[name] = process
                while line := await process.stdout.readline():  # type: ignore[union-attr]
                    if line == READY:
                        ready.set()
                    elif line.startswith(FAILED):
                        reason = line.removeprefix(FAILED).decode().strip()
                code = await process.wait()
            if (
                reason and not ready.is_set()
            ):  # it never was up: trying for ever would only hide what a person must mend
                raise Unavailable(f"{name} cannot start: {reason}")
            if loop.time() - began > STEADY_S:
                pauses = backoff(RETRY_CAP_S)
            run.restarts[name] += 1
            pause_s = next(pauses)
            _log.error(
                "a part ended and is started again", name=name, code=code, reason=reason, pause_s=round(pause_s, 2)
            )
            await asyncio.sleep(pause_s)

    return supervise


@asynccontextmanager
async def _child(name: str, handover: Handover) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "gridwarden.part", name)
    # A session of its own: Ctrl-C must reach us alone, we end the parts.
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
    try:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(handover.model_dump_json().encode() + b"\n")  # type: ignore[union-attr]
            await process.stdin.drain()  # type: ignore[union-attr]
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def ended_by_signal() -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Within the block SIGTERM and SIGINT are heard: a start is broken off in order, and the block ends.

    Gives what waits for them; once it is awaited they cancel nothing any more.
    """
    loop = asyncio.get_running_loop()
    me = asyncio.current_task()
    asked = asyncio.Event()
    cancels = True

    def ask() -> None:
        if cancels and me and not asked.is_set():
            me.cancel()
        asked.set()

    async def wait() -> None:
        nonlocal cancels
        cancels = False
        await asked.wait()

    for number in _SIGNALS:
        loop.add_signal_handler(number, ask)
    try:
        yield wait
    except asyncio.CancelledError:
        if me is None or not (cancels and asked.is_set()):
            raise
        me.uncancel()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def explain(error: GridwardenError) -> tuple[str, int]:
    """What to tell the person, and the exit code: 1 failed, 2 wrong use."""
    return str(error), 1 if isinstance(error, (Unavailable, AlreadyRunning, Damaged)) else 2

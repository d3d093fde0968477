"""A real instance in a directory of its own: started, watched, killed piece by piece, always stopped.

Everything is asked over the instance's own Unix socket, as its owner; processes are found in the process table, below
the supervisor. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from gridwarden.broker import credentials
from gridwarden.link import socket_path
from simulators.publisher import Address

DEADLINE_S = 60.0
"""For anything that is waited for; nothing is asserted about how fast it was."""
STOP_S = 60.0
POLL_S = 0.03
VICTIMS = {"core": "gridwarden.part\0core", "web": "gridwarden.part\0web", "broker": "nats-server\0"}
_LOG_TAIL = 6_000


async def until(what: str, condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of ``condition`` (a plain or an async function)."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        await asyncio.sleep(POLL_S)


def free_port() -> int:
    """A TCP port of this machine that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Instance:
    """One data directory and, while it runs, its processes.

    Args:
        folder: where it lives; the data directory is ``folder/data``, the log ``folder/log``.
        arguments: further arguments of ``gridwarden run``.
        environment: further environment.
    """

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.armed = folder / "armed"
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()
        self._client: httpx.AsyncClient | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Instance]:
        """Ready within the block, and gone after it; what it said is added to whatever goes wrong."""
        try:
            await self.start()
            yield self
            await self.stop()
        except BaseException as error:
            error.add_note(f"--- log of {self.folder}\n{self.last_words()}")
            raise
        finally:
            await self.end()

    async def start(self, *, ready: bool = True) -> None:
        """Start it and wait until it is ready."""
        async with _turn_to_start():
            self.launch()
            if ready:
                await self.ready()

    def launch(self) -> None:
        """Start it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gridwarden", "run", "-d", str(self.data), "--port", "0", *self._arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, env=self.environment(), stdout=log, stderr=log)

    def environment(self) -> dict[str, str]:
        """That of every process of it: nothing of ours that would be configuration."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRIDWARDEN_")}
        own = {
            "GRIDWARDEN_EMBEDDED__MQTT_PORT": "0",
            "GRIDWARDEN_EMBEDDED__STORE_BYTES": str(256 * 2**20),
            "GRIDWARDEN_INGEST__PAST_AFTER_S": "0",  # workloads lie in the past, so as to be over soon
            "GRIDWARDEN_FAILPOINT": f"file:{self.armed}",
        }
        return inherited | own | self._environment

    def set(self, **environment: str) -> None:
        """Further environment, from the next start on."""
        self._environment |= environment

    async def ready(self) -> None:
        """Wait until it says so."""

        async def is_ready() -> bool:
            assert self.pid is not None, "it ended"
            with contextlib.suppress(httpx.HTTPError):
                return (await self.client.get("/readyz")).status_code == httpx.codes.OK
            return False

        await until("ready", is_ready)
        self._seen |= set(self.children().values())

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit code, and everything of it is gone."""
        process = self._process
        assert process is not None
        if process.poll() is not None:
            return process.returncode
        self._seen |= set(self.children().values())
        process.send_signal(number)
        await until("it ended when it was asked to", lambda: process.poll() is not None, STOP_S)
        await until("its children ended with it", lambda: not self.survivors(), STOP_S)
        return process.returncode

    async def end(self) -> None:
        """Make an end of whatever is left."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        if self._process is not None:
            self._seen |= set(self.children().values())
            for pid in [*([self._process.pid] if self._process.poll() is None else []), *self.survivors()]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return text[-_LOG_TAIL:]

    # --- processes ----------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The supervisor, while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def children(self) -> dict[str, int]:
        """Process ids of core, web and broker, as far as they live."""
        return {name: pid for pid in _children_of(self.pid) for name, mark in VICTIMS.items() if mark in _command(pid)}

    def survivors(self) -> list[int]:
        """Processes of it that still live, the supervisor aside."""
        return [pid for pid in self._seen if any(mark in _command(pid) for mark in VICTIMS.values())]

    async def child(self, name: str) -> int:
        """The process id of core, web or broker, as soon as there is one."""
        pid = await until(f"{name} runs", lambda: self.children().get(name))
        self._seen.add(pid)
        return int(pid)

    async def kill(self, name: str) -> int:
        """kill -9 core, web or broker; the process id it had."""
        pid = await self.child(name)
        os.kill(pid, signal.SIGKILL)
        await until(f"{name} is gone", lambda: self.children().get(name) != pid)
        return pid

    async def kill_supervisor(self) -> None:
        """kill -9 the supervisor; its children are left to themselves."""
        process = self._process
        assert process is not None
        self._seen |= set(self.children().values())
        process.kill()
        await until("the supervisor is gone", lambda: process.poll() is not None)

    # --- failpoints ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def failpoint(self, name: str, passage: int, place: Path) -> Iterator[Callable[[], int | None]]:
        """Arm ``name`` within the block, then let go; gives what tells the process id that pauses there."""
        place.mkdir(parents=True)
        self._arm(f"{place}:{name}@{passage}")
        hit = place / f"{name}.hit"
        try:
            yield lambda: int(hit.read_text() or 0) if hit.exists() else None
        finally:
            (place / f"{name}.go").touch()
            self._arm("")

    def _arm(self, text: str) -> None:
        fresh = self.armed.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.armed)

    # --- what it is asked ---------------------------------------------------------------------------------------

    @property
    def client(self) -> httpx.AsyncClient:
        """Its API, as its owner."""
        if self._client is None:
            transport = httpx.AsyncHTTPTransport(uds=str(self.socket))
            self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=10)
        return self._client

    @property
    def socket(self) -> Path:
        """The Unix socket of the API."""
        return socket_path(self.data, "web")

    async def get(self, path: str) -> Any:
        """The JSON of a GET below ``/api/v1``."""
        response = await self.client.get(f"/api/v1{path}")
        assert response.status_code == httpx.codes.OK, response.text
        return response.json()

    async def import_devices(self, file: Path, mapping: str | None = None) -> None:
        """Register devices, and wait until core has them."""
        order = {"what": "devices", "path": str(file), "mapping": mapping}
        response = await self.client.post("/api/v1/local/import", json=order, timeout=60)
        report = json.loads(response.text.strip().splitlines()[-1])["report"]
        assert report["ok"], report
        await until("core has the registry", self._registry_in_core)

    async def _registry_in_core(self) -> bool:
        journal = await self.get("/journal?limit=1000")
        return any(entry["op"] == "registry.changed" for entry in journal["entries"])

    def mqtt(self, client_id: str) -> Address:
        """Where and as whom one may publish for any gateway."""
        facts = json.loads((self.data / "running.json").read_text())
        user, password = credentials.load(self.data / "broker").of(credentials.REPLAYER)
        return Address(facts["mqtt_host"], facts["mqtt_port"], client_id, user, password)

    async def journal(self) -> AsyncIterator[dict[str, Any]]:
        """Every change, in order."""
        since = 0
        while True:
            page = await self.get(f"/journal?since={since}&limit=1000")
            if page["through"] == since:
                return
            for entry in page["entries"]:
                yield entry
            since = page["through"]

    async def ledger(self) -> dict[str, Any]:
        """The ledger."""
        return dict(await self.get("/ledger"))

    async def drained(self, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Wait until nothing is on its way any more, from the broker's store to the history; the ledger then."""
        return dict(await until("everything has arrived", self._ledger_at_rest, deadline_s))

    async def _ledger_at_rest(self) -> dict[str, Any] | None:
        try:
            if await self._held_by_broker():
                return None
            ledger = await self.ledger()
        except (httpx.HTTPError, AssertionError):
            return None
        at_rest = (
            ledger["core"] == "up"
            and not ledger["in_flight"]
            and not ledger["waiting_messages"]
            and ledger["history_lag"]["transactions"] == 0
            and all(session["connected"] for session in ledger["sessions"])
        )
        return ledger if at_rest else None

    async def _held_by_broker(self) -> int:
        """Messages that the embedded broker holds because they were not acknowledged."""
        config = self.data / "broker" / "nats.conf"
        if not config.exists():
            return 0
        found = re.search(r'^http: "(.*)"$', config.read_text(), re.MULTILINE)
        assert found
        async with httpx.AsyncClient(timeout=5) as client:
            told = (await client.get(f"http://{found[1]}/jsz?streams=1&accounts=1")).json()
        streams = [stream for account in told.get("account_details", []) for stream in account.get("stream_detail", [])]
        messages = [stream["state"]["messages"] for stream in streams if stream["name"] == "$MQTT_msgs"]
        return int(messages[0]) if messages else 1  # it is being restored: what it holds is not known yet


@asynccontextmanager
async def _turn_to_start() -> AsyncIterator[None]:
    """One instance starts at a time on this machine, whichever test wants it: a dozen at once need a minute for it."""
    with (Path(tempfile.gettempdir()) / f"gridwarden-start-{os.getuid()}.lock").open("w") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


def _children_of(parent: int | None) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _parent(entry) == parent]


def _parent(process: Path) -> int | None:
    try:
        # The name in brackets may hold anything; what follows it is: state, parent.
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _command(pid: int) -> str:
    """The command line of a process, its arguments ended by NUL; empty for a dead one."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""

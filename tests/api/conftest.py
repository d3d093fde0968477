"""A real site: records written by the real writer, office, history, a link with an answering end, a served application."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic_core import from_json, to_json
from websockets.asyncio.client import ClientConnection

from api.app import create_app
from api.services import Services
from gridwarden.access import Role
from gridwarden.clock import SystemClock
from gridwarden.config import load
from gridwarden.errors import Refused
from gridwarden.link import LinkServer, socket_path
from gridwarden.model import (
    Alarm,
    AlarmState,
    Area,
    Change,
    DeadLetter,
    Device,
    EventState,
    GridEvent,
    Operation,
    Reading,
    Resource,
    Severity,
)
from gridwarden.office.accounts import Accounts
from gridwarden.office.basemap import FILE_NAME
from gridwarden.office.registry import Office
from gridwarden.quieting import Matchers, Quieting, QuietingKind
from gridwarden.records import block, database, rows
from gridwarden.records.transaction import SeenUnregistered, Tally, Transaction
from gridwarden.records.writer import Writer
from gridwarden.web.service import _listen, _Server, open_services, uvicorn_config
from rules.load import load as load_rules

NOW_MS = 1_795_327_200_000
WEST, EAST = "330106001", "330106002"
PASSWORD = "correct horse battery"
RULES = load_rules((), shipped_packs=True)
PEOPLE = {
    "viewer": (Role.VIEWER, ("",)),
    "operator": (Role.OPERATOR, ("",)),
    "admin": (Role.ADMIN, ("",)),
    "west-viewer": (Role.VIEWER, (WEST,)),
    "west-operator": (Role.OPERATOR, (WEST,)),
    "west-admin": (Role.ADMIN, (WEST,)),
}
HASHER = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))


def alarm(number: int, area: str = WEST, state: AlarmState = AlarmState.FIRING, **values: Any) -> Alarm:
    at_ms = NOW_MS + number
    fields: dict[str, Any] = {"fired_at_ms": at_ms, "event_id": f"E{number}", "life_safety": True} | values
    return Alarm(
        f"A{number}", "smoke.fire", "1", f"SMK-{number}", f"SMK-{number}", "smoke", area, Severity.CRITICAL, state,
        at_ms, **fields,
    )  # fmt: skip


def grid_event(number: int, area: str = WEST, state: EventState = EventState.OPEN, **values: Any) -> GridEvent:
    at_ms = NOW_MS + number
    return GridEvent(
        f"E{number}", f"F20261122-{number:05d}", f"key-{number}", "fire", "smoke.fire", Severity.CRITICAL, state, area,
        f"SMK-{number}", "smoke", at_ms, at_ms, **values,
    )  # fmt: skip


def quieting(number: int, area: str = WEST, **values: Any) -> Quieting:
    fields: dict[str, Any] = {"until_at_ms": NOW_MS + 10**12, "protected": False} | values
    return Quieting(quieting_id=number, kind=QuietingKind.SILENCE, area=area, matchers=Matchers(kinds=("smoke",)),
                    from_at_ms=NOW_MS, author="zhang", author_id="u1", comment="works", created_at_ms=NOW_MS, **fields)  # fmt: skip


def reading(device_id: str, at_ms: int = NOW_MS, seq: int = 1, **values: Any) -> Reading:
    return Reading(device_id, "smoke", "gw1", at_ms, at_ms, seq, hash((device_id, at_ms, seq)) & 0xFFFF_FFFF, True,
                   values or {"state": "normal"})  # fmt: skip


@dataclass(slots=True)
class Book:
    """Writes the records as core would."""

    writer: Writer
    told: Callable[[], None] = lambda: None

    def commit(self, *changes: Change, readings: list[Reading] | None = None, **parts: Any) -> None:
        transaction = Transaction(NOW_MS, changes=list(changes), **parts)
        for change in changes:
            if change.alarm:
                transaction.alarms[change.alarm.alarm_id] = change.alarm
            if change.event:
                transaction.events[change.event.event_id] = change.event
        if readings:
            transaction.rows, transaction.reading_count = block.rows_json(readings), len(readings)
        self.writer.commit(transaction)
        self.told()

    def fire(self, number: int, area: str = WEST) -> None:
        """A new alarm and its event."""
        self.commit(fired(number, area))

    def close(self, number: int, area: str = WEST) -> None:
        event = grid_event(number, area, EventState.CLOSED, revision=2)
        done = alarm(number, area, AlarmState.RESOLVED, resolved_at_ms=NOW_MS + number + 1, revision=2)
        self.commit(
            Change(Operation.ALARM_RESOLVED, NOW_MS, area, done, event),
            Change(Operation.EVENT_CLOSED, NOW_MS, area, None, event),
        )


def fired(number: int, area: str = WEST) -> Change:
    return Change(Operation.ALARM_FIRED, NOW_MS + number, area, alarm(number, area), grid_event(number, area))


@dataclass(slots=True)
class Core:
    """Core's end of the link: does what it is told to the records, once per command id."""

    book: Book
    acted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def answer(self, command_id: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        if name == "status":
            return STATUS
        if command_id not in self.answers:
            self.acted.append((name, params))
            self.answers[command_id] = self._act(name, params)
        return self.answers[command_id]

    def _act(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("note") == "refuse":
            raise Refused("note_required", "")
        if name.startswith("retry_"):
            return {"outcomes": [[number, "stored"] for number in params[name.removeprefix("retry_")]]}
        if {"comment", "quieting_id"} & set(params):
            area = params.get("area", WEST)
            return {"quieting": rows.quieting_row(quieting(params.get("quieting_id", 1), area))}
        number = int(str(params.get("alarm_id") or params.get("event_id"))[1:])
        shown = replace(alarm(number), note=params["note"], acknowledged_by=params["actor"])
        return {"alarm": rows.alarm_row(shown), "event": rows.event_row(grid_event(number))}


STATUS = {
    "received": 3, "stored": 3, "duplicate": 0, "dead_lettered": 0, "quarantined": 0, "unchecked": 0, "in_flight": 0,
    "redelivered": 0, "sessions": [], "records": "ok", "spool": {"bytes": 10, "quota_bytes": 100, "full": False},
    "provisional": False, "ledger_imbalance": 0,
}  # fmt: skip


@dataclass(slots=True)
class Site:
    """What a test works with."""

    data: Path
    book: Book
    services: Services
    app: FastAPI
    core: Core
    link: AsyncExitStack
    """Core's end of the link; closed, core is down."""
    secrets: dict[str, str]
    port: int = 0

    async def start_core(self) -> None:
        """Answer the link."""
        server = LinkServer(self.core.answer, lambda _: None)
        await self.link.enter_async_context(server.serve(socket_path(self.data, "core")))

    def client(self, who: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client of the application in this process; ``who`` by API token."""
        if who:
            headers["authorization"] = f"Bearer {self.secrets[who]}"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://gw.test", headers=headers)

    async def cookie(self, name: str) -> str:
        async with self.client() as client:
            answer = await client.post("/api/v1/auth/session", json={"name": name, "password": PASSWORD})
            return answer.cookies["gridwarden_session"]

    @asynccontextmanager
    async def socket(self, who: str | None = "operator", **options: Any) -> AsyncIterator[Socket]:
        """A websocket; its first frame is taken off."""
        headers = options.pop("headers", {})
        if who:
            headers["authorization"] = f"Bearer {self.secrets[who]}"
        settings: dict[str, Any] = {"subprotocols": ["gridwarden.v1"], "additional_headers": headers, "ping_interval": None,
                    "compression": None, "max_size": None} | options  # fmt: skip
        async with websockets.connect(f"ws://127.0.0.1:{self.port}/api/v1/ws", **settings) as connection:
            yield Socket(connection)


@dataclass(slots=True)
class Socket:
    """A websocket client that speaks frames."""

    raw: ClientConnection

    async def send(self, **frame: Any) -> None:
        await self.raw.send(to_json(frame).decode())

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            frame: dict[str, Any] = from_json(await self.raw.recv())
            return frame

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Frames up to and with the first one of ``kind``."""
        frames = [await self.receive()]
        while frames[-1]["t"] != kind:
            frames.append(await self.receive())
        return frames

    async def closed(self) -> int:
        """The close code, whatever comes before it."""
        async with asyncio.timeout(15):
            try:
                while True:
                    await self.raw.recv()
            except websockets.ConnectionClosed:
                return self.raw.close_code or 0


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A prepared data directory, to be copied, and the API token of each of the people."""
    data = tmp_path_factory.mktemp("template")
    return data, prepare(data)


def prepare(data: Path) -> dict[str, str]:
    """Make an empty folder a data directory; the API token of each of the people."""
    database.migrate(data)
    tokens = {}
    with Office.open(data / "office.db") as office:
        accounts = Accounts(office.database, SystemClock(), HASHER)
        for name, (role, areas) in PEOPLE.items():
            user = accounts.create_user(name, role, areas, PASSWORD)
            tokens[name] = accounts.create_token(user.user_id, "test")[1]
        for code, name in (("3301", "杭州"), ("330106", "西湖"), (WEST, "west"), (EAST, "east")):
            office.upsert_area(Area(code, name))
        for number, area in ((1, WEST), (2, EAST)):
            office.upsert_device(Device(f"SMK-{number}", "smoke", area, lon=120.1, lat=30.2))
            office.upsert_resource(Resource(f"R{number}", "hydrant", "", area, 120.1, 30.2))
    (data / FILE_NAME).write_text('{"type":"FeatureCollection","features":[]}')
    return tokens


@pytest.fixture
async def site(template: tuple[Path, dict[str, str]], tmp_path: Path) -> AsyncIterator[Site]:
    """A site whose core answers, whose hub and states follow, and that is not served yet."""
    data = tmp_path / "data"
    shutil.copytree(template[0], data)
    async with open_site(data, template[1]) as site:
        yield site


@asynccontextmanager
async def open_site(data: Path, secrets: dict[str, str]) -> AsyncIterator[Site]:
    """The site over a prepared data directory."""
    config = load(None, {}, data=str(data))
    writer = Writer(data)
    writer.start()
    book = Book(writer)
    core = Core(book)
    async with AsyncExitStack() as stack:
        stack.callback(writer.close)
        services = stack.enter_context(open_services(config, RULES, lambda _: None))
        services.accounts = Accounts(services.office.database, SystemClock(), HASHER)
        link = await stack.enter_async_context(AsyncExitStack())
        site = Site(data, book, services, create_app(services, None), core, link, secrets)
        await site.start_core()
        loop = asyncio.get_running_loop()
        book.told = lambda: loop.call_soon_threadsafe(services.hub.wake)  # some commit from threads
        tasks = [asyncio.create_task(life) for life in
                 (services.link.run(), services.hub.run(), services.states.run())]  # fmt: skip
        async with asyncio.timeout(10):
            while not services.link.connected:  # noqa: ASYNC110 nobody sets an event
                await asyncio.sleep(0.01)
        yield site
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def served(site: Site) -> AsyncIterator[Site]:
    """The same, served by uvicorn on a free loopback port."""
    async with serving(site.app) as port:
        site.port = port
        yield site


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    """The application on a free loopback port."""
    listening = _listen("127.0.0.1", 0)
    server: uvicorn.Server = _Server(uvicorn_config(app))
    task = asyncio.create_task(server.serve([listening]))
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 uvicorn tells it in no other way
            await asyncio.sleep(0.01)
    yield listening.getsockname()[1]
    server.should_exit = True
    await task


def filled(book: Book) -> None:
    """One of everything, in the west and in the east."""
    book.fire(1, WEST)
    book.fire(2, EAST)
    book.commit(
        readings=[reading("SMK-1", state="normal")],
        dead_letters=[DeadLetter(NOW_MS, "b", "t", "bad_json", "", b"x")],
        quarantined=[reading("SMK-2", state="alarm")],
        unregistered={"NEW-1": SeenUnregistered("smoke", "gw1", NOW_MS, 1)},
        tallies={("b", "telemetry", "x"): Tally(stored=1, dead_lettered=1, received=2)},
        quietings={number: quieting(number, area) for number, area in ((1, WEST), (2, EAST))},
    )

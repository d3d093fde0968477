"""The websocket ``/api/v1/ws`` (subprotocol ``gridwarden.v1``): snapshot, changes, resume. See docs/guide/api.md.

One task reads, one task writes; the hub waits for neither. A client that does not read is cut off with 4429.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api import wire
from api.auth import COOKIE, check_origin, principal_of
from api.hub import Listener
from api.services import Services
from gridwarden.access import Principal, scopes
from gridwarden.areas import within
from gridwarden.clock import rfc3339
from gridwarden.errors import Forbidden, RecordsUnavailable
from gridwarden.records.reader import PAGE_LIMIT, Entry

SUBPROTOCOL = "gridwarden.v1"
PING_S = 15
AUTH_S = 5
SEND_S = 10
"""How long one frame may take to be taken by the client's side of the connection."""
SNAPSHOT_LIMIT = 1_000
RESUME_LIMIT = 10_000
"""Entries one may be behind and still be told each; beyond it a snapshot is quicker for both."""
SUBSCRIPTIONS_LIMIT = 16
FRAME_LIMIT = 64 * 1024
CONNECTIONS_LIMIT = 500
_log = structlog.get_logger("stream")
router = APIRouter()


class Query(BaseModel):
    """What a subscription is about."""

    model_config = ConfigDict(extra="forbid")
    area: str = Field("", max_length=32)
    devices: list[str] | None = Field(None, max_length=1_000)


class Resume(BaseModel):
    """Where the client stopped."""

    model_config = ConfigDict(extra="forbid")
    epoch: str = ""
    seq: int = -1
    version: int = -1


class Frame(BaseModel):
    """What a client may send."""

    model_config = ConfigDict(extra="ignore")
    t: str
    id: int = 0
    ch: str = ""
    q: Query = Query()
    resume: Resume | None = None
    token: str = Field("", max_length=256)


class _Close(Exception):  # noqa: N818 - not an error: how a connection ends
    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


@dataclass(eq=False, slots=True)
class _Events:
    """A subscription to changes."""

    number: int
    listener: Listener
    sent_seq: int = 0


@dataclass(eq=False, slots=True)
class _Devices:
    """A subscription to device states."""

    number: int
    devices: frozenset[str] | None
    version: int


class Connection:
    """One websocket."""

    def __init__(self, socket: WebSocket, services: Services) -> None:
        self._socket = socket
        self._services = services
        self._principal: Principal | None = None
        self._events: dict[int, _Events] = {}
        self._devices: dict[int, _Devices] = {}
        self._stirred = asyncio.Event()
        self._revoked = False

    async def serve(self) -> None:
        """Until one side ends it."""
        services = self._services
        token = self._socket.cookies.get(COOKIE, "")
        if token:
            services.hub.on_revoke(token, self._revoke)
        try:
            await self._hello()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(), name="ws-receive")
                tasks.create_task(self._send_changes(), name="ws-send")
                tasks.create_task(self._ping(), name="ws-ping")
        except* _Close as group:
            end = group.exceptions[0]
            if isinstance(end, _Close):
                await self._close(end.code, end.reason)
        except* (WebSocketDisconnect, RuntimeError, TimeoutError):
            await self._close(4429, "slow")  # gone, or it did not take a frame in time
        finally:
            services.hub.forget_revoke(token)
            services.states.leave(self)
            for subscription in self._events.values():
                services.hub.leave(subscription.listener)

    def _revoke(self) -> None:
        self._revoked = True
        self._stirred.set()

    async def _close(self, code: int, reason: str) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(code, reason)

    async def _send(self, frame: dict[str, Any]) -> None:
        async with asyncio.timeout(SEND_S):
            await self._socket.send_text(to_json(frame).decode())

    async def _hello(self) -> None:
        services = self._services
        self._principal = principal_of(self._socket, services)
        hello = {
            "t": "hello", "v": 1, "server_time": rfc3339(services.clock.now_ms()), "ping_s": PING_S,
            "epoch": services.epoch, "user": _user(self._principal),
        }  # fmt: skip
        await self._send(hello)
        if self._principal is None:
            try:
                async with asyncio.timeout(AUTH_S):
                    frame = await self._read()
            except TimeoutError as error:
                raise _Close(4408, "no auth in time") from error
            if frame.t != "auth":
                raise _Close(4401, "auth expected")
            self._principal = await asyncio.to_thread(services.accounts.token_principal, frame.token)
            if self._principal is None:
                raise _Close(4401, "not signed in")
            await self._send({"t": "auth_ok", "user": _user(self._principal)})

    async def _read(self) -> Frame:
        text = await self._socket.receive_text()
        if len(text) > FRAME_LIMIT:
            raise _Close(4400, "frame too large")
        try:
            return Frame.model_validate(from_json(text))
        except (ValidationError, ValueError) as error:
            raise _Close(4400, "bad frame") from error

    async def _receive(self) -> None:
        while True:
            frame = await self._read()
            match frame.t, frame.ch:
                case "sub", "events":
                    await self._subscribe_events(frame)
                case "sub", "devices":
                    await self._subscribe_devices(frame)
                case "sub", _:
                    await self._send({"t": "err", "id": frame.id, "code": "unknown_channel"})
                case "unsub", _:
                    self._unsubscribe(frame.id)
                case "pong", _:
                    pass
                case _:
                    raise _Close(4400, "unknown frame")

    def _scopes(self, area: str) -> list[str] | None:
        """The prefixes to filter by; ``None`` where the client may see nothing of ``area``."""
        mine = scopes(self._principal) if self._principal else []
        narrowed = [area for scope in mine if within(area, scope)] or [s for s in mine if within(s, area)]
        return narrowed or None

    async def _admit(self, frame: Frame) -> list[str] | None:
        if len(self._events) + len(self._devices) >= SUBSCRIPTIONS_LIMIT:
            raise _Close(4429, "too many subscriptions")
        narrowed = self._scopes(frame.q.area)
        if narrowed is None:
            await self._send({"t": "err", "id": frame.id, "code": "forbidden_area"})
        return narrowed

    async def _subscribe_events(self, frame: Frame) -> None:
        self._unsubscribe(frame.id)
        narrowed = await self._admit(frame)
        if narrowed is None:
            return
        services = self._services
        subscription = _Events(frame.id, Listener(narrowed, stir=self._stirred.set))
        services.hub.listen(subscription.listener)  # first listen, then read: nothing falls between
        try:
            if not await self._resume(subscription, frame.resume):
                await self._snapshot(subscription)
        except RecordsUnavailable:
            services.hub.leave(subscription.listener)
            await self._send({"t": "err", "id": frame.id, "code": "unavailable"})
            return
        self._events[frame.id] = subscription
        self._stirred.set()

    async def _resume(self, subscription: _Events, resume: Resume | None) -> bool:
        services = self._services
        if resume is None or resume.epoch != services.epoch or resume.seq < 0:
            return False
        last = await asyncio.to_thread(services.reader.last_seq)
        if not 0 <= last - resume.seq <= RESUME_LIMIT:
            return False
        head = {"t": "sub_ok", "id": subscription.number, "mode": "resumed", "epoch": services.epoch, "seq": last}
        await self._send(head)
        subscription.sent_seq = resume.seq
        while subscription.sent_seq < last:
            entries = await asyncio.to_thread(services.reader.journal, subscription.sent_seq, PAGE_LIMIT)
            if not entries:
                break
            for entry in entries:
                if subscription.listener.wants(entry.area):
                    await self._send(self._change(subscription, entry))
                subscription.sent_seq = entry.seq
        return True

    async def _snapshot(self, subscription: _Events) -> None:
        services = self._services
        seq, events, alarms = await asyncio.to_thread(
            services.reader.open_situation, subscription.listener.scopes, SNAPSHOT_LIMIT
        )
        head = {"t": "sub_ok", "id": subscription.number, "mode": "snapshot", "epoch": services.epoch, "seq": seq}
        await self._send(head)
        rules = services.rules
        await self._send(
            {"t": "snap", "id": subscription.number, "events": [wire.event_of(event, rules) for event in events],
             "alarms": [wire.alarm_of(alarm, rules) for alarm in alarms]}
        )  # fmt: skip
        await self._send({"t": "snap_end", "id": subscription.number, "seq": seq})
        subscription.sent_seq = seq

    async def _subscribe_devices(self, frame: Frame) -> None:
        self._unsubscribe(frame.id)
        narrowed = await self._admit(frame)
        if narrowed is None:
            return
        services = self._services
        wanted = None if frame.q.devices is None else frozenset(frame.q.devices)
        seen = await asyncio.to_thread(self._visible, wanted, narrowed)
        services.states.watch(self, self._stirred.set)
        version = frame.resume.version if frame.resume else -1
        await self._send({"t": "sub_ok", "id": frame.id, "mode": "resumed" if version >= 0 else "snapshot",
                          "version": services.states.version})  # fmt: skip
        self._devices[frame.id] = _Devices(frame.id, seen, version)
        self._stirred.set()

    def _visible(self, wanted: frozenset[str] | None, narrowed: list[str]) -> frozenset[str] | None:
        """The devices to tell of; ``None``: all there are."""
        if narrowed == [""]:
            return wanted
        allowed: set[str] = set()
        after = ""
        while page := self._services.office.devices(narrowed, after=after, limit=PAGE_LIMIT):
            allowed.update(device.device_id for device in page)
            after = page[-1].device_id
        return frozenset(allowed) if wanted is None else wanted & allowed

    def _unsubscribe(self, number: int) -> None:
        subscription = self._events.pop(number, None)
        if subscription:
            self._services.hub.leave(subscription.listener)
        if self._devices.pop(number, None) and not self._devices:
            self._services.states.leave(self)

    async def _send_changes(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            if self._revoked:
                raise _Close(4401, "signed out")
            for subscription in tuple(self._events.values()):
                await self._drain(subscription)
            for watched in tuple(self._devices.values()):
                await self._send_states(watched)

    async def _drain(self, subscription: _Events) -> None:
        listener = subscription.listener
        while listener.waiting:
            item = listener.waiting.popleft()
            if isinstance(item, Entry):
                if item.seq <= subscription.sent_seq:
                    continue
                subscription.sent_seq = item.seq
            await self._send(self._change(subscription, item))
        if listener.overflowed:
            await self._send({"t": "gap", "id": subscription.number, "reason": "overflow"})
            raise _Close(4429, "slow")

    def _change(self, subscription: _Events, item: Entry | dict[str, Any]) -> dict[str, Any]:
        rules = self._services.rules
        if isinstance(item, Entry):
            return {"t": "ev", "id": subscription.number, "seq": item.seq, "through": item.seq, "op": item.operation,
                    "at": rfc3339(item.at_ms), **wire.entry_body(item.body, rules)}  # fmt: skip
        return {"t": "ev", "id": subscription.number, "seq": None, "provisional": True, "op": item["operation"],
                "at": rfc3339(item["at_ms"]), **wire.entry_body(item, rules, provisional=True)}  # fmt: skip

    async def _send_states(self, watched: _Devices) -> None:
        states = self._services.states
        if watched.version < 0:
            watched.version = states.version
        news = states.newer(watched.version, watched.devices)
        if news:
            await self._send({"t": "d", "id": watched.number, "version": states.version, "up": news})
        watched.version = states.version

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            through = min((s.listener.through for s in self._events.values()), default=self._services.hub.seq)
            now = rfc3339(self._services.clock.now_ms())
            await self._send({"t": "ping", "server_time": now, "through": through})


def _user(principal: Principal | None) -> dict[str, Any] | None:
    if principal is None:
        return None
    return {"user_id": principal.user_id, "name": principal.name, "role": principal.role, "areas": principal.areas}


@router.websocket("/ws")
async def stream(socket: WebSocket) -> None:
    """Accept, check where it comes from, serve."""
    services: Services = socket.app.state.services
    if SUBPROTOCOL not in socket.scope.get("subprotocols", []):
        await socket.accept()
        await socket.close(4406, "subprotocol gridwarden.v1 is expected")
        return
    await socket.accept(SUBPROTOCOL)
    if COOKIE in socket.cookies:
        try:
            check_origin(socket, services)
        except Forbidden:
            await socket.close(4403, "wrong origin")
            return
    connection = Connection(socket, services)
    if len(services.connections) >= CONNECTIONS_LIMIT:
        await socket.close(4429, "too many connections")
        return
    services.connections.add(connection)
    try:
        await connection.serve()
    finally:
        services.connections.discard(connection)

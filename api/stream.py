"""The websocket ``/api/v1/ws`` (subprotocol ``gridwarden.v1``): sign-in, subscriptions, life. See docs/guide/api.md.

One task reads, one writes, one looks whether the client may still be there; the hub waits for none of them. A client
that does not read is cut off with 4429.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api.auth import COOKIE, Credential, Way, check_origin, presented, resolve, shown
from api.frames import Close, Frame, parse
from api.paging import narrow
from api.services import Services
from api.subscriptions import TOO_SLOW, DevicesSubscription, EventsSubscription, encode
from gridwarden.access import Principal, scopes
from gridwarden.clock import rfc3339
from gridwarden.errors import Forbidden, Unavailable

SUBPROTOCOL = "gridwarden.v1"
PING_S = 15
RECHECK_S = 5
"""How long a socket may outlive its session, token or rights where no sign-out told of it."""
AUTH_S = 5
SEND_S = 10
"""How long one frame may take to be taken by the client's side of the connection."""
CLOSE_S = 1
SUBSCRIPTIONS_LIMIT = 16
CONNECTIONS_LIMIT = 500
STRANGERS_LIMIT = 100
"""Sockets that may wait for ``auth`` at once: apart from the others, so that they keep nobody out."""
_log = structlog.get_logger("stream")
router = APIRouter()


class Connection:
    """One websocket."""

    def __init__(self, socket: WebSocket, services: Services) -> None:
        self._socket = socket
        self._services = services
        self._credential: Credential | None = None
        self._principal: Principal
        self._events: dict[int, EventsSubscription] = {}
        self._devices: dict[int, DevicesSubscription] = {}
        self._stirred = asyncio.Event()
        self._recheck = asyncio.Event()

    def recheck(self) -> None:
        """See :class:`api.services.Checked`."""
        self._recheck.set()

    async def serve(self) -> None:
        """Until one side ends it."""
        try:
            await self._sign_in()
            await self._live()
        except* Close as group:
            await self._close(_first(group))
        except* TimeoutError:
            await self._close(Close(4429, TOO_SLOW))  # it did not take a frame in time
        except* Unavailable as group:
            _log.warning("a websocket is sent away", error=str(group.exceptions[0]))
            await self._close(Close(1012, "try again"))
        except* WebSocketDisconnect:
            pass
        finally:
            self._leave()

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(), name="ws-receive")
            tasks.create_task(self._send_changes(), name="ws-send")
            tasks.create_task(self._watch(), name="ws-watch")

    def _leave(self) -> None:
        self._services.connections.discard(self)
        self._services.strangers.discard(self)
        self._services.states.leave(self)
        for number in (*self._events, *self._devices):
            self._unsubscribe(number)

    async def _close(self, close: Close) -> None:
        self._services.counts.clients_cut += close.reason == TOO_SLOW
        states = (self._socket.application_state, self._socket.client_state)
        if states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED):
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._socket.close(close.code, close.reason)
            except (TimeoutError, WebSocketDisconnect):
                return  # it does not read; the system ends the connection (see the listener's TCP_USER_TIMEOUT)

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_S):
            await self._socket.send_text(text)
        self._services.counts.frames_sent += 1

    async def _read(self) -> Frame:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        return parse(message.get("text"))

    # --- who it is ----------------------------------------------------------------------------------------------

    async def _sign_in(self) -> None:
        services = self._services
        principal = None
        credential = presented(self._socket)
        if credential:
            principal = await asyncio.to_thread(resolve, credential, services)
        if principal is None and len(services.strangers) >= STRANGERS_LIMIT:
            raise Close(4429, "too many connections")
        hello = {
            "t": "hello", "v": 1, "server_time": rfc3339(services.clock.now_ms()), "ping_s": PING_S,
            "epoch": services.epoch, "user": shown(principal) if principal else None,
        }  # fmt: skip
        if principal is None:
            services.strangers.add(self)
            await self._send(encode(hello))
            credential, principal = await self._authenticate()
            services.strangers.discard(self)
        if len(services.connections) >= CONNECTIONS_LIMIT:
            raise Close(4429, "too many connections")
        services.connections.add(self)
        self._credential, self._principal = credential, principal
        welcome = {"t": "auth_ok", "user": shown(principal)} if hello["user"] is None else hello
        await self._send(encode(welcome))

    async def _authenticate(self) -> tuple[Credential, Principal]:
        try:
            async with asyncio.timeout(AUTH_S):
                frame = await self._read()
        except TimeoutError as error:
            raise Close(4408, "no auth in time") from error
        if frame.t != "auth":
            raise Close(4401, "auth expected")
        credential = Credential(Way.TOKEN, frame.token)
        principal = await asyncio.to_thread(resolve, credential, self._services)
        if principal is None:
            raise Close(4401, "not signed in")
        return credential, principal

    async def _watch(self) -> None:
        """Ping, and see to it that nobody stays whose session, token or rights have gone."""
        loop = asyncio.get_running_loop()
        ping_at_s = loop.time() + PING_S
        while True:
            try:
                async with asyncio.timeout(RECHECK_S):
                    await self._recheck.wait()
            except TimeoutError:
                pass
            self._recheck.clear()
            await self._check()
            if loop.time() >= ping_at_s:
                ping_at_s += PING_S
                await self._ping()

    async def _check(self) -> None:
        try:
            principal = await asyncio.to_thread(resolve, self._credential, self._services) if self._credential else None
            for watched in tuple(self._devices.values()):
                await watched.refresh()
        except Unavailable:
            return  # an office that cannot be read throws nobody out of the room where alarms are watched
        if principal is None:
            raise Close(4401, "signed out")
        if principal != self._principal:
            raise Close(1012, "your rights have changed")

    async def _ping(self) -> None:
        frame: dict[str, Any] = {"t": "ping", "server_time": rfc3339(self._services.clock.now_ms())}
        told = [subscription.through for subscription in self._events.values()]
        if told and None not in told:
            frame["through"] = min(through for through in told if through is not None)
        await self._send(encode(frame))

    # --- what it wants ------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            frame = await self._read()
            match frame.t:
                case "sub":
                    await self._subscribe(frame)
                case "unsub":
                    self._unsubscribe(frame.id)
                case "pong":
                    pass
                case _:
                    raise Close(4400, "unknown frame")

    async def _subscribe(self, frame: Frame) -> None:
        self._unsubscribe(frame.id)
        if len(self._events) + len(self._devices) >= SUBSCRIPTIONS_LIMIT:
            raise Close(4429, "too many subscriptions")
        code = ""
        narrowed = narrow(scopes(self._principal), frame.q.area)
        if frame.ch not in {"events", "devices"}:
            code = "unknown_channel"
        elif not narrowed:
            code = "forbidden_area"
        else:
            try:
                await self._start(frame, narrowed)
            except Unavailable:
                self._unsubscribe(frame.id)
                code = "unavailable"
        if code:
            await self._send(encode({"t": "err", "id": frame.id, "code": code}))

    async def _start(self, frame: Frame, narrowed: list[str]) -> None:
        # Held before it starts: whatever happens on the way, the end of the connection ends it too.
        services, stir = self._services, self._stirred.set
        if frame.ch == "events":
            events = self._events[frame.id] = EventsSubscription(frame.id, narrowed, services, self._send, stir)
            await events.start(frame)
        else:
            services.states.watch(self, stir)
            devices = DevicesSubscription(frame, narrowed, self._principal, services, self._send)
            self._devices[frame.id] = devices
            await devices.start(frame)
        stir()

    def _unsubscribe(self, number: int) -> None:
        events, devices = self._events.pop(number, None), self._devices.pop(number, None)
        for subscription in (events, devices):
            if subscription:
                subscription.end()
        if devices and not self._devices:
            self._services.states.leave(self)

    async def _send_changes(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            for subscription in tuple(self._events.values()):
                await subscription.drain()
            for watched in tuple(self._devices.values()):
                await watched.send_news()


def _first(group: BaseExceptionGroup[Close]) -> Close:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, Close) else Close(1011, "")


@router.websocket("/ws")
async def stream(socket: WebSocket) -> None:
    """Accept, check where it comes from, serve."""
    services: Services = socket.app.state.services
    if SUBPROTOCOL not in socket.scope.get("subprotocols", []):
        await socket.accept()
        await socket.close(4406, "subprotocol gridwarden.v1 is expected")
        return
    await socket.accept(SUBPROTOCOL)
    if COOKIE in socket.cookies or "origin" in socket.headers:
        try:
            check_origin(socket, services)
        except Forbidden:
            await socket.close(4403, "wrong origin")
            return
    try:
        await Connection(socket, services).serve()
    except asyncio.CancelledError:
        return  # the server ends and has waited long enough; nothing is left to do here

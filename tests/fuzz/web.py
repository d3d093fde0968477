"""What comes over HTTP, websockets and the link: requests and frames into the application, bytes into its listener."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Iterator
from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

from api.auth import LOCAL_KEY
from gridwarden.core.health import Health
from gridwarden.core.service import Core
from gridwarden.errors import Refused, Unavailable
from gridwarden.link import LinkClient, LinkServer
from gridwarden.web.service import Web
from tests.api.conftest import PASSWORD, RULES, WEST, Site
from tests.fuzz.site import Running, running, socket_folder
from tests.fuzz.target import Shape, Target, outcome

NEVER = 500
PATIENCE_S = 0.05
"""For a listener that waits for the rest of what is no request yet."""
_JSON = ("application/json", "application/problem+json")


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# --- requests ---------------------------------------------------------------------------------------------------


def http(data: bytes) -> str:
    """No request raises in the application; it is answered, under /api in JSON, its errors as problems, never with 500."""
    wanted = _object(data) or {"method": "GET", "target": "/" + data.decode("latin-1")}
    there = running()
    return there.run(_ask(there.site, wanted))


async def _ask(site: Site, wanted: dict[str, Any]) -> str:
    scope, body = _scope(site, wanted)
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(received, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await site.app(scope, receive, send)
    return _look_at(scope, sent)


def _look_at(scope: dict[str, Any], sent: list[dict[str, Any]]) -> str:
    status, headers = sent[0]["status"], {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    answer = b"".join(message.get("body", b"") for message in sent[1:])
    kind = headers.get("content-type", "").partition(";")[0]
    assert status < NEVER or (status, scope["path"].startswith("/api/")) == (503, False), (status, answer)
    code = ""
    if scope["path"].startswith("/api/") and scope["method"] != "HEAD" and status not in {204, 304}:
        assert status < 400 or kind == "application/problem+json", (status, headers)
        if kind in _JSON and "content-encoding" not in headers:
            found = json.loads(answer)
            code = found.get("code", "") if isinstance(found, dict) else ""
    return f"{scope['method'][:8]} {getattr(scope.get('route'), 'path', '')} {status} {code}"


def _scope(site: Site, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """As the server makes it of what comes over the wire."""
    body = _body(wanted.get("body"))
    path, _, query = quote(
        str(wanted.get("target", "/")).encode("utf-8", "surrogatepass"), safe="/?&=%:~!$'()*+,;@[]#"
    ).partition("?")
    headers = [(b"host", b"gw.test"), (b"content-length", str(len(body)).encode())]
    who = wanted.get("who", "admin")
    if isinstance(who, str) and who in site.secrets:
        headers.append((b"authorization", f"Bearer {site.secrets[who]}".encode()))
    more = wanted.get("headers")
    for name, value in more.items() if isinstance(more, dict) else ():
        given = name.lower().encode("latin-1", "replace")
        headers = [(one, was) for one, was in headers if one != given] + [
            (given, str(value).encode("latin-1", "replace"))
        ]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "scheme": "http",
        "method": str(wanted.get("method", "GET")), "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(),
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {}, "app": site.app,
    }  # fmt: skip
    return scope | ({LOCAL_KEY: True} if who == "local" else {}), body


def _body(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return json.dumps(body).encode("utf-8", "surrogatepass")


_SAMPLES = {"alarm_id": "A1", "event_id": "E1", "quieting_id": 1, "device_id": "SMK-1", "area": WEST, "code": WEST, "from": "2026-11-22T06:00:00Z",
            "to": "1795327300000", "until": "2030-11-22T06:00:00Z", "kind": "smoke", "field": "state", "step": "5m", "after": "1795327200001~A1", "lon": 120.1,
            "lat": 30.2, "outcome": "true", "comment": "works", "note": "seen", "name": "viewer", "password": PASSWORD, "devices": ["SMK-1"], "limit": 2,
            "state": "firing", "severity": "critical", "start": "22:00", "since": 0}  # fmt: skip
_BY_TYPE = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None}


def _requests() -> Iterator[bytes]:
    """One for every operation that the application describes, and some that it does not."""
    described = running().site.app.openapi()
    schemas = described.get("components", {}).get("schemas", {})
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            where: dict[str, list[tuple[str, Any]]] = {"path": [], "query": [], "header": []}
            for one in operation.get("parameters", ()):
                where[one["in"]].append((one["name"], _sample(one["name"], one.get("schema", {}), schemas)))
            target = path
            for name, value in where["path"]:
                target = target.replace("{" + name + "}", str(value))
            asked = "&".join(f"{name}={value}" for name, value in where["query"] if value not in (None, []))
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            wanted = {"method": method.upper(), "target": f"{target}?{asked}" if asked else target, "who": "admin",
                      "headers": {"idempotency-key": "k"} if where["header"] else {}}  # fmt: skip
            if body is not None:
                wanted["body"] = _sample("", body, schemas)
                wanted["headers"]["content-type"] = "application/json"
            yield json.dumps(wanted).encode()
            if asked:
                yield json.dumps({**wanted, "target": target}).encode()
    yield from (json.dumps(one).encode() for one in _UNDESCRIBED)


_UNDESCRIBED: tuple[dict[str, Any], ...] = (
    {"method": "HEAD", "target": "/metrics", "headers": {"host": "127.0.0.1:1"}}, {"method": "GET", "target": "/assets/x.js?v=1"},
    {"method": "OPTIONS", "target": "/api/v1/alarms", "headers": {"origin": "http://gw.test"}}, {"method": "GET", "target": "/%00/..%2f..%2fetc/passwd"},
    {"method": "POST", "target": "/api/v1/auth/session", "who": "", "headers": {"content-type": "application/json", "origin": "http://gw.test", "x-forwarded-for": "1.2.3.4"},
     "body": {"name": "viewer", "password": "wrong password"}},
    {"method": "GET", "target": "/api/v1/auth/session", "who": "", "headers": {"cookie": "gridwarden_session=x; a=b", "authorization": "Basic eDp5"}},
    {"method": "GET", "target": "/api/v1/areas", "headers": {"if-none-match": 'W/"1-x", *', "accept-encoding": "gzip, br;q=0"}},
    {"method": "POST", "target": "/api/v1/local/users", "who": "local", "headers": {"content-type": "application/json"},
     "body": {"name": "new", "role": "viewer", "areas": [""], "password": PASSWORD}},
    {"method": "POST", "target": "/api/v1/local/users/new/tokens", "who": "local", "headers": {"content-type": "application/json"}, "body": {"name": "t"}},
    {"method": "PUT", "target": "/api/v1/local/users/new/password", "who": "local", "headers": {"content-type": "application/json"}, "body": {"password": PASSWORD}},
)  # fmt: skip


def _sample(name: str, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Something that is right for a parameter or body."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if name in _SAMPLES:
        return _SAMPLES[name]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _sample(name, schema["anyOf"][0], schemas)
    if "properties" in schema:
        return {key: _sample(key, one, schemas) for key, one in schema["properties"].items()}
    return _BY_TYPE.get(schema.get("type", ""), "x")


# --- websockets -------------------------------------------------------------------------------------------------

FRAMES = (
    [{"t": "sub", "id": 1, "ch": "events", "q": {"area": WEST}}, {"t": "pong"}, {"t": "unsub", "id": 1}],
    [{"t": "sub", "id": 2, "ch": "devices", "q": {"devices": ["SMK-1", "SMK-2"]}, "resume": {"epoch": "x", "version": 3}}, {"t": "sub", "id": 2, "ch": "devices"}],
    [{"t": "sub", "id": 3, "ch": "events", "resume": {"epoch": "EPOCH", "seq": 0}}, {"t": "sub", "id": 3, "ch": "devices", "q": {"area": ""}}],
    ["who", {"t": "auth", "token": "TOKEN"}, {"t": "sub", "id": 9007199254740991, "ch": "events"}],
    [{"t": "sub", "id": number, "ch": "events"} for number in range(20)],
)  # fmt: skip


def frames(data: bytes) -> str:
    """No frames raise in the application; a connection ends with one of the documented close codes."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    there = running()
    return there.run(_speak(there.site, found if isinstance(found, list) else [data.decode("utf-8", "replace")]))


async def _speak(site: Site, said: list[Any]) -> str:
    signed_in = "who" not in said
    headers = [(b"host", b"gw.test")] + (
        [(b"authorization", f"Bearer {site.secrets['operator']}".encode())] if signed_in else []
    )
    scope = {"type": "websocket", "asgi": {"version": "3.0"}, "scheme": "ws", "path": "/api/v1/ws", "raw_path": b"/api/v1/ws", "query_string": b"", "root_path": "",
             "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "subprotocols": ["gridwarden.v1"], "state": {}, "app": site.app}  # fmt: skip
    messages = iter(
        [
            {"type": "websocket.connect"},
            *(_frame(site, one) for one in said if one != "who"),
            {"type": "websocket.disconnect", "code": 1000},
        ]
    )
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(30):
        await site.app(scope, receive, send)
    assert not site.services.connections
    assert not site.services.strangers
    closed = [message["code"] for message in sent if message["type"] == "websocket.close"]
    assert all(code in {1012, 4400, 4401, 4403, 4406, 4408, 4429} for code in closed), closed
    told = [json.loads(message["text"]) for message in sent if message["type"] == "websocket.send"]
    return f"{closed} {sorted({(one['t'], one.get('code', ''), one.get('mode', '')) for one in told})}"


def _frame(site: Site, one: Any) -> dict[str, Any]:
    if isinstance(one, dict) and "bytes" in one:
        return {"type": "websocket.receive", "bytes": str(one["bytes"]).encode("utf-8", "replace")}
    text = one if isinstance(one, str) else json.dumps(one)
    text = text.encode("utf-8", "replace").decode()  # what is no UTF-8 ends in the layer below
    return {
        "type": "websocket.receive",
        "text": text.replace("TOKEN", site.secrets["viewer"]).replace("EPOCH", site.services.epoch),
    }


# --- bytes into the listener ------------------------------------------------------------------------------------


def listener(data: bytes) -> str:
    """Whatever bytes come, that connection alone ends; nobody is told 500."""
    there = running()
    return there.run(_send_bytes(there, data.replace(b"TOKEN", there.site.secrets["operator"].encode())))


async def _send_bytes(there: Running, data: bytes) -> str:
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", there.site.port)
        try:
            writer.write(data)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answer = await reader.read(1 << 16)
            except TimeoutError:  # it waits for more
                answer = b"waits"
            writer.write_eof()
            await reader.read(1 << 20)
        except ConnectionError:
            answer = b"reset"
        finally:
            writer.transport.abort()
    first = answer.partition(b"\r\n")[0]
    assert b" 500" not in first, answer
    return outcome(first.decode("latin-1"))


def _masked(head: int, payload: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([head]) + length + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


_UPGRADE = (
    b"GET /api/v1/ws HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: gridwarden.v1\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef") + b"\r\nAuthorization: Bearer TOKEN\r\n\r\n"
)  # fmt: skip
WIRE = (
    b"GET /api/v1/alarms?limit=2 HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    b'POST /api/v1/auth/session HTTP/1.1\r\nHost: gw.test\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{"name":"x","password":"yy"}',
    b"POST /api/v1/silences HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n", b"GET http://gw.test/%ff%00 HTTP/1.1\r\nHost: gw.test\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
    _UPGRADE + _masked(0x81, b'{"t":"sub","id":1,"ch":"events"}') + _masked(0x88, b"\x03\xe8"),
    _UPGRADE + _masked(0x82, b"binary") + _masked(0x89, b"ping"), _UPGRADE + _masked(0x01, b'{"t":') + _masked(0x80, b'"pong"}') + _masked(0x8A, b""),
    _UPGRADE.replace(b"13", b"8"), _UPGRADE + b"\xc1\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
)  # fmt: skip


# --- the link ---------------------------------------------------------------------------------------------------


class _Link:
    """Core's end on a socket of its own, and a web's end for a core that says anything."""

    def __init__(self, there: Running) -> None:
        self.there = there
        self.core_path, self.web_path = socket_folder() / "to-core", socket_folder() / "to-web"
        core = SimpleNamespace(
            _followed={}, _offset=9, _health=SimpleNamespace(hear=partial(Health.hear, SimpleNamespace()))
        )
        self.server = LinkServer(there.core.answer, lambda frame: Core._hear(core, frame), lambda: ())  # type: ignore[arg-type]
        self._serving = self.server.serve(self.core_path)
        there.run(self._open())

    async def _open(self) -> str:
        await self._serving.__aenter__()
        return ""

    async def to_core(self, data: bytes) -> str:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_unix_connection(self.core_path)
            try:
                writer.write(data + b'\n{"id":"last","command":"status","params":{}}\n')
                answers = []
                while line := await reader.readline():
                    answers.append(json.loads(line))
                    if answers[-1]["id"] == "last":
                        break
            except ConnectionError:
                return "reset"
            finally:
                writer.transport.abort()
        return outcome(f"{[(one['ok'], one.get('code')) for one in answers][:5]}")

    async def to_web(self, data: bytes) -> str:
        async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data + b"\n")
            writer.close()

        heard: list[str] = []
        services = SimpleNamespace(
            hub=SimpleNamespace(wake=_wake, push_provisional=_provisional), link=SimpleNamespace(tell=lambda _: None)
        )
        web = Web(self.there.site.services.config, RULES, None)
        web._services = services  # type: ignore[assignment]

        def hear(frame: dict[str, Any]) -> None:
            heard.append(next(iter(frame), ""))
            web._hear(frame)

        client = LinkClient(self.web_path, hear)
        self.web_path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(say, self.web_path)
        asking = asyncio.ensure_future(self._ask(client))
        async with server:
            try:
                await client._session()
            except (OSError, ValueError) as error:
                heard.append(type(error).__name__)
        assert not client.connected
        return outcome(f"{heard[:5]} {await asking}")

    async def _ask(self, client: LinkClient) -> str:
        while not client.connected:  # noqa: ASYNC110 nobody sets an event
            await asyncio.sleep(0)
        try:
            return type(await client.command("c1", "x", {}, timeout_s=5)).__name__
        except (Refused, Unavailable) as error:
            return type(error).__name__


def _wake(seq: int | None) -> None:
    assert seq is None or type(seq) is int, seq


def _provisional(items: list[dict[str, Any]]) -> None:
    for one in items:
        assert one["area"] is not items


@cache
def link() -> _Link:
    return _Link(running())


def to_core(data: bytes) -> str:
    """Whatever is said on the link costs that connection of it, or is refused; core goes on."""
    return running().run(link().to_core(data))


def to_web(data: bytes) -> str:
    """Whatever is said on the link is heard, or ends that connection (``OSError``, ``ValueError``); web goes on."""
    return running().run(link().to_web(data))


LINES = (
    b'{"id":"1","command":"acknowledge","params":{"alarm_id":"A1","note":"n","actor":"x"}}', b'{"followed":{"history":7}}',
    b'{"id":"2","command":"quiet","params":{"kind":"silence","area":"3301","matchers":{"kinds":["smoke"]},"protected":false,"comment":"c","from_at_ms":null,"until_at_ms":1895327200000,"actor":"x","actor_id":"u","unnamed":false}}',
    b'{"id":"3","command":"close","params":{"event_id":"E1","note":"n","actor":"x"}}', b'{"id":"4","command":"shelve","params":{"alarm_id":"A1","until_at_ms":1795328200000,"comment":"c","actor":"x","actor_id":"u","unnamed":true}}',
    b'{"id":"5","command":"confirm","params":{"alarm_id":"A1","outcome":"true","note":"n","actor":"x"}}', b'{"id":"6","command":"end_quieting","params":{"quieting_id":1,"actor":"x","actor_id":"u","unnamed":false}}',
)  # fmt: skip
WEB_LINES = (
    b'{"id":"c1","ok":true,"answer":{"a":1}}', b'{"wake":{"offset":3,"seq":9}}', b'{"provisional":[{"operation":"alarm.fired","at_ms":1,"area":"3301"}]}',
    b'{"id":"c1","ok":false,"kind":"refused","code":"x","detail":"y"}', b'{"id":"c1","ok":false,"kind":"not_found","code":"x","detail":""}',
    b'{"id":"c1","ok":false,"kind":"unavailable","code":"x","detail":"z"}\n{"link":"up"}',
)  # fmt: skip


@cache
def web_targets() -> tuple[Target, ...]:
    """Made when they are asked for: their examples come from the running application."""
    return (
        Target("http", http, tuple(_requests()), Shape.JSON, 32 * 1024, pure=False, words=(b"%00", b"%ff", b"../", b"&", b"A1", b"SMK-1", b"~", b"\\u0000")),
        Target("frames", frames, tuple(json.dumps(one).encode() for one in FRAMES), Shape.JSON, 80 * 1024, pure=False),
        Target("listener", listener, WIRE, Shape.BYTES, 80 * 1024, pure=False, words=(b"\r\n", b"Host: ", b"Content-Length: ", b"chunked", b"\r\n\r\n", b"%")),
        Target("link_to_core", to_core, LINES, Shape.JSON, 32 * 1024, pure=False, words=(b'"id":', b'"command":', b'"params":')),
        Target("link_to_web", to_web, WEB_LINES, Shape.JSON, 32 * 1024, pure=False, words=(b'"id":', b'"ok":')),
    )  # fmt: skip

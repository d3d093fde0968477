"""A server on loopback that takes line protocol and answers the few Flux queries we ask, and fails on demand.

It is no InfluxDB: it knows exactly the texts of ``gridwarden.history.flux`` and says 400 to everything else. What a
real one makes of them, the same tests tell where GRIDWARDEN_TEST_INFLUX_URL points at one.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gridwarden.history.flux import AGGREGATES
from tests.gridwarden.history.influx_protocol import (
    NUMERIC,
    PARTIAL,
    QUERY,
    SUM_UP,
    SUMMED,
    Key,
    answer,
    conflicts,
    csv_of,
    nanoseconds,
    one_sum,
    parse,
)  # fmt: skip

TOKEN = "the-token"
MANAGED = ("/api/v2/buckets", "/api/v2/orgs")

Fault = Callable[[BaseHTTPRequestHandler, bytes], bool]
"""Answers in its own way, or returns False for the usual answer."""


class StandIn:
    """What lies in it, and what it shall do wrong."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[Key, dict[int, Any]]] = {}
        self.sums: dict[str, dict[tuple[str, str, str], dict[int, dict[str, Any]]]] = {}
        """Per bucket; by device, kind and field, and then by time."""
        self.keeps_s: dict[str, int] = {}
        """Retention of the buckets that were made on request; all others are there, and keep points for ever."""
        self.strict = False
        """Whether only buckets made on request are there."""
        self.token = TOKEN
        self.may_manage = True
        """Whether the token may see the organisation, and make and change buckets."""
        self.lines: list[str] = []
        """Every line ever taken, repeats too."""
        self.requests: list[str] = []
        self.managed: list[str] = []
        """Requests about organisations and buckets, method and path."""
        self.faults: list[Fault] = []
        """One for each of the next requests that read or write points."""
        self.poison = ""
        """Batches with this text in them are refused."""
        self.before_refusal = False
        """Whether the good points of a refused batch are kept, as a partial write does."""
        self.oldest_ns = 0
        """Points before this time are outside the retention: left out, and told once the others are written."""
        self.lock = threading.Lock()
        self.url = ""

    def points(self, bucket: str = "b") -> set[tuple[str, str, str, int]]:
        """Measurement, device, kind and time of every point."""
        with self.lock:
            return {(k.measurement, k.device, k.kind, t) for k, v in self.buckets.get(bucket, {}).items() for t in v}

    def write(self, bucket: str, text: str) -> tuple[int, str]:
        """Take lines: status and reason."""
        parsed = [(line, parse(line)) for line in text.split("\n")]
        with self.lock:
            stored = self.buckets.setdefault(bucket, {})
            bad = ""
            good = []
            too_old = 0
            for line, (measurement, tags, fields, at_ns) in parsed:
                keys = [Key(measurement, tags.get("device", ""), tags.get("kind", ""), name) for name in fields]
                if at_ns < self.oldest_ns:
                    too_old += 1
                elif self.poison and self.poison in line:
                    bad = f"{PARTIAL}: field type conflict dropped=1 for database: 1 for retention policy: autogen"
                elif any(conflicts(stored, key, value) for key, value in zip(keys, fields.values(), strict=True)):
                    bad = f"{PARTIAL}: field type conflict dropped=1"
                else:
                    good.append((line, keys, fields, at_ns))
            for line, keys, fields, at_ns in good if not bad or self.before_refusal else []:
                self.lines.append(line)
                for key, value in zip(keys, fields.values(), strict=True):
                    stored.setdefault(key, {})[at_ns] = value
        if too_old and not bad:
            bad = (
                f"{PARTIAL}: dropped {too_old} points outside retention policy of duration 24h0m0s - oldest …, newest …"
            )
        return (422, bad) if bad else (204, "")

    def query(self, text: str) -> str | None:
        """The answer as annotated CSV; none to what is not one of our queries."""
        if (summing := SUM_UP.fullmatch(text)) is not None:
            bucket, start, stop, work, name, into = summing.groups()
            assert AGGREGATES[name].endswith(work)  # the expression is greedy
            return self.sum_up(bucket, into, name, nanoseconds(start), nanoseconds(stop))
        if (summed := SUMMED.match(text)) is not None:
            (step_ms,) = {int(found) for found in re.findall(r"every: (\d+)ms", text)}
            return self.summed(summed, step_ms)
        asked = QUERY.match(text)
        if asked is None:
            return None
        equal = dict.fromkeys(("_measurement", "device", "_field"), frozenset[str]())
        for column, value in re.findall(r'r\.(\w+) == "([^"]*)"', asked["where"]):
            equal[column] |= {value}
        start, stop = nanoseconds(asked["start"]), nanoseconds(asked["stop"])
        tables = []
        with self.lock:
            for key, values in sorted(self.buckets.get(asked["bucket"], {}).items()):
                wanted = zip(equal.values(), (key.measurement, key.device, key.field), strict=True)
                if all(not names or is_one in names for names, is_one in wanted):
                    rows = sorted((t, v) for t, v in values.items() if start <= t < stop)
                    tables.append((key, rows[-1:] if asked["last"] else rows[: int(asked["limit"] or 2**62)]))
        if asked["first"]:
            times = [t for _, rows in tables for t, _ in rows]
            return csv_of([("ns", "long")], [(min(times),)]) if times else ""
        if asked["count"]:
            tables = [(key, [(-1, len(rows))]) for key, rows in tables if rows]
        return answer([(key, rows) for key, rows in tables if rows])

    def sum_up(self, bucket: str, into: str, name: str, start: int, stop: int) -> str:
        """One of ``flux.AGGREGATES`` of every numeric field."""
        with self.lock:
            sums = self.sums.setdefault(into, {})
            written = 0
            for key, values in self.buckets.get(bucket, {}).items():
                if key.measurement == "readings" and key.field in NUMERIC:
                    found = sorted((t, v) for t, v in values.items() if start <= t < stop)
                    if found and name in (one := one_sum(found)):
                        of_series = sums.setdefault((key.device, key.kind, key.field), {})
                        of_series.setdefault(start, {})[name] = one[name]
                        written += 1
        return csv_of([("_value", "long")], [(written,)]) if written else ""

    def summed(self, asked: re.Match[str], step_ms: int) -> str:
        """As ``flux.summed`` says."""
        start, stop = nanoseconds(asked["start"]), nanoseconds(asked["stop"])
        groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
        with self.lock:
            for (device, kind, of), sums in sorted(self.sums.get(asked["bucket"], {}).items()):
                if (device, of) == (asked["device"], asked["of"]):
                    for at_ns in sorted(t for t in sums if start <= t < stop):
                        groups.setdefault((kind, at_ns // 10**6 // step_ms * step_ms * 10**6), []).append(sums[at_ns])
        together = {"min": min, "max": max, "sum": sum, "count": sum}
        out = ""
        for name in AGGREGATES:
            datatype = "long" if name in {"count", "last_ms", "tied"} else "double"
            merge = together.get(name, lambda found: found[-1])
            rows = [(kind, merge([one[name] for one in group if name in one]), max(at_ns, start))
                    for (kind, at_ns), group in groups.items() if any(name in one for one in group)]  # fmt: skip
            columns = [("kind", "string"), ("_value", datatype), ("ns", "long")]
            out += csv_of(columns, rows, name) if rows else ""
        return out

    def manage(self, method: str, path: str, asked: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        """Organisations and buckets, as far as we ask for them: status and answer."""
        names = asked.get("name", [])
        if path == "/api/v2/orgs":
            return 200, {"orgs": [{"id": "0" * 15 + "1", "name": "o"}] if self.may_manage else []}
        if method == "GET":
            found = [name for name in names if not self.strict or name in self.keeps_s]
            if not found:
                return 404, {"code": "not found", "message": f'bucket "{names[0]}" not found'}
            return 200, {"buckets": [self._bucket(name) for name in found]}
        if not self.may_manage:
            return 401, {"code": "unauthorized", "message": "write:orgs/…/buckets is unauthorized"}
        name = body["name"] if method == "POST" else path.rpartition("/")[2]
        self.keeps_s[name] = body["retentionRules"][0]["everySeconds"]
        return 201 if method == "POST" else 200, self._bucket(name)

    def _bucket(self, name: str) -> dict[str, Any]:
        keeps_s = self.keeps_s.get(name, 0)
        rules = [{"type": "expire", "everySeconds": keeps_s, "shardGroupDurationSeconds": 604800}]
        return {"id": name, "orgID": "0" * 15 + "1", "type": "user", "name": name, "retentionRules": rules}

    def delete(self, bucket: str, request: dict[str, str]) -> None:
        """Points from start to stop, both included."""
        (measurement,) = re.findall(r'^_measurement="(\w+)"$', request["predicate"])
        start, stop = nanoseconds(request["start"]), nanoseconds(request["stop"])
        with self.lock:
            if measurement == "sums":
                for sums in self.sums.get(bucket, {}).values():
                    for at_ns in [t for t in sums if start <= t <= stop]:
                        del sums[at_ns]
                return
            for key, values in self.buckets[bucket].items():
                if key.measurement == measurement:
                    for at_ns in [t for t in values if start <= t <= stop]:
                        del values[at_ns]


class Server(ThreadingHTTPServer):
    """Answers for one memory."""

    daemon_threads = True

    def __init__(self, memory: StandIn, port: int = 0, handler: type[BaseHTTPRequestHandler] | None = None) -> None:
        self.memory = memory
        super().__init__(("127.0.0.1", port), handler or Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_PATCH(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Whatever is asked."""
        memory, url = self.server.memory, urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        managed = url.path.startswith(MANAGED)
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        if not managed:
            memory.requests.append(url.path)
            if memory.faults and memory.faults.pop(0)(self, body):
                return
        if self.headers["Authorization"] != f"Token {memory.token}":
            reply(self, 401, '{"code":"unauthorized","message":"unauthorized access"}')
        elif managed:
            memory.managed.append(f"{self.command} {url.path}")
            code, found = memory.manage(self.command, url.path, parse_qs(url.query), json.loads(body or "{}"))
            reply(self, code, json.dumps(found), Content_Type="application/json")
        else:
            reply(self, *self.about_points(url.path, parse_qs(url.query).get("bucket", [""])[0], body))

    def about_points(self, path: str, bucket: str, body: bytes) -> tuple[int, str]:
        """Status and answer of what reads, writes or deletes points."""
        memory = self.server.memory
        if path == "/api/v2/write":
            status, reason = memory.write(bucket, body.decode())
            return status, json.dumps({"message": reason}) if reason else ""
        if path == "/api/v2/delete":
            memory.delete(bucket, json.loads(body))
            return 204, ""
        text = memory.query(json.loads(body)["query"])
        return (400, '{"message":"unknown query"}') if text is None else (200, text)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A running one."""
    memory = StandIn()
    with Server(memory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        memory.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield memory
        finally:
            server.shutdown()
            thread.join()


def reply(handler: BaseHTTPRequestHandler, status: int, text: str = "", **headers: str) -> None:
    body = text.encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def status(code: int, text: str = "", **headers: str) -> Fault:
    """An answer of this status, nothing stored."""

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        reply(handler, code, text, **headers)
        return True

    return fault


def reset(memory: StandIn | None = None) -> Fault:
    """The connection is reset instead of an answer; with ``memory``, after the points were stored."""

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        if memory is not None:
            memory.write("b", body.decode())
        # Closing with a zero linger time sends RST.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()
        return True

    return fault


def half(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
    """Part of an answer, then the end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/csv\r\n\r\n#datatype,str")
    handler.close_connection = True
    return True


def silence(until: threading.Event, longest_s: float = 20) -> Fault:
    """No answer before ``until`` is set, and none then."""

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        until.wait(longest_s)
        handler.close_connection = True
        return True

    return fault


def usual(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
    """No fault."""
    return False

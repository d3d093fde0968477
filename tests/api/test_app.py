"""What holds for every answer: headers, HEAD, bounds on bodies, problems, the page."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.guard import BODY_LIMIT
from tests.api.conftest import STATUS, Site, filled
from tests.conftest import Until

GUIDE = Path(__file__).parents[2] / "docs/guide/api.md"
SOURCES = Path(__file__).parents[2]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<p>the page")
    (folder / "assets/app-1a2b.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


@pytest.fixture
def paged(site: Site, page: Path) -> httpx.AsyncClient:
    app = create_app(site.services, page)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gw.test")


async def test_the_page_answers_its_own_addresses(paged: httpx.AsyncClient) -> None:
    for path in ("/", "/events/E1", "/devices/SMK-1?x=1", "/index.html"):
        answer = await paged.get(path)
        assert (answer.status_code, answer.text) == (200, "<p>the page")
        assert answer.headers["cache-control"] == "no-cache"
    asset = await paged.get("/assets/app-1a2b.js")
    assert "immutable" in asset.headers["cache-control"]
    missing = await paged.get("/assets/gone.js")
    assert missing.status_code == 404
    assert "cache-control" not in missing.headers
    assert (await paged.post("/")).status_code == 405
    assert (await paged.get("/api/v1/nix")).status_code == 404
    assert (await paged.post("/api")).status_code == 404


OUTSIDE = (
    ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/assets/../../secret", "/assets/%2e%2e/%2e%2e/secret", "//etc/passwd",
     "/%2fetc%2fpasswd", "/link", "/%00", "/assets/%00", "/" + "x" * 5000, "/..\\secret", "/assets", "/assets/", "/%ff"]
)  # fmt: skip


async def test_no_path_leads_out_of_the_page(paged: httpx.AsyncClient) -> None:
    for path in OUTSIDE:
        answer = await paged.get(httpx.URL("http://gw.test", raw_path=path.encode()))
        assert answer.status_code in {200, 404}, path
        assert answer.text.startswith("<p>the page") or answer.status_code == 404, path


async def test_without_a_page_it_says_so(site: Site) -> None:
    async with site.client() as client:
        assert (await client.get("/")).status_code == 503


async def test_security_headers_on_every_answer(site: Site, paged: httpx.AsyncClient) -> None:
    for path in ("/", "/assets/app-1a2b.js", "/api/v1/events", "/healthz", "/nix"):
        headers = (await paged.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    async with site.client("viewer") as client:
        answer = await client.get("/api/v1/events")
        assert answer.headers["cache-control"] == "no-store"


async def test_head_is_get_without_a_body(served: Site) -> None:
    filled(served.book)
    token = {"authorization": f"Bearer {served.secrets['operator']}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", headers=token) as client:
        for path in ("/healthz", "/api/v1/events", "/api/v1/devices/SMK-1", "/nix"):
            head, get = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            assert head.headers["content-length"] == get.headers["content-length"]
        assert (await client.head("/api/v1/events", headers={"authorization": "Bearer x"})).status_code == 401


async def test_bodies_are_bounded(served: Site) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}") as client:
        answer = await client.post("/api/v1/auth/session", content=b"x" * (BODY_LIMIT + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

        async def drip() -> object:
            yield b"{}"

        answer = await client.post("/api/v1/auth/session", content=drip())
        assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
        answer = await client.post("/api/v1/auth/session", content=b"x" * BODY_LIMIT)
        assert answer.status_code == 422


ODD_BODIES = (
    [("application/json", b"{"), ("application/json", b""), ("application/json", b"\xff\xfe"), ("application/json", b"[" * 9999),
     ("application/json", b'{"name":"\\ud800","password":"\\ud800"}'), ("application/json", b'{"name":1,"password":[]}'),
     ("application/json", b'{"name":"x","password":"x","more":1}'), ("text/plain", b'{"name":"x","password":"x"}'),
     ("application/x-www-form-urlencoded", b"name=x&password=x"), ("multipart/form-data", b"x"), ("", b"{}"),
     ("application/json; charset=utf-16", b"{}"), ("application/json", b"null")]
)  # fmt: skip


async def test_odd_bodies_are_invalid_not_errors(site: Site) -> None:
    async with site.client() as client:
        for kind, body in ODD_BODIES:
            answer = await client.post("/api/v1/auth/session", content=body, headers={"content-type": kind})
            assert answer.status_code in {400, 401, 422}, (kind, body)
            assert answer.headers["content-type"] == "application/problem+json"


ASKED = [
    ("/api/v1/nix", 404, "not_found"),
    ("/api/v1/events/E9", 404, "no_such_event"),
    ("/api/v1/alarms/" + "x" * 300, 404, "no_such_alarm"),
    ("/api/v1/devices/SMK-9", 404, "not_found"),
    ("/api/v1/events?limit=0", 422, "invalid"),
    ("/api/v1/events?limit=1001", 422, "invalid"),
    ("/api/v1/events?state=nix", 422, "invalid"),
    ("/api/v1/events?after=x", 422, "bad_mark"),
    ("/api/v1/events?after=~", 422, "bad_mark"),
    ("/api/v1/events?after=99999999999999999999~x", 422, "bad_mark"),
    ("/api/v1/alarms?from=x", 422, "bad_time"),
    ("/api/v1/alarms?to=99999999999999999999", 422, "bad_time"),
    ("/api/v1/alarms?from=1969-12-31T00:00:00Z", 422, "bad_time"),
    ("/api/v1/journal?since=99999999999999999999", 422, "invalid"),
    ("/api/v1/journal?since=-1", 422, "invalid"),
    ("/api/v1/dead-letters?before=99999999999999999999", 422, "invalid"),
    ("/api/v1/resources/nearest?lon=nan&lat=0", 422, "invalid"),
    ("/api/v1/resources/nearest?lon=181&lat=0", 422, "invalid"),
    ("/api/v1/resources/nearest", 422, "invalid"),
    ("/api/v1/devices/SMK-1/readings", 422, "invalid"),
    ("/api/v1/devices/SMK-1/readings?field=nix", 422, "unknown_field"),
    ("/api/v1/devices/SMK-1/readings?field=state&step=5m", 422, "not_numeric"),
    ("/api/v1/devices/SMK-1/readings?field=smoke_dbm&step=0s", 422, "bad_step"),
    ("/api/v1/devices/SMK-1/readings?field=smoke_dbm&step=5", 422, "bad_step"),
    ("/api/v1/devices/SMK-1/readings?field=smoke_dbm&step=1s&from=0", 422, "too_many_points"),
    ("/api/v1/devices/SMK-1/readings?field=smoke_dbm&from=5&to=5", 422, "bad_time"),
    ("/api/v1/devices/SMK-1/readings?field=smoke_dbm&to=0", 422, "bad_time"),
    ("/api/v1/events?area=%25", 200, None),
    ("/api/v1/devices?q=%25_&after=%00", 200, None),
]


async def test_every_error_is_a_problem(site: Site) -> None:
    async with site.client("operator") as client:
        for path, status, code in ASKED:
            answer = await client.get(path)
            assert answer.status_code == status, (path, answer.text)
            if code is None:
                continue
            assert answer.headers["content-type"] == "application/problem+json"
            body = answer.json()
            assert (body["type"], body["status"], body["code"]) == ("about:blank", status, code), path
            assert body["title"]


async def test_wrong_method_says_which_is_right(site: Site) -> None:
    async with site.client("operator") as client:
        answer = await client.delete("/api/v1/events")
        assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (
            405,
            "method_not_allowed",
            "GET",
        )


async def test_what_fails_inside_is_a_problem_that_tells_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_scopes: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(site.services.reader, "counts", fail)
    async with site.client("operator") as client:
        answer = await client.get("/api/v1/stats")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "inside" not in answer.text
        assert "content-security-policy" in answer.headers


async def test_records_that_cannot_be_read_are_503(site: Site) -> None:
    records = site.data / "records.db"
    held = records.read_bytes()
    site.services.reader.close()
    for path in site.data.glob("records.db*"):
        path.rename(path.with_name("away-" + path.name))
    async with site.client("operator") as client:
        answer = await client.get("/api/v1/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/healthz")).status_code == 200
        for path in site.data.glob("away-*"):
            path.rename(path.with_name(path.name.removeprefix("away-")))
        assert (await client.get("/api/v1/events")).status_code == 200
    assert held


def test_every_code_is_in_the_guide() -> None:
    codes = {"not_found", "method_not_allowed", "invalid", "too_large", "length_required", "internal", "unavailable",
             "core_unavailable", "too_many_attempts"}  # fmt: skip
    for folder in ("api", "gridwarden/office", "gridwarden/core", "gridwarden/cases", "gridwarden/history", "rules"):
        for source in (SOURCES / folder).rglob("*.py"):
            codes |= set(re.findall(r'(?:Refused|NotFound|Forbidden)\(\s*"(\w+)"', source.read_text("utf-8")))
    guide = GUIDE.read_text("utf-8")
    assert [code for code in sorted(codes) if f"`{code}`" not in guide] == []


async def test_health(site: Site) -> None:
    async with site.client() as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready", "holding": []}


async def test_a_session_that_still_holds_is_named_and_ready(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [
        {"name": "b/up", "connected": True, "holding": True},
        {"name": "b/alarm", "connected": True, "holding": False},
    ]
    monkeypatch.setitem(STATUS, "sessions", sessions)
    async with site.client() as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready", "holding": ["b/up"]})
        sessions[1]["connected"] = False
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "broker_unavailable"})


async def test_a_crowd_of_requests_does_not_keep_the_hub_waiting(site: Site, until: Until) -> None:
    """Its reader and its thread are its own."""
    blocked = asyncio.Event()
    loop = asyncio.get_running_loop()
    release = threading.Event()

    def block() -> None:
        loop.call_soon_threadsafe(blocked.set)
        release.wait(20)

    crowd = [asyncio.create_task(asyncio.to_thread(block)) for _ in range((os.cpu_count() or 1) + 40)]
    await blocked.wait()
    try:
        site.book.fire(1)
        await until(lambda: site.services.hub.seq == 1)
    finally:
        release.set()
        await asyncio.gather(*crowd)

"""Who may do what: one table over every route there is, then cookies, tokens, origins."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts

from api import auth
from gridwarden.model import AlarmState, EventState
from tests.api.conftest import EAST, PASSWORD, WEST, Site, alarm, filled, grid_event

OPEN = {("POST", "/api/v1/auth/session"), ("GET", "/healthz"), ("GET", "/readyz")}
"""What needs no sign-in. A new route that needs none must be written here, by somebody who means it."""
PLATFORM = {"/api/v1/ledger", "/api/v1/dead-letters", "/api/v1/quarantine", "/metrics", "/api/v1/gateways",
            "/api/v1/gateways/{name}", "/api/v1/dead-letters/groups", "/api/v1/dead-letters/{number}",
            "/api/v1/dead-letters/retry", "/api/v1/quarantine/groups", "/api/v1/quarantine/{number}",
            "/api/v1/quarantine/retry"}  # fmt: skip
"""The installation as a whole: operators and admins of everywhere."""
ACTS = {"/api/v1/alarms/{alarm_id}/ack", "/api/v1/alarms/{alarm_id}/confirm", "/api/v1/events/{event_id}/ack",
        "/api/v1/events/{event_id}/close", "/api/v1/alarms/{alarm_id}/shelve", "/api/v1/quietings/{quieting_id}/end",
        "/api/v1/silences", "/api/v1/out-of-service", "/api/v1/maintenance-windows"}  # fmt: skip
APPROVALS = {"/api/v1/quietings/{quieting_id}/approve"}
"""For admins alone."""
PLACES = {"west": {"alarm_id": "A1", "event_id": "E1", "device_id": "SMK-1", "quieting_id": "1", "number": "1"},
          "east": {"alarm_id": "A2", "event_id": "E2", "device_id": "SMK-2", "quieting_id": "2", "number": "1"}}  # fmt: skip
QUERY = {"/api/v1/resources/nearest": {"lon": 120.1, "lat": 30.2},
         "/api/v1/devices/nearest": {"lon": 120.1, "lat": 30.2},
         "/api/v1/devices/{device_id}/readings": {"field": "state"}}  # fmt: skip
_WHY = {"comment": "works", "until": "2030-01-01T00:00:00Z"}
BODY: dict[str, Any] = {
    "/api/v1/alarms/{alarm_id}/confirm": {"outcome": "true"},
    "/api/v1/alarms/{alarm_id}/shelve": _WHY,
    "/api/v1/silences": {**_WHY, "area": WEST},
    "/api/v1/maintenance-windows": {**_WHY, "area": WEST},
    "/api/v1/dead-letters/retry": {"all": True},
    "/api/v1/quarantine/retry": {"all": True},
    "/api/v1/out-of-service": {"comment": "works", "devices": ["SMK-1"]},
}
FOREIGN = "192.0.2.7"


def routes(site: Site) -> Iterator[tuple[str, str]]:
    """Every HTTP route with each of its methods."""
    found = []
    for context in iter_route_contexts(site.app.routes):
        if isinstance(context.original_route, APIWebSocketRoute):
            assert context.path == "/api/v1/ws", "a second websocket: who checks access?"
            continue
        assert isinstance(context.original_route, APIRoute), f"{context.path}: no route with dependencies"
        found += [(method, str(context.path)) for method in sorted(context.methods or ())]
    assert len(found) > 25
    yield from found


async def ask(site: Site, method: str, path: str, who: str | None, place: str = "west") -> httpx.Response:
    transport = httpx.ASGITransport(site.app, raise_app_exceptions=False, client=(FOREIGN, 1))
    headers = {"authorization": f"Bearer {site.secrets[who]}"} if who else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://gw.test", headers=headers) as client:
        address = re.sub(r"{(\w+)}", lambda part: PLACES[place].get(part[1], "x"), path)
        body = BODY.get(path, {}) if method in {"POST", "PUT"} else None
        return await client.request(method, address, params=QUERY.get(path), json=body)


def expected(method: str, path: str, who: str | None, place: str) -> int:
    """The status that the policy says."""
    if path.startswith("/api/v1/local/"):
        return 404
    if (method, path) in OPEN:
        return 422 if method == "POST" else 200
    if who is None:
        return 401
    role, scoped = who.rpartition("-")[2], who.startswith("west-")
    if path in PLATFORM:
        return 403 if scoped or role == "viewer" else 200
    if scoped and place == "east" and "{" in path:
        return 404
    if (path in ACTS and role == "viewer") or (path in APPROVALS and role != "admin"):
        return 403
    return 204 if method == "DELETE" else 200


@pytest.mark.parametrize("place", ["west", "east"])
@pytest.mark.parametrize("who", [None, "viewer", "operator", "admin", "west-viewer", "west-operator", "west-admin"])
async def test_every_route_asks_the_policy(site: Site, who: str | None, place: str) -> None:
    filled(site.book)
    wrong = []
    for method, path in routes(site):
        answer = await ask(site, method, path, who, place)
        allowed = {expected(method, path, who, place)} | ({422} if path.startswith("/api/v1/local/") else set())
        if answer.status_code not in allowed:
            wrong.append((method, path, answer.status_code, allowed, answer.text[:200]))
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
    assert not wrong


async def test_what_lies_elsewhere_looks_like_what_does_not_exist(site: Site) -> None:
    filled(site.book)
    async with site.client("west-admin") as client:
        for hidden, missing in (("devices/SMK-2", "devices/SMK-9"), ("alarms/A2", "alarms/A9"), ("events/E2", "events/E9"),
                                ("quietings/2", "quietings/9"),
                                ("devices/NEW-1", "devices/NEW-9")):  # fmt: skip
            one, other = await client.get(f"/api/v1/{hidden}"), await client.get(f"/api/v1/{missing}")
            assert one.status_code == other.status_code == 404
            assert one.text.replace("2", "9").replace("NEW-1", "NEW-9") == other.text
            assert EAST not in one.text


async def test_lists_of_a_scoped_user_hold_nothing_of_elsewhere(site: Site) -> None:
    filled(site.book)
    async with site.client("west-operator") as client:
        for path in ("areas", "devices", "alarms", "events", "journal", "resources/nearest?lon=120.1&lat=30.2", "stats",
                     "areas/geometry", "devices/snapshot", "devices/nearest?lon=120.1&lat=30.2", "resources", f"resources?area={EAST}",
                     f"alarms?area={EAST}", f"events?area={EAST}", f"devices?area={EAST}", "alarms?device=SMK-2",
                     "quietings", f"quietings?area={EAST}"):  # fmt: skip
            text = (await client.get(f"/api/v1/{path}")).text
            assert EAST not in text
            assert "SMK-2" not in text
        assert [one["device_id"] for one in (await client.get("/api/v1/devices")).json()["devices"]] == ["SMK-1"]
        assert (await client.get("/api/v1/stats")).json()["firing_alarms"] == 1
        journal = (await client.get("/api/v1/journal")).json()
        assert [entry["area"] for entry in journal["entries"]] == [WEST]
        assert journal["through"] == 2


async def test_a_case_shows_what_it_has_adopted_as_far_as_one_may_see(site: Site) -> None:
    children = {f"E{number}": grid_event(number, area, EventState.MERGED, merged_into="E1")
                for number, area in ((2, WEST), (3, EAST))}  # fmt: skip
    alarms = {f"A{number}": alarm(number, area) for number, area in ((1, WEST), (2, WEST), (3, EAST))}
    site.book.commit(events={"E1": grid_event(1)} | children, alarms=alarms)
    for who, adopted in (("operator", ["E3", "E2"]), ("west-operator", ["E2"])):
        async with site.client(who) as client:
            case = (await client.get("/api/v1/events/E1")).json()
            assert [one["event_id"] for one in case["adopted"]] == adopted
            assert [one["alarm_id"] for one in case["alarms"]] == [name.replace("E", "A") for name in adopted] + ["A1"]
            child = (await client.get("/api/v1/events/E2")).json()
            assert (child["state"], child["merged_into"], child["adopted"]) == ("merged", "E1", [])
            opened = (await client.get("/api/v1/events?state=open")).json()["events"]
            assert [one["event_id"] for one in opened] == ["E1"]


async def test_pending_alarms_are_not_shown(site: Site) -> None:
    site.book.commit(alarms={"A7": replace(alarm(7), state=AlarmState.PENDING, fired_at_ms=None)})
    async with site.client("operator") as client:
        assert (await client.get("/api/v1/alarms/A7")).status_code == 404
        assert (await client.post("/api/v1/alarms/A7/ack", json={})).status_code == 404


@pytest.mark.parametrize("secure", [False, True])
async def test_cookie_flags(site: Site, secure: bool) -> None:
    http = site.services.config.http.model_copy(update={"secure_cookie": secure})
    site.services.config = site.services.config.model_copy(update={"http": http})
    async with site.client() as client:
        signed = await client.post("/api/v1/auth/session", json={"name": "viewer", "password": PASSWORD})
        parts = {part.strip().lower() for part in signed.headers["set-cookie"].split(";")}
        assert {"httponly", "samesite=strict", "path=/"} <= parts
        assert ("secure" in parts) is secure
        assert signed.json()["user"]["role"] == "viewer"
        assert "password" not in signed.text


async def test_sign_in_tells_nobody_what_was_wrong_and_brakes(site: Site) -> None:
    async with site.client() as client:
        answers = []
        for name in ("viewer", "nobody"):
            refused = await client.post("/api/v1/auth/session", json={"name": name, "password": "wrong"})
            answers.append((refused.status_code, refused.text))
            assert "set-cookie" not in refused.headers
        assert answers[0] == answers[1]
        assert answers[0][0] == 401
        for _ in range(6):
            refused = await client.post("/api/v1/auth/session", json={"name": "viewer", "password": "wrong"})
        assert refused.status_code == 429
        assert refused.json()["code"] == "too_many_attempts"
        assert int(refused.headers["retry-after"]) >= 1


async def test_changes_by_cookie_need_our_own_origin(site: Site) -> None:
    site.book.fire(1)
    cookie = {"cookie": f"gridwarden_session={await site.cookie('operator')}"}
    foreign = ({}, {"origin": "null"}, {"origin": "http://evil.test"}, {"origin": "http://gw.test.evil.test"},
               {"origin": "http://gw.test:81"},
               # user:password@ in an address makes a browser send Basic beside the cookie
               {"authorization": "Basic eDp5"}, {"authorization": "Basic eDp5", "origin": "http://evil.test"})  # fmt: skip
    async with site.client() as client:
        for headers in foreign:
            answer = await client.post("/api/v1/alarms/A1/ack", json={}, headers={**cookie, **headers})
            assert (answer.status_code, answer.json()["code"]) == (403, "wrong_origin"), headers
            answer = await client.delete("/api/v1/auth/session", headers={**cookie, **headers})
            assert answer.status_code == 403
        assert site.core.acted == []
        for origin in ("http://gw.test", "https://gw.test"):
            answer = await client.post("/api/v1/alarms/A1/ack", json={}, headers={**cookie, "origin": origin})
            assert answer.status_code == 200
        assert (await client.get("/api/v1/events", headers={**cookie, "origin": "http://evil.test"})).status_code == 200
        site.services.origins = frozenset({"https://wall.test"})
        answer = await client.post("/api/v1/alarms/A1/ack", json={}, headers={**cookie, "origin": "https://wall.test"})
        assert answer.status_code == 200


async def test_sign_in_from_a_foreign_page_is_refused(site: Site) -> None:
    async with site.client(origin="http://evil.test") as client:
        answer = await client.post("/api/v1/auth/session", json={"name": "viewer", "password": PASSWORD})
    assert answer.status_code == 403


async def test_sessions_end(site: Site) -> None:
    cookie = {"cookie": f"gridwarden_session={await site.cookie('operator')}"}
    async with site.client() as client:
        assert (await client.get("/api/v1/auth/session", headers=cookie)).status_code == 200
        out = await client.delete("/api/v1/auth/session", headers={**cookie, "origin": "http://gw.test"})
        assert out.status_code == 204
        assert 'gridwarden_session=""' in out.headers["set-cookie"]
        refused = await client.get("/api/v1/auth/session", headers=cookie)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_bearer_tokens(site: Site) -> None:
    cookie = {"cookie": f"gridwarden_session={await site.cookie('admin')}"}
    async with site.client() as client:
        for header in ("Bearer wrong", "bearer", "Bearer " + "x" * 5000, "Token x"):
            answer = await client.get("/api/v1/events", headers={"authorization": header})
            assert answer.status_code == 401
        # a token that is no longer one is not made good by a cookie beside it
        answer = await client.get("/api/v1/events", headers={"authorization": "Bearer wrong", **cookie})
        assert answer.status_code == 401
    with sqlite3.connect(site.data / "office.db") as office:
        office.execute("UPDATE api_token SET revoked_at_ms = 1")
    office.close()
    async with site.client("admin") as client:
        assert (await client.get("/api/v1/events")).status_code == 401


async def test_nobody_becomes_local_by_what_they_send(site: Site) -> None:
    forged = {"gridwarden.local": "True", "x-gridwarden-local": "1", "cookie": "gridwarden.local=True"}
    async with site.client(**forged) as client:
        assert (await client.get("/api/v1/events", params={"gridwarden.local": "True"})).status_code == 401
        assert (await client.get("/api/v1/local/users")).status_code == 404


@pytest.mark.parametrize(
    ("client", "headers", "open_"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8080"}, True),
        ("127.0.0.1", {"host": "localhost:8080"}, True),
        ("127.0.0.1", {"host": "localhost"}, True),
        ("::1", {"host": "[::1]:8080"}, True),
        ("::ffff:127.0.0.1", {"host": "127.0.0.1"}, True),
        ("192.0.2.7", {"host": "127.0.0.1:8080"}, False),
        ("::ffff:192.0.2.7", {"host": "127.0.0.1"}, False),
        ("testclient", {"host": "127.0.0.1"}, False),
        ("127.0.0.1", {"host": "evil.test"}, False),
        ("127.0.0.1", {"host": "127.0.0.1.evil.test"}, False),
        ("127.0.0.1", {"host": "127.0.0.1", "x-forwarded-for": "192.0.2.7"}, False),
        ("127.0.0.1", {"host": "127.0.0.1", "forwarded": "for=192.0.2.7"}, False),
    ],
)
async def test_metrics_are_for_this_machine(site: Site, client: str, headers: dict[str, str], open_: bool) -> None:
    transport = httpx.ASGITransport(site.app, client=(client, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as asking:
        answer = await asking.get("/metrics")
        assert answer.status_code == (200 if open_ else 401)
        if open_:
            assert "gridwarden_ledger_imbalance 0.0" in answer.text
        token = {"authorization": f"Bearer {site.secrets['operator']}"}
        assert (await asking.get("/metrics", headers=token)).status_code == 200


def test_the_key_of_the_local_listener_is_not_a_header() -> None:
    assert auth.presented(auth.HTTPConnection({"type": "http", "headers": [(b"gridwarden.local", b"True")]})) is None
    assert auth.presented(auth.HTTPConnection({"type": "http", "headers": [], auth.LOCAL_KEY: "True"})) is None

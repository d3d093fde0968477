"""Silences and their like over HTTP: what reaches core, what is shown, who may."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from api.auth import LOCAL_KEY
from gridwarden.model import Change, Operation
from gridwarden.quieting import Weekly
from tests.api.conftest import EAST, NOW_MS, WEST, Site, alarm, filled, quieting

UNTIL = "2030-01-01T00:00:00Z"
UNTIL_MS = 1_893_456_000_000
SILENCE = {"comment": "works", "until": UNTIL, "area": WEST}


async def test_what_a_silence_is_reaches_core(site: Site) -> None:
    body = {**SILENCE, "rules": ["smoke.*"], "severities": ["low"], "categories": ["fault"], "devices": ["SMK-1", "SMK-2"],
            "from": "2029-01-01T00:00:00Z", "protected": True}  # fmt: skip
    async with site.client("operator") as client:
        answer = await client.post("/api/v1/silences", json=body)
    assert answer.status_code == 200, answer.text
    ((name, params),) = site.core.acted
    assert (name, params["kind"], params["area"], params["actor"]) == ("quiet", "silence", WEST, "operator")
    assert (params["until_at_ms"], params["protected"], params["unnamed"]) == (UNTIL_MS, True, False)
    assert params["matchers"] == {
        "rules": ["smoke.*"], "categories": ["fault"], "kinds": [], "severities": ["low"], "devices": ["SMK-1", "SMK-2"],
        "buildings": [], "gateways": []}  # fmt: skip


async def test_a_weekly_window_and_a_device_out_of_service(site: Site) -> None:
    weekly = {"days": ["sat", "mon"], "from": "22:00", "to": "06:00"}
    async with site.client("operator") as client:
        assert (await client.post("/api/v1/maintenance-windows", json={**SILENCE, "weekly": weekly})).status_code == 200
        assert (
            await client.post("/api/v1/out-of-service", json={"comment": "x", "devices": ["SMK-2"]})
        ).status_code == 200
    (_, window), (_, device) = site.core.acted
    assert window["weekly"] == {"days": [0, 5], "start": "22:00", "end": "06:00", "zone": "Asia/Shanghai"}
    assert (device["kind"], device["area"]) == ("out_of_service", EAST)  # where the device lies


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("silences", {**SILENCE, "comment": ""}), ("silences", {"comment": "x"}), ("silences", {**SILENCE, "until": "soon"}),
        ("silences", {**SILENCE, "rules": ["A b"]}), ("silences", {**SILENCE, "kinds": ["x"] * 51}),
        ("silences", {**SILENCE, "severities": ["worst"]}), ("silences", {**SILENCE, "weekly": {}}),
        ("silences", {**SILENCE, "scopes": ["x"]}),
        ("maintenance-windows", {**SILENCE, "weekly": {"from": "24:00", "to": "06:00"}}),
        ("maintenance-windows", {**SILENCE, "weekly": {"from": "22:00", "to": "06:00", "days": ["day"]}}),
        ("maintenance-windows", {**SILENCE, "weekly": {"from": "22:00", "to": "06:00", "zone": "../etc/passwd"}}),
        ("out-of-service", SILENCE), ("alarms/A1/shelve", {"comment": "x"}),
        ("alarms/A1/shelve", {"comment": "\ud800", "until": UNTIL}),
    ],
    ids=["no reason", "no end", "no time", "no rule", "too many", "no severity", "weekly", "scopes", "no hour", "no day",
         "no zone", "with an end", "no end of a shelf", "half a character"],
)  # fmt: skip
async def test_what_is_not_understood_is_invalid(site: Site, path: str, body: dict[str, Any]) -> None:
    filled(site.book)
    async with site.client("admin") as client:
        content = json.dumps(body).encode()
        answer = await client.post(f"/api/v1/{path}", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert site.core.acted == []


@pytest.mark.parametrize(
    ("body", "status"),
    [({**SILENCE, "area": EAST}, 403), ({**SILENCE, "area": ""}, 403), ({**SILENCE, "area": WEST[:-1]}, 403),
     ({**SILENCE, "area": None}, 403), ({**SILENCE, "area": None, "devices": ["SMK-1"]}, 200),
     ({**SILENCE, "area": None, "devices": ["SMK-2"]}, 404), ({**SILENCE, "area": None, "devices": ["SMK-9"]}, 404),
     ({**SILENCE, "area": None, "devices": ["SMK-1", "SMK-2"]}, 403), ({**SILENCE, "area": WEST + "001"}, 200)],
)  # fmt: skip
async def test_nobody_quiets_what_is_not_theirs(site: Site, body: dict[str, Any], status: int) -> None:
    async with site.client("west-operator") as client:
        assert (await client.post("/api/v1/silences", json=body)).status_code == status
    assert len(site.core.acted) == (status == 200)


async def test_the_owner_of_the_machine_is_nobody_by_name(site: Site) -> None:
    async def local(scope: Any, receive: Any, send: Any) -> None:
        await site.app({**scope, LOCAL_KEY: True}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://gw.test") as client:
        assert (await client.post("/api/v1/silences", json=SILENCE)).status_code == 200
    assert site.core.acted[0][1]["unnamed"] is True


async def test_a_list_says_who_why_until_when_and_how_many(site: Site) -> None:
    weekly = Weekly((5,), "22:00", "06:00", "Asia/Shanghai")
    site.book.commit(
        quietings={
            1: quieting(1, WEST[:6], weekly=weekly),
            2: quieting(2, EAST),
            3: quieting(3, WEST, ended_at_ms=NOW_MS),
        },
        alarms={"A1": alarm(1, quieted_by="silence:1"), "A2": alarm(2, EAST, quieted_by="silence:1")},
    )
    async with site.client("west-viewer") as client:
        found = (await client.get("/api/v1/quietings")).json()
        (one,) = found["quietings"]
        assert (one["quieting_id"], one["author"], one["comment"], one["quiets"]) == (1, "zhang", "works", 1)
        assert (one["reason"], one["kind"], one["matchers"]) == ("silence:1", "silence", {"kinds": ["smoke"]})
        assert one["weekly"] == {"days": ["sat"], "from": "22:00", "to": "06:00", "zone": "Asia/Shanghai"}
        assert one["until_at"].endswith("Z")
        assert not {"author_id", "approved_by_id"} & set(one)
        ended = (await client.get("/api/v1/quietings?ended=true&kind=silence")).json()["quietings"]
        assert [(one["quieting_id"], one["stage"]) for one in ended] == [(3, "ended")]
        assert (await client.get("/api/v1/quietings/1")).json() == one
        assert (await client.get("/api/v1/alarms?quieted=true")).json()["alarms"][0]["quieted_by"] == "silence:1"
        assert (await client.get("/api/v1/alarms?quieted=false")).json()["alarms"] == []
        assert (await client.get("/api/v1/stats")).json()["quieted_alarms"] == 1
    async with site.client("operator") as client:
        first = (await client.get("/api/v1/quietings?limit=1")).json()
        assert first["next"] == 2
        assert [one["quieting_id"] for one in (await client.get("/api/v1/quietings?before=2")).json()["quietings"]] == [
            1
        ]


async def test_one_key_is_one_decision_of_one_kind(site: Site) -> None:
    filled(site.book)
    async with site.client("admin", **{"idempotency-key": "k"}) as client:
        for path, body in (
            ("silences", SILENCE), ("silences", SILENCE), ("maintenance-windows", SILENCE), ("quietings/1/end", {}),
            ("quietings/2/end", {}), ("quietings/2/approve", {}), ("alarms/A1/shelve", {"comment": "x", "until": UNTIL}),
        ):  # fmt: skip
            assert (await client.post(f"/api/v1/{path}", json=body)).status_code == 200
    assert [name for name, _ in site.core.acted] == [
        "quiet", "quiet", "end_quieting", "end_quieting", "approve_quieting", "shelve"]  # fmt: skip


async def test_the_journal_says_times_as_everything_else_does(site: Site) -> None:
    detail = {"quieting": {"until_at_ms": NOW_MS, "weekly": None}, "until_at_ms": None}
    site.book.commit(Change(Operation.QUIETING_ADDED, NOW_MS, WEST, detail=detail))
    async with site.client("viewer") as client:
        (entry,) = (await client.get("/api/v1/journal")).json()["entries"]
    assert entry["detail"] == {"quieting": {"until_at": "2026-11-22T06:00:00.000Z", "weekly": None}, "until_at": None}

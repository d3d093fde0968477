"""What the owner of the data directory may do, and that nobody else can reach it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from pydantic_core import from_json, to_json

from gridwarden.history import snapshots
from gridwarden.history.influxdb import InfluxHistory
from gridwarden.model import Reading
from gridwarden.office.basemap import FILE_NAME
from gridwarden.web.absent import AbsentHistory
from gridwarden.web.service import _local
from tests.api.conftest import NOW_MS, Site, serving

REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", "/import", {"what": "areas", "path": "/etc/hostname"}),
    ("GET", "/users", None),
    ("POST", "/users", {"name": "mallory", "role": "admin", "areas": [""], "password": "correct horse battery"}),
    ("PUT", "/users/admin/password", {"password": "correct horse battery"}),
    ("DELETE", "/users/admin", None),
    ("POST", "/users/admin/tokens", {"name": "x"}),
    ("POST", "/history/snapshot", {"kinds": ["smoke"], "from_ms": 0, "to_ms": 1}),
    ("GET", "/nothing", None),
]


@pytest.fixture
async def owner(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client over the local way."""
    transport = httpx.ASGITransport(_local(site.app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://local/api/v1/local") as client:
        yield client


@pytest.mark.parametrize("who", [None, "admin"])
async def test_over_tcp_it_does_not_exist(site: Site, who: str | None) -> None:
    headers = {"authorization": f"Bearer {site.secrets[who]}"} if who else {}
    async with serving(site.app) as port, httpx.AsyncClient(headers=headers) as client:
        for method, path, body in REQUESTS:
            answer = await client.request(method, f"http://127.0.0.1:{port}/api/v1/local{path}", json=body)
            assert answer.status_code == 404, (method, path, answer.text)
            # Headers cannot pretend it, either.
            forged = {"gridwarden.local": "true", "x-forwarded-for": "unix:"}
            answer = await client.request(
                method, f"http://127.0.0.1:{port}/api/v1/local{path}", json=body, headers=forged
            )
            assert answer.status_code == 404
    assert {user.name for user in site.services.accounts.users() if user.disabled} == set()
    assert "mallory" not in {user.name for user in site.services.accounts.users()}


async def test_it_is_not_in_the_description(site: Site) -> None:
    async with site.client("admin") as client:
        assert "/local" not in (await client.get("/api/v1/openapi.json")).text


async def test_accounts(owner: httpx.AsyncClient) -> None:
    new = {"name": "wang/li", "role": "viewer", "areas": ["330106"], "password": "correct horse battery"}
    assert (await owner.post("/users", json=new)).status_code == 201
    assert (await owner.post("/users", json=new)).json()["code"] == "name_taken"
    assert (await owner.post("/users/wang%2Fli/tokens", json={"name": "x"})).json()["secret"]
    assert (await owner.put("/users/wang%2Fli/password", json={"password": "short"})).json()["code"] == "invalid"
    assert (await owner.delete("/users/wang%2Fli")).status_code == 204
    listed = {user["name"]: user for user in (await owner.get("/users")).json()["users"]}
    assert listed["wang/li"]["disabled"]
    assert "password" not in str(listed)
    assert (await owner.delete("/users/nobody")).json()["code"] == "no_such_user"


async def test_an_import_tells_its_progress_and_its_report(
    site: Site, owner: httpx.AsyncClient, tmp_path: Path
) -> None:
    told = asyncio.Event()
    site.services.on_registry_change = told.set
    (tmp_path / "areas.csv").write_text("code,name\n330106003,new\n", "utf-8")
    order = {"what": "areas", "path": str(tmp_path / "areas.csv")}
    dry = await lines(owner, {**order, "dry_run": True})
    assert dry[-1]["report"]["added"] == 1
    assert not told.is_set()
    real = await lines(owner, order)
    assert real[-1]["report"]["ok"]
    assert all(set(line) == {"share", "rows"} for line in real[:-1])
    assert told.is_set()


async def test_a_base_map_is_imported_and_is_no_change_of_the_registry(
    site: Site, owner: httpx.AsyncClient, tmp_path: Path
) -> None:
    told = asyncio.Event()
    site.services.on_registry_change = told.set
    feature = {"type": "Feature", "properties": {"layer": "road"},
               "geometry": {"type": "LineString", "coordinates": [[120, 30], [120.1, 30]]}}  # fmt: skip
    (tmp_path / "map.geojson").write_bytes(to_json({"type": "FeatureCollection", "features": [feature]}))
    order = {"what": "basemap", "path": str(tmp_path / "map.geojson")}
    assert (await lines(owner, {**order, "dry_run": True}))[-1]["report"]["changed"] == 1
    assert b"road" not in (site.data / FILE_NAME).read_bytes()
    assert (await lines(owner, order))[-1]["report"]["ok"]
    assert from_json((site.data / FILE_NAME).read_bytes())["features"] == [feature]
    assert not told.is_set()


async def test_an_import_that_cannot_be_done(owner: httpx.AsyncClient, tmp_path: Path) -> None:
    order = {"what": "areas", "path": str(tmp_path / "none.csv")}
    assert "none.csv" in (await lines(owner, order))[-1]["error"]
    answer = await owner.post("/import", json={**order, "surplus": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


FREEZE = {"kinds": ["smoke"], "from_ms": NOW_MS, "to_ms": NOW_MS + 1000}


async def test_a_part_of_the_history_is_frozen_for_a_command(site: Site, owner: httpx.AsyncClient) -> None:
    reading = Reading("SMK-1", "smoke", "gw1", NOW_MS, NOW_MS, 1, 1, True, {"state": "normal"})
    site.services.history.append([reading], 1, NOW_MS)
    (line,) = await lines(owner, FREEZE, "/history/snapshot")
    frozen = snapshots.load(Path(line["directory"]))
    assert frozen.directory.is_absolute()
    assert (frozen.rows, frozen.from_ms, frozen.to_ms) == (1, NOW_MS, NOW_MS + 1000)


@pytest.mark.parametrize(
    ("history", "reason"),
    [(AbsentHistory("the disk is gone"), "the disk is gone"), (Mock(spec=InfluxHistory), "embedded")],
)
async def test_a_history_that_cannot_be_frozen_says_why(
    site: Site, owner: httpx.AsyncClient, history: Any, reason: str
) -> None:
    site.services.history = history
    (line,) = await lines(owner, FREEZE, "/history/snapshot")
    assert reason in line["error"]


async def lines(owner: httpx.AsyncClient, order: dict[str, Any], path: str = "/import") -> list[dict[str, Any]]:
    answer = await owner.post(path, json=order)
    return [from_json(line) for line in answer.text.splitlines()]

"""All devices in columns: what is in it for whom, made once, kept within bounds, packed only for who takes it."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from pydantic_core import from_json

from api import snapshot
from api.snapshot import Snapshots
from gridwarden.errors import Unavailable
from gridwarden.model import Device
from gridwarden.office import registry
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from tests.api.conftest import EAST, WEST, Site

PATH = "/api/v1/devices/snapshot"


def devices_of(columns: dict[str, Any]) -> list[Device]:
    """The devices again."""
    rows = zip(*(columns[name] for name in ("id", "k", "a", "name", "lon", "lat")), strict=True)
    return [
        Device(device_id, columns["kinds"][kind], columns["areas"][area], name, lon=lon, lat=lat)
        for device_id, kind, area, name, lon, lat in rows
    ]


async def test_columns_are_the_devices(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "POINTS_LIMIT", 2)
    office = site.services.office
    office.upsert_device(Device("HYD-1", "hydrant", EAST, '消火栓 "1"'))
    office.upsert_device(Device("NEW-1", "hydrant", "", lon=120.123456789, lat=-30.5))
    async with site.client("viewer") as client:
        answer = await client.get(PATH)
        assert answer.headers["content-encoding"] == "gzip"
        columns = answer.json()
        assert list(columns) == ["version", "kinds", "areas", "id", "k", "a", "lon", "lat", "name"]
        assert columns["version"] == office.version()
        want = [Device("HYD-1", "hydrant", EAST, '消火栓 "1"'), Device("NEW-1", "hydrant", lon=120.123457, lat=-30.5),
                Device("SMK-1", "smoke", WEST, lon=120.1, lat=30.2), Device("SMK-2", "smoke", EAST, lon=120.1, lat=30.2)]  # fmt: skip
        assert devices_of(columns) == want
        plain = await client.get(PATH, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.json() == columns
        assert int(plain.headers["content-length"]) == len(plain.content) == len(answer.content)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
        ("xgzip", False),
    ],
)
async def test_it_is_packed_for_who_takes_it(site: Site, accepted: str, packed: bool) -> None:
    async with site.client("viewer") as client:
        answer = await client.get(PATH, headers={"accept-encoding": accepted})
        assert ("content-encoding" in answer.headers) is packed
        assert answer.json()["id"] == ["SMK-1", "SMK-2"]
        other = await client.get("/api/v1/devices", headers={"accept-encoding": accepted})
        assert "content-encoding" not in other.headers


async def test_each_sees_their_own_areas_and_nothing_is_sent_twice(site: Site) -> None:
    async with site.client("west-operator") as client, site.client("viewer") as everywhere:
        west = await client.get(PATH)
        assert (west.json()["id"], west.json()["areas"]) == (["SMK-1"], [WEST])
        mark = west.headers["etag"]
        assert west.headers["cache-control"] == "private, no-cache"
        again = await client.get(PATH, headers={"if-none-match": mark})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", mark)
        # what one of the west has is not what one of everywhere may have
        assert (await everywhere.get(PATH, headers={"if-none-match": mark})).json()["id"] == ["SMK-1", "SMK-2"]
        site.services.office.upsert_device(Device("SMK-3", "smoke", WEST))
        fresh = await client.get(PATH, headers={"if-none-match": mark})
        assert (fresh.status_code, fresh.json()["id"]) == (200, ["SMK-1", "SMK-3"])


@pytest.fixture
def office(site: Site) -> Office:
    return site.services.office


def test_it_is_made_once_for_all_who_ask(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    points = office.device_points

    def counted(*args: Any, **options: Any) -> Any:
        asked.append(options["after"])
        return points(*args, **options)

    monkeypatch.setattr(office, "device_points", counted)
    snapshots = Snapshots(office)
    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: (barrier.wait(), snapshots.get([""]))[1], range(8)))
    assert all(one is found[0] for one in found)
    assert asked == ["", "SMK-2"]


def test_few_are_kept(office: Office) -> None:
    snapshots = Snapshots(office)
    first = snapshots.get([WEST])
    for number in range(snapshot.KEPT):
        snapshots.get([f"3301{number:02d}"])
        assert len(snapshots._kept) <= snapshot.KEPT
    assert snapshots.get([WEST]) is not first
    assert from_json(gzip.decompress(first.body.packed)) == from_json(b"".join(first.body.plain()))


def test_a_change_meanwhile_begins_again_and_ends(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    points = office.device_points
    left = [1]

    def disturbed(*args: Any, **options: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            office.upsert_device(Device("SMK-1", "smoke", WEST, name=f"n{left[0]}"))
        return points(*args, **options)

    monkeypatch.setattr(office, "device_points", disturbed)
    made = Snapshots(office).get([""])
    assert made.version == office.version()
    assert from_json(gzip.decompress(made.body.packed))["name"] == ["n0", ""]
    left[0] = 1_000
    with pytest.raises(Unavailable, match="changed 5 times"):
        Snapshots(office).get([""])


async def test_large_ones_come_whole(served: Site) -> None:
    files = "device_id,kind,area,name\n" + "".join(f"D{n:05d},smoke,{WEST},烟感 {n * 7919}\n" for n in range(12_000))
    path = served.data / "d.csv"
    path.write_text(files, "utf-8")
    registry_version = served.services.office.version()

    assert import_file(served.services.office, "devices", path).added == 12_000
    headers = {"authorization": f"Bearer {served.secrets['viewer']}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", headers=headers) as client:
        packed, plain = await client.get(PATH), await client.get(PATH, headers={"accept-encoding": "identity"})
        assert packed.content == plain.content
        assert (len(plain.json()["id"]), plain.json()["version"]) == (12_002, registry_version + 1)
        head = await client.head(PATH)
        assert (head.status_code, head.content) == (200, b"")

"""Outlines, the base map, resources and the devices near a place: for whom, how often, and within which bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridwarden.model import Device, Resource
from gridwarden.office.basemap import FILE_NAME, import_basemap
from gridwarden.office.importing import import_file
from gridwarden.web.absent import AbsentHistory
from tests.api.conftest import EAST, NOW_MS, WEST, Site, reading

RING = [[120, 30], [120.1, 30], [120.1, 30.1], [120, 30]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}


def collection(*features: tuple[dict[str, Any], Any]) -> dict[str, Any]:
    made = [{"type": "Feature", "properties": properties, "geometry": geometry} for properties, geometry in features]
    return {"type": "FeatureCollection", "features": made}


def outlined(site: Site, folder: Path, *codes: str) -> None:
    path = folder / "areas.geojson"
    path.write_text(json.dumps(collection(*(({"code": code, "name": f"n{code}"}, POLYGON) for code in codes))))
    assert import_file(site.services.office, "areas", path).ok


async def test_outlines_of_the_areas_one_sees(site: Site, tmp_path: Path) -> None:
    async with site.client("viewer") as client, site.client("west-viewer") as west:
        assert (await client.get("/api/v1/areas/geometry")).json() == collection()
        outlined(site, tmp_path, "330106", WEST, EAST)
        answer = await client.get("/api/v1/areas/geometry")
        assert answer.headers["content-type"] == "application/geo+json"
        assert answer.json() == collection(*(
            ({"code": code, "name": f"n{code}", "name_en": "", "level": level, "parent": parent}, POLYGON)
            for code, level, parent in (("330106", "district", "3301"), (WEST, "street", "330106"),
                                        (EAST, "street", "330106"))))  # fmt: skip
        mark = {"if-none-match": answer.headers["etag"]}
        again = await client.get("/api/v1/areas/geometry", headers=mark)
        assert (again.status_code, again.content) == (304, b"")
        own = (await west.get("/api/v1/areas/geometry", headers=mark)).json()
        assert [feature["properties"]["code"] for feature in own["features"]] == [WEST]
        site.services.office.upsert_device(Device("SMK-9", "smoke"))
        assert (await client.get("/api/v1/areas/geometry", headers=mark)).status_code == 200


async def test_outlines_of_many_pages(site: Site, tmp_path: Path) -> None:
    codes = [f"{WEST}{number:03d}" for number in range(1, 251)]  # 000 would be padding
    outlined(site, tmp_path, *codes)
    async with site.client("west-viewer") as client:
        found = (await client.get("/api/v1/areas/geometry")).json()["features"]
    assert [feature["properties"]["code"] for feature in found] == codes


async def test_outlines_and_base_map_are_packed_once_for_who_takes_it(site: Site, tmp_path: Path) -> None:
    outlined(site, tmp_path, *(f"{WEST}{number:03d}" for number in range(1, 251)))
    async with site.client("viewer") as client, site.client("west-viewer") as west:
        for path in ("areas", "areas/geometry", "basemap"):
            address = f"/api/v1/{path}"
            packed = await client.get(address)
            plain = await client.get(address, headers={"accept-encoding": "identity"})
            assert packed.headers["content-encoding"] == "gzip"
            assert "accept-encoding" in packed.headers["vary"].lower()
            assert "content-encoding" not in plain.headers
            assert int(plain.headers["content-length"]) == len(plain.content)
            assert packed.content == plain.content
            assert packed.headers["etag"] == plain.headers["etag"]
            again = await client.get(address, headers={"if-none-match": packed.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert len((await west.get("/api/v1/areas")).json()["areas"]) < len(
            (await client.get("/api/v1/areas")).json()["areas"]
        )
        await west.get("/api/v1/areas/geometry")
        assert len(site.services.shelf) == 5  # areas and outlines of each, and one base map for both


async def test_the_base_map(site: Site, tmp_path: Path) -> None:
    (site.data / FILE_NAME).unlink()
    async with site.client("west-viewer") as client:
        missing = await client.get("/api/v1/basemap")
        assert (missing.status_code, missing.json()["code"]) == (404, "no_basemap")
        path = tmp_path / "map.geojson"
        for layer in ("water", "land"):
            path.write_text(json.dumps(collection(({"layer": layer}, POLYGON))))
            assert import_basemap(site.data, path).ok
            answer = await client.get("/api/v1/basemap")
            assert answer.json() == collection(({"layer": layer}, POLYGON))
            assert answer.headers["content-type"] == "application/geo+json"
            assert answer.headers["cache-control"] == "private, no-cache"
            again = await client.get("/api/v1/basemap", headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")


async def test_resources_by_kind_area_and_page(site: Site) -> None:
    site.services.office.upsert_resource(Resource("R3", "micro_station", "站", EAST))
    async with site.client("viewer") as client, site.client("west-viewer") as west:

        async def ids(query: str, who: Any = client) -> list[str]:
            return [one["resource_id"] for one in (await who.get(f"/api/v1/resources{query}")).json()["resources"]]

        assert await ids("") == ["R1", "R2", "R3"]
        assert await ids("?kind=hydrant") == ["R1", "R2"]
        assert await ids(f"?area={EAST}&after=R2") == ["R3"]
        assert await ids("", west) == ["R1"]
        assert await ids(f"?area={EAST}", west) == []
        page = (await client.get("/api/v1/resources?limit=2")).json()
        assert (page["next"], page["resources"][0]["lon"]) == ("R2", 120.1)
        assert (await client.get("/api/v1/resources?limit=2&after=R2")).json()["next"] is None


async def test_the_devices_near_a_place_with_their_values(site: Site) -> None:
    office, history = site.services.office, site.services.history
    office.upsert_device(Device("HYD-1", "hydrant", WEST, "栓", lon=120.101, lat=30.2))
    read = reading("SMK-1", smoke_dbm=0.1)
    site.book.commit(readings=[read])
    history.begin(site.services.epoch)
    history.append([read], site.services.reader.head(), NOW_MS)
    path = "/api/v1/devices/nearest?lon=120.1&lat=30.2"
    async with site.client("viewer") as client, site.client("west-viewer") as west:
        answer = (await client.get(path)).json()
        assert answer["history"] == "ok"
        assert [(one["device_id"], one["distance_m"], one["values"], one["occurred_at"]) for one in answer["devices"]] == [
            ("SMK-1", 0, {"smoke_dbm": 0.1}, "2026-11-22T06:00:00.000Z"), ("SMK-2", 0, {}, None), ("HYD-1", 96, {}, None)]  # fmt: skip
        assert answer["devices"][2]["name"] == "栓"
        near = (await west.get(path)).json()["devices"]
        assert [one["device_id"] for one in near] == ["SMK-1", "HYD-1"]
        near = (await client.get(f"{path}&kind=hydrant&limit=1")).json()["devices"]
        assert [one["device_id"] for one in near] == ["HYD-1"]
        site.services.history = AbsentHistory("away")  # type: ignore[assignment]
        away = (await client.get(path)).json()
        assert (away["history"], [one["values"] for one in away["devices"]]) == ("unavailable", [{}, {}, {}])


@pytest.mark.parametrize("query", ["lon=181&lat=0", "lon=0&lat=91", "lon=nan&lat=0", "lat=0", "lon=0&lat=0&limit=21",
                                   "lon=0&lat=0&limit=0", "lon=x&lat=0"])  # fmt: skip
async def test_what_is_no_place(site: Site, query: str) -> None:
    async with site.client("viewer") as client:
        answer = await client.get(f"/api/v1/devices/nearest?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")

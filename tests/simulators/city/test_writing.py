import csv
import json
from pathlib import Path

from gridwarden.office.basemap import import_basemap
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from simulators.city import City, make
from simulators.city.writing import write


def test_the_same_city_gives_the_same_bytes(tmp_path: Path, city: City) -> None:
    first = write(city, tmp_path / "first")
    second = write(make(), tmp_path / "second")
    assert [path.name for path in first] == ["areas.geojson", "basemap.geojson", "devices.csv", "resources.csv"]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(first, second, strict=True))
    assert sum(path.stat().st_size for path in first) < 12e6


def test_the_map_is_geojson_with_closed_rings(tmp_path: Path, city: City) -> None:
    for path in write(city, tmp_path)[:2]:
        document = json.loads(path.read_text("utf-8"))
        assert document["type"] == "FeatureCollection"
        for feature in document["features"]:
            if feature["geometry"]["type"] == "Polygon":
                (ring,) = feature["geometry"]["coordinates"]
                assert ring[0] == ring[-1]
                assert len(ring) >= 5
            else:
                assert feature["properties"]["layer"] == "road"
                assert len(feature["geometry"]["coordinates"]) >= 2


def test_devices_are_a_table_with_attributes_as_json(tmp_path: Path, city: City) -> None:
    with write(city, tmp_path)[2].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30_000
    assert json.loads(rows[0]["attributes"])["mount"] in {"riser", "cap"}


def test_an_office_takes_every_file(tmp_path: Path, city: City) -> None:
    areas, basemap, devices, resources = write(city, tmp_path / "files")
    with Office.open(tmp_path / "office.db") as office:
        for what, path, count in (
            ("areas", areas, len(city.areas)),
            ("devices", devices, 30_000),
            ("resources", resources, 65),
        ):
            report = import_file(office, what, path)
            assert report.errors == []
            assert report.added == count
        assert office.device("HYD-000001") == city.devices[0]
        ((street, outline),) = office.outlines(scopes=["999103001"], limit=1)
        assert street == city.areas[2].area
        assert json.loads(outline)["coordinates"][0][:-1] == [list(point) for point in city.areas[2].ring]
    report = import_basemap(tmp_path, basemap)
    assert report.errors == []
    assert report.added == len(city.basemap)

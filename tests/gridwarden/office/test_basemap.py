"""The base map: layers, faults with their feature, all or nothing, and a file that is never half there."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gridwarden.errors import ConfigError
from gridwarden.office import basemap
from gridwarden.office.basemap import FILE_NAME, import_basemap
from gridwarden.office.coordinates import Crs, wgs84_to_gcj02
from gridwarden.office.importing import ERRORS_KEPT

RING = [[120, 30], [120.1, 30], [120.1, 30.1], [120, 30]]
WATER = {"type": "Polygon", "coordinates": [RING]}
ROAD = {"type": "LineString", "coordinates": RING[:2]}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def write(path: Path, *features: Any) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def kept(data: Path) -> Any:
    return json.loads((data / FILE_NAME).read_text("utf-8"))


def test_a_base_map_is_kept_and_counted(data: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.geojson", feature(WATER, layer="water", name="湖"),
                 feature(ROAD, layer="road", **{"class": "primary"}))  # fmt: skip
    dry = import_basemap(data, path, dry_run=True)
    assert (dry.added, dry.ok, list(data.iterdir())) == (2, True, [])
    report = import_basemap(data, path)
    assert (report.rows, report.added, report.changed, report.unchanged, report.version) == (2, 2, 0, 0, None)
    assert kept(data) == {"type": "FeatureCollection", "features": [
        feature(WATER, layer="water"), feature(ROAD, layer="road", **{"class": "primary"})]}  # fmt: skip
    before = (data / FILE_NAME).stat().st_mtime_ns
    assert import_basemap(data, path).unchanged == 2
    assert (data / FILE_NAME).stat().st_mtime_ns == before
    packed = tmp_path / "m.json.gz"
    packed.write_bytes(gzip.compress(write(tmp_path / "n.geojson", feature(WATER, layer="land")).read_bytes()))
    assert import_basemap(data, packed).changed == 1
    assert [one["properties"]["layer"] for one in kept(data)["features"]] == ["land"]
    assert [file.name for file in data.iterdir()] == [FILE_NAME]
    assert (data / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (feature(WATER, layer="sea"), "feature 2: layer: 'sea' is no layer; known: water, road, green, land"),
        (feature(WATER), "feature 2: layer: None is no layer"),
        (feature(WATER, layer=["water"]), "feature 2: layer: ['water'] is no layer"),
        (feature(WATER, layer="water", **{"class": "Große"}), "feature 2: class: 'Große': a word"),
        (feature(WATER, layer="water", **{"class": {}}), "feature 2: class: a single value"),
        (feature(ROAD, layer="green"), "feature 2: geometry: 'LineString': Polygon or MultiPolygon"),
        (feature({"type": "Point", "coordinates": [1, 2]}, layer="road"), "feature 2: geometry: 'Point': LineString"),
        (feature(None, layer="road"), "feature 2: geometry: None: LineString"),
        (feature({"type": "Polygon", "coordinates": [RING[:3]]}, layer="land"), "feature 2: geometry: ring 1: 3 pos"),
        ("x", "feature 2: a Feature object is expected"),
    ],
)
def test_one_fault_and_nothing_is_kept(data: Path, tmp_path: Path, wrong: Any, fault: str) -> None:
    good = feature(WATER, layer="water")
    report = import_basemap(data, write(tmp_path / "m.geojson", good, wrong, good))
    assert report.error_count == 1
    assert str(report.errors[0]).startswith(fault)
    assert (report.ok, report.added, list(data.iterdir())) == (False, 0, [])


def test_faults_are_bounded_and_counted(data: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    path = write(tmp_path / "m.geojson", *[feature(WATER)] * 1_500)
    report = import_basemap(data, path, progress=lambda _, rows: seen.append(rows))
    assert (report.error_count, len(report.errors), seen) == (1_500, ERRORS_KEPT, [1_000, 1_500])


@pytest.mark.parametrize("limited", ["read", "kept"])
def test_it_is_bounded(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limited: str) -> None:
    path = write(tmp_path / "m.geojson", *[feature(WATER, layer="water")] * 50)
    if limited == "read":
        monkeypatch.setattr(basemap, "LIMIT_BYTES", path.stat().st_size - 1)
        reason = "at most"
    else:
        path.write_text(path.read_text().replace("30.1", "0"))
        shorter = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"layer": "land"},
                   "geometry": WATER}] * 50}  # fmt: skip
        path.write_text(json.dumps(shorter, separators=(",", ":")).replace('"type":"Feature",', ""))
        monkeypatch.setattr(basemap, "LIMIT_BYTES", path.stat().st_size)
        reason = "bytes to be kept, at most"
    with pytest.raises(ConfigError, match=reason):
        import_basemap(data, path)
    assert list(data.iterdir()) == []


def test_other_files_are_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("layer\nwater\n")
    with pytest.raises(ConfigError, match="a GeoJSON file is expected"):
        import_basemap(data, tmp_path / "m.csv")
    (tmp_path / "m.geojson").write_text("{}")
    with pytest.raises(ConfigError, match=r"m\.geojson: not GeoJSON"):
        import_basemap(data, tmp_path / "m.geojson")


def test_coordinates_become_wgs84(data: Path, tmp_path: Path) -> None:
    there = {"type": "LineString", "coordinates": [list(wgs84_to_gcj02((120, 30))), [120.5, 30]]}
    import_basemap(data, write(tmp_path / "m.geojson", feature(there, layer="road")), crs=Crs.GCJ02)
    assert kept(data)["features"][0]["geometry"]["coordinates"][0] == [120, 30]


def test_a_write_that_fails_leaves_the_old_one(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_basemap(data, write(tmp_path / "m.geojson", feature(WATER, layer="water")))
    before = (data / FILE_NAME).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            import_basemap(data, write(tmp_path / "m.geojson", feature(WATER, layer="land")))
    assert (data / FILE_NAME).read_bytes() == before
    assert [file.name for file in data.iterdir()] == [FILE_NAME]

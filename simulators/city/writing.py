"""The made-up district as the files that ``gridwarden import`` takes. The same city gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simulators.city.geometry import Point
from simulators.city.making import City, Feature, Place
from simulators.tables import write_table

AREAS, BASEMAP, DEVICES, RESOURCES = "areas.geojson", "basemap.geojson", "devices.csv", "resources.csv"


def write(city: City, folder: Path) -> list[Path]:
    """Write the four files into ``folder``, which is made if need be; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in (AREAS, BASEMAP, DEVICES, RESOURCES)]
    _write_features(paths[0], map(_area, city.areas))
    _write_features(paths[1], map(_piece, city.basemap))
    write_table(city.devices, paths[2])
    write_table(city.resources, paths[3])
    return paths


def _area(place: Place) -> dict[str, Any]:
    properties = {"code": place.area.code, "name": place.area.name, "name_en": place.area.name_en}
    return _feature(properties, "Polygon", [_closed(place.ring)])


def _piece(feature: Feature) -> dict[str, Any]:
    properties = {"layer": feature.layer}
    if feature.road_class:
        properties["class"] = feature.road_class
    if feature.name.zh:
        properties |= {"name": feature.name.zh, "name_en": feature.name.en}
    if feature.layer == "road":
        return _feature(properties, "LineString", feature.path)
    return _feature(properties, "Polygon", [_closed(feature.path)])


def _feature(properties: dict[str, str], kind: str, coordinates: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": {"type": kind, "coordinates": coordinates}}


def _closed(ring: list[Point]) -> list[Point]:
    return [*ring, ring[0]]


def _write_features(path: Path, features: Iterable[dict[str, Any]]) -> None:
    """One feature a line, so that two versions can be compared."""
    lines = ",\n".join(_json(feature) for feature in features)
    path.write_text(f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n', encoding="utf-8", newline="\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

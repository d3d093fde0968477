"""The site's own base map: water, roads, greens and land as GeoJSON, checked once and kept as one file.

It is no part of the registry: nothing is decided by it, a browser only draws it. So it needs no outside map service.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gridwarden.errors import ConfigError
from gridwarden.files import replace_durably
from gridwarden.office.coordinates import Crs
from gridwarden.office.geometry import LINES, OUTLINES, checked
from gridwarden.office.importing import ImportReport, Progress
from gridwarden.office.rows import as_text, word
from gridwarden.office.sources import Source, SourceRow, open_source

FILE_NAME = "basemap.geojson"
LIMIT_BYTES = 20 * 2**20
"""Largest base map, as given and as kept: every browser loads all of it."""
LAYERS: dict[str, tuple[str, ...]] = {
    "water": LINES + OUTLINES,
    "road": LINES + OUTLINES,
    "green": OUTLINES,
    "land": OUTLINES,
}
"""What may be drawn, and as what."""
_STEP = 1_000


def import_basemap(
    data: Path, path: Path, *, crs: Crs = Crs.WGS84, dry_run: bool = False, progress: Progress | None = None
) -> ImportReport:
    """Put the GeoJSON file ``path`` in the place of the base map of the data directory ``data``, whole or not at all.

    Of the properties ``layer`` and ``class`` are kept. Coordinates of ``crs`` are stored as WGS-84.

    Raises:
        ConfigError: the file cannot be used at all. Faults of single features are in the report.
        OSError: it cannot be stored.
    """
    report = ImportReport(str(path), dry_run)
    with open_source(path, "utf-8", LIMIT_BYTES) as source:
        if source.columns is not None:
            raise ConfigError("a GeoJSON file is expected")
        features = _features(source, crs, report, progress or (lambda _share, _rows: None))
        content = b'{"type":"FeatureCollection","features":[\n' + b",\n".join(features) + b"\n]}\n"
        if len(content) > LIMIT_BYTES:
            raise ConfigError(f"{len(content)} bytes to be kept, at most {LIMIT_BYTES} are allowed; simplify it")
    if report.ok:
        _keep(data / FILE_NAME, content, report)
    return report


def _features(source: Source, crs: Crs, report: ImportReport, progress: Progress) -> list[bytes]:
    features = []
    for row in source.rows():
        report.rows += 1
        problems, feature = _feature(row, crs)
        for column, reason in problems:
            report.refuse(f"{source.unit} {row.number}", column, reason)
        if report.ok:
            features.append(feature)
        if not report.rows % _STEP:
            progress(source.share(), report.rows)
    progress(1.0, report.rows)
    return features


def _feature(row: SourceRow, crs: Crs) -> tuple[list[tuple[str, str]], bytes]:
    """What is wrong, as pairs of column and reason, and the feature as it is kept."""
    if row.problem and row.geometry is None:
        return [("", row.problem)], b""
    problems: list[tuple[str, str]] = []
    layer = row.properties.get("layer")
    if not isinstance(layer, str) or layer not in LAYERS:
        problems.append(("layer", f"{layer!r:.40} is no layer; known: {', '.join(LAYERS)}"))
    kept: dict[str, Any] = {"layer": layer}
    try:
        if as_text(row.properties.get("class")):
            kept["class"] = word(row.properties["class"])
    except ValueError as error:
        problems.append(("class", str(error)))
    if problems:
        return problems, b""
    try:
        geometry = checked(row.geometry, LAYERS[str(layer)], None, crs)
    except ValueError as error:
        return [("geometry", str(error))], b""
    return [], f'{{"type":"Feature","properties":{json.dumps(kept)},"geometry":{geometry}}}'.encode()


def _keep(path: Path, content: bytes, report: ImportReport) -> None:
    """Count what is new, and replace the file in one step unless it is the same or this is a dry run."""
    before = path.read_bytes() if path.exists() else None
    if before == content:
        report.unchanged = report.rows
        return
    if before is None:
        report.added = report.rows
    else:
        report.changed = report.rows
    if not report.dry_run:
        replace_durably(path, content)

"""What people import and replay: registry files, base maps, mappings of columns, recorded rows."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

from gridwarden.errors import ConfigError
from gridwarden.office import geometry
from gridwarden.office.basemap import import_basemap
from gridwarden.office.coordinates import Crs
from gridwarden.office.importing import ImportReport, What, import_file
from gridwarden.office.mapping import load_mapping
from gridwarden.office.registry import Office
from gridwarden.office.rows import ENTITIES
from simulators.mapping import FileMapping, RowError
from simulators.mapping import load as load_columns
from simulators.replay import Options, ReplayAccount, _Reader
from tests.fuzz.rule_files import refused
from tests.fuzz.stored import MESSAGE_LIMIT
from tests.fuzz.target import CUT, Shape, Target, outcome, parts, scratch, written

SUFFIXES = (".csv", ".geojson", ".json", ".csv.gz", ".geojson.gz", ".txt", "")
ENCODINGS = (
    "utf-8",
    "gb18030",
    "utf-16",
    "latin-1",
    "no-such",
    "rot13",
    "base64",
    "idna",
    "undefined",
    "unicode_escape",
    "",
)


@cache
def office() -> Office:
    return Office.open(scratch() / "office.db").__enter__()


def registry(data: bytes) -> str:
    """:func:`import_file` raises ``ConfigError`` alone; faults of rows are told with their place, and nothing is taken then."""
    head, mapping, content = parts(data, 3)
    options = _options(head)
    what = _one_of(options.get("what"), get_args(What))
    suffix = _one_of(options.get("suffix"), SUFFIXES)
    path = written(
        f"import{suffix}", gzip.compress(content, 1) if suffix.endswith(".gz") and options.get("packed") else content
    )
    columns = written("mapping.yaml", mapping) if mapping else None
    try:
        report = import_file(
            office(), what, path, mapping=columns, crs=_one_of(options.get("crs"), tuple(Crs)),
            encoding=_one_of(options.get("encoding"), ENCODINGS), dry_run=options.get("dry_run", True) is not False,
        )  # fmt: skip
    except ConfigError as error:
        assert error.path
        return refused(error)
    _look_at(report)
    return outcome(f"{report.ok} {report.skipped > 0} {' '.join(sorted({one.reason for one in report.errors}))}")


def _look_at(report: ImportReport) -> None:
    if report.ok:
        assert report.rows == report.skipped + report.added + report.changed + report.unchanged
    else:
        assert (report.added, report.changed) == (0, 0)
    for error in report.errors:
        assert error.place
        assert error.reason
        assert len(str(error)) < MESSAGE_LIMIT, len(str(error))
        str(error).encode()


def _options(head: bytes) -> dict[str, Any]:
    try:
        options = json.loads(head)
    except (ValueError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}


def _one_of(given: Any, known: tuple[Any, ...]) -> Any:
    return next((one for one in known if one == given), known[0])


def _files() -> list[bytes]:
    point = {"type": "Feature", "id": 7, "geometry": {"type": "Point", "coordinates": [120.1, 30.2]},
             "properties": {"device_id": "HYD-1", "kind": "hydrant", "area": "330106", "attributes": {"a": 1}}}  # fmt: skip
    outline = {"type": "Feature", "properties": {"code": "330106", "name": "西湖", "valid_from": "2026-01-01", "valid_to": ""},
               "geometry": {"type": "MultiPolygon", "coordinates": [[[[120, 30], [121, 30], [121, 31], [120, 30]]]]}}  # fmt: skip
    yaml = b'device_id: {column: "@id", prefix: osm-, replace: {"/": "-"}}\nkind: {const: hydrant}\nname: ref\nattributes: [operator, diameter]\nwhere: {emergency: [fire_hydrant, 1]}\n'
    rows = b'"@id",ref,operator,diameter,emergency\nnode/1,A,x,100,fire_hydrant\nnode/2,"B ""b""",,,1\n'

    def head(**options: Any) -> bytes:
        return json.dumps(
            {"what": "devices", "suffix": ".csv", "crs": "wgs84", "encoding": "utf-8", **options}
        ).encode()

    devices = 'device_id,kind,area,name,lon,lat,attributes\nLIFT-1,lift,330106,电梯,120.1,30.2,"{""a"": 1}"\nSMK-1,smoke,,,,,\n'
    collection = [
        json.dumps({"type": "FeatureCollection", "features": [one, one]}).encode() for one in (point, outline)
    ]
    return [
        CUT.join((head(), b"", devices.encode())),
        CUT.join((head(encoding="gb18030", crs="gcj02", dry_run=False), b"", devices.encode("gb18030"))),
        CUT.join((head(), yaml, rows)),
        CUT.join((head(suffix=".geojson", crs="bd09", dry_run=False), b"", collection[0])),
        CUT.join((head(what="areas", suffix=".json", crs="gcj02"), b"", collection[1])),
        CUT.join((head(what="areas", dry_run=False), b"", "code,name,geometry\n3301,杭州,\n330106,西湖,\n".encode())),
        CUT.join(
            (
                head(what="resources", suffix=".csv.gz", packed=True),
                b"",
                b"resource_id,kind,lon,lat\nR-1,micro_station,1,2\n",
            )
        ),
    ]


def basemap(data: bytes) -> str:
    """:func:`import_basemap` raises ``ConfigError`` alone; what it keeps is GeoJSON that it would take again as it is."""
    folder = scratch() / "map"
    folder.mkdir(exist_ok=True)
    try:
        report = import_basemap(folder, written("map.geojson", data), crs=Crs.GCJ02 if len(data) % 2 else Crs.WGS84)
    except ConfigError as error:
        assert error.path
        return refused(error)
    _look_at(report)
    if report.ok:
        assert import_basemap(folder, folder / "basemap.geojson").unchanged == report.rows
    return outcome(f"{report.ok} {' '.join(sorted({one.reason for one in report.errors}))}")


def _map() -> bytes:
    lines = {"type": "LineString", "coordinates": [[120, 30], [121, 30.5, 4]]}
    ring = {"type": "Polygon", "coordinates": [[[120, 30], [121, 30], [121, 31], [120, 30]]]}
    features = [
        {"type": "Feature", "properties": {"layer": "road", "class": "primary"}, "geometry": lines},
        {"type": "Feature", "properties": {"layer": "water"}, "geometry": ring},
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def one_geometry(data: bytes) -> str:
    """:func:`geometry.outline` raises ``ValueError`` alone, with a reason that can be read; its text is its own outline."""
    try:
        text = geometry.outline(data.decode("utf-8", "replace"))
    except ValueError as error:
        assert len(str(error)) < MESSAGE_LIMIT
        return outcome(str(error))
    assert geometry.outline(text) == text
    return f"{text is None}"


def import_mapping(data: bytes) -> str:
    """:func:`load_mapping` raises ``ConfigError`` alone; what it gives reads any row, or says ``ValueError`` or ``ConfigError``."""
    entity = list(ENTITIES.values())[len(data) % len(ENTITIES)]
    try:
        mapping = load_mapping(written("mapping.yaml", data), entity)
    except ConfigError as error:
        return refused(error)
    for value in ("x", 1, None, [1], {"a": 1}, 10**5000, float("nan"), "\ud800"):
        properties = dict.fromkeys(mapping.columns, value)
        try:
            if mapping.wants(properties):
                entity.checked(mapping.apply(properties))
        except (ValueError, ConfigError) as error:
            assert len(str(error)) < MESSAGE_LIMIT
    return f"{entity.key} {len(mapping.fields)} {len(mapping.where)}"


COLUMNS = (
    b"kind: public_lift\ngateway: db-fasta\ndevice: equipment\nat: {column: ts_utc, format: iso, zone: UTC}\nwhere: {type: ELEVATOR}\nseq: file order\nvalues:\n  status:\n    column: state\n    map: {ACTIVE: active, INACTIVE: inactive}\n    default: skip\n  reason: state_explanation\n",
    b"device: id\nlane: alarm\nat: {column: t, format: epoch_s}\nvalues: {pressure_mpa: {column: p, type: float}, n: {column: n, type: int}, b: {column: b, type: bool, default: keep}}\n",
)  # fmt: skip


def replay_mapping(data: bytes) -> str:
    """:func:`simulators.mapping.load` raises ``ConfigError`` alone; what it gives reads any row, or raises ``RowError``."""
    try:
        mapping = load_columns(written("columns.yaml", data))
    except ConfigError as error:
        return refused(error)
    return f"{_apply(mapping)}"


def _apply(mapping: FileMapping) -> int:
    read = 0
    for value in (
        "ELEVATOR",
        "ACTIVE",
        "2026-11-22T06:00:00",
        "1e3",
        "9" * 400,
        1,
        10**400,
        -1e300,
        None,
        [1],
        float("inf"),
        "²",
    ):
        row = dict.fromkeys(mapping.columns, value)
        try:
            mapped = mapping.apply(row, 1)
        except RowError:
            continue
        if mapped is not None:
            json.dumps(mapped.body(1000))
            read += 1
    return read


def replayed(data: bytes) -> str:
    """Rows of a recorded file are readings, are told with their line, or end it with a ``ConfigError``."""
    head, columns, content = parts(data, 3)
    options = _options(head)
    suffix = _one_of(options.get("suffix"), (".csv", ".jsonl", ".csv.gz"))
    path = written(f"rows{suffix}", gzip.compress(content, 1) if options.get("packed") else content)
    account = ReplayAccount()
    try:
        mapping = load_columns(written("columns.yaml", columns)) if columns.strip() else None
        reader = _Reader(Options(path, mapping, from_ms=0 if options.get("from") else None), account)
        reader.check()
        for mapped in reader.rows():
            account.readings += 1
            json.dumps(mapped.body(0))
            mapped.topic().encode()
    except ConfigError as error:
        assert error.path or "`at`" in error.reason
        return refused(error)
    assert account.rows == account.readings + account.left_out + account.unmapped
    for problem in account.problems:
        assert len(str(problem)) < MESSAGE_LIMIT, len(str(problem))
    return outcome(
        f"{account.readings > 0} {account.left_out > 0} {' '.join(sorted({one.reason for one in account.problems}))}"
    )


def _recorded() -> list[bytes]:
    rows = b"ts_utc,equipment,type,state,state_explanation\n2026-01-01T00:00:00,1,ELEVATOR,ACTIVE,available\n2026-01-01T01:00:00Z,2,ESCALATOR,UNKNOWN,x\n"
    native = b'{"gateway":"gw1","lane":"up","device":"LIFT-1","at":1795327200000,"seq":1,"values":{"floor":3}}\n{"device":"A","at":"2026-11-22T06:00:00Z","values":{}}\n'
    return [
        CUT.join((b'{"suffix": ".csv"}', COLUMNS[0], rows)),
        CUT.join((b'{"suffix": ".jsonl"}', b"", native)),
        CUT.join(
            (
                b'{"suffix": ".csv.gz", "packed": true, "from": true}',
                COLUMNS[1],
                b"id,t,p,n,b\nHYD-1,1795327200,0.3,1,yes\n",
            )
        ),
    ]


REGISTRY = (
    Target("registry", registry, tuple(_files()), Shape.JSON, 32 * 1024, pure=False,
           words=(b",", b'"', b"\n", b"device_id", b"kind", b"lon", b"geometry", b"coordinates", b"Polygon")),
    Target("basemap", basemap, (_map(),), Shape.JSON, 32 * 1024, pure=False),
    Target("geometry", one_geometry, (b'{"type":"Polygon","coordinates":[[[120,30],[121,30],[121,31],[120,30]]]}', b""), Shape.JSON),
    Target("import_mapping", import_mapping, tuple(path.read_bytes() for path in sorted((Path(geometry.__file__).parent / "presets").glob("*.yaml"))),
           Shape.YAML, 8 * 1024, words=(b"column: ", b"const: ", b"where: ", b"replace: ")),
    Target("replay_mapping", replay_mapping, COLUMNS, Shape.YAML, 8 * 1024, words=(b"column: ", b"format: ", b"map: ", b"zone: ")),
    Target("replay_rows", replayed, tuple(_recorded()), Shape.JSON, 16 * 1024, words=(b",", b"\n", b'"')),
)  # fmt: skip

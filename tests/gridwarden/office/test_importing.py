import csv
import gzip
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gridwarden.errors import ConfigError
from gridwarden.model import Area, Device, Resource
from gridwarden.office import sources
from gridwarden.office.coordinates import Crs, distance_m, wgs84_to_bd09, wgs84_to_gcj02
from gridwarden.office.importing import ERRORS_KEPT, ImportReport, import_file
from gridwarden.office.registry import Office
from gridwarden.office.snapshot import Registry, read_registry

WriteFile = Callable[[str, str | bytes], Path]
HEAD = "device_id,kind,area,name,gateway,building,lon,lat,attributes\n"


def figures(report: ImportReport) -> tuple[int, int, int, int, int]:
    return report.added, report.changed, report.unchanged, report.skipped, report.error_count


def faults(report: ImportReport) -> list[str]:
    return [str(error) for error in report.errors]


def feature(properties: Any, geometry: Any = None, **rest: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry, **rest}


def geojson(*features: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


def point(lon: Any, lat: Any) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lon, lat]}


def test_devices_of_a_csv_file(office: Office, write_file: WriteFile) -> None:
    path = write_file(
        "d.csv", HEAD + 'A,smoke,330106, 烟感 ,GW-1,B1,120.5,30,"{""b"": [1], ""a"": ""层""}"\nB,lift,,,,,,,\n'
    )
    report = import_file(office, "devices", path)
    assert (figures(report), report.version, report.rows, report.ok) == ((2, 0, 0, 0, 0), 1, 2, True)
    assert office.devices() == [
        Device("A", "smoke", "330106", "烟感", "", "GW-1", "B1", lon=120.5, lat=30.0, attributes={"a": "层", "b": [1]}),
        Device("B", "lift"),
    ]


def test_added_changed_unchanged_and_dry_runs(office: Office, write_file: WriteFile) -> None:
    one = write_file("one.csv", "device_id,kind,name\nA,smoke,a\nB,smoke,b\nC,smoke,c\n")
    two = write_file("two.csv", "device_id,kind,name\nB,smoke,b\nC,smoke,new\nD,smoke,d\n")
    assert figures(import_file(office, "devices", one, dry_run=True)) == (3, 0, 0, 0, 0)
    assert (office.version(), office.devices()) == (0, [])
    import_file(office, "devices", one)
    dry = import_file(office, "devices", two, dry_run=True)
    assert (figures(dry), dry.version) == ((1, 1, 1, 0, 0), None)
    assert office.device("C").name == "c"
    assert figures(import_file(office, "devices", two)) == figures(dry)
    assert office.device("C").name == "new"
    again = import_file(office, "devices", two)
    assert (figures(again), again.version) == ((0, 0, 3, 0, 0), 2)


def test_a_dry_run_counts_over_many_steps(
    office: Office, write_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridwarden.office.staging.STEP_ROWS", 3)
    monkeypatch.setattr("gridwarden.office.importing.STEP_ROWS", 3)
    old = "".join(f"D{n},smoke,old\n" for n in range(10))
    new = "".join(f"D{n},smoke,{'new' if n % 2 else 'old'}\n" for n in range(14))
    import_file(office, "devices", write_file("old.csv", "device_id,kind,name\n" + old))
    path = write_file("new.csv", "device_id,kind,name\n" + new)
    seen: list[int] = []
    dry = import_file(office, "devices", path, dry_run=True, progress=lambda _, rows: seen.append(rows))
    assert figures(dry) == (4, 5, 5, 0, 0)
    assert figures(import_file(office, "devices", path)) == figures(dry)
    assert seen == [3, 6, 9, 12, 14, 14]


def test_columns_the_file_does_not_have_stay(office: Office, write_file: WriteFile) -> None:
    office.upsert_device(Device("A", "smoke", "330106", "name", gateway="GW", lon=1.0, lat=2.0, attributes={"x": 1}))
    import_file(office, "devices", write_file("d.csv", "device_id,kind,gateway\nA,smoke,GW-2\n"))
    want = Device("A", "smoke", "330106", "name", gateway="GW-2", lon=1.0, lat=2.0, attributes={"x": 1})
    assert office.device("A") == want


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (",smoke,,,,,,,", "line 3: device_id: is empty"),
        ("a b,smoke,,,,,,,", "line 3: device_id: 'a b': letters"),
        ("X,toaster,,,,,,,", "line 3: kind: 'toaster' is no kind of device; known: hydrant"),
        ("X,smoke,33010,,,,,,", "line 3: area: '33010' is no area code"),
        (f"X,smoke,,{'x' * 201},,,,,", "line 3: name: 201 characters"),
        ("X,smoke,,,,,181,30,", "line 3: lon: 181 lies outside -180 to 180 degrees"),
        ("X,smoke,,,,,120,x,", "line 3: lat: 'x' is no number"),
        ("X,smoke,,,,,120,,", "line 3: lat: only one of lon and lat"),
        ("X,smoke,,,,,nan,1,", "line 3: lon: nan lies outside"),
        ("X,smoke,,,,,,,[1]", "line 3: attributes: a JSON object"),
        ("X,smoke,,,,,,,x", "line 3: attributes: is no JSON object"),
        ("X,smoke", "line 3: 2 values for 9 columns"),
        ("A,smoke,,,,,,,", "line 3: device_id: stands in line 2 already"),
    ],
)
def test_every_fault_has_its_line_column_and_reason(
    office: Office, write_file: WriteFile, row: str, fault: str
) -> None:
    report = import_file(office, "devices", write_file("d.csv", f"{HEAD}A,smoke,,,,,,,\n{row}\nB,smoke,,,,,,,\n"))
    assert report.error_count == 1
    assert fault in faults(report)[0]
    assert (report.ok, office.devices(), office.version()) == (False, [], 0)


def test_errors_are_bounded_and_counted(office: Office, write_file: WriteFile) -> None:
    report = import_file(office, "devices", write_file("d.csv", "device_id,kind,area\n" + "A,x,y\n" * 100))
    assert (report.error_count, len(report.errors), report.rows) == (200, ERRORS_KEPT, 100)


def test_lines_are_counted_through_quoted_line_ends(office: Office, write_file: WriteFile) -> None:
    report = import_file(office, "devices", write_file("d.csv", 'device_id,kind,name\nA,smoke,"a\nb"\n\nC,x,\n'))
    assert [error.place for error in report.errors] == ["line 2", "line 5"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("d.csv", b"", "is empty"),
        ("d.csv", b"device_id,kind,nmae\n", "unknown column 'nmae'"),
        ("d.csv", b"device_id\n", "column 'kind' is missing"),
        ("d.csv", b"device_id,kind,kind\n", "stands there twice"),
        ("d.csv", b"device_id,,kind\n", "column 2 has no name"),
        ("d.csv", "device_id,kind,name\nA,smoke,烟\n".encode("gb18030"), "not utf-8"),
        ("d.csv", b'device_id,kind\n"A,smoke\n', "cannot be read"),
        ("d.csv", b"x" * 1_000_000, "more than 262144 characters"),
        ("d.csv.gz", b"device_id,kind\n", "gzip"),
        ("d.csv.gz", gzip.compress(b"device_id,kind\nA,smoke\n", mtime=0)[:-5], "end-of-stream"),
        ("d.geojson", b"{", "not JSON"),
        ("d.geojson", b"[]", "FeatureCollection"),
        ("d.geojson", b'{"features": {}}', "FeatureCollection"),
        ("d.geojson", b'{"features": [NaN]}', "not JSON"),
        ("d.geojson", b"[" * 100_000, "not JSON"),
        ("d.xlsx", b"", "is expected"),
    ],
)
def test_files_that_cannot_be_used(
    office: Office, write_file: WriteFile, name: str, content: bytes, reason: str
) -> None:
    path = write_file(name, content)
    with pytest.raises(ConfigError, match=reason) as refused:
        import_file(office, "devices", path)
    assert refused.value.path == str(path)


def test_missing_files_and_folders(office: Office, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(ConfigError, match="director"):
            import_file(office, "devices", tmp_path / name)


def test_other_encodings(office: Office, write_file: WriteFile) -> None:
    text = "device_id,kind,name\nA,smoke,烟感\n"
    import_file(office, "devices", write_file("g.csv", text.encode("gb18030")), encoding="gb18030")
    assert office.device("A").name == "烟感"
    assert import_file(office, "devices", write_file("u.csv", text.encode("utf-8-sig"))).unchanged == 1
    for wrong in ("klingon", "base64"):
        with pytest.raises(ConfigError, match="encoding"):
            import_file(office, "devices", write_file("g.csv", text), encoding=wrong)


def test_a_small_file_that_unpacks_into_a_large_one(
    office: Office, write_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FILE_LIMIT_BYTES", 100_000)
    rows = b"device_id,kind\n" + b"".join(b"D%d,smoke\n" % n for n in range(50_000))
    assert len(gzip.compress(b"x" * 10**6)) < 100_000
    with pytest.raises(ConfigError, match="once unpacked"):
        import_file(
            office, "devices", write_file("d.csv.gz", gzip.compress(b"device_id,kind\n" + b"A,smoke\n" * 50_000))
        )
    with pytest.raises(ConfigError, match="at most 100000"):
        import_file(office, "devices", write_file("d.csv", rows))


def test_too_many_rows(office: Office, write_file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridwarden.office.importing.ROW_LIMIT", 2)
    with pytest.raises(ConfigError, match="more than 2 rows"):
        import_file(office, "devices", write_file("d.csv", "device_id,kind\nA,smoke\nB,smoke\nC,smoke\n"))
    assert office.devices() == []


def test_geojson_with_our_own_names(office: Office, write_file: WriteFile) -> None:
    path = write_file(
        "d.geojson",
        geojson(
            feature({"device_id": "A", "kind": "hydrant", "attributes": {"b": 1}}, point(120.1, 30.2), id=7),
            feature({"device_id": "B", "kind": "hydrant", "name": 5}),
        ),
    )
    assert figures(import_file(office, "devices", path)) == (2, 0, 0, 0, 0)
    assert office.devices() == [
        Device("A", "hydrant", lon=120.1, lat=30.2, attributes={"b": 1}),
        Device("B", "hydrant", name="5"),
    ]


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (5, "feature 2: a Feature object is expected"),
        (feature([1]), "feature 2: properties: an object"),
        (feature(None), "feature 2: device_id: is missing"),
        (feature({"device_id": "B", "kind": "lift"}, {"type": "LineString"}), "geometry 'LineString': a Point"),
        (feature({"device_id": "B", "kind": "lift"}, "x"), "geometry 'x': a Point"),
        (feature({"device_id": "B", "kind": "lift"}, {"type": "Point"}), "coordinates: longitude and latitude"),
        (feature({"device_id": "B", "kind": "lift"}, point("a", 1)), "feature 2: lon: 'a' is no number"),
        (feature({"device_id": "B", "kind": "lift"}, point([1], 1)), "feature 2: lon: a single value"),
        (feature({"device_id": "B", "kind": "lift"}, point(10**400, 1)), "feature 2: lon"),
        (feature({"device_id": "B", "kind": "lift"}, point(None, None)), ""),
        (feature({"device_id": {"x": 1}, "kind": "lift"}), "feature 2: device_id: a single value"),
        (feature({"device_id": "B", "kind": "lift", "floor": 1}), "feature 2: unknown column 'floor'"),
        (feature({"device_id": "A", "kind": "lift"}), "feature 2: device_id: stands in feature 1 already"),
    ],
)
def test_faults_of_features(office: Office, write_file: WriteFile, bad: Any, fault: str) -> None:
    path = write_file("d.geojson", geojson(feature({"device_id": "A", "kind": "lift"}), bad))
    report = import_file(office, "devices", path)
    assert fault in "".join(faults(report))
    assert report.ok == (not fault)


@pytest.mark.parametrize(("crs", "forward"), [(Crs.GCJ02, wgs84_to_gcj02), (Crs.BD09, wgs84_to_bd09)])
def test_coordinates_become_wgs84(office: Office, write_file: WriteFile, crs: Crs, forward: Callable[..., Any]) -> None:
    here = (121.4737, 31.2304)
    lon, lat = forward(here)
    import_file(
        office, "resources", write_file("r.csv", f"resource_id,kind,lon,lat\nR,micro_station,{lon},{lat}\n"), crs=crs
    )
    found = office.resource("R")
    assert found.lon is not None
    assert found.lat is not None
    assert distance_m((found.lon, found.lat), here) < 0.01


def test_areas_and_their_parents(office: Office, write_file: WriteFile) -> None:
    path = write_file("a.csv", "code,name,name_en,valid_from\n330106003,灵隐街道,Lingyin,2026-01-01\n330106,西湖区,,\n")
    assert figures(import_file(office, "areas", path)) == (2, 0, 0, 0, 0)
    assert office.areas() == [Area("330106", "西湖区"), Area("330106003", "灵隐街道", "Lingyin")]
    below = write_file("b.csv", "code,name\n330106003012,社区\n330106004012,社区\n330107003P01,x\n")
    report = import_file(office, "areas", below)
    assert [(error.place, error.column) for error in report.errors] == [("line 4", "code"), ("line 3", "code")]
    assert "its parent '330106004' is neither known" in report.errors[1].reason
    assert import_file(office, "areas", write_file("c.csv", "code,name\n330106003012,社区\n")).added == 1


def test_padded_codes_of_the_standards(office: Office, write_file: WriteFile) -> None:
    rows = "330100,市\n330106000000,区\n330106003000,街道\n330106003012,社区\n"
    assert import_file(office, "areas", write_file("a.csv", "code,name\n" + rows)).ok
    assert [area.code for area in office.areas()] == ["3301", "330106", "330106003", "330106003012"]


RING = [[120, 30], [120.1, 30], [120.1, 30.1], [120, 30]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def test_areas_of_geojson_have_outlines(office: Office, write_file: WriteFile) -> None:
    many = {"type": "MultiPolygon", "coordinates": [[RING], [RING]]}
    content = geojson(feature({"code": "330106", "name": "区", "name_en": "District"}, polygon(RING)),
                      feature({"code": "330106001", "name": "街道"}, many),
                      feature({"code": "330106002", "name": "街道"}))  # fmt: skip
    path = write_file("a.geojson", content)
    assert figures(import_file(office, "areas", path)) == (3, 0, 0, 0, 0)
    assert [(area, json.loads(text)) for area, text in office.outlines()] == [
        (Area("330106", "区", "District"), polygon(RING)), (Area("330106001", "街道"), many)]  # fmt: skip
    assert [area.code for area, _ in office.outlines(("330106001",))] == ["330106001"]
    assert [area.code for area, _ in office.outlines(after="330106")] == ["330106001"]
    assert [area.code for area, _ in office.outlines(limit=1)] == ["330106"]
    assert figures(import_file(office, "areas", path)) == (0, 0, 3, 0, 0)
    # neither a table of names nor a single change takes an outline away; a file of outlines does
    assert import_file(office, "areas", write_file("a.csv", "code,name\n330106,new\n")).changed == 1
    office.upsert_area(Area("330106001", "new"))
    assert len(office.outlines()) == 2
    bare = write_file("b.geojson", geojson(feature({"code": "330106", "name": "new"})))
    assert import_file(office, "areas", bare).changed == 1
    assert [area for area, _ in office.outlines()] == [Area("330106001", "new")]


@pytest.mark.parametrize(
    ("geometry", "fault"),
    [
        (polygon(), "feature 2: geometry: rings: a list that is not empty is expected"),
        (polygon(RING[:3]), "feature 2: geometry: ring 1: 3 positions"),
        (polygon([*RING[:3], [0, 0]]), "feature 2: geometry: ring 1: is not closed"),
        (polygon([[30, 120]] * 4), "feature 2: geometry: ring 1, position 1: [30, 120] lies outside the Earth"),
        (point(120, 30), "feature 2: geometry: 'Point': Polygon or MultiPolygon is expected"),
        ("Polygon", "feature 2: geometry: "),
    ],
)
def test_an_outline_that_is_none_refuses_the_file(
    office: Office, write_file: WriteFile, geometry: Any, fault: str
) -> None:
    good = feature({"code": "330106", "name": "a"}, polygon(RING))
    path = write_file("a.geojson", geojson(good, feature({"code": "330106001", "name": "b"}, geometry)))
    report = import_file(office, "areas", path)
    assert [one.startswith(fault) for one in faults(report)] == [True]
    assert (office.areas(), office.outlines()) == ([], [])


def test_outlines_become_wgs84(office: Office, write_file: WriteFile) -> None:
    there = [list(wgs84_to_gcj02((lon, lat))) for lon, lat in RING]
    path = write_file("a.geojson", geojson(feature({"code": "3301", "name": "市"}, polygon(there))))
    assert import_file(office, "areas", path, crs=Crs.GCJ02).ok
    [(_, text)] = office.outlines()
    assert json.loads(text) == polygon(RING)


def test_what_the_mapping_leaves_out_is_skipped_whatever_it_is(office: Office, write_file: WriteFile) -> None:
    path = write_file(
        "osm.geojson",
        geojson(
            feature({"@id": "way/1", "amenity": "fire_station"}, {"type": "Polygon", "coordinates": []}),
            feature({"@id": "node/2", "emergency": "fire_hydrant", "ref": "H2"}, point(21, 50)),
        ),
    )
    assert figures(import_file(office, "devices", path, mapping="osm_hydrants")) == (1, 0, 0, 1, 0)
    assert office.devices() == [Device("osm-node-2", "hydrant", name="H2", lon=21.0, lat=50.0)]


def test_a_column_the_mapping_wants(office: Office, write_file: WriteFile) -> None:
    with pytest.raises(ConfigError, match="column 'description' is missing"):
        import_file(
            office,
            "devices",
            write_file("d.csv", "equipment,type,stationnumber,lon,lat,operator\n"),
            mapping="db_lifts",
        )


cells = st.text(st.characters(codec="utf-8") | st.sampled_from('",\n\r\0 A1'), max_size=12)
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(
    st.sampled_from(["areas", "devices", "resources"]),
    st.sampled_from([".csv", ".geojson", ".csv.gz", ".json.gz"]),
    st.binary(max_size=300) | st.lists(st.lists(cells, max_size=4), max_size=5),
    st.sampled_from(["", "device_id,kind\n", "code,name\n", "resource_id,kind,attributes\n"]),
)
@example("devices", ".csv", b"A,smoke\0\n", "device_id,kind\n")
@example("devices", ".json.gz", b"\x1f\x8b", "")
@example("devices", ".csv", b"\xef\xbb\xbf", "")
def test_any_bytes_give_a_report_or_a_configuration_error(
    office: Office,
    tmp_path: Path,
    what: Any,
    suffix: str,
    content: Any,
    head: str,
) -> None:
    if isinstance(content, list):
        text = io.StringIO()
        csv.writer(text, escapechar="\\").writerows(content)
        content = text.getvalue().encode()
    content = head.encode() + content
    path = tmp_path / f"any{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") and len(content) % 2 else content)
    check_any(office, what, path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["smoke", "3301"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["device_id", "kind", "x"]), inner),
    max_leaves=5,
)
features = st.fixed_dictionaries(
    {},
    optional={
        "properties": st.dictionaries(
            st.sampled_from(["device_id", "kind", "name", "attributes", "lon", "code"]), json_values
        ),
        "geometry": json_values | st.fixed_dictionaries({"type": st.just("Point"), "coordinates": json_values}),
        "id": json_values,
    },
)


@SETTINGS
@given(st.sampled_from(["areas", "devices"]), st.lists(features | json_values, max_size=4), st.sampled_from(Crs))
def test_any_features_give_a_report_or_a_configuration_error(
    office: Office,
    tmp_path: Path,
    what: Any,
    items: list[Any],
    crs: Crs,
) -> None:
    path = tmp_path / "any.geojson"
    path.write_text(json.dumps({"features": items}))
    check_any(office, what, path, crs=crs)


def check_any(office: Office, what: Any, path: Path, **options: Any) -> None:
    try:
        report = import_file(office, what, path, **options)
    except ConfigError:
        return
    if report.ok:
        assert report.rows == sum(figures(report))
    else:
        assert figures(report)[:3] == (0, 0, 0)
        assert 0 < len(report.errors) <= report.error_count


@pytest.mark.real_data
def test_the_real_hydrants(office: Office, real_data: Path) -> None:
    path = real_data / "hydrants" / "osm.geojson"
    assert figures(import_file(office, "devices", path, mapping="osm_hydrants")) == (294, 0, 0, 6, 0)
    assert figures(import_file(office, "resources", path, mapping="osm_fire_stations")) == (6, 0, 0, 294, 0)
    hydrant = office.device("osm-node-3025801680")
    assert (hydrant.lon, hydrant.lat) == (21.1316935, 49.9252424)
    assert hydrant.attributes == {"fire_hydrant:type": "pillar"}
    assert office.resource("osm-node-2402277993").name == "Ochotnicza Straż Pożarna Szynwałd"
    assert figures(import_file(office, "devices", path, mapping="osm_hydrants")) == (0, 0, 294, 6, 0)


@pytest.mark.real_data
def test_the_real_lifts(office: Office, real_data: Path) -> None:
    path = real_data / "lifts" / "registry.csv.gz"
    assert figures(import_file(office, "devices", path, mapping="db_lifts")) == (2467, 0, 0, 1015, 0)
    lift = office.device("10001649")
    assert lift == Device(
        "10001649", "public_lift", name="zu Gleis 1", lon=6.073846, lat=50.7693525,
        attributes={"operator": "DB Station&Service", "stationnumber": "7205"},
    )  # fmt: skip


def devices_csv(count: int, name: str) -> str:
    rows = (
        f"SMK-{n:06d},smoke,330106003012001,{name},GW-{n // 100},{120 + n / count},{30 + n / count}\n"
        for n in range(count)
    )
    return "device_id,kind,area,name,gateway,lon,lat\n" + "".join(rows)


def test_reading_while_a_hundred_thousand_are_imported(office: Office, write_file: WriteFile) -> None:
    """Core sees all of the old or all of the new devices, at any moment of an import, and web's small writes go on."""
    count = 100_000
    import_file(office, "devices", write_file("old.csv", devices_csv(count, "old")))
    new = write_file("new.csv", devices_csv(count, "new"))
    reports: list[ImportReport] = []
    seen: list[tuple[int, set[str], int]] = []
    running = threading.Thread(target=lambda: reports.append(import_file(office, "devices", new)))
    running.start()
    position = 0
    while running.is_alive():
        registry = read_registry(office.database.path)
        seen.append(summary(registry))
        position += 1
        office.set_cursor("hub", position)
    running.join()
    seen.append(summary(read_registry(office.database.path)))
    assert figures(reports[0]) == (0, count, 0, 0, 0)
    assert set(map(repr, seen)) <= {repr((1, {"old"}, count)), repr((2, {"new"}, count))}
    assert seen[-1] == (2, {"new"}, count)
    assert office.cursor("hub") == position > 0


def summary(registry: Registry) -> tuple[int, set[str], int]:
    return registry.version, {device.name for device in registry.devices.values()}, len(registry.devices)


def test_a_file_that_breaks_off_leaves_everything_as_it_was(office: Office, write_file: WriteFile) -> None:
    office.upsert_resource(Resource("R", "micro_station"))
    packed = gzip.compress(
        ("resource_id,kind,name\n" + "".join(f"R{n},x,{n * 7919}\n" for n in range(30_000))).encode()
    )
    with pytest.raises(ConfigError, match="line "):
        import_file(office, "resources", write_file("r.csv.gz", packed[: len(packed) // 2]))
    assert (office.version(), len(office.resources())) == (1, 1)
    assert import_file(office, "resources", write_file("r.csv.gz", packed)).added == 30_000

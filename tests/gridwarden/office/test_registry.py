import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridwarden.errors import NotFound, Refused
from gridwarden.model import Area, Device, Resource
from gridwarden.office.coordinates import distance_m
from gridwarden.office.registry import Office, read_registry

STREET, GRID, OTHER = "330106003", "330106003012001", "330107"
FULL = Device("SMK-1", "smoke", GRID, "烟感 1", "acme", "GW-1", "B1", "W1", "P1", 120.1, 30.2, {"层": 3, "a": [1]})


def test_a_device_comes_back_as_it_went_in(office: Office) -> None:
    office.upsert_device(FULL)
    assert office.device("SMK-1") == FULL
    assert office.devices() == [FULL]
    assert read_registry(office.database.path).devices == {"SMK-1": FULL}


def test_only_a_change_raises_the_version(office: Office) -> None:
    assert office.version() == 0
    office.upsert_device(FULL)
    office.upsert_device(FULL)
    assert office.version() == 1
    office.upsert_device(Device("SMK-1", "smoke"))
    assert (office.version(), office.device("SMK-1")) == (2, Device("SMK-1", "smoke"))
    office.upsert_area(Area("3301", "杭州市"))
    office.upsert_resource(Resource("R1", "micro_station"))
    office.delete_device("SMK-1")
    office.delete_resource("R1")
    assert office.version() == 6
    for delete, get in [(office.delete_device, office.device), (office.delete_resource, office.resource)]:
        with pytest.raises(NotFound):
            delete("SMK-1")
        with pytest.raises(NotFound):
            get("SMK-1")
    assert office.version() == 6


@pytest.mark.parametrize(
    ("device", "column"),
    [
        (Device("", "smoke"), "device_id"),
        (Device("a b", "smoke"), "device_id"),
        (Device("a/b", "smoke"), "device_id"),
        (Device("a" * 65, "smoke"), "device_id"),
        (Device("a", "toaster"), "kind"),
        (Device("a", "smoke", "33010"), "area"),
        (Device("a", "smoke", name="x" * 201), "name"),
        (Device("a", "smoke", name="x\ny"), "name"),
        (Device("a", "smoke", name="\ud800"), "name"),
        (Device("a", "smoke", lon=1.0), "lat"),
        (Device("a", "smoke", lon=181.0, lat=0.0), "lon"),
        (Device("a", "smoke", lon=float("nan"), lat=0.0), "lon"),
        (Device("a", "smoke", attributes={"a": float("nan")}), "attributes"),
        (Device("a", "smoke", attributes={"a": "x" * 5000}), "attributes"),
    ],
)
def test_what_cannot_be_a_device(office: Office, device: Device, column: str) -> None:
    with pytest.raises(Refused, match=f"invalid: {column}: "):
        office.upsert_device(device)
    assert office.version() == 0


@pytest.fixture
def district(office: Office) -> Office:
    for number, (kind, area) in enumerate(
        [("smoke", GRID), ("hydrant", GRID), ("smoke", STREET), ("smoke", OTHER), ("lift", ""), ("smoke", "330106")]
    ):
        office.upsert_device(Device(f"D{number}", kind, area, name=f"名 {number} 50%_Ab"))
    return office


@pytest.mark.parametrize(
    ("scopes", "filters", "want"),
    [
        (("",), {}, "012345"),
        ((), {}, ""),
        ((STREET,), {}, "012"),
        ((STREET, OTHER), {}, "0123"),
        (("330106",), {"kind": "smoke"}, "025"),
        (("",), {"area": STREET}, "012"),
        ((OTHER,), {"area": STREET}, ""),
        ((STREET,), {"area": "3301"}, "012"),
        (("",), {"limit": 2}, "01"),
        (("",), {"limit": 2, "after": "D1"}, "23"),
        (("",), {"limit": 0}, "0"),
        (("",), {"q": "d4"}, "4"),
        (("",), {"q": "名 3"}, "3"),
        (("",), {"q": "%_a"}, "012345"),
        (("",), {"q": "5_%"}, ""),
        ((STREET,), {"q": "D"}, "012"),
    ],
)
def test_pages(district: Office, scopes: tuple[str, ...], filters: dict, want: str) -> None:  # type: ignore[type-arg]
    assert "".join(device.device_id[1:] for device in district.devices(scopes, **filters)) == want


def test_counts(district: Office) -> None:
    assert district.counts() == {"areas": {"": 0}, "devices": {"hydrant": 1, "lift": 1, "smoke": 4}, "resources": {}}
    assert district.counts((STREET,))["devices"] == {"hydrant": 1, "smoke": 2}
    assert district.counts(())["devices"] == {}


def test_areas_by_scope_and_day(office: Office) -> None:
    office.upsert_area(Area("330106", "西湖区", "Xihu"), valid_to=date(2026, 12, 31))
    office.upsert_area(Area("330107", "新区"), valid_from=date(2027, 1, 1))
    assert office.areas() == [Area("330106", "西湖区", "Xihu"), Area("330107", "新区")]
    assert [area.code for area in office.areas(on=date(2026, 12, 31))] == ["330106"]
    assert [area.code for area in office.areas(on=date(2027, 1, 1))] == ["330107"]
    assert [area.code for area in office.areas(("330107",))] == ["330107"]
    with pytest.raises(Refused, match="valid_to"):
        office.upsert_area(Area("3301", "x"), valid_from=date(2027, 1, 1), valid_to=date(2026, 1, 1))


def test_points_of_devices(district: Office) -> None:
    points = district.device_points()
    assert [point.device_id for point in points] == [device.device_id for device in district.devices()]
    first, device = points[0], district.devices()[0]
    assert first == (device.device_id, device.kind, device.area, device.lon, device.lat, device.name)
    assert district.device_points(after=points[1].device_id, limit=2) == points[2:4]
    assert district.device_points((STREET,)) == [point for point in points if point.area.startswith(STREET)]
    assert district.device_points(()) == []


def test_cursors(office: Office) -> None:
    assert office.cursor("hub") == 0
    office.set_cursor("hub", 5)
    office.set_cursor("hub", 2**53)
    office.set_cursor("cap", 1)
    assert (office.cursor("hub"), office.cursor("cap"), office.version()) == (2**53, 1, 0)


places = st.tuples(st.floats(-180, 180) | st.floats(119.9, 120.1), st.floats(-90, 90) | st.floats(29.9, 30.1))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(places, max_size=8), places, st.integers(0, 4))
def test_nearest_is_what_measuring_all_would_find(tmp_path_factory, points, here, limit) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    with Office.open(tmp_path_factory.mktemp("near") / "office.db") as office:
        for number, (lon, lat) in enumerate(points):
            office.upsert_resource(Resource(f"R{number}", "micro_station", lon=lon, lat=lat))
        office.upsert_resource(Resource("nowhere", "micro_station"))
        measured = sorted((distance_m(here, point), f"R{number}") for number, point in enumerate(points))
        want = [(name, metres) for metres, name in measured if metres <= 256_000][:limit]
        got = [(resource.resource_id, metres) for resource, metres in office.nearest_resources(*here, limit=limit)]
        assert got == want


def test_the_corner_of_a_box_is_not_nearer_than_what_lies_outside(office: Office) -> None:
    """Within 1 km on both axes, so first found, but 1.3 km away; the other one lies 1.1 km to the north."""
    office.upsert_resource(Resource("corner", "micro_station", lon=120 + 0.0095, lat=30 + 0.0085))
    office.upsert_resource(Resource("north", "micro_station", lon=120, lat=30.0099))
    [(resource, metres)] = office.nearest_resources(120, 30, limit=1)
    assert (resource.resource_id, round(metres)) == ("north", 1101)


def test_nearest_by_kind_and_scope(office: Office) -> None:
    office.upsert_resource(Resource("near", "hydrant", area=OTHER, lon=120.0, lat=30.0))
    office.upsert_resource(Resource("far", "micro_station", area=GRID, lon=120.5, lat=30.0))
    assert [r.resource_id for r, _ in office.nearest_resources(120, 30)] == ["near", "far"]
    assert [r.resource_id for r, _ in office.nearest_resources(120, 30, kind="micro_station")] == ["far"]
    assert [r.resource_id for r, _ in office.nearest_resources(120, 30, scopes=(STREET,))] == ["far"]
    assert office.nearest_resources(120, 30, scopes=()) == []


def test_two_writers_and_a_reader_in_threads(office: Office, tmp_path: Path) -> None:
    with Office.open(tmp_path / "office.db") as other:

        def write(index: int) -> None:
            for number in range(25):
                (office, other)[index % 2].upsert_device(Device(f"D{index}-{number}", "smoke"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
    assert (office.version(), len(read_registry(tmp_path / "office.db").devices)) == (100, 100)


def test_web_reads_while_something_is_written(office: Office) -> None:
    with office.database.write():
        done = threading.Thread(target=office.devices)
        done.start()
        done.join(10)
        assert not done.is_alive()


def test_a_file_of_another_process_is_seen_at_once(office: Office) -> None:
    office.upsert_device(FULL)
    with closing(sqlite3.connect(office.database.path)) as plain:
        assert plain.execute("SELECT area FROM device").fetchall() == [(GRID,)]

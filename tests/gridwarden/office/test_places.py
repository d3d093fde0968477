"""The search around a place, where much lies near and where nothing does."""

from __future__ import annotations

from gridwarden.model import Device
from gridwarden.office.coordinates import distance_m
from gridwarden.office.places import RADII_M, nearest
from gridwarden.office.registry import Office
from gridwarden.office.rows import DEVICES


def test_the_nearest_devices(office: Office) -> None:
    here = (120.0, 30.0)
    for number in range(40):
        kind, area = ("smoke", "330106001") if number % 2 else ("hydrant", "330106002")
        device = Device(f"D{number:02d}", kind, area, lon=120 + number * 0.001, lat=30.0, attributes={"n": number})
        office.upsert_device(device)
    office.upsert_device(Device("NOWHERE", "smoke", "330106001"))
    office.upsert_device(Device("FAR", "smoke", "330106001", lon=125.0, lat=30.0))
    found = office.nearest_devices(*here, limit=3)
    assert [device.device_id for device, _ in found] == ["D00", "D01", "D02"]
    assert found[2][0].attributes == {"n": 2}
    assert found[2][1] == distance_m(here, (120.002, 30.0))
    assert [device.device_id for device, _ in office.nearest_devices(*here, limit=2, kind="smoke")] == ["D01", "D03"]
    west = [device.device_id for device, _ in office.nearest_devices(*here, limit=50, scopes=("330106001",))]
    assert west == [f"D{number:02d}" for number in range(1, 40, 2)]
    assert office.nearest_devices(*here, scopes=()) == office.nearest_devices(*here, limit=0) == []


def test_the_same_distance_is_ordered_by_id(office: Office) -> None:
    for name in ("B", "A", "C"):
        office.upsert_device(Device(name, "smoke", lon=120, lat=30))
    assert [device.device_id for device, _ in office.nearest_devices(120, 30, limit=2)] == ["A", "B"]


def test_a_search_stops_at_the_first_circle_that_holds_enough(office: Office) -> None:
    office.upsert_device(Device("A", "smoke", lon=120, lat=30))
    queries: list[str] = []
    with office.database.read() as connection:
        inner = connection.execute
        connection.execute = lambda query, *rest: queries.append(str(query)) or inner(query, *rest)  # type: ignore[method-assign,misc,assignment,return-value,func-returns-value]
        nearest(connection, DEVICES, (120.0, 30.0), limit=1, kind="", scopes=("",))
        assert len(queries) == 2
        nearest(connection, DEVICES, (120.0, 30.0), limit=2, kind="", scopes=("",))
    assert len(queries) == 2 + len(RADII_M) + 1

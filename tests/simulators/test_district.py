from collections import Counter

from gridwarden.areas import check, level_of, parent_of
from simulators.district import COUNTS, areas, devices


def test_every_area_is_well_formed_and_follows_its_parent() -> None:
    seen: set[str] = set()
    for area in areas():
        parent = parent_of(check(area.code))
        assert parent is None or parent in seen
        assert area.code not in seen
        assert area.name
        seen.add(area.code)
    assert len({level_of(code) for code in seen}) == 7
    assert "999103001002002" in seen


def test_every_device_stands_in_an_area_and_has_a_gateway() -> None:
    codes = {area.code for area in areas()}
    found = devices()
    assert Counter(device.kind for device in found) == COUNTS
    assert len({device.device_id for device in found}) == 200
    assert all(device.area in codes and device.gateway for device in found)
    assert len({(device.lon, device.lat) for device in found if device.kind == "hydrant"}) == COUNTS["hydrant"]
    assert {device.device_id for device in found} >= {"SMK-000001", "LIFT-000001", "HYD-000001"}

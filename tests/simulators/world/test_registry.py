from collections import Counter, defaultdict

from simulators import district
from simulators.world import registry


def test_enough_devices_in_the_areas_of_the_district() -> None:
    devices = registry.devices()
    assert Counter(device.kind for device in devices) == {"smoke": 400, "lift": 120, "hydrant": 180}
    assert len({device.device_id for device in devices}) == 700
    assert {device.area for device in devices} <= {area.code for area in district.areas()}


def test_every_detector_of_a_house_hangs_on_a_floor_of_its_own() -> None:
    floors: dict[str, list[int]] = defaultdict(list)
    for device in registry.devices():
        if device.kind == "smoke":
            floors[device.building].append(device.attributes["floor"])
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in floors.values())


def test_every_device_says_how_often_it_reports() -> None:
    intervals = {(device.kind, device.attributes["interval_s"]) for device in registry.devices()}
    assert intervals == {("smoke", 1800), ("lift", 1800), ("hydrant", 900)}

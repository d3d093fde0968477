"""Who belongs together, how far apart two points are, who is near, and how many there are of a group."""

from math import cos, radians
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.model import Device
from rules.correlation import By, Correlation
from rules.groups import EARTH_RADIUS_M, Near, Population, distance_m, group_of
from rules.load import read_rules
from rules.rule import RuleSet

DEVICE = Device("S", "smoke", "330106003012001P002B003", gateway="gw", building="B", water_main="M", power_feeder="F")


@pytest.mark.parametrize(
    ("by", "group"),
    [
        (By.BUILDING, "B"), (By.GRID, "330106003012001"), (By.COMMUNITY, "330106003012"), (By.STREET, "330106003"),
        (By.WATER_MAIN, "M"), (By.POWER_FEEDER, "F"), (By.GATEWAY, "gw"), (By.RADIUS, ""),
    ],
)  # fmt: skip
def test_the_group_of_a_device(by: By, group: str) -> None:
    assert group_of(by, DEVICE, "another") == group
    assert group_of(by, Device("S", "smoke", "330106"), "") == ""


def test_a_device_of_any_gateway_is_in_the_group_of_the_one_that_spoke() -> None:
    assert group_of(By.GATEWAY, Device("S", "smoke"), "gw9") == "gw9"


@pytest.mark.parametrize(
    ("a", "b", "metres"),
    [
        ((120.0, 30.0), (120.0, 30.0), 0),
        ((0.0, 0.0), (0.0, 1.0), EARTH_RADIUS_M * radians(1)),
        ((0.0, 60.0), (0.002, 60.0), EARTH_RADIUS_M * radians(0.002) * cos(radians(60))),
        ((179.9995, 0.0), (-179.9995, 0.0), EARTH_RADIUS_M * radians(0.001)),
        ((0.0, 0.0), (180.0, 0.0), EARTH_RADIUS_M * radians(180)),
    ],
    ids=["nowhere", "a degree north", "a parallel", "date line", "half way round"],
)
def test_distance(a: tuple[float, float], b: tuple[float, float], metres: float) -> None:
    assert distance_m(a, b) == pytest.approx(metres, rel=1e-4, abs=1e-6)
    assert distance_m(b, a) == distance_m(a, b)


POINT = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
STEP = st.floats(-0.004, 0.004)


@given(POINT, st.lists(st.tuples(STEP, STEP), max_size=30), st.floats(5, 400))
def test_near_finds_whom_asking_everybody_would_find(
    centre: tuple[float, float], steps: list[tuple[float, float]], radius_m: float
) -> None:
    points = [(centre[0] + east, max(-90.0, min(90.0, centre[1] + north))) for east, north in steps]
    near: Near[int] = Near(radius_m)
    for number, point in enumerate(points):
        near.add(point, number)
    assert sorted(near.around(centre)) == [n for n, point in enumerate(points) if distance_m(centre, point) <= radius_m]
    for number, point in enumerate(points):
        near.remove(point, number)
        near.remove(point, number)
    assert list(near.around(centre)) == []


def make(**changes: Any) -> tuple[RuleSet, Correlation]:
    head = {"name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "high", "category": "fire"}
    rule = {
        **head,
        "id": "smoke.c",
        "of": ["smoke.a", "gone.a"],
        "by": "building",
        "at_least": 2,
        "within": "10m",
        **changes,
    }
    rules = RuleSet(
        tuple(
            read_rules(
                {"kind": "smoke", "rules": [{**head, "id": "smoke.a", "when": "heat_alarm"}], "correlations": [rule]}
            )
        )
    )
    return rules, rules.of(Correlation)[0]


def devices(*places: tuple[str, str, float | None]) -> dict[str, Device]:
    made = [
        Device(f"D{number}", kind, building=building, lon=lon, lat=30)
        for number, (kind, building, lon) in enumerate(places)
    ]
    return {device.device_id: device for device in made}


def test_the_population_of_a_group_is_of_the_kinds_that_count() -> None:
    rules, rule = make()
    population = Population(
        rules, devices(("smoke", "B", 1), ("smoke", "B", 1), ("hydrant", "B", 1), ("smoke", "C", 1))
    )
    assert [population.count(rule, name) for name in ("B", "C", "nowhere")] == [2, 1, 0]
    assert Population().count(rule, "B") == 0


def test_the_population_of_a_circle() -> None:
    rules, rule = make(by="radius", radius_m=50)
    everybody = devices(
        ("smoke", "", 1), ("smoke", "", 1.0004), ("smoke", "", 1.01), ("smoke", "", None), ("lift", "", 1)
    )
    population = Population(rules, everybody)
    assert population.count(rule, "D0", (1, 30)) == 2
    assert Population().count(rule, "D0", (1, 30)) == 0

from collections.abc import Iterable
from random import Random

import pytest

from gridwarden.model import Device
from ingest.values import check
from simulators.behaviour import (
    DAY_MS,
    DAYS,
    ROUTINES,
    TOP_FLOOR,
    Player,
    Spell,
    ordinary_day,
    top_floor,
)

DAY_0 = 1_773_590_400_000
SEEDS = range(30)


def _steps(spells: Iterable[Spell]) -> Spell:
    return [step for spell in spells for step in spell]


def _day(kind: str, seed: int, **attributes: object) -> list[Spell]:
    return list(ordinary_day(kind, Random(seed), DAY_0, **attributes))


@pytest.mark.parametrize("kind", ROUTINES)
def test_an_ordinary_day_stays_inside_the_bounds_and_the_day(kind: str) -> None:
    for seed in SEEDS:
        for at_ms, values in _steps(_day(kind, seed)):
            assert DAY_0 <= at_ms < DAY_0 + DAY_MS + 4 * 60_000  # a ride may begin at the very end
            assert check(kind, values) == (values, {})


def test_what_lasts_is_drawn_once_for_a_device() -> None:
    players = [Player(Device("X", "smoke"), Random(seed).getrandbits(64), lambda _at_ms: 0.3) for seed in SEEDS]
    drawn = {player.lot(number) for player in players for number in range(6)}
    assert len(drawn) > 150
    assert 0 <= min(drawn) < 0.05
    assert 0.95 < max(drawn) < 1
    assert len({values["battery_pct"] for _, values in _steps(_day("smoke", 1))}) == 1


def test_the_rush_hour_is_in_the_morning_of_the_site() -> None:
    rides = [(spell[0][0] - DAY_0) // 3_600_000 for seed in SEEDS for spell in _day("lift", seed) if len(spell) > 1]
    assert rides.count(7) > 10 * rides.count(3)
    assert list(DAYS["lift"](Random(1), 0)) == [
        [(at_ms - DAY_0, values) for at_ms, values in spell] for spell in _day("lift", 1)
    ]


def test_a_sensor_in_the_cap_sees_no_pressure() -> None:
    riser, cap = (_steps(_day("hydrant", 1, mount=mount)) for mount in ("riser", "cap"))
    assert {values["pressure_mpa"] for _, values in cap} == {0.0}
    assert min(float(str(values["pressure_mpa"])) for _, values in riser) > 0.25


@pytest.mark.parametrize("floors", [3, 6, 33])
def test_a_lift_goes_on_from_where_it_stands_and_stays_in_its_building(floors: int) -> None:
    rides = [spell for spell in _day("lift", 1, floors=floors) if len(spell) > 1]
    assert len(rides) > 40
    stands = 1
    for ride in rides:
        assert ride[0][1]["floor"] == stands
        stands = int(str(ride[-1][1]["floor"]))
        assert 1 <= stands <= floors
    assert top_floor(Device("X", "lift")) == top_floor(Device("X", "lift", attributes={"floors": "many"})) == TOP_FLOOR


def test_nobody_is_stuck_and_no_door_is_open_on_an_ordinary_ride() -> None:
    for seed in SEEDS:
        for _, car in _steps(_day("lift", seed)):
            if "motion" in car:
                assert not (car["motion"] == "running" and car["door"] != "closed")
                assert not (car["motion"] == "stopped" and car["door"] == "closed" and car["occupied"])

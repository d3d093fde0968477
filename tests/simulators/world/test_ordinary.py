from collections import Counter
from statistics import correlation

import pytest

from gridwarden.model import Device
from rules.rule import RuleSet
from simulators.behaviour import DAY_MS
from simulators.world import ordinary
from simulators.world.rehearsal import rehearse
from simulators.world.stream import Sent

HOUR_MS = 3_600_000


def test_midnight_is_that_of_the_site(start_ms: int) -> None:
    assert start_ms - ordinary.midnight_ms(start_ms) == 5 * HOUR_MS
    assert ordinary.midnight_ms(ordinary.midnight_ms(start_ms)) == ordinary.midnight_ms(start_ms)


def test_the_same_seed_gives_the_same_day_and_times_are_in_order(devices: list[Device], start_ms: int) -> None:
    def day(seed: int) -> list[Sent]:
        return list(ordinary.background(devices[::20], seed, start_ms, start_ms + 4 * HOUR_MS))

    assert day(1) == day(1) != day(2)
    times = [sent.sent_at_ms for sent in day(1)]
    assert times == sorted(times)
    assert start_ms <= times[0] < times[-1] < start_ms + 4 * HOUR_MS


def test_hydrants_on_one_main_move_together_through_the_day(start_ms: int) -> None:
    def pressures(number: int, main: str) -> list[float]:
        device = Device(f"HYD-{number}", "hydrant", water_main=main)
        spells = ordinary.spells(device, 1, day_ms, day_ms + DAY_MS)
        return [float(values["pressure_mpa"]) for spell in spells for _, values in spell]  # type: ignore[arg-type]

    day_ms = ordinary.midnight_ms(start_ms)
    one, neighbour = pressures(1, "WM-1"), pressures(2, "WM-1")
    assert len(one) == len(neighbour) == 96
    assert correlation(one, neighbour) > 0.85
    assert min(*one, *neighbour) > 0.14
    night, morning = sum(one[8:16]) / 8, sum(one[28:33]) / 5
    assert night - morning > 0.01
    mains = [ordinary.main_pressure(main, 1)(day_ms) for main in ("WM-1", "WM-2")]
    assert mains[0] != mains[1]


def test_lifts_have_their_rush_hour(devices: list[Device], start_ms: int) -> None:
    lifts = [device for device in devices if device.kind == "lift"][:20]
    day_ms = ordinary.midnight_ms(start_ms)
    trips = Counter(
        (sent.at_ms - day_ms) // HOUR_MS
        for sent in ordinary.background(lifts, 1, day_ms, day_ms + DAY_MS)
        if sent.values.get("motion") == "running"
    )
    assert trips[7] > 4 * max(trips[3], 1)


def test_a_kind_without_ordinary_days_says_nothing(start_ms: int) -> None:
    assert list(ordinary.spells(Device("X", "public_lift"), 1, start_ms, start_ms + DAY_MS)) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_an_ordinary_day_gives_no_alarm(devices: list[Device], rules: RuleSet, start_ms: int, seed: int) -> None:
    some = devices[::5]
    stream = ordinary.background(some, seed, start_ms, start_ms + DAY_MS)
    assert rehearse(stream, some, rules, start_ms + DAY_MS) == []

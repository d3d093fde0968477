from itertools import takewhile

import pytest

from gridwarden.model import Device
from simulators.world import chance, stage
from simulators.world.stage import Act

MONTH_MS = round(30.4 * 24 * 3_600_000)
LIFTS = [Device(f"LIFT-{number}", "lift") for number in range(7_000)]


def month(seed: int, start_ms: int) -> list[Act]:
    return list(takewhile(lambda act: act.from_ms < start_ms + MONTH_MS, chance.acts(LIFTS, seed, start_ms)))


def test_a_month_of_7000_lifts_has_as_many_entrapments_as_cities_tell_of(start_ms: int) -> None:
    months = [month(seed, start_ms) for seed in range(20)]
    counts = [sum("entrapment" in act.scenario.id for act in acts) for acts in months]
    assert 40 < sum(counts) / len(counts) < 58
    assert all(20 < count < 93 for count in counts)
    faults = sum(act.scenario.id == "chance_lift_fault" for acts in months for act in acts)
    assert faults / sum(counts) == pytest.approx(248 / 459, rel=0.2)


def test_three_quarters_of_them_fall_into_the_busy_hours() -> None:
    by_hour = [chance.per_hour(7_000, hour) for hour in range(24)]
    assert sum(by_hour[6:12] + by_hour[18:22]) / sum(by_hour) == pytest.approx(0.745)
    assert sum(by_hour) * 30.4 == pytest.approx(7_000 * chance.ENTRAPMENTS_PER_LIFT_MONTH)


def test_they_come_in_order_and_the_seed_decides(start_ms: int) -> None:
    acts = month(1, start_ms)
    begins = [act.from_ms for act in acts]
    assert begins == sorted(begins)
    assert begins[0] >= start_ms
    assert acts == month(1, start_ms) != month(2, start_ms)


def test_what_happens_is_over_when_the_act_is(start_ms: int) -> None:
    for act in month(3, start_ms):
        truths = stage.truth(act)
        assert {"found", "absent"} & {truth.must for truth in truths}
        assert max(truth.to_ms for truth in truths) <= act.to_ms


def test_without_lifts_nothing_happens(start_ms: int) -> None:
    assert list(chance.acts([Device("SMK-1", "smoke")], 1, start_ms)) == []

from random import Random

import pytest

from ingest.values import check
from simulators.incidents import INCIDENTS

DAY_0 = 1_773_590_400_000
SEEDS = range(30)


@pytest.mark.parametrize("name", INCIDENTS)
def test_an_incident_stays_inside_the_bounds_and_in_order(name: str) -> None:
    for seed in SEEDS:
        spell = INCIDENTS[name](Random(seed), DAY_0)
        times = [at_ms for at_ms, _ in spell]
        assert times == sorted(times)
        for _, values in spell:
            assert check(name.partition(".")[0], values) == (values, {})


def test_smoke_rises_alarms_and_recovers() -> None:
    for seed in SEEDS:
        states = [values["state"] for _, values in INCIDENTS["smoke.fire"](Random(seed), DAY_0)]
        assert states[0] == "normal"
        assert states.count("alarm") > 20
        assert list(dict.fromkeys(states)) == ["normal", "alarm", "restore"]
        assert states[-1] == "normal"


def test_an_inferred_entrapment_lasts_and_says_nothing_itself() -> None:
    for seed in SEEDS:
        spell = INCIDENTS["lift.entrapment_inferred"](Random(seed), DAY_0)
        held = [at for at, car in spell if car["motion"] == "stopped" and car["door"] == "closed" and car["occupied"]]
        assert held[0] == DAY_0
        assert held[-1] - held[0] > 90_000
        assert not any(car["entrapment"] or car["alarm_button"] for _, car in spell)

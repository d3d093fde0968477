from collections.abc import Iterable
from random import Random

import pytest

from gridwarden.kinds import KINDS, FieldType
from simulators.behaviour import DAY_MS, DAYS, INCIDENTS, Spell, Values

DAY_0 = 1_773_590_400_000
SEEDS = range(30)


def _wrong(kind: str, values: Values) -> list[str]:
    """Fields of ``values`` that ``kind`` does not have, or whose value is out of its bounds."""
    found = []
    for name, value in values.items():
        field = KINDS[kind].fields.get(name)
        if field is None:
            found.append(name)
        elif field.type is FieldType.ENUM:
            found += [] if value in field.choices else [name]
        elif field.type is FieldType.BOOL:
            found += [] if isinstance(value, bool) else [name]
        elif field.type is FieldType.TEXT:
            found += [] if isinstance(value, str) else [name]
        elif isinstance(value, bool | str | None) or not (field.low or 0) <= value <= (field.high or 0):
            found.append(name)
    return found


def _steps(spells: Iterable[Spell]) -> Spell:
    return [step for spell in spells for step in spell]


@pytest.mark.parametrize("kind", DAYS)
def test_an_ordinary_day_stays_inside_the_bounds_and_the_day(kind: str) -> None:
    for seed in SEEDS:
        for at_ms, values in _steps(DAYS[kind](Random(seed), DAY_0)):
            assert DAY_0 <= at_ms < DAY_0 + DAY_MS + 2000
            assert _wrong(kind, values) == []


@pytest.mark.parametrize("name", INCIDENTS)
def test_an_incident_stays_inside_the_bounds_and_in_order(name: str) -> None:
    for seed in SEEDS:
        spell = INCIDENTS[name](Random(seed), DAY_0)
        times = [at_ms for at_ms, _ in spell]
        assert times == sorted(times)
        assert [wrong for _, values in spell for wrong in _wrong(name.partition(".")[0], values)] == []


def test_nobody_is_stuck_and_no_door_is_open_on_an_ordinary_ride() -> None:
    for seed in SEEDS:
        for _, car in _steps(DAYS["lift"](Random(seed), DAY_0)):
            if "motion" in car:
                assert not (car["motion"] == "running" and car["door"] != "closed")
                assert not (car["motion"] == "stopped" and car["door"] == "closed" and car["occupied"])


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


def test_pressure_stays_low_for_minutes() -> None:
    for seed in SEEDS:
        spell = INCIDENTS["hydrant.low_pressure"](Random(seed), DAY_0)
        low = [at for at, values in spell if float(str(values["pressure_mpa"])) < 0.10]
        assert low[0] == DAY_0
        assert low[-1] - low[0] > 5 * 60_000
        assert float(str(spell[-1][1]["pressure_mpa"])) > 0.2

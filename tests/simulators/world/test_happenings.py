from random import Random

import pytest

from gridwarden.kinds import KINDS
from gridwarden.model import Device
from ingest.values import check
from rules.rule import RuleSet
from simulators.world.happenings import HAPPENINGS, Part, floor_of

AT_MS = 1_773_608_400_000
KIND = {
    "boot_storm": "smoke", "low_battery": "smoke", "fire": "smoke", "nuisance": "smoke", "test_button": "smoke", "tampered_detector": "smoke",
    "burst_main": "hydrant", "opened_hydrant": "hydrant", "knocked_hydrant": "hydrant", "freeze": "hydrant",
    "entrapment_code": "lift", "entrapment_inferred": "lift", "door_open_moving": "lift", "night_off": "lift",
    "lift_fault": "lift", "power_cut": "lift",
}  # fmt: skip


def happen(what: str, seed: int = 1, **options: float) -> list[Part]:
    devices = [Device(f"D-{n}", KIND[what], attributes={"floor": n}) for n in range(1, 5)]
    return HAPPENINGS[what](Random(seed), devices, AT_MS, **options)


def test_every_happening_is_looked_at_here() -> None:
    assert KIND.keys() == HAPPENINGS.keys()


@pytest.mark.parametrize("what", HAPPENINGS)
def test_what_is_said_fits_the_kind_and_truth_lies_inside_it(what: str, rules: RuleSet) -> None:
    parts = happen(what)
    assert parts == happen(what)
    assert sorted(part.device_id for part in parts) == ["D-1", "D-2", "D-3", "D-4"]
    for part in parts:
        times = [at_ms for at_ms, _ in part.spell]
        assert times == sorted(times)
        for _, values in part.spell:
            assert check(KIND[what], values) == (values, {})
        assert part.truths
        for truth in part.truths:
            assert truth.device_ids == (part.device_id,)
            assert {rules.by_id[rule].kind for rule in truth.rule_ids} == {KIND[what]}
            assert times[0] - 60_000 <= truth.from_ms <= truth.to_ms <= times[-1]
    assert KIND[what] in KINDS


def test_a_fire_climbs() -> None:
    begun = [part.truths[0].from_ms for part in happen("fire", seconds_a_floor=90)]
    assert begun == sorted(begun)
    assert begun[-1] - begun[0] > 3 * 60_000
    assert floor_of(Device("X", "smoke")) == floor_of(Device("X", "smoke", attributes={"floor": "top"})) == 1


@pytest.mark.parametrize("seed", range(20))
def test_toast_and_steam_stay_below_the_alarm(seed: int) -> None:
    for part in happen("nuisance", seed, warmer_c=12):
        densities = [float(values["smoke_dbm"]) for _, values in part.spell]  # type: ignore[arg-type]
        assert 0.06 < max(densities) < 0.15
        assert {values["state"] for _, values in part.spell} == {"normal"}
        assert max(float(values["temperature_c"]) for _, values in part.spell) < 54  # type: ignore[arg-type]


def test_of_a_power_cut_as_many_are_trapped_as_was_said() -> None:
    for trapped in (0, 1, 3):
        musts = [truth.must for part in happen("power_cut", trapped=trapped) for truth in part.truths]
        assert (musts.count("found"), musts.count("absent")) == (trapped, 4 - trapped)


def test_a_sensor_that_sees_no_pressure_cannot_tell_of_a_burst_main() -> None:
    devices = [
        Device("RISER", "hydrant", attributes={"mount": "riser"}),
        Device("CAP", "hydrant", attributes={"mount": "cap"}),
    ]
    riser, cap = HAPPENINGS["burst_main"](Random(1), devices, AT_MS)
    assert [truth.must for truth in (*riser.truths, *cap.truths)] == ["found", "allowed", "absent"]
    assert {values["pressure_mpa"] for _, values in cap.spell} == {0.0}


def test_after_a_radio_outage_everybody_speaks_at_once() -> None:
    said = [at_ms - AT_MS for part in happen("boot_storm", minutes=10, seconds=5) for at_ms, _ in part.spell]
    assert sorted(said)[:4] == [0] * 4
    assert len([after_ms for after_ms in said if 600_000 <= after_ms < 606_000]) == 12


def test_a_lift_stays_in_its_building() -> None:
    low = [Device("LIFT", "lift", attributes={"floors": 4})]
    for what in ("entrapment_code", "entrapment_inferred", "door_open_moving", "lift_fault", "power_cut"):
        for seed in range(20):
            floors = {
                values.get("floor", 1)
                for part in HAPPENINGS[what](Random(seed), low, AT_MS)
                for _, values in part.spell
            }
            assert floors <= {1, 2, 3, 4}

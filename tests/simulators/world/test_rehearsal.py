import pytest

from gridwarden.model import Device
from rules.rule import RuleSet
from simulators.world.rehearsal import rehearse
from simulators.world.stream import Sent
from simulators.world.truth import Fired

AT_MS = 1_773_608_400_000
SMOKE, LIFT = Device("SMK-1", "smoke"), Device("LIFT-1", "lift")


def sent(device: Device, after_s: int, seq: int, late_s: int = 0, **values: object) -> Sent:
    at_ms = AT_MS + after_s * 1000
    return Sent(at_ms + late_s * 1000, "GW", device.device_id, at_ms, seq, values)  # type: ignore[arg-type]


def test_holds_run_out_by_themselves_and_in_order(rules: RuleSet) -> None:
    stuck = sent(LIFT, 0, 1, mode="normal", motion="stopped", door="closed", occupied=True)
    fire = sent(SMOKE, 100, 1, state="alarm")
    found = rehearse([stuck, fire], [SMOKE, LIFT], rules, AT_MS + 200_000)
    assert found == [
        Fired("lift.entrapment_inferred", "LIFT-1", AT_MS + 90_000),
        Fired("smoke.fire", "SMK-1", AT_MS + 100_000),
    ]
    assert rehearse([stuck], [LIFT], rules, AT_MS + 89_999) == []


def test_repeats_fire_once_and_late_fires_still_do(rules: RuleSet) -> None:
    fire = sent(SMOKE, 10, 2, late_s=60, state="alarm")
    stream = [sent(SMOKE, 30, 3, state="normal"), fire, fire]
    assert rehearse(stream, [SMOKE], rules, AT_MS + 100_000) == [Fired("smoke.fire", "SMK-1", AT_MS + 10_000)]


@pytest.mark.parametrize("at_ms", [5_000, AT_MS + 300_001])
def test_a_clock_that_cannot_be_true_gives_way(rules: RuleSet, at_ms: int) -> None:
    fire = Sent(AT_MS, "GW", "SMK-1", at_ms, 1, {"state": "alarm"})
    assert rehearse([fire], [SMOKE], rules, AT_MS) == [Fired("smoke.fire", "SMK-1", AT_MS)]

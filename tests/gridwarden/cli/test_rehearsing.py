"""Streams through core alone: the alarms it tells, and what each rule made of them."""

from __future__ import annotations

import pytest

from gridwarden.cli import rehearsing
from gridwarden.cli.rehearsing import fresh_seeds, rehearse, score_seeds
from gridwarden.model import Device
from rules.load import load, read_rules
from rules.rule import RuleSet
from simulators.world import registry
from simulators.world.scenario import shipped
from simulators.world.stream import Sent
from simulators.world.truth import Fired
from tests.gridwarden.cli.conftest import Command

AT_MS = 1_773_608_400_000
SMOKE, LIFT = Device("SMK-1", "smoke"), Device("LIFT-1", "lift")


@pytest.fixture(scope="session")
def rules() -> RuleSet:
    return load((), shipped_packs=True)


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


def test_nothing_sent_nothing_told(rules: RuleSet) -> None:
    assert rehearse([], [SMOKE], rules, AT_MS) == []


def test_seeds_are_fresh_unless_one_is_given() -> None:
    assert fresh_seeds(3, 7) == [7, 8, 9]
    assert fresh_seeds(1, 0) == [0]
    assert fresh_seeds(1, None) != fresh_seeds(1, None)


def test_seeds_add_up(rules: RuleSet) -> None:
    fire = [one for one in shipped() if one.id == "fire"]
    devices = registry.devices()
    facts = score_seeds(fire, devices, rules, [3, 4], hours=2)
    assert (facts["seeds"], facts["hours"], facts["devices"], facts["missed_life_safety"]) == ([3, 4], 2.0, 700, 0)
    by_rule = {one["rule"]: one for one in facts["rules"]}
    smoke = by_rule["smoke.fire"]
    assert (smoke["expected"], smoke["found"], smoke["device_days"]) == (12, 12, round(400 * 2 * 2 / 24, 1))
    assert not any(rule.startswith("public_lift") for rule in by_rule)


def test_a_rule_that_cries_wolf_is_seen() -> None:
    wolf = {"id": "smoke.fire", "name": {"zh": "火", "en": "Fire"}, "source": "ours", "severity": "high",
            "category": "fire", "when": "smoke_dbm > 0.05"}  # fmt: skip
    nuisance = [one for one in shipped() if one.id == "nuisance"]
    rules = RuleSet(tuple(read_rules({"kind": "smoke", "rules": [wolf]})))
    (facts,) = score_seeds(nuisance, registry.devices(), rules, [1])["rules"]
    assert facts["false"] > 0
    assert facts["precision"] == round(1 - facts["false"] / facts["alarms"], 4) < 1
    assert facts["false_per_1000_device_days"] > 20


def test_by_command(command: Command) -> None:
    answer = command("simulate", "fire", "--score", "--seeds", 1, "--seed", 5, "--json")
    assert (answer.code, answer.json["seeds"], answer.json["missed_life_safety"]) == (0, [5], 0)
    told = command("simulate", "fire", "--score", "--seeds", 1, "--seed", 5).out
    assert "smoke.fire" in told
    assert "seeds 5: 1.17 hours each of 700 devices" in told
    assert "add --score" in command("simulate", "fire", "--seeds", 1).err


def test_a_missed_fire_fails(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "rehearse", lambda *_arguments: [])
    answer = command("simulate", "fire", "--score", "--seeds", 1, "--json")
    assert (answer.code, answer.json["missed_life_safety"]) == (1, 6)

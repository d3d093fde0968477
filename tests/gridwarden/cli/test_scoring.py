"""``gridwarden simulate --score``: from the broker to the journal, and what it says when something was missed."""

from __future__ import annotations

from pathlib import Path
from secrets import randbelow

import pytest

from gridwarden.cli import scoring
from simulators.publisher import Account
from simulators.world import scenario, stage
from simulators.world.programme import Programme
from simulators.world.truth import Fired
from tests.gridwarden.cli.conftest import Command

SHIPPED = [one.id for one in scenario.shipped()]


@pytest.mark.process
def test_nothing_grave_is_missed_from_the_broker_to_the_journal(command: Command) -> None:
    seed = randbelow(2**31)
    answer = command("simulate", "all", "--score", "--seed", seed, "--json")
    facts = answer.json
    assert (answer.code, facts["missed_life_safety"]) == (0, 0), (seed, answer.out)
    assert (facts["seed"], facts["lost"]) == (seed, 0)
    assert facts["duplicate"] > 100
    assert [one["scenario"] for one in facts["scenarios"]] == SHIPPED
    assert (facts["missed"], facts["false"]) == (0, 0), (seed, answer.out)
    assert sum(one["expected"] for one in facts["scenarios"]) > 40
    assert facts["background"]["devices"] > 500


@pytest.mark.process
def test_every_gateway_with_an_account_and_connections_of_its_own(command: Command) -> None:
    wanted = ("clock_skew", "entrapment_code", "nuisance")
    answer = command("simulate", *wanted, "--score", "--scale", 0.05, "--clients", 15, "--json")
    facts = answer.json
    assert (answer.code, facts["missed"], facts["lost"]) == (0, 0, 0), answer.out
    assert sum(one["devices"] for one in (*facts["scenarios"], facts["background"])) == 1_500
    assert 15 < facts["connections"] <= 30
    assert facts["alarm_lane"] >= 3


@pytest.mark.parametrize(("deaf_to", "code"), [("smoke.fire", 1), ("lift.entrapment", 1), ("hydrant.tilt", 0)])
def test_what_is_missed_is_told_and_a_missed_fire_fails(
    command: Command, monkeypatch: pytest.MonkeyPatch, deaf_to: str, code: int
) -> None:
    async def run(_data: Path, plan: Programme, _options: scoring.Options) -> scoring.Run:
        fired = [
            Fired(rule, device, truth.from_ms + 7_000)
            for act in plan.acts
            for truth in stage.truth(act)
            for rule, device in zip(truth.rule_ids[:1], truth.device_ids, strict=True)
            if truth.must == "found" and rule != deaf_to
        ]
        fired.append(Fired("smoke.fault", plan.bystanders[0].device_id, plan.from_ms))
        return scoring.Run(fired, Account(readings=100), {"stored": 90, "duplicate": 8, "lanes": []})

    monkeypatch.setattr(scoring, "_run", run)
    answer = command("simulate", "fire", "power_cut", "knocked_hydrant", "--score", "--json")
    assert answer.code == code
    by_name = {one["scenario"]: one for one in answer.json["scenarios"]}
    missed = {"smoke.fire": "fire", "lift.entrapment": "power_cut", "hydrant.tilt": "knocked_hydrant"}[deaf_to]
    assert {name for name, one in by_name.items() if one["missed"]} == {missed}
    assert {one["delay_max_s"] for name, one in by_name.items() if name != missed} == {7.0}
    assert (answer.json["background"]["false"], answer.json["false"], answer.json["lost"]) == (1, 1, 2)
    told = command("simulate", "fire", "power_cut", "knocked_hydrant", "--score")
    assert told.code == code
    assert f"{missed}: missed on: " in told.err
    assert "background: false alarms: smoke.fault" in told.err

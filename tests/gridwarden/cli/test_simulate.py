"""``gridwarden simulate``: into a running instance, scored on one of its own, and used wrongly."""

from __future__ import annotations

from pathlib import Path
from secrets import randbelow
from typing import Any

import pytest

from gridwarden.cli import simulate
from simulators import district, sample
from simulators.world import scenario
from simulators.world.stage import Programme
from tests.gridwarden.cli.conftest import Command, Instance

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
def test_into_a_running_instance(command: Command, instance: Instance, tmp_path: Path) -> None:
    assert "no smoke detector, lift or hydrant" in command("simulate", "fire", "-d", instance.data).err
    sample.write_table(district.areas(), tmp_path / "areas.csv")
    sample.write_table(district.devices(), tmp_path / "devices.csv")
    for what in ("areas", "devices"):
        assert command("import", what, tmp_path / f"{what}.csv", "-d", instance.data).code == 0
    too_big = command("simulate", "fire", "-d", instance.data)
    assert too_big.code == 2
    assert "there are no 6 free devices of kind smoke in one building" in too_big.err
    answer = command("simulate", "burst_main", "entrapment_code", "-d", instance.data, "--json")
    assert answer.code == 0
    assert answer.json["scenarios"] == ["burst_main", "entrapment_code"]
    assert answer.json["devices"] == 200
    assert answer.json["readings"] > 500
    all_of_them = command("simulate", "--speed", "1000000", "-d", instance.data, "--json")
    assert all_of_them.code == 0
    assert "left out: fire: house: " in all_of_them.err
    assert {"nuisance", "freeze"} < set(all_of_them.json["scenarios"]) < set(SHIPPED)


def test_the_scenarios_are_listed(command: Command) -> None:
    assert [one["scenario"] for one in command("simulate", "--list", "--json").json] == SHIPPED
    told = command("simulate", "--list").out
    assert [name for name in SHIPPED if name not in told] == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("flood",), "no such scenario; there are burst_main"),
        (("none.yaml",), "no such file"),
        (("--speed", "fast"), "max, or a number above 0"),
        (("--speed", "0"), "max, or a number above 0"),
        (("--score", "--host", "elsewhere"), "an instance of its own"),
    ],
)
def test_used_wrongly(command: Command, words: tuple[str, ...], reason: str) -> None:
    answer = command("simulate", *words)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err


@pytest.mark.parametrize(("deaf_to", "code"), [("smoke.fire", 1), ("lift.entrapment", 1), ("hydrant.tilt", 0)])
def test_what_is_missed_is_told_and_a_missed_fire_fails(
    command: Command, monkeypatch: pytest.MonkeyPatch, deaf_to: str, code: int
) -> None:
    async def run(_data: Path, plan: Programme, seed: int, *_: Any) -> simulate.Run:
        fired = [
            simulate.Fired(rule, device, truth.from_ms + 7_000)
            for act in plan.acts
            for truth in simulate.stage.truth(act.scenario, act.devices, seed, act.start_ms)
            for rule, device in zip(truth.rule_ids[:1], truth.device_ids, strict=True)
            if truth.must == "found" and rule != deaf_to
        ]
        fired.append(simulate.Fired("smoke.fault", plan.bystanders[0].device_id, plan.from_ms))
        return simulate.Run(fired, 100, {"stored": 90, "duplicate": 8})

    monkeypatch.setattr(simulate, "_run", run)
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


async def test_the_last_reading_is_never_in_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Programme] = []

    async def feed(plan: Programme, *_: Any) -> None:
        plans.append(plan)

    monkeypatch.setattr(simulate, "_feed", feed)
    address = simulate.Address()
    wanted = [scenario.load(scenario.SHIPPED / "opened_hydrant.yaml")]
    for speed in ("max", 1.0, 60.0):
        await simulate._play(wanted, simulate.registry.devices(), 1, speed, address, every=True)  # type: ignore[arg-type]
    now_ms = simulate.SystemClock().now_ms()
    at_once, as_it_happens, faster = plans
    span_ms = at_once.to_ms - at_once.from_ms
    assert abs(at_once.to_ms - now_ms) < 60_000
    assert abs(as_it_happens.from_ms - now_ms) < 60_000
    assert abs(faster.to_ms - now_ms - span_ms / 60) < 60_000

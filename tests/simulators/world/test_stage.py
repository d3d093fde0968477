from secrets import randbelow

import pytest

from gridwarden.errors import ConfigError
from gridwarden.model import Device
from rules.rule import RuleSet
from simulators.world import rehearsal, scenario, stage
from simulators.world.scenario import Role, Scenario
from simulators.world.truth import score

SHIPPED = {one.id: one for one in scenario.shipped()}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_seed_decides_everything(name: str, devices: list[Device], start_ms: int) -> None:
    one = SHIPPED[name]
    stream = list(stage.play(one, devices, 1, start_ms))
    assert stream == list(stage.play(one, devices, 1, start_ms))
    assert stage.truth(one, devices, 1, start_ms) == stage.truth(one, devices, 1, start_ms)
    assert stream != list(stage.play(one, devices, 2, start_ms))
    times = [sent.sent_at_ms for sent in stream]
    assert times == sorted(times)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_truth_lies_inside_the_stream(name: str, devices: list[Device], start_ms: int) -> None:
    one = SHIPPED[name]
    stream = list(stage.play(one, devices, 1, start_ms))
    truths = stage.truth(one, devices, 1, start_ms)
    assert truths
    unset = any(fault.what == "clock_never_set" for fault in one.faults)
    for truth in truths:
        times = [sent.sent_at_ms if unset and sent.at_ms < start_ms / 2 else sent.at_ms
                 for sent in stream if sent.device_id in truth.device_ids]  # fmt: skip
        assert min(times) <= truth.from_ms + 60_000
        assert any(truth.from_ms <= at_ms <= truth.to_ms for at_ms in times)
        assert truth.to_ms <= start_ms + one.lasts


@pytest.mark.parametrize("name", SHIPPED)
def test_each_scenario_is_found_by_the_rules(name: str, devices: list[Device], rules: RuleSet, start_ms: int) -> None:
    one = SHIPPED[name]
    for seed in (11, 12, 13):
        end_ms = start_ms + one.lasts + stage.LEAD_MS
        fired = rehearsal.rehearse(stage.play(one, devices, seed, start_ms), devices, rules, end_ms)
        ids = [device.device_id for role in stage.cast(one, devices, seed).values() for device in role]
        result = score(name, stage.truth(one, devices, seed, start_ms), ids, fired)
        assert (result.missed, result.false) == ([], []), seed


def test_no_fire_and_no_entrapment_is_missed_whatever_the_seed(
    devices: list[Device], rules: RuleSet, start_ms: int
) -> None:
    for seed in (randbelow(2**31), randbelow(2**31)):
        plan = stage.programme(SHIPPED.values(), devices, seed, start_ms)
        fired = rehearsal.rehearse(stage.perform(plan, seed), devices, rules, plan.to_ms)
        expected = 0
        for act in plan.acts:
            truths = stage.truth(act.scenario, act.devices, seed, act.start_ms)
            expected += sum(truth.life_safety and truth.must == "found" for truth in truths)
            result = score(act.scenario.id, truths, stage.cast_of(act, seed), fired)
            assert result.missed_life_safety == 0, (seed, result.facts())
        assert expected >= 20
        bystanders = score("background", (), (device.device_id for device in plan.bystanders), fired)
        assert bystanders.false == [], seed


def test_no_device_plays_twice(devices: list[Device], start_ms: int) -> None:
    plan = stage.programme(SHIPPED.values(), devices, 1, start_ms)
    ids = [device for act in plan.acts for device in stage.cast_of(act, 1)]
    ids += [device.device_id for device in plan.bystanders]
    assert sorted(ids) == sorted(device.device_id for device in devices)
    counted: dict[str, set[int]] = {}
    for sent in stage.perform(plan, 1):
        counted.setdefault(sent.device_id, set()).add(sent.seq)
    assert all(min(seqs) >= 1 for seqs in counted.values())
    assert counted.keys() == set(ids)


def test_a_cast_is_together_where_it_is_told_to(devices: list[Device]) -> None:
    def cast(**role: object) -> tuple[Device, ...]:
        written = {
            "name": {"zh": "x", "en": "x"},
            "id": "x",
            "lasts": "1m",
            "cast": {"role": Role.model_validate(role)},
        }
        return stage.cast(Scenario.model_validate(written), devices, 3)["role"]

    assert len({device.water_main for device in cast(kind="hydrant", together="water_main", count=8)}) == 1
    assert len({device.building for device in cast(kind="smoke", count=20)}) > 1
    assert {device.power_feeder for device in cast(kind="lift", together="power_feeder", at="PF-3")} == {"PF-3"}
    with pytest.raises(ConfigError, match="x: role: there are no 900 free devices of kind smoke in one building"):
        cast(kind="smoke", together="building", count=900)


def test_no_device_has_two_roles(devices: list[Device]) -> None:
    roles = {name: {"kind": "hydrant", "count": 90} for name in ("one", "other")}
    written = {"name": {"zh": "x", "en": "x"}, "id": "x", "lasts": "1m", "cast": roles}
    players = stage.cast(Scenario.model_validate(written), devices, 1)
    assert len({device.device_id for role in players.values() for device in role}) == 180

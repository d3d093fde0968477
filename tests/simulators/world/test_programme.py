from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise, takewhile
from secrets import randbelow

import pytest

from gridwarden.cli.rehearsing import rehearse
from gridwarden.errors import ConfigError
from gridwarden.model import Device
from rules.rule import RuleSet
from simulators.world import chance, scenario, stage
from simulators.world.programme import FIRST, ROUND_MS, perform, programme, unfold
from simulators.world.stage import Act
from simulators.world.truth import score

MIN_MS = 60_000
SHIPPED = scenario.shipped()
IDS = {one.id for one in SHIPPED}


def begun_ms(act: Act) -> int:
    """When it begins to be seen on the way, or by its devices: five minutes after its own time begins."""
    return act.from_ms + 5 * MIN_MS


def scenes(devices: list[Device], seed: int, start_ms: int, rounds: int = 1) -> list[Act]:
    acts = takewhile(
        lambda act: act.from_ms < start_ms + rounds * ROUND_MS - 5 * MIN_MS, unfold(SHIPPED, devices, seed, start_ms)
    )
    return [act for act in acts if act.scenario.id in IDS]


def test_no_device_plays_twice(devices: list[Device], start_ms: int) -> None:
    plan = programme(SHIPPED, devices, 1, start_ms)
    ids = [device_id for act in plan.acts for device_id in act.device_ids]
    ids += [device.device_id for device in plan.bystanders]
    assert sorted(ids) == sorted(device.device_id for device in devices)
    counted: dict[str, set[int]] = {}
    for sent in perform(plan):
        counted.setdefault(sent.device_id, set()).add(sent.seq)
    assert all(min(seqs) >= 1 for seqs in counted.values())
    assert counted.keys() == set(ids)


def test_what_happens_anyway_happens_to_bystanders(
    devices: list[Device], start_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance, "ENTRAPMENTS_PER_LIFT_MONTH", 30)
    plan = programme(SHIPPED, devices, 1, start_ms)
    bystanders = {device.device_id for device in plan.bystanders}
    ids = [device_id for act in plan.anyway for device_id in act.device_ids]
    assert ids
    assert len(ids) == len(set(ids))
    assert bystanders >= set(ids)
    assert all(plan.from_ms <= act.from_ms < act.to_ms <= plan.to_ms for act in plan.anyway)


def test_too_small_a_registry_is_told(devices: list[Device], start_ms: int) -> None:
    with pytest.raises(ConfigError, match="boot_storm: cell"):
        programme(SHIPPED, devices[:20], 1, start_ms)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fire_breaks_out_at_once_and_every_scenario_once_an_hour(
    devices: list[Device], start_ms: int, seed: int
) -> None:
    acts = scenes(devices, seed, start_ms)
    begins = {act.scenario.id: begun_ms(act) - start_ms for act in acts if begun_ms(act) > start_ms - MIN_MS}
    assert begins.keys() == IDS
    assert -MIN_MS < begins[FIRST] < 0
    before = [act for act in acts if begun_ms(act) < start_ms - MIN_MS]
    assert len(before) == 2
    assert all(any(truth.must == "found" for truth in stage.truth(act)) for act in before)


def test_it_is_calm_between(devices: list[Device], start_ms: int) -> None:
    begins = sorted(begun_ms(act) for act in scenes(devices, 1, start_ms, rounds=3))
    gaps_ms = [later - earlier for earlier, later in pairwise(begins)]
    assert min(gaps_ms) > MIN_MS
    assert max(gaps_ms) < 15 * MIN_MS


def test_each_round_is_another_one_on_other_devices(devices: list[Device], start_ms: int) -> None:
    acts = scenes(devices, 1, start_ms, rounds=3)
    counted = Counter(act.scenario.id for act in acts)
    assert min(counted.values()) >= 3
    order = [act.scenario.id for act in acts if act.from_ms >= start_ms]
    assert order[: len(IDS)] != order[len(IDS) : 2 * len(IDS)]
    for one, other in pairwise([act for act in acts if act.scenario.id == FIRST]):
        assert set(one.device_ids) != set(other.device_ids)
    for act in acts:
        at_the_same_time = [
            other for other in acts if other is not act and other.from_ms < act.to_ms and act.from_ms < other.to_ms
        ]
        assert not set(act.device_ids) & {device_id for other in at_the_same_time for device_id in other.device_ids}


def test_the_seed_decides_and_how_far_one_reads_changes_nothing(devices: list[Device], start_ms: int) -> None:
    def first(count: int, seed: int) -> list[Act]:
        return list(islice(unfold(SHIPPED, devices, seed, start_ms), count))

    assert first(20, 1) == first(40, 1)[:20]
    assert first(20, 1) != first(20, 2)


def test_what_unfolds_is_found_and_nothing_else(devices: list[Device], rules: RuleSet, start_ms: int) -> None:
    seed, end_ms = randbelow(2**31), start_ms + ROUND_MS * 3 // 2
    acts: list[Act] = []

    def noted() -> Iterator[Act]:
        for act in unfold(SHIPPED, devices, seed, start_ms):
            acts.append(act)
            yield act

    stream = stage.perform(noted(), devices, seed, start_ms - 30 * MIN_MS, roll_call_until_ms=start_ms)
    fired = rehearse(takewhile(lambda sent: sent.sent_at_ms < end_ms, stream), devices, rules, end_ms)
    truths = [truth for act in acts for truth in stage.truth(act)]
    over = [truth for act in acts if act.to_ms < end_ms for truth in stage.truth(act)]
    result = score("all", truths, (device.device_id for device in devices), fired)
    # Nobody confirms: what is latched on a device since an earlier act is not raised again.
    before = {(one.rule_id, one.device_id): one.fired_at_ms for one in reversed(fired)}
    missed = [
        truth
        for truth in result.missed
        if truth in over
        and not any(before.get((rule, truth.device_ids[0]), end_ms) < truth.from_ms for rule in truth.rule_ids)
    ]
    # Two acts may happen to burn in one building within minutes: of alarms that are all right the third is right, too.
    false = [one for one in result.false if not one.members or any(each in result.false for each in one.members)]
    assert (missed, false) == ([], []), seed
    assert result.found > 30


def test_what_cannot_be_cast_is_left_out(devices: list[Device], start_ms: int) -> None:
    hydrants = [device for device in devices if device.kind == "hydrant"]
    played = {act.scenario.id for act in islice(unfold(SHIPPED, hydrants, 1, start_ms), 12)}
    assert played == {"burst_main", "freeze", "knocked_hydrant", "opened_hydrant"}

import itertools
from collections.abc import Iterator
from itertools import islice
from secrets import randbelow

import pytest

from gridwarden.cli.rehearsing import rehearse
from gridwarden.errors import ConfigError
from gridwarden.model import Device
from rules.rule import RuleSet
from simulators.world import ordinary, scenario, stage
from simulators.world.programme import LEAD_MS, perform, programme
from simulators.world.scenario import Role, Scenario
from simulators.world.stage import Act
from simulators.world.stream import Sent
from simulators.world.truth import score

MIN_MS, HOUR_MS = 60_000, 3_600_000
SHIPPED = {one.id: one for one in scenario.shipped()}


def act_of(name: str, devices: list[Device], seed: int, start_ms: int) -> Act:
    one = SHIPPED[name]
    return stage.act(one, stage.cast(one, devices, seed), seed, start_ms)


def played(act: Act) -> list[Sent]:
    cast = [device for role in act.players.values() for device in role]
    return list(stage.play(act, ordinary.players(cast, act.seed)))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_seed_decides_everything(name: str, devices: list[Device], start_ms: int) -> None:
    act = act_of(name, devices, 1, start_ms)
    stream = played(act)
    assert stream == played(act_of(name, devices, 1, start_ms))
    assert stage.truth(act) == stage.truth(act_of(name, devices, 1, start_ms))
    assert stream != played(act_of(name, devices, 2, start_ms))
    times = [sent.sent_at_ms for sent in stream]
    assert times == sorted(times)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_truth_lies_inside_the_stream(name: str, devices: list[Device], start_ms: int) -> None:
    act = act_of(name, devices, 1, start_ms)
    stream, truths = played(act), stage.truth(act)
    assert truths
    for truth in truths:
        # A clock that cannot be true gives way to the time of sending, and so does the truth.
        times = [sent.at_ms if abs(sent.at_ms - sent.sent_at_ms) < HOUR_MS else sent.sent_at_ms
                 for sent in stream if sent.device_id in truth.device_ids]  # fmt: skip
        assert min(times) <= truth.from_ms + MIN_MS
        assert any(truth.from_ms <= at_ms <= truth.to_ms for at_ms in times)
        assert truth.to_ms <= start_ms + act.scenario.lasts


@pytest.mark.parametrize("name", SHIPPED)
def test_each_scenario_is_found_by_the_rules(name: str, devices: list[Device], rules: RuleSet, start_ms: int) -> None:
    for seed in (11, 12, 13):
        act = act_of(name, devices, seed, start_ms)
        fired = rehearse(played(act), devices, rules, act.to_ms + LEAD_MS)
        result = score(name, stage.truth(act), act.device_ids, fired)
        assert (result.missed, result.false) == ([], []), seed


def test_no_fire_and_no_entrapment_is_missed_whatever_the_seed(
    devices: list[Device], rules: RuleSet, start_ms: int
) -> None:
    for seed in (randbelow(2**31), randbelow(2**31)):
        plan = programme(SHIPPED.values(), devices, seed, start_ms)
        fired = rehearse(perform(plan), devices, rules, plan.to_ms)
        expected = 0
        for act in plan.acts:
            truths = stage.truth(act)
            expected += sum(truth.life_safety and truth.must == "found" for truth in truths)
            result = score(act.scenario.id, truths, act.device_ids, fired)
            assert result.missed_life_safety == 0, (seed, result.facts())
        assert expected >= 20
        anyway = [truth for act in plan.anyway for truth in stage.truth(act)]
        bystanders = score("background", anyway, (device.device_id for device in plan.bystanders), fired)
        assert (bystanders.missed, bystanders.false) == ([], []), seed


def test_a_repeat_goes_by_the_lane_of_the_reading(devices: list[Device], start_ms: int) -> None:
    stream = played(act_of("duplicate_storm", devices, 1, start_ms))
    lanes: dict[tuple[str, int], set[str]] = {}
    for sent in stream:
        lanes.setdefault((sent.device_id, sent.seq), set()).add(sent.lane)
    assert all(len(found) == 1 for found in lanes.values())
    assert list(lanes.values()).count({"alarm"}) == 2


def test_what_was_lost_on_the_air_was_not_the_beginning_of_the_alarm(devices: list[Device], start_ms: int) -> None:
    for seed in range(5):
        stream = [
            sent for sent in played(act_of("entrapment_code", devices, seed, start_ms)) if sent.values.get("entrapment")
        ]
        first = {sent.device_id: sent for sent in reversed(stream)}
        assert {sent.lane for sent in first.values()} == {"alarm"}
        assert sum(sent.lane == "alarm" for sent in stream) == len(first)


def test_what_lies_before_goes_on_after_an_act(devices: list[Device], start_ms: int) -> None:
    """While it plays a device says what belongs to the act, before and after what is ordinary, and it counts on."""
    act = act_of("knocked_hydrant", devices, 1, start_ms + HOUR_MS)
    ids = set(act.device_ids)
    stream = stage.perform([act], devices, 1, start_ms, start_ms + 3 * HOUR_MS)
    own = [sent for sent in stream if sent.device_id in ids]
    for device_id in ids:
        said = [sent for sent in own if sent.device_id == device_id]
        assert [sent.seq for sent in said] == list(range(1, len(said) + 1))
        lying = [sent.at_ms for sent in said if sent.values.get("tilt_alarm")]
        assert min(lying) == start_ms + HOUR_MS + 5 * MIN_MS
        assert said[0].at_ms < start_ms + 15 * MIN_MS
        assert said[-1].at_ms > start_ms + 2.7 * HOUR_MS
        ordinary_ms = [sent.at_ms for sent in said if "water_temp_c" in sent.values]
        assert not [at_ms for at_ms in ordinary_ms if lying[0] - stage.QUIET_MS < at_ms < lying[-1]]


def test_acts_without_end_are_asked_for_when_it_is_time(devices: list[Device], start_ms: int) -> None:
    asked: list[int] = []

    def acts() -> Iterator[Act]:
        for number in itertools.count():
            asked.append(number)
            yield act_of("tampered_detector", devices, number, start_ms + number * HOUR_MS)

    def stream() -> Iterator[Sent]:
        return stage.perform(acts(), devices, 1, start_ms)

    first = list(islice(stream(), 2_000))
    reached_h = (first[-1].sent_at_ms - start_ms) / HOUR_MS
    assert reached_h > 0.5
    assert len(asked) <= reached_h + 3
    assert first == list(islice(stream(), 4_000))[:2_000]


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

"""Who is called silent, and when: whatever order readings, looks, restarts and spells of blindness come in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.model import Alarm, AlarmState, Device, Operation, Reading
from rules.blind import GRACE_MS
from rules.listening import BEGUN, SPOKEN, Listener
from rules.load import read_rules
from rules.ourselves import INPUT_GAP_MS
from rules.roster import NEVER, STEP
from rules.rule import RuleSet

START = 1_800_000_000_000
S, MIN, H = 1_000, 60_000, 3_600_000
_NAME = {"name": {"zh": "静默", "en": "Silent"}, "source": "ours", "severity": "low", "category": "maintenance",
         "incident": "none"}  # fmt: skip


def absence(rule_id: str, of: str, after: str, kind: str = "smoke", **words: Any) -> Any:
    (rule,) = read_rules({"kind": kind, "absences": [{**_NAME, "id": rule_id, "of": of, "after": after, **words}]})
    return rule


SILENT = absence("smoke.silent", "device", "3 intervals", interval="20m")
UNSEEN = absence("smoke.unseen", "never_seen", "2h")
GATEWAY = absence("platform.gateway", "gateway", "1 interval + 5m", kind="platform")
BROKER = absence("platform.blind", "broker", "2m", kind="platform")


class World:
    """A listener with its windows and its records, on a clock that the test moves."""

    def __init__(self, rules: Iterable[Any] = (SILENT,), devices: Iterable[Device] = (), **options: Any) -> None:
        self.rules, self.options = RuleSet(tuple(rules)), options
        self.devices = {device.device_id: device for device in devices}
        self.heard_at: dict[str, int] = {}
        self.stored: dict[str, Alarm] = {}
        self.remembered: dict[str, str] = {}
        self.timeline: list[tuple[int, str, str]] = []
        self.up = {"b": True}
        self.now = self.alive = self.looked = START
        self.waiting: list[Reading] = []
        self.listener = Listener(self.rules, self.heard, **options)
        self.look()

    def heard(self, device: str) -> int:
        return self.heard_at.get(device, NEVER)

    @property
    def through(self) -> int:
        return self.waiting[0].received_at_ms if self.waiting else self.now

    def take(self, transitions: Iterable[Any]) -> None:
        told = list(transitions)
        for transition in told:
            alarm = transition.alarm
            if alarm.state is AlarmState.FIRING:
                self.stored[alarm.alarm_id] = alarm
            else:
                del self.stored[alarm.alarm_id]
            if transition.operation is Operation.ALARM_FIRED:
                self.timeline.append((alarm.fired_at_ms, alarm.rule_id, alarm.device_id))
            elif transition.operation is Operation.ALARM_RESOLVED:
                self.timeline.append((alarm.resolved_at_ms, "over", alarm.device_id))
        news = self.listener.news(self.now, 0 if told else MIN)
        self.alive = self.now if news else self.alive
        self.remembered |= {name: json.dumps(value) for name, value in news.items()}

    def look(self) -> None:
        self.take(self.listener.look(self.now, self.through, self.devices, self.up))
        self.looked = self.now

    def wait(self, ms: int) -> None:
        """Time passes, looked at as core does, only more rarely."""
        until = self.now + ms
        while self.now < until:
            self.now = min(until, self.now + 30 * S)
            self.look()

    def say(self, *names: str, judged: bool = True, gateway: str = "", **options: Any) -> None:
        for name in names:
            device = self.devices.get(name)
            by = gateway or (device.gateway if device else None) or "gw1"
            self.waiting.append(Reading(name, "smoke", by, self.now, self.now, None, 0, True, {}, **options))
        if judged:
            self.judge()

    def overtake(self, name: str) -> None:
        """Said and judged now, while others wait."""
        waiting, self.waiting = self.waiting, []
        self.say(name, judged=False)
        self.judge(through=waiting[0].received_at_ms)
        self.waiting = waiting

    def judge(self, through: int | None = None) -> None:
        for reading in self.waiting:
            scope = reading.scope
            before = self.heard_at.get(scope, NEVER)
            self.heard_at[scope] = max(before, reading.received_at_ms)
            self.listener.heard(reading, before)
            self.listener.ourselves.came(reading.gateway, "b", reading.received_at_ms)
        self.waiting.clear()
        self.take(self.listener.settle(self.through if through is None else through))

    def stop(self, ms: int) -> None:
        """Killed and started again; what was not judged comes again after that."""
        waiting, self.waiting = self.waiting, []
        self.now += ms
        self.listener = Listener(self.rules, self.heard, **self.options)
        self.listener.restore(self.stored.values(), {name: json.loads(text) for name, text in self.remembered.items()})
        self.look()
        self.waiting = [replace(reading, received_at_ms=self.now) for reading in waiting]
        self.judge()

    def told(self) -> list[tuple[float, str, str]]:
        """What was told, in minutes from the start."""
        return [((at_ms - START) / MIN, what, who) for at_ms, what, who in self.timeline]


def smoke(number: int, gateway: str | None = None, **attributes: Any) -> Device:
    return Device(f"SMK-{number}", "smoke", f"33010600{number % 2}", gateway=gateway, attributes=attributes)


def lone() -> World:
    world = World(devices=[smoke(1)])
    world.say("SMK-1")
    return world


# --- a device ---------------------------------------------------------------------------------------------------------


def test_a_silent_device_is_told_of_once_and_is_over_with_its_next_reading() -> None:
    world = lone()
    world.wait(3 * H)
    assert world.told() == [(60, "smoke.silent", "SMK-1")]
    world.say("SMK-1")
    assert world.told()[1:] == [(180, "over", "SMK-1")]
    world.wait(2 * H)
    assert world.told()[2:] == [(240, "smoke.silent", "SMK-1")]


def test_a_reading_in_the_very_millisecond_is_in_time_and_one_later_is_not() -> None:
    world = lone()
    world.wait(H)
    world.say("SMK-1")
    world.wait(H)
    world.now += 1
    world.say("SMK-1")
    assert world.told() == [(120, "smoke.silent", "SMK-1"), (120 + 1 / MIN, "over", "SMK-1")]


def test_the_clock_does_not_overtake_a_reading_that_waits_to_be_judged() -> None:
    world = lone()
    world.wait(H - 5 * S)
    world.say("SMK-1", judged=False)
    world.wait(30 * S)
    assert world.told() == []
    world.judge()
    world.wait(H - 31 * S)
    assert world.told() == []
    world.wait(3 * S)
    assert world.told() == [(120 - 5 / 60, "smoke.silent", "SMK-1")]


def test_a_reading_that_overtakes_an_earlier_one_ends_no_gap_before_that_is_judged() -> None:
    world = lone()
    world.wait(H - 10 * S)
    world.say("SMK-1", judged=False)
    world.wait(30 * S)
    world.overtake("SMK-1")  # by the alarm lane, more than an hour after the first one
    world.look()
    world.judge()
    world.look()
    assert world.told() == []


def test_a_look_in_the_very_millisecond_leaves_it_to_a_reading_of_the_same() -> None:
    world = lone()
    world.wait(20 * S)
    world.say("SMK-1")
    world.wait(H)
    world.say("SMK-1")
    assert world.told() == []


@pytest.mark.parametrize(
    "options", [{"entitled": False}, {"registered": False}], ids=lambda options: next(iter(options))
)
def test_whoever_has_no_right_to_speak_for_it_does_not_end_its_absence(options: dict[str, bool]) -> None:
    world = lone()
    for _ in range(4):
        world.wait(30 * MIN)
        world.say("SMK-1" if "entitled" in options else "SMK-2", **options)
    assert world.told() == [(60, "smoke.silent", "SMK-1")]


def test_a_late_reading_is_a_sign_of_life() -> None:
    world = lone()
    world.wait(50 * MIN)
    world.say("SMK-1", late=True)
    world.wait(50 * MIN)
    assert world.told() == []


def test_each_device_has_its_own_interval() -> None:
    world = World(devices=[smoke(1), smoke(2, interval_s=60)])
    world.say("SMK-1", "SMK-2")
    world.wait(2 * H)
    assert world.told() == [(3, "smoke.silent", "SMK-2"), (60, "smoke.silent", "SMK-1")]


# --- never seen -------------------------------------------------------------------------------------------------------


def test_a_device_that_was_never_heard_is_another_matter_than_a_silent_one() -> None:
    world = World([SILENT, UNSEEN], [smoke(1), smoke(2)])
    world.wait(H)
    world.say("SMK-2")
    world.wait(90 * MIN)
    assert world.told() == [(120, "smoke.silent", "SMK-2"), (120, "smoke.unseen", "SMK-1")]
    world.say("SMK-1")
    world.wait(H + MIN)
    assert world.told()[2:] == [(150, "over", "SMK-1"), (210, "smoke.silent", "SMK-1")]


def test_since_when_it_is_missed_survives_a_restart_and_begins_with_its_registration() -> None:
    world = World([SILENT, UNSEEN], [smoke(1)])
    world.wait(H)
    world.stop(10 * S)
    world.devices = {**world.devices, "SMK-2": smoke(2)}
    world.wait(4 * H)
    (first, _, one), (second, _, two) = world.told()
    assert (one, two) == ("SMK-1", "SMK-2")
    assert 120 <= first <= 121 + 10 / 60  # what was not watched does not count
    assert 180 <= second <= 181


# --- gateways ---------------------------------------------------------------------------------------------------------


def district(count: int, rules: Iterable[Any] = (SILENT, GATEWAY)) -> World:
    world = World(rules, [smoke(number, "gw1") for number in range(count)])
    world.say(*world.devices)
    return world


def speak(world: World, names: Iterable[str], minutes: int) -> None:
    """These devices report every twenty minutes, each at its own time, for so long."""
    phase = {name: int(name.removeprefix("SMK-")) * 7 % 20 for name in names}
    for minute in range(minutes):
        world.wait(MIN)
        world.say(*(name for name, at in phase.items() if at == minute % 20))


def test_a_silent_gateway_is_one_alarm_and_its_devices_have_none() -> None:
    world = district(500)
    speak(world, world.devices, 41)
    world.wait(5 * H)
    assert world.told() == [(41 + 25, "platform.gateway", "gw1")]
    speak(world, world.devices, 120)
    assert [what for _, what, _ in world.told()[1:]] == ["over"]


def test_who_stays_silent_after_the_gateway_came_back_is_told_of_by_itself() -> None:
    world = district(5)
    speak(world, world.devices, 40)
    world.wait(2 * H)
    world.timeline.clear()
    speak(world, [name for name in world.devices if name != "SMK-3"], 120)
    silent = [(at, who) for at, what, who in world.told() if what == "smoke.silent"]
    ((at, who),) = silent
    back = next(at for at, what, _ in world.told() if what == "over")
    assert who == "SMK-3"
    assert back + 20 < at <= back + 60


def test_a_device_silent_before_its_gateway_has_its_own_alarm() -> None:
    world = district(3)
    speak(world, ["SMK-1", "SMK-2"], 70)
    world.wait(H)
    assert [(what, who) for _, what, who in world.told()] == [("smoke.silent", "SMK-0"), ("platform.gateway", "gw1")]


def test_devices_that_are_due_before_their_gateway_wait_for_what_becomes_of_it() -> None:
    patient = absence("platform.gateway", "gateway", "4 intervals", kind="platform")
    world = district(50, [SILENT, patient])
    speak(world, world.devices, 41)
    world.wait(5 * H)
    assert world.told() == [(41 + 80, "platform.gateway", "gw1")]


def test_a_device_whose_gateway_speaks_again_in_time_was_silent_all_the_while() -> None:
    patient = absence("platform.gateway", "gateway", "4 intervals", kind="platform")
    world = district(2, [SILENT, patient])
    world.wait(44 * MIN)
    world.say("SMK-1")
    world.wait(26 * MIN)
    assert world.told() == []
    world.say("SMK-1")
    world.wait(20 * MIN)
    assert world.told() == [(60, "smoke.silent", "SMK-0")]


def test_a_gateway_of_one_device_is_that_device() -> None:
    world = district(1)
    world.wait(2 * H)
    assert world.told() == [(60, "smoke.silent", "SMK-0")]


def test_the_area_of_a_gateway_is_where_all_its_devices_lie() -> None:
    world = district(4)
    world.wait(H)
    (alarm,) = world.stored.values()
    assert (alarm.scope, alarm.area, alarm.kind) == ("gateway:gw1", "330106", "platform")


def test_a_gateway_rule_on_trial_keeps_nobody_from_being_told() -> None:
    world = district(2, [SILENT, replace(GATEWAY, shadow=True)])
    world.wait(40 * MIN)
    world.say("SMK-1")
    world.wait(H)
    assert (60, "smoke.silent", "SMK-0") in world.told()
    assert (25, "platform.gateway", "gw1") in world.told()


# --- ourselves --------------------------------------------------------------------------------------------------------


def test_a_broker_that_is_away_is_one_alarm_and_nobody_behind_it_is_called_silent() -> None:
    world = World([SILENT, GATEWAY, BROKER, UNSEEN], [smoke(number, "gw1") for number in range(50)])
    world.say(*world.devices)
    world.wait(10 * MIN)
    world.up = {"b": False}
    world.wait(5 * H)
    assert world.told() == [(12, "platform.blind", "b")]
    world.up = {"b": True}
    speak(world, world.devices, 120)
    assert [(what, who) for _, what, who in world.told()[1:]] == [("over", "b")]


def test_a_short_reconnect_is_no_alarm() -> None:
    world = World([BROKER])
    world.up = {"b": False}
    world.wait(MIN)
    world.up = {"b": True}
    world.wait(H)
    assert world.told() == []


@pytest.mark.parametrize("away", [H, 3 * 24 * H], ids=["an hour", "three days"])
def test_while_core_did_not_run_nobody_was_silent_but_ourselves(away: int) -> None:
    world = World([SILENT, GATEWAY, BROKER], [smoke(number, "gw1") for number in range(50)])
    world.say(*world.devices)
    world.wait(10 * MIN)
    world.stop(away)
    assert [what for _, what, _ in world.told()] == ["platform.blind", "over"]
    speak(world, world.devices, 120)
    assert [what for _, what, _ in world.told()] == ["platform.blind", "over"]


def test_the_first_start_of_all_tells_of_no_past() -> None:
    world = World([SILENT, GATEWAY, BROKER, UNSEEN])
    world.heard_at = {f"SMK-{number}": START - 24 * H for number in range(9)}
    world.devices = {f"SMK-{number}": smoke(number, "gw1") for number in range(9)}
    world.wait(GRACE_MS)
    assert world.told() == []


@pytest.mark.parametrize("step", [H, -H, 24 * H, -24 * H], ids=["+1h", "-1h", "+1d", "-1d"])
def test_a_clock_that_is_set_makes_no_storm(step: int) -> None:
    world = World([SILENT, GATEWAY, UNSEEN], [smoke(number, "gw1") for number in range(50)])
    speak(world, world.devices, 40)
    world.now += step
    speak(world, world.devices, 120)
    world.now -= step
    speak(world, world.devices, 120)
    assert world.told() == []


def test_a_reading_right_after_a_jump_of_the_clock_ends_no_gap() -> None:
    world = World([SILENT, GATEWAY], [smoke(number, "gw1") for number in range(5)])
    speak(world, world.devices, 40)
    world.now += 24 * H
    world.say(*world.devices)
    world.wait(MIN)
    assert world.told() == []


def test_after_a_clock_was_set_back_a_silent_device_is_still_heard_again() -> None:
    world = lone()
    world.wait(2 * H)
    world.now -= 24 * H
    world.say("SMK-1")
    assert [what for _, what, _ in world.told()] == ["smoke.silent", "over"]


def test_while_we_cannot_keep_up_nobody_is_silent() -> None:
    world = World(devices=[smoke(1), smoke(2)])
    world.say("SMK-1", "SMK-2")
    world.wait(10 * MIN)
    world.say("SMK-1", judged=False)
    world.wait(3 * H)
    world.judge()
    world.say("SMK-1", "SMK-2")
    assert world.told() == []


def test_a_gap_in_a_recording_is_nobodys_absence() -> None:
    world = World([SILENT], [smoke(1), smoke(2), smoke(3)], replaying=True)
    for minute in range(0, 121, 20):
        world.now = START + minute * MIN
        world.say("SMK-1", "SMK-2" if minute < 40 else "SMK-1")
    assert world.told() == [(80, "smoke.silent", "SMK-2")]
    world.now += INPUT_GAP_MS + H
    world.say("SMK-1")
    assert world.told()[1:] == []


# --- what changes -----------------------------------------------------------------------------------------------------


def registry(world: World, *devices: Device) -> None:
    world.devices = {device.device_id: device for device in devices}
    world.look()


def test_a_device_taken_out_of_the_registry_takes_its_alarm_along() -> None:
    world = lone()
    world.wait(2 * H)
    (alarm,) = world.stored.values()
    registry(world)
    assert world.told()[1:] == [(120, "over", "SMK-1")]
    assert world.stored == {}
    registry(world, replace(smoke(1), kind="lift"))
    world.wait(2 * H)
    assert len(world.told()) == 2
    assert alarm.rule_id == "smoke.silent"


def test_a_device_that_is_added_or_moved_or_reports_otherwise_counts_at_once() -> None:
    world = World([SILENT, GATEWAY], [smoke(1, "gw1"), smoke(2, "gw1")])
    world.say("SMK-1", "SMK-2")
    world.wait(10 * MIN)
    registry(world, smoke(1, "gw2"), smoke(2, "gw2"), smoke(3, "gw3", interval_s=60))
    world.say("SMK-1", "SMK-2", "SMK-3")
    world.wait(20 * MIN)
    assert world.told() == [(13, "smoke.silent", "SMK-3")]
    world.wait(6 * MIN)
    assert world.told()[1:] == [(35, "platform.gateway", "gw2")]
    registry(world, smoke(1, "gw4"), smoke(2, "gw5"), smoke(3, "gw3", interval_s=7200))
    assert [(what, who) for _, what, who in world.told()[2:]] == [("over", "SMK-3"), ("over", "gw2")]
    world.wait(6 * H)
    assert (10 + 360, "smoke.silent", "SMK-3") in world.told()


def test_neither_a_clock_set_back_nor_a_neighbour_ends_an_alarm() -> None:
    world = lone()
    world.wait(2 * H)
    world.now -= 24 * H
    registry(world, smoke(1), smoke(2))
    assert world.told() == [(60, "smoke.silent", "SMK-1")]


def test_while_a_large_registry_is_planned_anew_nobody_is_forgotten() -> None:
    world = World([SILENT, UNSEEN], [smoke(number) for number in range(5 * STEP)])
    registry(world, *world.devices.values(), smoke(5 * STEP))  # only its first step is made
    assert world.listener.busy
    world.say("SMK-0", f"SMK-{5 * STEP}")
    world.wait(H + MIN)
    assert {(60, "smoke.silent", "SMK-0"), (60, "smoke.silent", f"SMK-{5 * STEP}")} <= set(world.told())


def test_a_gateway_that_is_no_longer_watched_leaves_its_devices_their_time() -> None:
    world = district(3)
    world.wait(50 * MIN)
    world.listener.use(RuleSet((SILENT,)))
    world.look()
    assert world.told() == [(25, "platform.gateway", "gw1"), (50, "over", "gw1")]
    world.wait(58 * MIN)
    assert len(world.told()) == 2
    world.wait(5 * MIN)
    assert {who for _, _, who in world.told()[2:]} == set(world.devices)


def test_a_shorter_limit_lets_an_alarm_be_and_a_rule_of_another_kind_ends_it() -> None:
    world = lone()
    world.wait(2 * H)
    world.listener.use(RuleSet((absence("smoke.silent", "device", "2 intervals", interval="20m"),)))
    world.look()
    ((alarm_id, alarm),) = world.stored.items()
    assert alarm.memory == {"limit_ms": 40 * MIN}
    assert len(world.told()) == 1
    world.listener.use(RuleSet((absence("smoke.silent", "never_seen", "2h"),)))
    world.look()
    assert world.told()[1:] == [(120, "over", "SMK-1")]
    assert alarm_id not in world.stored


def test_a_rule_that_is_switched_off_ends_its_alarms() -> None:
    world = lone()
    world.wait(2 * H)
    world.listener.use(RuleSet((replace(SILENT, enabled=False),)))
    world.look()
    assert world.told()[1:] == [(120, "over", "SMK-1")]


def test_a_storm_is_told_in_portions_and_nothing_of_it_is_lost() -> None:
    world = World([UNSEEN], [smoke(number) for number in range(5 * BEGUN)])
    world.now += 2 * H
    world.listener.ourselves._looked_at_ms = world.now
    portions = []
    for _ in range(10):
        before = len(world.told())
        world.now += S
        world.look()
        portions.append(len(world.told()) - before)
    assert sum(portions) == 5 * BEGUN
    assert max(portions) <= 2 * BEGUN


def test_those_who_come_back_all_at_once_are_heard_in_portions_and_nobody_is_left_silent() -> None:
    names = [f"SMK-{number}" for number in range(3 * SPOKEN)]
    world = World(devices=[smoke(number) for number in range(3 * SPOKEN)])
    world.say(*names)
    world.wait(3 * H)
    silent = len(world.told())
    assert silent == 3 * SPOKEN
    portions = []
    world.say(*names, judged=False)
    world.judge()
    for _ in range(10):
        portions.append(len(world.told()) - silent - sum(portions))
        assert world.listener.busy or sum(portions) == 3 * SPOKEN
        world.look()
    assert max(portions) <= SPOKEN
    assert not world.stored


def test_an_alarm_whose_end_was_not_recorded_ends_after_the_restart() -> None:
    world = World([SILENT, GATEWAY, UNSEEN], [smoke(1, "gw1"), smoke(2, "gw1"), smoke(3)])
    world.say("SMK-1", "SMK-2")
    world.wait(3 * H)
    assert {alarm.rule_id for alarm in world.stored.values()} == {"platform.gateway", "smoke.unseen"}
    for name in world.devices:  # the windows know it; the process died before it told
        world.heard_at[name] = world.now
    world.stop(S)
    assert world.stored == {}
    world.wait(H + 5 * MIN)
    assert {(what, who) for _, what, who in world.told()[4:]} == {
        ("platform.gateway", "gw1"),
        ("smoke.silent", "SMK-3"),
    }


# --- any order --------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(["SMK-1", "SMK-2"])),
        st.tuples(st.just("say later"), st.sampled_from(["SMK-1", "SMK-2"])),
        st.tuples(st.just("wait"), st.integers(1, 50)),
        st.tuples(st.just("stop"), st.integers(1, 90)),
        st.tuples(st.just("lose broker"), st.integers(1, 90)),
    ),
    max_size=25,
)


def due(heard: int, spells: list[tuple[int, int]], limit: int) -> int:
    """When a limit of watched time is over, counted from edge to edge."""
    spells = [(max(begin, heard), end) for begin, end in spells if end > heard]
    edges = sorted({heard, heard + 10**12, *(edge for spell in spells for edge in spell)})
    left, floor = limit, 0
    for begin, end in pairwise(edges):
        if any(a <= begin and end <= b for a, b in spells):
            floor = end + min(limit, GRACE_MS)
        elif left <= end - begin and floor <= max(begin + left, end - 1):
            return max(begin + left, floor)
        else:
            left = max(0, left - (end - begin))
    raise AssertionError


class Telling:
    """Plays steps in a world and keeps count by itself of who was heard when, and when nobody could be."""

    def __init__(self) -> None:
        self.world = World(devices=[smoke(1), smoke(2)])
        self.said: dict[str, list[int]] = {"SMK-1": [], "SMK-2": []}
        self.blind: list[tuple[int, int]] = []

    def play(self, what: str, value: Any) -> None:
        world = self.world
        if what in {"say", "say later"}:
            world.say(value, judged=False)
            self.said[value].append(world.now)
            world.wait(20 * S if what == "say later" else 0)
            world.judge()
        elif what == "wait":
            world.wait(value * MIN)
        elif what == "stop":
            since = world.alive
            world.stop(value * MIN)
            self.blind.append((since, world.now))
        else:
            since = world.looked
            world.up = {"b": False}
            world.wait(value * MIN)
            world.up = {"b": True}
            world.wait(1)
            self.blind.append((since, world.now))

    def expected(self) -> list[tuple[int, str, str]]:
        found = []
        for name, times in self.said.items():
            for begin, end in pairwise([*times, (self.world.now // S) * S]):
                at = due(begin, self.blind, H)
                if at < end:
                    found.append((at, "smoke.silent", name))
                    found += [(end, "over", name)] if end in times else []
        return sorted(found)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_device_is_called_silent_just_when_it_was_for_longer_than_its_limit_of_watched_time(
    steps: list[tuple[str, Any]],
) -> None:
    telling = Telling()
    for what, value in steps:
        telling.play(what, value)
    telling.world.wait(2 * S)
    assert sorted(telling.world.timeline) == telling.expected()

"""Correlations over changes of alarms: who counts, when one begins and ends, restarts, and that order does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.model import Alarm, AlarmState, Device, Operation, Outcome, Severity
from rules.correlate import Correlator
from rules.groups import Population
from rules.load import read_rules
from rules.rule import RuleSet

MINUTE_MS = 60_000
PLAIN = {"name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "high", "category": "water"}
MAIN = {"of": ["hydrant.low"], "by": "water_main", "at_least": 3, "within": "10m"}
NEAR = {"of": ["hydrant.low"], "by": "radius", "radius_m": 100, "at_least": 3, "within": "10m"}
METRE = 1 / 111_195
"""Degrees of latitude."""


def make(*correlations: dict[str, Any]) -> RuleSet:
    """Correlations over two rules of hydrants, each given by what differs from a plain one."""
    written = [{**PLAIN, "id": f"hydrant.c{number}", **rule} for number, rule in enumerate(correlations)]
    rules = [{**PLAIN, "id": name, "when": "leak"} for name in ("hydrant.low", "hydrant.leak")]
    return RuleSet(tuple(read_rules({"kind": "hydrant", "rules": rules, "correlations": written})))


def hydrant(number: int, main: str = "M", metres_north: float = 0, **more: Any) -> Device:
    return Device(
        f"H{number}", "hydrant", "330106003012001", water_main=main, lon=120.1, lat=30 + metres_north * METRE, **more
    )


def alarm(number: int, minute: float, rule: str = "hydrant.low", **more: Any) -> Alarm:
    """The firing alarm of a hydrant; its id says of which and when."""
    plain = Alarm(f"{rule}-H{number}-{minute}", rule, "1", f"H{number}", f"H{number}", "hydrant", "330106003012001",
                  Severity.MEDIUM, AlarmState.FIRING, 0, fired_at_ms=round(minute * MINUTE_MS), event_id=f"E{number}",
                  evidence={"gateway": "g"})  # fmt: skip
    return replace(plain, **more)


class Site:
    """A correlator, the devices, and what the records would hold; :meth:`restart` begins anew from those alone."""

    def __init__(self, rules: RuleSet, devices: Iterable[Device]) -> None:
        self.rules = rules
        self.devices = {device.device_id: device for device in devices}
        self.stored: dict[str, Alarm] = {}
        self.told: list[str] = []
        self.joined: list[str] = []
        self.now_ms = 0
        self.correlator = Correlator(rules, Population(rules, self.devices))

    def fire(self, *alarms: Alarm) -> None:
        for one in alarms:
            self.now_ms = max(self.now_ms, one.fired_at_ms or 0)
            self._hear(one)

    def resolve(self, one: Alarm, minute: float) -> None:
        self.now_ms = max(self.now_ms, round(minute * MINUTE_MS))
        self._hear(replace(one, state=AlarmState.RESOLVED, resolved_at_ms=round(minute * MINUTE_MS)))

    def confirm(self, one: Alarm, minute: float, outcome: Outcome) -> None:
        self.now_ms = round(minute * MINUTE_MS)
        self._hear(replace(one, outcome=outcome, confirmed_at_ms=self.now_ms, revision=one.revision + 1))

    def pass_time(self, minute: float) -> None:
        self.now_ms = round(minute * MINUTE_MS)
        while (wake_ms := self.correlator.next_wake_ms()) is not None and wake_ms <= self.now_ms:
            self._take(self.correlator.advance(wake_ms or self.now_ms))

    def restart(self, rules: RuleSet | None = None) -> None:
        self.rules = rules or self.rules
        self.correlator = Correlator(self.rules, Population(self.rules, self.devices))
        active = (one for one in self.stored.values() if one.state is AlarmState.FIRING)
        self.correlator.restore(active, self.devices)

    def _hear(self, one: Alarm) -> None:
        self.stored[one.alarm_id] = one
        self._take(self.correlator.take(one, self.devices.get(one.device_id), self.now_ms))

    def _take(self, transitions: Sequence[Any]) -> None:
        for transition in transitions:
            self.stored[transition.alarm.alarm_id] = transition.alarm
            self.joined += [one.event_id for one in getattr(transition, "news", ())]
            if transition.operation is not None:
                self.told.append(transition.operation.value.removeprefix("alarm."))

    @property
    def raised(self) -> list[Alarm]:
        """Alarms of correlations, in the order in which they fired."""
        ours = (one for one in self.stored.values() if ".c" in one.rule_id)
        return sorted(ours, key=lambda one: (one.fired_at_ms or 0, one.scope))

    def members(self, one: Alarm) -> list[str]:
        return [member["device_id"] for member in one.evidence["members"]]


def site(rule: dict[str, Any] = MAIN, hydrants: int = 6, **more: Any) -> Site:
    return Site(make({**rule, **more}), [hydrant(number) for number in range(hydrants)])


def test_the_third_hydrant_of_a_main_within_ten_minutes_makes_it_one_matter() -> None:
    here = site()
    here.fire(alarm(0, 0), alarm(1, 4))
    assert here.raised == []
    here.fire(alarm(2, 9))
    (burst,) = here.raised
    assert (burst.scope, burst.device_id, burst.kind, burst.area) == (
        "water_main:M",
        "H0",
        "hydrant",
        "330106003012001",
    )
    assert (burst.state, burst.severity, burst.fired_at_ms) == (AlarmState.FIRING, Severity.HIGH, 9 * MINUTE_MS)
    assert burst.evidence == {
        "group": {"by": "water_main", "id": "M"}, "k": 3, "n": 6, "count": 3,
        "members": [
            {"alarm_id": f"hydrant.low-H{n}-{minute}", "device_id": f"H{n}", "rule_id": "hydrant.low",
             "fired_at_ms": minute * MINUTE_MS}
            for n, minute in ((0, 0), (1, 4), (2, 9))
        ],
    }  # fmt: skip
    assert (here.told, here.joined) == (["fired"], ["E0", "E1", "E2"])


def test_who_comes_later_joins_and_nothing_is_told_twice() -> None:
    here = site()
    here.fire(alarm(0, 0), alarm(1, 4), alarm(2, 9), alarm(3, 50))
    (burst,) = here.raised
    assert (here.members(burst), burst.evidence["count"], burst.fired_at_ms) == (["H0", "H1", "H2", "H3"], 4, 540_000)
    assert (here.told, here.joined[-1]) == (["fired"], "E3")


@pytest.mark.parametrize(
    ("alarms", "why"),
    [
        ([alarm(0, 0), alarm(1, 4), alarm(2, 11)], "too far apart in time"),
        ([alarm(0, 0), alarm(1, 4), alarm(7, 5)], "on another main"),
        ([alarm(0, 0), alarm(1, 4), alarm(8, 5)], "on no main"),
        ([alarm(0, 0), alarm(1, 4), alarm(9, 5)], "not registered"),
        ([alarm(0, 0), alarm(1, 4), alarm(1, 5, "hydrant.leak")], "one device twice"),
        ([alarm(0, 0), alarm(1, 4), alarm(2, 5, unverified=True)], "unverified"),
        ([alarm(0, 0), alarm(1, 4), alarm(2, 5, suppressed=True)], "suppressed by design"),
        ([alarm(0, 0), alarm(1, 4), alarm(2, 5, shadow=True)], "of a rule on trial"),
        ([alarm(0, 0), alarm(1, 4), alarm(2, 5, outcome=Outcome.TEST)], "a test"),
        ([alarm(0, 0), alarm(1, 4), alarm(2, 5, "hydrant.tilt")], "of a rule that does not count"),
        ([alarm(0, 0), alarm(1, 4), alarm(2, 5, state=AlarmState.PENDING)], "only pending"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_count(alarms: list[Alarm], why: str) -> None:
    here = Site(make({**MAIN, "of": ["hydrant.low", "hydrant.leak"]}), [hydrant(n) for n in range(6)])
    here.devices |= {"H7": hydrant(7, "other"), "H8": hydrant(8, "")}
    here.fire(*alarms)
    assert here.raised == [], why


def test_alarms_of_a_rule_on_trial_count_for_correlations_on_trial() -> None:
    here = Site(make({**MAIN, "shadow": True}, MAIN), [hydrant(n) for n in range(6)])
    here.fire(alarm(0, 0), alarm(1, 1), alarm(2, 2, shadow=True))
    assert [(one.rule_id, one.shadow) for one in here.raised] == [("hydrant.c0", True)]


def test_a_share_of_the_registered_devices_is_asked_for_besides_a_number() -> None:
    here = site(share=0.5, at_least=2, hydrants=10)
    here.fire(*(alarm(n, n) for n in range(4)))
    assert here.raised == []
    here.fire(alarm(4, 4))
    assert [(one.evidence["k"], one.evidence["n"]) for one in here.raised] == [(5, 10)]


@pytest.mark.parametrize("by", ["building", "grid", "community", "street", "water_main", "power_feeder", "gateway"])
def test_every_kind_of_group(by: str) -> None:
    places = {"building": "B", "water_main": "M2", "power_feeder": "F", "gateway": "gw"}
    devices = [replace(hydrant(n), **places) for n in range(3)]
    here = Site(make({**MAIN, "by": by}), devices)
    here.fire(*(alarm(n, n) for n in range(3)))
    wanted = {**places, "grid": "330106003012001", "community": "330106003012", "street": "330106003"}[by]
    assert [one.scope for one in here.raised] == [f"{by}:{wanted}"]


def test_a_device_of_no_gateway_of_its_own_counts_for_the_one_that_spoke() -> None:
    here = site(by="gateway")
    here.fire(*(alarm(n, n) for n in range(3)))
    assert [one.scope for one in here.raised] == ["gateway:g"]


def test_it_is_over_when_fewer_fire_and_the_clear_hold_has_run() -> None:
    here = site(clear_below=2, clear_for="5m")
    alarms = [alarm(n, n) for n in range(3)]
    here.fire(*alarms)
    here.resolve(alarms[0], 20)
    here.pass_time(40)
    assert here.told == ["fired"]
    here.resolve(alarms[1], 50)
    here.pass_time(54.9)
    assert here.told == ["fired"]
    here.restart()
    here.pass_time(55)
    (burst,) = here.raised
    assert (here.told, burst.state, burst.resolved_at_ms) == (
        ["fired", "resolved"],
        AlarmState.RESOLVED,
        55 * MINUTE_MS,
    )
    assert burst.evidence["count"] == 1
    assert here.correlator.next_wake_ms() is None


def test_while_its_clear_hold_runs_enough_new_ones_within_its_time_keep_it() -> None:
    here = site(clear_for="30m")
    alarms = [alarm(n, n) for n in range(3)]
    here.fire(*alarms)
    for one in alarms:
        here.resolve(one, 10)
    here.fire(alarm(3, 12), alarm(4, 13), alarm(0, 25))
    assert here.raised[0].clear_since_ms is not None
    here.fire(alarm(1, 26), alarm(2, 27))
    assert here.raised[0].clear_since_ms is None
    assert here.told == ["fired"]


def test_after_its_end_it_begins_again_as_another_alarm() -> None:
    here = site()
    alarms = [alarm(n, n) for n in range(4)]
    here.fire(*alarms[:3])
    here.resolve(alarms[2], 3)
    here.fire(alarms[3])
    first, second = here.raised
    assert (first.state, second.state) == (AlarmState.RESOLVED, AlarmState.FIRING)
    assert here.members(second) == ["H0", "H1", "H3"]
    assert here.told == ["fired", "resolved", "fired"]


def test_a_latched_one_waits_for_a_person() -> None:
    here = site(latched=True, life_safety=True)
    alarms = [alarm(n, n) for n in range(3)]
    here.fire(*alarms)
    (fire,) = here.raised
    assert here.correlator.standing.acknowledge(fire.alarm_id, "op", 1, "") is not None
    assert here.correlator.standing.acknowledge(fire.alarm_id, "op", 2, "") is None
    here.resolve(alarms[0], 5)
    assert (here.raised[0].state, here.raised[0].acknowledged_by) == (AlarmState.FIRING, "op")
    assert here.told == ["fired", "cleared"]
    confirmed = here.correlator.standing.confirm(fire.alarm_id, "op", 400_000, Outcome.TRUE, "flames")
    assert confirmed is not None
    assert (confirmed.operation, confirmed.alarm.state) == (Operation.ALARM_RESOLVED, AlarmState.RESOLVED)
    assert here.correlator.standing.active(fire.alarm_id) is None
    assert here.correlator.standing.confirm(fire.alarm_id, "op", 400_000, Outcome.TRUE, "") is None
    assert here.correlator.standing.acknowledge(fire.alarm_id, "op", 1, "") is None


def test_what_a_person_calls_false_counts_no_more_until_the_person_says_otherwise() -> None:
    here = site()
    alarms = [alarm(n, n) for n in range(3)]
    here.fire(*alarms)
    here.confirm(alarms[1], 5, Outcome.FALSE)
    here.confirm(alarms[1], 6, Outcome.TRUE)
    first, second = here.raised
    assert first.alarm_id != second.alarm_id
    assert here.told == ["fired", "resolved", "fired"]


def test_what_began_shortly_before_is_part_of_it_heard_of_sooner_or_later() -> None:
    """The first hydrant is low eight minutes before the second; three together are low only within the last four."""
    alarms = [alarm(0, 0), alarm(1, 8), alarm(2, 11), alarm(3, 12)]
    for order in (alarms, alarms[::-1], [*alarms[1:], alarms[0]]):
        here = site()
        here.fire(*order)
        assert here.members(here.raised[0]) == ["H0", "H1", "H2", "H3"]
        assert sorted(here.joined) == ["E0", "E1", "E2", "E3"]


def test_an_earlier_burst_that_is_heard_of_later_is_the_same_matter() -> None:
    earlier, later = [alarm(n, 0) for n in range(3)], [alarm(n + 3, 11) for n in range(3)]
    for order in (earlier + later, later + earlier):
        here = site()
        here.fire(*order)
        assert here.members(here.raised[0]) == ["H0", "H1", "H2", "H3", "H4", "H5"]


def test_an_old_alarm_on_the_same_main_is_another_matter() -> None:
    here = site()
    here.fire(alarm(5, -3000), alarm(0, 0), alarm(1, 4), alarm(2, 9))
    assert here.members(here.raised[0]) == ["H0", "H1", "H2"]
    assert "E5" not in here.joined


def test_in_which_scopes_a_new_alarm_counts() -> None:
    rules = make(MAIN, {**MAIN, "shadow": True}, {**MAIN, "incident": "none"}, NEAR)
    here = Site(rules, [hydrant(number) for number in range(6)])

    def scopes(one: Alarm) -> list[str]:
        return [scope for _, scope in here.correlator.scopes_of(one, here.devices.get(one.device_id))]

    assert scopes(alarm(0, 0)) == ["water_main:M"]
    here.fire(alarm(0, 0), alarm(1, 4), alarm(2, 9))
    assert scopes(alarm(3, 50)) == ["water_main:M", "radius:H0"]
    assert scopes(alarm(3, -50)) == []
    assert scopes(alarm(3, 50, unverified=True)) == scopes(alarm(3, 50, shadow=True)) == scopes(alarm(99, 50)) == []


# --- circles ---------------------------------------------------------------------------------------------------------


def row(*metres: float) -> list[Device]:
    """Hydrants so many metres up a road."""
    return [hydrant(number, metres_north=north) for number, north in enumerate(metres)]


def test_a_circle_is_drawn_around_the_first_of_those_who_are_near() -> None:
    here = Site(make(NEAR), [*row(0, 60, 99, 101, 150), replace(hydrant(5), lon=None)])
    here.fire(alarm(3, 0), alarm(4, 0.5), alarm(0, 1), alarm(1, 2), alarm(5, 2))
    (first,) = here.raised
    assert (first.scope, first.evidence["group"]) == ("radius:H3", {"by": "radius", "id": "H3", "radius_m": 100})
    assert (here.members(first), first.evidence["n"]) == (["H3", "H4", "H1"], 4)
    here.fire(alarm(2, 3))
    assert here.members(here.raised[0]) == ["H3", "H4", "H1", "H2"]


def test_a_circle_is_not_always_around_the_first_that_is_near_the_last() -> None:
    here = Site(make(NEAR), row(0, 150, 160, 90))
    here.fire(*(alarm(n, n) for n in range(4)))
    assert [(one.scope, here.members(one)) for one in here.raised] == [("radius:H1", ["H1", "H2", "H3"])]


def test_who_is_in_a_circle_counts_for_no_other() -> None:
    here = Site(make({**NEAR, "at_least": 2}), row(0, 80, 160, 240))
    here.fire(alarm(0, 0), alarm(1, 1), alarm(2, 2))
    assert [one.scope for one in here.raised] == ["radius:H0"]
    here.fire(alarm(3, 3))
    assert [one.scope for one in here.raised] == ["radius:H0", "radius:H2"]


def test_when_a_circle_s_alarm_is_over_those_in_it_may_make_up_another() -> None:
    here = Site(make({**NEAR, "at_least": 2}), row(0, 80, 160))
    alarms = [alarm(n, n) for n in range(3)]
    here.fire(*alarms)
    here.restart()
    here.resolve(alarms[0], 4)
    assert here.told == ["fired", "resolved"]
    here.fire(alarm(0, 5))
    assert [(one.scope, here.members(one)) for one in here.raised][1:] == [("radius:H1", ["H1", "H2", "H0"])]


@pytest.mark.parametrize(
    "lat_lon", [(0.0, 179.9996), (89.9999, 20.0), (-45.0, -180.0)], ids=["date line", "pole", "west"]
)
def test_circles_at_the_edges_of_the_map(lat_lon: tuple[float, float]) -> None:
    lat, lon = lat_lon
    other = (lon + 180) % 360 - 180 + 0.0005
    devices = [replace(hydrant(n), lat=lat, lon=place) for n, place in enumerate((lon, (other + 180) % 360 - 180, lon))]
    here = Site(make(NEAR), devices)
    here.fire(*(alarm(n, n) for n in range(3)))
    assert len(here.raised) == 1


# --- restarts, other rules, any order --------------------------------------------------------------------------------


def test_a_restart_tells_nothing_again_and_goes_on_counting() -> None:
    here = Site(make(MAIN, NEAR), [hydrant(number) for number in range(6)])
    alarms = [alarm(n, n) for n in range(4)]
    here.fire(*alarms[:3])
    here.restart()
    assert here.correlator.next_wake_ms() is None
    here.fire(alarms[3])
    here.restart()
    assert here.told == ["fired", "fired"]
    assert [here.members(one) for one in here.raised] == [["H0", "H1", "H2", "H3"]] * 2
    for one in alarms:
        here.resolve(one, 10)
    assert sorted(here.told) == ["fired", "fired", "resolved", "resolved"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({**MAIN, "at_least": 2, "clear_for": "5m"}, ["fired"]),
        ({**MAIN, "of": ["hydrant.low", "hydrant.leak"]}, ["fired", "resolved"]),
        (MAIN, ["fired"]),
    ],
    ids=["a number", "what it counts", "nothing"],
)
def test_after_a_change_of_its_rule_an_alarm_goes_on_or_ends(rule: dict[str, Any], told: list[str]) -> None:
    here = site()
    here.fire(*(alarm(n, n) for n in range(3)))
    (before,) = here.raised
    here.restart(make(rule))
    here.pass_time(10)
    (after,) = here.raised
    assert here.told == told
    wanted = here.rules.by_id["hydrant.c0"].version if told == ["fired"] else before.rule_version
    assert after.rule_version == wanted


def test_a_device_that_moved_while_nobody_looked_does_not_keep_the_alarm_for_ever() -> None:
    here = site()
    here.fire(*(alarm(n, n) for n in range(3)))
    here.devices["H1"] = hydrant(1, "other")
    here.restart()
    here.pass_time(20)
    assert here.told == ["fired", "resolved"]


Fired = tuple[int, int]
FIRED = st.tuples(st.integers(0, 7), st.integers(0, 30))
"""Which hydrant, and in which minute; the first four lie on one main, the others on another."""


@settings(max_examples=150, deadline=None)
@given(st.lists(FIRED, unique=True, max_size=12), st.randoms(use_true_random=False), st.sampled_from([MAIN, NEAR]))
def test_whatever_the_order_of_arrival_the_same_alarms_stand_on_the_same_members(
    fired: list[Fired], chance: Any, rule: dict[str, Any]
) -> None:
    devices = [hydrant(n, "MN"[n // 4], metres_north=20 * n if n < 4 else 5000 + 20 * n) for n in range(8)]
    outcomes = []
    orders = [sorted(fired, key=lambda one: one[1]), chance.sample(fired, len(fired))]
    for number, order in enumerate(orders):
        here = Site(make(rule), devices)
        for device, minute in order:
            here.fire(alarm(device, minute))
            if number and chance.random() < 0.3:
                here.restart()
        outcomes.append(
            sorted(
                ([m["alarm_id"] for m in one.evidence["members"]], one.evidence["count"], one.evidence["n"])
                for one in here.raised
            )
        )
        assert here.told == ["fired"] * len(here.raised)
    assert outcomes[0] == outcomes[1]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=25), st.randoms(use_true_random=False))
def test_restarts_anywhere_change_nothing(steps: list[tuple[int, bool]], chance: Any) -> None:
    """Hydrants fire and stop; every now and then everything begins anew from what is stored."""
    stored, told = [], []
    for rough in (False, True):
        here = Site(make({**MAIN, "clear_for": "3m"}, NEAR), [hydrant(number) for number in range(6)])
        firing: dict[int, Alarm] = {}
        for minute, (number, _) in enumerate(steps):
            here.pass_time(minute)
            if number in firing:
                here.resolve(firing.pop(number), minute)
            else:
                firing[number] = alarm(number, minute)
                here.fire(firing[number])
            if rough and chance.random() < 0.5:
                here.restart()
        here.pass_time(100)
        stored.append(here.stored)
        told.append(here.told)
    assert stored[0] == stored[1]
    assert told[0] == told[1]


def test_a_district_of_twenty_thousand_dark_devices_is_counted_without_asking_everybody_each_time() -> None:
    """Held by the work done, not by a clock: what is compared for each newcomer does not grow with their number."""
    count = 20_000
    devices = [
        replace(hydrant(n), water_main="M", lat=30 + n % 200 * METRE, lon=120 + n // 200 * METRE) for n in range(count)
    ]
    here = Site(make(MAIN, NEAR, {**MAIN, "share": 0.9}), devices)
    here.fire(*(alarm(n, n / 2500) for n in range(count)))
    by_rule = {one.rule_id: one for one in here.raised if one.rule_id != "hydrant.c1"}
    assert by_rule["hydrant.c0"].evidence["count"] == count
    assert by_rule["hydrant.c2"].evidence["k"] == 18_000

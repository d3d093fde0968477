"""The engine: what is judged on what, timers, restarts, redeliveries."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.model import Alarm, AlarmState, Device, Operation, Outcome, Reading, Severity
from gridwarden.window import Window
from rules.alarm import Transition
from rules.engine import Engine
from rules.load import read_rules
from rules.rule import RuleSet

DEVICE = Device("D", "lift", "330106", attributes={"limit": 3})


def make(*rules: dict[str, Any]) -> RuleSet:
    """A rule set of lift rules, each given by what differs from a plain one."""
    plain = {"name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "high", "category": "fault"}
    written = [{**plain, "id": f"lift.r{number}", **rule} for number, rule in enumerate(rules)]
    return RuleSet(tuple(read_rules({"kind": "lift", "rules": written})))


HIGH = {"when": "floor > 3"}
HELD = {"when": "floor > 3", "for": "10s", "clear": "floor < 2", "clear_for": "5s"}
TRAPPED = {"when": "entrapment", "life_safety": True, "latched": True}
STUCK = {"when": "motion == 'stopped' and occupied", "life_safety": True, "for": "90s"}


class Core:
    """What core does around the engine: windows, duplicates, lateness, records."""

    def __init__(self, rules: RuleSet, **options: int) -> None:
        self.rules, self.options = rules, options
        self.engine = Engine(rules, **options)
        self.windows, self.stored, self.told, self.count = {}, {}, [], 0
        self.rated: Collection[str] = ()

    def hear(
        self, at_s: float, received_s: float | None = None, device: Device = DEVICE, device_id: str = "D", **values: Any
    ) -> list[Transition]:
        flags = {
            name: values.pop(name) for name in ("registered", "entitled", "gateway", "key", "keyed") if name in values
        }
        self.count += 1
        reading = Reading(
            device_id, "lift", flags.pop("gateway", "g"), round(at_s * 1000), round((at_s if received_s is None else received_s) * 1000),
            None, flags.pop("key", self.count), flags.pop("keyed", True), values, **flags,
        )  # fmt: skip
        window = self.windows.setdefault(device_id, Window())
        if window.knows(reading):
            return []
        reading.late = window.is_late(reading)
        if reading.entitled:
            window.observe(reading, self.rated)
        return self.take(self.engine.decide(reading, window, device if reading.registered else None))

    def pass_time(self, now_s: float) -> None:
        while (wake := self.engine.next_wake_ms()) is not None and wake <= now_s * 1000:
            self.take(self.engine.advance(wake or round(now_s * 1000)))

    def restart(self, rules: RuleSet | None = None) -> None:
        self.rules = rules or self.rules
        self.windows = {name: Window.load(window.dump(), bytes(window.keys)) for name, window in self.windows.items()}
        self.engine = Engine(self.rules, **self.options)
        self.engine.restore(self.stored.values())

    def reload(self, rules: RuleSet, now_s: float) -> None:
        self.rules = rules
        self.take(self.engine.reload(rules, round(now_s * 1000)))

    def take(self, transitions: Iterable[Transition | None]) -> list[Transition]:
        taken = [transition for transition in transitions if transition is not None]
        for transition in taken:
            alarm = transition.alarm
            if transition.forgotten:
                self.stored.pop(alarm.alarm_id)
            else:
                self.stored[alarm.alarm_id] = alarm
            if transition.operation is not None:
                self.told.append((transition.operation.value.removeprefix("alarm."), alarm.rule_id))
        return taken

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.told]


def test_an_alarm_begins_fires_clears_and_leaves_nothing_behind() -> None:
    core = Core(make(HELD))
    core.hear(0, floor=4)
    core.hear(10, floor=4)
    core.hear(20, floor=1)
    core.hear(25, floor=1)
    (alarm,) = core.stored.values()
    assert (alarm.state, alarm.pending_at_ms, alarm.fired_at_ms, alarm.resolved_at_ms) == (
        "resolved",
        0,
        10_000,
        25_000,
    )
    assert (alarm.area, alarm.scope, alarm.severity) == ("330106", "D", Severity.HIGH)
    assert core.operations() == ["fired", "resolved"]
    assert core.engine.active(alarm.alarm_id) is None
    assert core.engine.next_wake_ms() is None


def test_a_later_quiet_reading_fires_first_and_is_heard_then() -> None:
    core = Core(make({**HIGH, "for": "10s"}))
    core.hear(0, floor=4)
    fired, resolved = core.hear(60, floor=1)
    assert (fired.operation, fired.alarm.fired_at_ms) == (Operation.ALARM_FIRED, 10_000)
    assert (resolved.operation, resolved.alarm.resolved_at_ms) == (Operation.ALARM_RESOLVED, 60_000)


def test_a_breach_after_the_clear_hold_ran_out_is_a_new_alarm() -> None:
    core = Core(make({**HIGH, "clear_for": "5s"}))
    core.hear(0, floor=4)
    core.hear(10, floor=1)
    resolved, fired = core.hear(60, floor=4)
    assert (resolved.alarm.resolved_at_ms, fired.alarm.fired_at_ms) == (15_000, 60_000)
    assert resolved.alarm.alarm_id != fired.alarm.alarm_id


def test_a_backlog_of_old_readings_does_not_fire_by_timer_before_the_newer_ones_are_read() -> None:
    core = Core(make({**HIGH, "for": "10s"}))
    core.hear(0, received_s=1000, floor=4)
    core.pass_time(1001)
    core.hear(5, received_s=1001, floor=1)
    core.pass_time(5000)
    assert core.told == []
    assert not core.stored


def test_a_timer_fires_at_the_due_time_of_the_rule() -> None:
    core = Core(make({**HIGH, "for": "10s"}))
    core.hear(0, received_s=1000, floor=4)
    assert core.engine.next_wake_ms() == 1_010_000
    assert core.engine.advance(1_009_999) == []
    (fired,) = core.engine.advance(1_020_000)
    assert fired.alarm.fired_at_ms == 10_000


def test_the_timer_of_a_hold_that_was_broken_no_longer_counts() -> None:
    core = Core(make({**HIGH, "clear_for": "10s"}))
    for at_s, floor in ((0, 4), (1, 1), (5, 4), (8, 1)):
        core.hear(at_s, floor=floor)
    assert core.engine.advance(12_000) == []
    (resolved,) = core.engine.advance(18_000)
    assert resolved.alarm.resolved_at_ms == 18_000


def test_a_rule_on_our_clock_goes_by_receipt() -> None:
    core = Core(make({**HIGH, "for": "10s", "clock": "received"}))
    core.hear(0, received_s=1000, floor=4)
    core.hear(50, received_s=1005, floor=4)
    assert core.told == []
    core.pass_time(1010)
    assert next(iter(core.stored.values())).fired_at_ms == 1_010_000


def test_evidence_is_of_the_beginning_and_refreshed_by_the_reading_that_fires() -> None:
    core = Core(make({"when": "floor > 3 and known(mode)", "for": "10s"}))
    core.hear(0, floor=1, mode="normal", trips=4)
    (pending,) = core.hear(1, floor=4)
    assert pending.alarm.evidence == {
        "values": {"floor": 4, "mode": "normal"}, "previous": {"floor": 1, "mode": "normal"}, "quality": {}, "gateway": "g",
    }  # fmt: skip
    (fired,) = core.hear(20, floor=5)
    assert fired.alarm.evidence["values"] == {"floor": 5, "mode": "normal"}
    calm = Core(make({**HIGH, "for": "10s"}))
    calm.hear(1, floor=4)
    assert calm.hear(20, floor=1)[0].alarm.evidence["values"] == {"floor": 4}


def test_quality_of_the_fields_and_the_time_is_evidence() -> None:
    engine, window = Engine(make(TRAPPED)), Window()
    quality = {"at": "clock", "floor": "out_of_range", "entrapment": "wrong_type"}
    reading = Reading("D", "lift", "g", 1, 1, None, 1, True, {"entrapment": True}, quality)
    window.observe(reading)
    (fired,) = engine.decide(reading, window, DEVICE)
    assert fired.alarm.evidence["quality"] == {"at": "clock", "entrapment": "wrong_type"}


def test_a_late_reading_may_fire_for_life_safety_and_never_clears() -> None:
    core = Core(make(TRAPPED, HIGH))
    core.hear(100, entrapment=False)
    core.hear(50, received_s=101, entrapment=True, floor=9)
    assert core.told == [("fired", "lift.r0")]
    core.hear(60, received_s=102, entrapment=False)
    assert core.told == [("fired", "lift.r0")]
    core.hear(110, entrapment=False)
    assert core.operations() == ["fired", "cleared"]


def test_a_late_reading_knows_no_previous_and_no_window() -> None:
    core = Core(make({**TRAPPED, "when": "entrapment and previous.entrapment == False or alarm_button and occupied"}))
    core.hear(100, entrapment=False, occupied=True)
    core.hear(50, received_s=101, entrapment=True)
    core.hear(51, received_s=102, alarm_button=True)
    assert core.told == []


def test_a_late_reading_does_not_break_a_hold() -> None:
    core = Core(make(STUCK))
    core.hear(100, motion="stopped", occupied=True)
    core.hear(50, received_s=101, motion="running", occupied=True)
    core.pass_time(200)
    assert core.operations() == ["fired"]


@pytest.mark.parametrize(
    ("present", "told"),
    [({"motion": "running", "occupied": True}, []), ({"motion": "stopped"}, ["fired"])],
    ids=["denied", "not denied"],
)
def test_a_late_reading_begins_a_hold_only_where_the_present_does_not_deny_it(
    present: dict[str, Any], told: list[str]
) -> None:
    core = Core(make(STUCK))
    core.hear(100, **present)
    core.hear(50, received_s=101, motion="stopped", occupied=True)
    core.pass_time(300)
    assert core.operations() == told


def test_an_unregistered_device_is_judged_for_life_safety_only() -> None:
    core = Core(make(TRAPPED, HIGH))
    core.hear(0, registered=False, entrapment=True, floor=9)
    (alarm,) = core.stored.values()
    assert (alarm.rule_id, alarm.unverified, alarm.scope, alarm.area) == ("lift.r0", True, "D", "")
    core.hear(1, registered=False, entrapment=False)
    assert core.operations() == ["fired", "cleared"]


def test_what_an_unentitled_gateway_says_has_a_scope_of_its_own() -> None:
    core = Core(make(TRAPPED, STUCK))
    core.hear(0, gateway="x", entitled=False, entrapment=True)
    core.hear(1, entrapment=True)
    core.hear(2, gateway="x", entitled=False, entrapment=False)
    core.hear(3, entrapment=False)
    foreign, own = core.stored.values()
    assert (foreign.scope, foreign.unverified, foreign.cleared_at_ms) == ("\x1fx/D", True, None)
    assert (own.scope, own.unverified, own.cleared_at_ms) == ("D", False, 3000)
    transition = core.engine.confirm(foreign.alarm_id, "me", 9000, Outcome.FALSE, "")
    assert transition is not None
    assert transition.operation is Operation.ALARM_RESOLVED


def test_an_unentitled_hold_can_be_taken_back_by_the_one_who_began_it() -> None:
    core = Core(make(STUCK))
    core.hear(0, gateway="x", entitled=False, motion="stopped", occupied=True)
    core.hear(5, gateway="x", entitled=False, motion="running", occupied=True)
    core.pass_time(500)
    assert core.told == []


def test_unverified_alarms_of_one_gateway_are_limited() -> None:
    core = Core(make(TRAPPED), unverified_limit=2)
    for number in range(4):
        core.hear(number, device_id=f"D{number}", registered=False, entrapment=True)
    core.hear(9, device_id="E", gateway="other", registered=False, entrapment=True)
    core.hear(9, device_id="F", entrapment=True)
    assert len(core.told) == 4
    assert core.engine.unverified_suppressed == 2
    core.restart()
    core.hear(10, device_id="D3", registered=False, entrapment=True)
    assert core.engine.unverified_suppressed == 1
    first = next(iter(core.stored))
    core.hear(11, device_id="D0", registered=False, entrapment=False)
    core.take([core.engine.confirm(first, "me", 12_000, Outcome.TRUE, "")])
    core.hear(12, device_id="D3", registered=False, entrapment=True)
    assert len([a for a in core.stored.values() if a.unverified and a.state is AlarmState.FIRING]) == 3


def test_only_firing_alarms_can_be_confirmed_or_acknowledged() -> None:
    core = Core(make(HELD))
    (pending,) = core.hear(0, floor=4)
    alarm_id = pending.alarm.alarm_id
    assert core.engine.active(alarm_id) == pending.alarm
    assert core.engine.confirm(alarm_id, "me", 1, Outcome.TRUE, "") is None
    assert core.engine.acknowledge(alarm_id, "me", 1, "") is None
    core.pass_time(10)
    assert core.engine.acknowledge("unknown", "me", 1, "") is None
    seen = core.engine.acknowledge(alarm_id, "me", 11_000, "going")
    assert seen is not None
    assert (seen.operation, seen.alarm.note) == (Operation.ALARM_ACKNOWLEDGED, "going")
    assert core.engine.acknowledge(alarm_id, "you", 12_000, "") is None
    known = core.engine.confirm(alarm_id, "me", 13_000, Outcome.TEST, "")
    assert known is not None
    assert (known.operation, known.alarm.state, known.alarm.revision) == (Operation.ALARM_CONFIRMED, "firing", 4)


def test_replace_sets_the_event_and_keeps_the_newer_state() -> None:
    core = Core(make(TRAPPED))
    (fired,) = core.hear(0, entrapment=True)
    (cleared,) = core.hear(1, entrapment=False)
    core.engine.replace(replace(fired.alarm, event_id="E"))
    assert core.engine.active(fired.alarm.alarm_id) == replace(cleared.alarm, event_id="E")
    core.engine.replace(replace(fired.alarm, alarm_id="unknown"))
    assert core.engine.active("unknown") is None


def test_the_alarm_of_a_rule_that_is_gone_ends_at_the_first_advance() -> None:
    core = Core(make(HIGH, {**HIGH, "for": "10s"}, TRAPPED))
    core.hear(0, floor=4, entrapment=True)
    core.restart(make({**HIGH, "enabled": False}))
    assert core.engine.next_wake_ms() == 0
    transitions = core.engine.advance(5000)
    assert [(t.alarm.rule_id, t.operation, t.forgotten) for t in transitions] == [
        ("lift.r0", Operation.ALARM_RESOLVED, False),
        ("lift.r1", None, True),
        ("lift.r2", Operation.ALARM_RESOLVED, False),
    ]
    assert core.engine.next_wake_ms() is None
    assert core.engine.advance(6000) == []


def test_a_changed_rule_keeps_its_alarm() -> None:
    core = Core(make(HELD))
    core.hear(0, floor=4)
    core.pass_time(10)
    core.restart(make({**HELD, "when": "floor > 8"}))
    core.hear(20, floor=5)
    assert core.operations() == ["fired"]
    core.hear(30, floor=1)
    core.pass_time(35)
    assert core.operations() == ["fired", "resolved"]


def test_resolved_alarms_are_not_restored() -> None:
    core = Core(make(HIGH))
    core.hear(0, floor=4)
    core.hear(1, floor=1)
    core.restart()
    assert all(core.engine.active(alarm_id) is None for alarm_id in core.stored)


def test_a_duplicate_changes_nothing_and_the_same_history_gives_the_same_ids() -> None:
    first, second = Core(make(HELD)), Core(make(HELD))
    for core, repeat in ((first, 1), (second, 3)):
        for key, floor in enumerate((4, 4, 1, 1)):
            for _ in range(repeat):
                core.hear(key * 10, floor=floor, key=key)
    assert first.stored == second.stored


def test_a_source_without_time_or_number_gets_a_new_alarm_each_time() -> None:
    core = Core(make(HIGH))
    for at_s, floor in ((0, 4), (1, 1), (2, 4)):
        core.hear(at_s, floor=floor, key=floor, keyed=False)
    assert len(core.stored) == 2


def test_other_kinds_cost_nothing_and_evaluations_are_counted() -> None:
    core = Core(make(HIGH, TRAPPED))
    core.hear(0, floor=1)
    core.hear(0, floor=1, device_id="U", registered=False)
    assert core.engine.evaluations == 3
    assert core.engine.decide(Reading("S", "", "g", 0, 0, None, 1, True, {"floor": 9}), Window(), None) == []
    assert core.engine.evaluations == 3


def test_timers_that_no_longer_count_are_swept_out() -> None:
    core = Core(make({**HIGH, "for": "1h"}))
    for second in range(5000):
        core.hear(second, floor=4 if second % 2 else 1)
    assert len(core.engine._timers) < 1100


# Histories: one device, a rule with every hold, one latched, one on a change, one for life safety.
HISTORY_RULES = make(
    HELD,
    {**HELD, "latched": True, "clear_for": "8s"},
    {"when": "door == 'open' and previous.door != 'open'", "clear": "door != 'open'"},
    {**STUCK, "for": "12s", "latched": True},
    {**TRAPPED, "clear_for": "3s"},
)
_values = st.fixed_dictionaries(
    {},
    optional={
        "floor": st.sampled_from([1, 2, 3, 4, 9, None]),
        "door": st.sampled_from(["open", "closed", None]),
        "motion": st.sampled_from(["stopped", "running", None]),
        "occupied": st.sampled_from([True, False, None]),
        "entrapment": st.sampled_from([True, False, None]),
    },
)
_steps = st.lists(
    st.tuples(st.integers(0, 9), st.integers(-15, 0), _values, st.sampled_from(["", "", "", "", "confirm", "foreign"])),
    min_size=1, max_size=30,
)  # fmt: skip


def play(
    steps: list[tuple[int, int, dict[str, Any], str]],
    restarts: frozenset[int] = frozenset(),
    repeats: frozenset[int] = frozenset(),
) -> Core:
    core, now_s = Core(HISTORY_RULES), 100
    for number, (gap_s, lag_s, values, what) in enumerate(steps):
        now_s += gap_s
        core.pass_time(now_s)
        if number in restarts:
            core.restart()
        if what == "confirm":
            for alarm_id in [a for a, alarm in core.stored.items() if alarm.state is AlarmState.FIRING]:
                core.take([core.engine.confirm(alarm_id, "me", now_s * 1000, Outcome.TRUE, "")])
        flags = {"gateway": "x", "entitled": False} if what == "foreign" else {}
        for _ in range(2 if number in repeats and not flags else 1):
            core.hear(now_s + lag_s, received_s=now_s, key=number, **flags, **values)
    core.pass_time(now_s + 1000)
    return core


@settings(max_examples=300, deadline=None)
@given(_steps, st.frozensets(st.integers(0, 29)), st.frozensets(st.integers(0, 29)))
def test_restarts_and_redeliveries_change_nothing(
    steps: list[tuple[int, int, dict[str, Any], str]], restarts: frozenset[int], repeats: frozenset[int]
) -> None:
    clean, broken = play(steps), play(steps, restarts, repeats)
    assert broken.stored == clean.stored
    assert broken.told == clean.told


@settings(max_examples=300, deadline=None)
@given(_steps)
def test_every_alarm_runs_in_order_and_in_time(steps: list[tuple[int, int, dict[str, Any], str]]) -> None:
    core = play(steps)
    for alarm in core.stored.values():
        times = [alarm.pending_at_ms, alarm.fired_at_ms, alarm.cleared_at_ms, alarm.resolved_at_ms]
        known = [at_ms for at_ms in times if at_ms is not None]
        confirmed_early = alarm.confirmed_at_ms is not None
        assert confirmed_early or all(a <= b for a, b in pairwise(known))
        hold_ms = HISTORY_RULES.by_id[alarm.rule_id].terms.fire_ms
        assert alarm.fired_at_ms in (None, alarm.pending_at_ms + hold_ms)
        assert (alarm.state is AlarmState.RESOLVED) == (alarm.resolved_at_ms is not None)
        active = core.engine.active(alarm.alarm_id)
        assert active == (alarm if alarm.state is not AlarmState.RESOLVED else None)


@settings(max_examples=300, deadline=None)
@given(_steps, _values)
def test_a_late_reading_never_clears(steps: list[tuple[int, int, dict[str, Any], str]], values: dict[str, Any]) -> None:
    core = play(steps)
    before = dict(core.stored)
    for transition in core.hear(1, received_s=100_000, key=10**6, **values):
        alarm = transition.alarm
        assert transition.operation in (None, Operation.ALARM_FIRED)
        assert not transition.forgotten
        assert alarm.alarm_id not in before or before[alarm.alarm_id].state is AlarmState.PENDING


def test_an_alarm_made_by_hand_is_restored_with_its_timer() -> None:
    rules = make(HELD)
    (rule,) = rules
    engine = Engine(rules)
    kept = Alarm(
        "a",
        rule.id,
        rule.version,
        "D",
        "D",
        "lift",
        "",
        Severity.HIGH,
        AlarmState.PENDING,
        0,
        wake_at_ms=50,
        revision=3,
    )
    engine.restore([kept])
    assert engine.next_wake_ms() == 50
    (fired,) = engine.advance(60)
    assert (fired.alarm.fired_at_ms, fired.alarm.revision) == (10_000, 4)


def test_a_missing_value_keeps_raises_or_clears_as_the_rule_says() -> None:
    for on_missing, after_none, after_four_none in (
        ("keep", [], ["fired"]),
        ("alarm", ["fired"], ["fired"]),
        ("clear", [], ["fired", "resolved"]),
    ):
        core = Core(make({**HIGH, "on_missing": on_missing}))
        core.hear(0, floor=None)
        assert core.operations() == after_none
        core = Core(make({**HIGH, "on_missing": on_missing}))
        core.hear(0, floor=4)
        core.hear(1, floor=None)
        assert core.operations() == after_four_none


def test_a_late_reading_is_judged_where_the_rule_says_so() -> None:
    for late, told in (("store_only", []), ("evaluate", ["fired"])):
        core = Core(make({**HIGH, "late": late}))
        core.hear(10, floor=1)
        core.hear(5, floor=4)
        assert core.operations() == told


def test_a_rate_is_between_the_last_two_known_values_of_the_field() -> None:
    rules = make({"when": "rate_per_min(speed_mps) > 1"})
    core = Core(rules)
    core.rated = rules.rated["lift"]
    core.hear(0, speed_mps=0.0)
    core.hear(60, floor=1)
    core.hear(120, speed_mps=2.0)
    assert core.operations() == []
    core.hear(150, speed_mps=2.6)
    core.hear(151, floor=2)
    assert core.operations() == ["fired"]
    core.restart()
    core.hear(210, speed_mps=2.6)
    assert core.operations() == ["fired", "resolved"]


def test_an_alarm_that_flaps_is_counted_over_restarts() -> None:
    core = Core(make({**HIGH, "flapping": {"count": 3, "within": "10m", "quiet": "5m"}}))
    for at_s in (0, 60, 120):
        core.hear(at_s, floor=4)
        core.restart()
        core.hear(at_s + 5, floor=1)
    assert core.operations() == ["fired", "resolved", "fired", "resolved", "fired"]
    assert [alarm.flapping for alarm in core.stored.values()] == [False, False, True]
    core.pass_time(124 + 300)
    assert len(core.operations()) == 5
    core.pass_time(125 + 300)
    assert core.operations()[-1] == "resolved"


def test_a_reload_keeps_what_only_got_other_numbers_and_ends_the_rest_visibly() -> None:
    core = Core(make(HELD, {**HIGH, "when": "floor > 2"}, {**HIGH, "when": "floor > 1"}))
    core.hear(0, floor=4)
    core.pass_time(10)
    core.reload(make({**HELD, "when": "floor > 8", "severity": "low"}, {**HIGH, "when": "occupied"}), now_s=20)
    states = {alarm.rule_id: (alarm.state, alarm.evidence.get("ended_by")) for alarm in core.stored.values()}
    assert states == {
        "lift.r0": ("firing", None), "lift.r1": ("resolved", "rule_changed"), "lift.r2": ("resolved", "rule_gone"),
    }  # fmt: skip
    (kept,) = (alarm for alarm in core.stored.values() if alarm.rule_id == "lift.r0")
    assert kept.rule_version == core.rules.by_id["lift.r0"].version


def test_a_reload_with_a_shorter_hold_fires_at_the_new_time() -> None:
    core = Core(make(HELD))
    core.hear(0, floor=4)
    core.reload(make({**HELD, "for": "4s"}), now_s=1)
    assert core.engine.next_wake_ms() == 4_000
    core.pass_time(4)
    assert [alarm.fired_at_ms for alarm in core.stored.values()] == [4_000]


def test_a_fire_is_not_edited_away() -> None:
    core = Core(make(TRAPPED))
    core.hear(0, entrapment=True)
    core.reload(make({**TRAPPED, "when": "alarm_button"}), now_s=1)
    assert [alarm.state for alarm in core.stored.values()] == ["firing"]
    core.restart(make({**TRAPPED, "when": "occupied"}))
    core.pass_time(2)
    assert [alarm.state for alarm in core.stored.values()] == ["firing"]


def test_a_changed_shape_ends_an_alarm_at_the_next_start_too() -> None:
    core = Core(make(HIGH))
    core.hear(0, floor=4)
    core.restart(make({"when": "occupied"}))
    core.pass_time(1)
    assert [(a.state, a.evidence.get("ended_by")) for a in core.stored.values()] == [("resolved", "rule_changed")]


def test_a_settled_reading_is_judged_by_the_rules_that_correct_and_by_no_other() -> None:
    rules = make({**HIGH, "late": "correct", "lateness": "30s"}, HIGH)
    engine, window = Engine(rules), Window()
    reading = Reading("D", "lift", "g", 0, 5, None, 1, True, {"floor": 4})
    window.observe(reading)
    assert [one.alarm.rule_id for one in engine.decide(reading, window, DEVICE)] == ["lift.r1"]
    assert [one.alarm.rule_id for one in engine.decide_settled(reading, window, DEVICE)] == ["lift.r0"]


def test_a_hold_of_a_rule_that_corrects_waits_for_what_may_still_come_and_be_settled() -> None:
    engine, window = Engine(make({**HELD, "late": "correct", "lateness": "30s"})), Window()
    reading = Reading("D", "lift", "g", 0, 500, None, 1, True, {"floor": 4})
    window.observe(reading)
    engine.decide_settled(reading, window, DEVICE)
    assert engine.next_wake_ms() == 500 + 10_000 + 2 * 30_000
    (fired,) = engine.advance(70_500)
    assert fired.alarm.fired_at_ms == 10_000


def test_restored_alarms_without_a_rule_end_before_anything_is_judged() -> None:
    core = Core(make(HELD))
    core.hear(0, floor=4)
    core.restart(make({**HELD, "id": "lift.other"}))
    (ended,) = core.engine.settle_strays(20_000)
    assert ended.forgotten
    assert core.engine.settle_strays(20_000) == []

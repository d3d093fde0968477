"""Alarms to episodes, their sums, and what is different between two rule sets."""

from dataclasses import replace
from typing import Any

from gridwarden.model import Alarm, AlarmState, Operation, Severity
from rules.alarm import Transition
from rules.episodes import Collector, Episode, Timeline, difference, sums

ALARM = Alarm("a", "own.low", "1", "H-1", "H-1", "hydrant", "", Severity.LOW, AlarmState.PENDING, 100)


def transition(forgotten: bool = False, operation: Operation | None = None, **changes: Any) -> Transition:
    return Transition(replace(ALARM, **changes), operation, forgotten)


def episode(fired_at_ms: int, cleared_at_ms: int | None = None, scope: str = "H-1", **more: Any) -> Episode:
    pending_at_ms = more.pop("pending_at_ms", fired_at_ms)
    return Episode(fired_at_ms, "own.low", scope, pending_at_ms, cleared_at_ms, cleared_at_ms, Severity.LOW, **more)


def test_an_alarm_that_fired_becomes_an_episode() -> None:
    told = Collector()
    told.hear(0, transition())
    told.hear(0, transition(state=AlarmState.FIRING, fired_at_ms=200, operation=Operation.ALARM_FIRED))
    assert told.episodes() == [episode(200, pending_at_ms=100)]
    told.hear(0, transition(state=AlarmState.RESOLVED, fired_at_ms=200, cleared_at_ms=300, resolved_at_ms=300))
    assert told.episodes() == [episode(200, 300, pending_at_ms=100)]


def test_an_alarm_that_never_fired_is_only_counted() -> None:
    told = Collector()
    told.hear(0, transition())
    told.hear(0, transition(forgotten=True, state=AlarmState.INACTIVE))
    assert (told.episodes(), told.forgotten) == ([], 1)


def test_episodes_are_in_order_of_time() -> None:
    told = Collector()
    for number, fired_at_ms in enumerate((300, 100, 200)):
        told.hear(0, transition(alarm_id=str(number), state=AlarmState.FIRING, fired_at_ms=fired_at_ms))
    assert [one.fired_at_ms for one in told.episodes()] == [100, 200, 300]


def test_the_sum_of_a_rule() -> None:
    found = [episode(100, 400), episode(1000, 1100, "H-2", pending_at_ms=940), episode(2000, None, pending_at_ms=1970)]
    (low, silent) = sums(found, ["own.low", "own.silent"], {"own.low": 4.0}, 3000)
    assert (low.episodes, low.devices, low.open_at_end) == (3, 2, 1)
    assert (low.total_ms, low.median_ms, low.delay_ms) == (300 + 100 + 1000, 300, 30)
    assert low.per_1000_device_days == 750.0
    assert (silent.episodes, silent.median_ms, silent.per_1000_device_days) == (0, 0, 0.0)


def test_a_latched_alarm_that_waits_for_a_person_is_not_open() -> None:
    waits = replace(episode(100, 400), resolved_at_ms=None)
    assert sums([waits], ["own.low"], {}, 3000)[0].open_at_end == 0


def test_the_difference_of_two_rule_sets() -> None:
    same, other_device = episode(100, 200), episode(100, 200, "H-9")
    longer_here, longer_there = episode(500, 900), episode(550, 800)
    only_here, only_there = episode(5000, 5100), episode(7000, None)
    found = difference([same, longer_here, only_here], [same, longer_there, only_there, other_device], 9000)
    assert found.same == 1
    assert found.changed == ((longer_here, longer_there),)
    assert found.added == (only_here,)
    assert found.gone == (other_device, only_there)


def test_one_episode_cut_in_two_is_one_changed_and_one_gone() -> None:
    found = difference([episode(100, 900)], [episode(100, 200), episode(300, 900)], 9000)
    assert (len(found.changed), len(found.gone), found.added) == (1, 1, ())


def test_transitions_of_many_devices_come_in_order_of_time() -> None:
    timeline = Timeline()
    for now_ms, scope in ((5, "H-1"), (9, "H-1"), (2, "H-2"), (5, "H-2")):
        timeline.hear(now_ms, transition(scope=scope))
    assert [(now_ms, one.alarm.scope) for now_ms, one in timeline.in_order()] == [
        (2, "H-2"), (5, "H-1"), (5, "H-2"), (9, "H-1"),
    ]  # fmt: skip

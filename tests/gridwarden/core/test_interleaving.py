"""However readings are delivered again, in whatever order within a batch, wherever core stops: the alarms are the same.

Held for every type of rule there is, against the run in which each reading comes once and in order. Rules with
``late: correct`` give the same whatever the order of the batches, too, as long as nothing is later than their lateness.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridwarden.core.windows import shard_of
from gridwarden.records.transaction import Snapshot
from rules.load import read_rules
from rules.rule import RuleSet

NOW_MS = 1_800_000_000_000
STEP_MS = 7_000
PLAIN = {"name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "low", "category": "fault"}
KINDS_OF_RULE: list[dict[str, Any]] = [
    {"when": "floor > 3", "for": "10s", "clear": "floor < 2", "clear_for": "9s"},
    {"when": "floor > 3", "for": "20s", "hold_by": "readings"},
    {"when": "floor > 3", "count": 3},
    {"when": "floor > 3", "count": 3, "within": "40s"},
    {"first": "occupied", "when": "floor > 3", "within": "20s", "for": "5s"},
    {"when": "floor > 1", "levels": [{"severity": "medium", "when": "floor > 2", "reset": "floor < 2"},
                                     {"severity": "high", "when": "floor > 4"}]},
    {"when": "floor > 3", "flapping": {"count": 3, "within": "5m", "quiet": "30s"}},
    {"when": "floor > 3", "min_firing": "30s"},
    {"when": "floor > 3", "on_missing": "alarm"},
    {"when": "floor > 3", "on_missing": "clear"},
    {"when": "changed(floor) and change(floor) > 1"},
    {"when": "rate_per_min(floor) > 12"},
    {"when": "floor > 3", "suppressed_when": "occupied"},
    {"when": "floor > 3", "clock": "received", "for": "10s"},
    {"when": "floor > 4", "schedule": {"from": "16:01", "to": "16:02", "zone": "Asia/Shanghai"}},
    {"when": "entrapment", "life_safety": True, "latched": True},
    {"when": "floor > 3", "shadow": True},
    {"when": "floor > 3", "incident": "none"},
]  # fmt: skip


def rule_set(kinds_of_rule: list[dict[str, Any]]) -> RuleSet:
    written = [{**PLAIN, "id": f"lift.r{number}", **rule} for number, rule in enumerate(kinds_of_rule)]
    return RuleSet(tuple(read_rules({"kind": "lift", "rules": written})))


RULES = rule_set(KINDS_OF_RULE)
CORRECTABLE = [rule for rule in KINDS_OF_RULE if "clock" not in rule and "life_safety" not in rule]
LATENESS = {"late": "correct", "lateness": "30s"}
MOST_STEPS_LATE = 4
"""28 s; what is sent within a step makes it 30 s at most."""
FLOORS = st.one_of(st.none(), st.integers(0, 6))
READINGS = st.tuples(FLOORS, st.booleans(), st.booleans())


def readings(number: int, batch: list[tuple[int | None, bool, bool]]) -> list[dict[str, Any]]:
    """What LIFT-1 says within one step, in the order of its clock."""
    return [
        {"device": "LIFT-1", "at": NOW_MS + number * STEP_MS + place * 1_000, "seq": number * 10 + place,
         "values": {"floor": floor, "occupied": occupied, "entrapment": trapped and floor == 0}}
        for place, (floor, occupied, trapped) in enumerate(batch)
    ]  # fmt: skip


def shuffled(batches: list[list[dict[str, Any]]], number: int, dice: random.Random) -> list[dict[str, Any]]:
    """A batch in another order, some of it twice, and now and then an older one once more."""
    batch = dice.sample(batches[number], len(batches[number]))
    again = batches[dice.randint(0, number)] if dice.random() < 0.3 else []
    return [*again, *batch, *dice.sample(batch, dice.randint(0, len(batch)))]


def scattered(batches: list[list[dict[str, Any]]], dice: random.Random) -> list[list[dict[str, Any]]]:
    """Each reading in a batch of its own choice, up to the lateness after the one it was sent in."""
    late: list[list[dict[str, Any]]] = [[] for _ in range(len(batches) + MOST_STEPS_LATE)]
    for number, batch in enumerate(batches):
        for reading in batch:
            late[number + dice.randint(0, MOST_STEPS_LATE)].append(reading)
    return late


def snapshot_of_the_lift(site: Any) -> Snapshot:
    while (snapshot := site.judge.windows.snapshot()).shard != shard_of("LIFT-1"):
        pass
    return snapshot


def end(site: Any, from_ms: int) -> None:
    """Nothing comes any more, and everything runs out."""
    for after_ms in range(0, 600_000, STEP_MS):
        site.clock.at_ms = from_ms + after_ms
        timers = site.judge.advance()
        if timers:
            site.commit(timers)
    assert site.judge.windows.settling.next_wake_ms() is None


def play(site: Any, batches: list[list[dict[str, Any]]], dice: random.Random | None) -> dict[str, tuple[Any, ...]]:
    for number, batch in enumerate(batches):
        site.clock.at_ms = NOW_MS + number * STEP_MS + 4_000
        timers = site.judge.advance()
        if timers:
            site.commit(timers)
        delivered = batch if dice is None else shuffled(batches, number, dice)
        if dice is not None and dice.random() < 0.3:
            site.judged(*delivered, at_ms=site.clock.at_ms)  # lost with core: the broker delivers it again
            site.restart()
            timers = site.judge.advance()
            if timers:
                site.commit(timers)
        transaction = site.judged(*delivered, at_ms=site.clock.at_ms)
        if dice is not None and dice.random() < 0.3:
            transaction.snapshot = snapshot_of_the_lift(site)
        site.commit(transaction)
        if dice is not None and dice.random() < 0.3:
            site.restart()
            site.hear(*delivered, at_ms=site.clock.at_ms)
    return alarms_of(site)


def play_one_by_one(site: Any, batches: list[list[dict[str, Any]]]) -> None:
    """Each reading is heard as soon as it was sent, and alone."""
    for batch in batches:
        for reading in batch:
            site.clock.at_ms = reading["at"]
            timers = site.judge.advance()
            if timers:
                site.commit(timers)
            site.hear(reading, at_ms=reading["at"])


def alarms_of(site: Any) -> dict[str, tuple[Any, ...]]:
    reader = site.reader()
    try:
        return {
            alarm.alarm_id: (
                alarm.rule_id, alarm.state, alarm.severity, alarm.pending_at_ms, alarm.fired_at_ms, alarm.clear_since_ms,
                alarm.cleared_at_ms, alarm.resolved_at_ms, alarm.flapping, alarm.occurrences, alarm.suppressed, alarm.shadow,
            )
            for alarm in reader.alarms(limit=1000)
        }  # fmt: skip
    finally:
        reader.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(day=st.lists(st.lists(READINGS, min_size=1, max_size=3), min_size=4, max_size=14), seed=st.integers(0, 2**32))
def test_any_delivery_gives_the_alarms_of_the_clean_one(
    make_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, day: list[list[Any]], seed: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("delivery")
    batches = [readings(number, batch) for number, batch in enumerate(day)]
    clean = play(make_site(str(folder / "clean"), RULES), batches, None)
    rough = play(make_site(str(folder / "rough"), RULES), batches, random.Random(seed))
    assert rough == clean


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(day=st.lists(st.lists(READINGS, min_size=1, max_size=3), min_size=4, max_size=14), seed=st.integers(0, 2**32))
def test_where_late_is_corrected_so_does_any_order_within_the_lateness(
    make_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, day: list[list[Any]], seed: int
) -> None:
    folder, dice = tmp_path_factory.mktemp("correct"), random.Random(seed)
    batches = [readings(number, batch) for number, batch in enumerate(day)]
    corrected = rule_set([{**rule, **LATENESS} for rule in CORRECTABLE])
    clean, rough = make_site(str(folder / "clean"), rule_set(CORRECTABLE)), make_site(str(folder / "rough"), corrected)
    play_one_by_one(clean, batches)
    play(rough, scattered(batches, dice), dice)
    end_ms = NOW_MS + (len(batches) + MOST_STEPS_LATE) * STEP_MS
    end(clean, end_ms)
    end(rough, end_ms)
    assert alarms_of(rough) == alarms_of(clean)


def test_every_rule_of_these_fires_in_some_delivery(make_site: Callable[..., Any], tmp_path: Path) -> None:
    dice = random.Random(1)
    day = [[(dice.choice([None, 0, 1, 3, 5, 5]), dice.random() < 0.5, dice.random() < 0.5)] * 2 for _ in range(60)]
    batches = [readings(number, batch) for number, batch in enumerate(day)]
    fired = {alarm[0] for alarm in play(make_site(str(tmp_path / "all"), RULES), batches, None).values()}
    assert fired == {rule.id for rule in RULES}

"""Whether we could hear: starts, clocks, brokers, and how far the judging has come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridwarden.model import Operation
from rules.blind import EVERYWHERE, GRACE_MS, broker
from rules.gaps import Gaps
from rules.load import read_rules
from rules.ourselves import INPUT_GAP_MS, JUMP_MS, Ourselves

START, MIN = 1_800_000_000_000, 60_000
RULES = read_rules({"kind": "platform", "absences": [{
    "id": "platform.blind", "name": {"zh": "x", "en": "x"}, "source": "ours", "severity": "high", "category": "outage",
    "of": "broker", "after": "2m"}]})  # fmt: skip
UP, DOWN = {"b": True}, {"b": False}


class Life:
    def __init__(self, *, replaying: bool = False, state: dict[str, Any] | None = None, **alarms: Any) -> None:
        self.gaps = Gaps()
        for alarm in alarms.values():
            self.gaps.keep(alarm)
        self.ours = Ourselves(self.gaps, replaying=replaying)
        self.ours.rules = tuple(RULES)  # type: ignore[arg-type]
        self.ours.restore(state or {})

    def look(self, minutes: float, connected: dict[str, bool] = UP, behind_ms: int = 0) -> list[tuple[str, float]]:
        now_ms = START + round(minutes * MIN)
        self.ours.look(now_ms, now_ms - behind_ms, connected)
        return [
            ("fired", (change.alarm.fired_at_ms - START) / MIN) if change.operation is Operation.ALARM_FIRED
            else ("over", (change.alarm.resolved_at_ms - START) / MIN)
            for change in self.gaps.take()
        ]  # fmt: skip

    def due(self, heard: float = 0, limit: float = 60, gateway: str = "gw1") -> float:
        places = self.ours.places(gateway)
        due_ms = self.ours.blindness.due_ms(START + round(heard * MIN), round(limit * MIN), places, START + 900 * MIN)
        return (due_ms - START) / MIN


def test_before_the_first_start_of_all_nobody_was_watched() -> None:
    life = Life()
    assert life.look(30, DOWN) == []
    assert life.look(31, UP) == []
    assert life.due(0) == 91


def test_a_restart_is_a_spell_for_everybody_and_for_the_brokers() -> None:
    life = Life(state={"alive_at_ms": START})
    assert life.look(30, DOWN) == [("fired", 2)]
    assert life.look(30.1, UP) == [("over", 30.1)]
    assert life.due(-10) == pytest.approx(50 + 30.1)
    assert life.look(31) == []


@pytest.mark.parametrize(("minutes", "due"), [(0.9, 60), (1.1, 61.1), (600, 660)])
def test_what_lies_between_two_looks_is_watched_unless_it_is_too_long(minutes: float, due: float) -> None:
    life = Life()
    life.look(0)
    life.look(minutes)
    assert life.due(0) == pytest.approx(due)
    assert life.ours.known_until_ms == START + round(minutes * MIN) + JUMP_MS


def test_a_clock_set_back_undoes_what_has_not_been_yet() -> None:
    life = Life()
    life.look(0)
    life.look(1440)
    life.look(1)
    assert life.due(0) == 61


def test_a_broker_is_missed_after_a_while_and_only_those_behind_it_with_it() -> None:
    life = Life()
    both = {"b": True, "c": True}
    life.look(0, both)
    life.ours.came("gw1", "b", START)
    life.ours.came("gw2", "c", START)
    assert life.look(0.5, {"b": False, "c": True}) == []
    assert life.look(1.5, {"b": False, "c": True}) == []
    assert life.look(2.5, {"b": False, "c": True}) == [("fired", 2)]
    assert life.look(3, {"b": False, "c": True}) == []
    assert life.look(4, both) == [("over", 4)]
    assert life.due(0, gateway="gw1") == life.due(0, gateway="unknown") == 64
    assert life.due(0, gateway="gw2") == 60


def test_a_broker_that_is_no_longer_configured_is_no_longer_missed() -> None:
    life = Life(state={"alive_at_ms": START})
    life.look(30, DOWN)
    (alarm,) = life.gaps
    state = {"alive_at_ms": START, "blind": life.ours.blindness.dump()}
    again = Life(state=state, alarm=alarm)
    assert again.look(31, {"c": True}) == [("over", 31), ("fired", 2), ("over", 31)]
    assert again.ours.blindness.since_ms(broker("b")) is None


def test_while_readings_wait_for_long_to_be_judged_we_count_as_blind() -> None:
    life = Life()
    life.look(0)
    life.look(1, behind_ms=JUMP_MS)
    assert life.ours.blindness.since_ms(EVERYWHERE) is None
    life.look(2, behind_ms=2 * JUMP_MS)
    assert life.ours.blindness.since_ms(EVERYWHERE) == START
    life.look(3)
    assert life.due(0) == 63


def test_with_a_replay_clock_only_gaps_in_the_input_count() -> None:
    life = Life(replaying=True, state={"alive_at_ms": START})
    assert life.look(600, DOWN) == []
    life.ours.came("gw1", "b", START + INPUT_GAP_MS)
    assert life.due(0) == 60
    life.ours.came("gw1", "b", START + 3 * INPUT_GAP_MS)
    life.ours.came("gw1", "b", START)
    assert life.due(30) == 60 + 2 * 60 + 30
    assert life.ours.known_until_ms > START * 2


def test_what_must_be_remembered_is_told_now_and_then_and_suffices() -> None:
    life = Life()
    life.look(0)
    assert life.ours.news(START + 49_000, MIN) == {}
    news = life.ours.news(START + MIN, MIN)
    assert news["alive_at_ms"] == START + MIN
    assert set(life.ours.news(START + 2 * MIN, MIN)) == {"alive_at_ms"}
    again = Life(state=json.loads(json.dumps(news)))
    again.look(1.5)
    assert again.due(-10, limit=5) == 1.5 + min(5, GRACE_MS / MIN)

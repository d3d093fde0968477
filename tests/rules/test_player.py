"""One device's engine in a back-test."""

from typing import Any

from gridwarden.model import AlarmState, Reading
from gridwarden.window import Window
from rules.alarm import Transition
from rules.player import Player
from rules.rule import RuleSet
from tests.rules.test_backtest import rule


def said(at_ms: int, **values: Any) -> Reading:
    return Reading("L-1", "lift", "gw", at_ms, at_ms, None, at_ms, True, values)


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[int, AlarmState]] = []

    def __call__(self, now_ms: int, transition: Transition) -> None:
        self.heard.append((now_ms, transition.alarm.state))


def test_timers_act_before_the_reading_that_comes_after_them() -> None:
    ear = Ear()
    player = Player(RuleSet((rule(when="floor > 1", **{"for": "1m"}),)), None, ear)
    window = Window()
    player.hear(0, said(0, floor=2), window, ())
    assert player.is_active
    player.hear(90_000, said(90_000, floor=0), window, ())
    assert ear.heard == [(0, AlarmState.PENDING), (60_000, AlarmState.FIRING), (90_000, AlarmState.RESOLVED)]
    assert not player.is_active
    assert player.over == {}


def test_a_forgotten_alarm_is_no_longer_active() -> None:
    player = Player(RuleSet((rule(when="floor > 1", **{"for": "1m"}),)), None, Ear())
    window = Window()
    player.hear(0, said(0, floor=2), window, ())
    player.hear(5, said(5, floor=0), window, ())
    assert not player.is_active


def test_how_often_an_alarm_fired_is_remembered_by_the_next_player() -> None:
    rules = RuleSet((rule(when="floor > 1", flapping={"count": 2, "within": "1h", "quiet": "10m"}),))
    first = Player(rules, None, Ear())
    window = Window()
    first.hear(0, said(0, floor=2), window, ())
    first.hear(1, said(1, floor=0), window, ())
    assert not first.is_active
    for remembered, want in ((first.over.values(), True), ((), False)):
        ear = Ear()
        second = Player(rules, None, ear, tuple(remembered))
        second.hear(2, said(2, floor=2), Window(), ())
        second.hear(3, said(3, floor=0), Window(), ())
        assert second.is_active is want  # it flaps: it stays until it has been quiet


def test_a_reading_of_a_gateway_that_is_not_entitled_moves_no_window() -> None:
    player = Player(RuleSet((rule(when="entrapment", life_safety=True),)), None, Ear())
    window = Window()
    foreign = said(0, entrapment=True)
    foreign.entitled = False
    player.hear(0, foreign, window, ())
    assert player.is_active
    assert window == Window()

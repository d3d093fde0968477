"""Readings that wait for older ones: in which order they are settled, when, and what a restart knows of it."""

from __future__ import annotations

import pytest

from gridwarden.core.settling import Settling
from gridwarden.core.windows import Windows
from gridwarden.model import Reading
from gridwarden.window import Window
from rules.load import read_rules
from rules.rule import RuleSet

NOW_MS = 1_800_000_000_000
LATENESS_MS = 30_000
RULE = {"id": "lift.r", "name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "low", "category": "fault",
        "when": "rate_per_min(floor) > 12", "late": "correct", "lateness": "30s"}  # fmt: skip


def reading(at_s: int, received_s: int | None = None, kind: str = "lift", **options: bool) -> Reading:
    received_at_ms = NOW_MS + 1000 * (at_s if received_s is None else received_s)
    return Reading("D", kind, "g", NOW_MS + 1000 * at_s, received_at_ms, None, at_s, True, {"floor": at_s}, **options)


class Core:
    """Windows, and the floors of the readings that were settled, as the judge does it."""

    def __init__(self) -> None:
        self.windows = Windows()
        self.windows.use(RuleSet(tuple(read_rules({"kind": "lift", "rules": [RULE]}))))
        self.order: list[object] = []

    def hear(self, one: Reading) -> Window:
        window = self.windows.get(one)
        one.late = window.is_late(one)
        self.windows.observe(window, one)
        if window.settled is not None:
            self.order += [settled.values["floor"] for settled in self.windows.settling.take(window.settled, one)]
        return window

    def pass_time(self, at_s: int) -> None:
        now_ms = NOW_MS + 1000 * at_s + 1
        for scope, window in self.windows.due(now_ms):
            if window.settled is not None:
                settled = self.windows.settling.pass_time(scope, window.settled, now_ms)
                self.order += [one.values["floor"] for one in settled]


@pytest.fixture
def core() -> Core:
    return Core()


def test_a_newer_reading_settles_what_is_older_by_more_than_the_lateness(core: Core) -> None:
    for at_s in (10, 0, 20, 5, 30, 40):
        core.hear(reading(at_s, received_s=20))
    assert core.order == [0, 5]  # 10 s is just as old as a reading may come late
    core.hear(reading(70, received_s=21))
    assert core.order == [0, 5, 10, 20, 30]


def test_values_and_rates_are_those_of_the_order(core: Core) -> None:
    for at_s in (60, 0, 90, 30):
        window = core.hear(reading(at_s, received_s=90))
    core.hear(reading(121, received_s=90))
    assert window.settled is not None
    assert core.order == [0, 30, 60, 90]
    assert window.settled.window.values == {"floor": 90}
    assert window.settled.window.previous == {"floor": 60, "floor/min": 60.0}
    assert window.values == {"floor": 121}


def test_our_clock_settles_what_nothing_newer_does(core: Core) -> None:
    core.hear(reading(0, received_s=3))
    assert core.windows.settling.next_wake_ms() == NOW_MS + 33_001
    core.hear(reading(1, received_s=2))  # with it, what is newer stays
    core.pass_time(31)
    assert core.order == []
    core.pass_time(32)
    assert core.order == [0, 1]
    assert core.windows.settling.through_ms == NOW_MS + 32_001


def test_what_is_as_old_as_the_settled_is_stored_only(core: Core) -> None:
    for at_s, received_s in ((1, 1), (40, 40), (0, 41), (1, 41)):
        core.hear(reading(at_s, received_s))
    core.pass_time(200)
    assert core.order == [1, 40]


def test_a_repeat_that_waits_already_waits_once(core: Core) -> None:
    core.hear(reading(0))
    window = core.hear(reading(0, received_s=1))
    assert window.settled is not None
    assert len(window.settled.waiting) == 1


def test_who_is_unknown_or_not_entitled_is_not_waited_for(core: Core) -> None:
    for options in ({"registered": False}, {"entitled": False}):
        assert core.hear(reading(0, **options)).settled is None
    assert core.hear(reading(0, kind="smoke")).settled is None


def test_a_device_judged_as_it_came_goes_on_from_there(core: Core) -> None:
    rules = RuleSet(tuple(read_rules({"kind": "lift", "rules": [RULE]})))
    core.windows.use(RuleSet())
    core.hear(reading(0))
    core.windows.use(rules)
    window = core.hear(reading(40))
    assert window.settled is not None
    assert window.settled.window.values == {"floor": 0}
    core.windows.use(RuleSet())
    assert core.hear(reading(50)).settled is None


def test_after_a_restart_what_our_clock_had_settled_is_settled(core: Core) -> None:
    core.hear(reading(0))
    window = core.hear(reading(20))
    loaded = Window.load(window.dump(), b"")
    core.pass_time(30)
    again = Settling()
    again.use({"lift": LATENESS_MS}, {}, [])
    again.resume(core.windows.settling.through_ms, [("D", loaded)])
    assert core.order == [0]
    assert loaded.settled is not None
    assert [one.values["floor"] for one in loaded.settled.waiting] == [20]
    assert again.next_wake_ms() == NOW_MS + 50_001

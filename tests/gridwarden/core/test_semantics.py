"""The table of docs/guide/rules.md: each state of an alarm under each thing that can come, one test a cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridwarden.core.commands import COMMANDS, Desk, Found
from gridwarden.core.judge import Judge
from gridwarden.model import Alarm, AlarmState
from gridwarden.records.transaction import Transaction
from rules.load import read_rules
from rules.rule import RuleSet

GUIDE = Path(__file__).parents[3] / "docs/guide/rules.md"
NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
HELD = {
    "id": "lift.high", "name": {"zh": "高", "en": "High"}, "source": "ours", "severity": "high", "category": "fault",
    "when": "floor > 3", "for": "10s", "clear": "floor < 2", "clear_for": "5s",
}  # fmt: skip


def rules(**changes: Any) -> RuleSet:
    return RuleSet(tuple(read_rules({"kind": "lift", "rules": [{**HELD, **changes}]})))


class Story:
    """One lift, told step by step; times in seconds."""

    def __init__(self, site: Any, *, latched: bool) -> None:
        self.site, self.latched, self.seq = site, latched, 0
        self.last: dict[str, Any] = {}

    def say(self, at_s: float, floor: int | None, clock_s: float | None = None) -> None:
        self.seq += 1
        at_ms = round(NOW_MS + (at_s if clock_s is None else clock_s) * 1000)
        self.last = {"device": "LIFT-1", "at": at_ms, "seq": self.seq, "values": {"floor": floor}}
        self.repeat(at_s)

    def repeat(self, at_s: float) -> None:
        self.at(at_s)
        self.site.hear(self.last, at_ms=self.site.clock.at_ms)

    def at(self, at_s: float) -> None:
        self.site.clock.at_ms = round(NOW_MS + at_s * 1000)
        while (wake_ms := self.judge.engine.next_wake_ms()) is not None and wake_ms <= self.site.clock.at_ms:
            transaction = self.judge.advance()
            if transaction is not None:
                self.site.commit(transaction)

    def step(self, step_s: float) -> None:
        """Our own clock is set; then as much time passes as does until nothing changes any more."""
        self.judge.engine.clock_stepped(round(step_s * 1000))
        self.at((self.site.clock.at_ms - NOW_MS) / 1000 + step_s)

    def reload(self, **changes: Any) -> None:
        now_ms = self.site.clock.at_ms
        transaction = Transaction(now_ms)
        self.judge.rules = rules(latched=self.latched, **changes)
        self.judge.apply(self.judge.engine.reload(self.judge.rules, now_ms), transaction)
        self.site.commit(transaction)

    def acknowledge(self) -> None:
        alarm = self.alarm()
        now_ms = self.site.clock.at_ms
        transition = self.judge.engine.acknowledge(alarm.alarm_id, "me", now_ms, "") if alarm else None
        if transition is not None:
            transaction = Transaction(now_ms)
            self.judge.apply([transition], transaction, "me")
            self.site.commit(transaction)

    def silence(self) -> None:
        """By one person, for an hour."""
        matchers = {"rules": ["lift.high"]}
        self._order("quiet", kind="silence", area="", matchers=matchers, protected=False)

    def shelve(self) -> None:
        """By one person, for an hour; a latched one waits for a second."""
        alarm = self.alarm()
        if alarm is not None and alarm.state is AlarmState.FIRING:
            self._order("shelve", alarm_id=alarm.alarm_id)

    def breach_under_silence(self, at_s: float) -> None:
        """Long enough to fire."""
        self.silence()
        self.say(at_s, 5)
        self.say(at_s + 15, 5)

    def _order(self, name: str, **params: Any) -> None:
        until_at_ms = self.site.clock.at_ms + HOUR_MS
        params = {"actor": "me", "actor_id": "u1", "comment": "works", "until_at_ms": until_at_ms, **params}
        alarm = self.alarm()
        desk = Desk(self.judge, Found(self.site.writer.offset, None, (alarm,) if alarm else ()), ())
        transaction, _ = COMMANDS[name](desk, params)
        self.site.commit(transaction)
        while (settled := self.judge.advance()) is not None:
            self.site.commit(settled)

    @property
    def judge(self) -> Judge:
        judge: Judge = self.site.judge
        return judge

    def alarm(self) -> Alarm | None:
        """The alarm as the records hold it, which is all that a restart has."""
        start = self.site.writer.start()
        return next((alarm for alarm in start.alarms if alarm.rule_id == "lift.high"), None)


def inactive(story: Story) -> None:
    story.say(20, 1)


def pending(story: Story) -> None:
    story.say(10, 1)
    story.say(20, 4)


def firing(story: Story) -> None:
    story.say(5, 4)
    story.at(15)
    story.say(20, 4)


def clearing(story: Story) -> None:
    story.say(5, 4)
    story.at(15)
    story.say(20, 1)


def over(story: Story) -> None:
    clearing(story)
    story.at(25)


def resolved(story: Story) -> None:
    clearing(story)
    story.at(25)


STATES: dict[str, Callable[[Story], None]] = {
    "inactive": inactive,
    "pending": pending,
    "firing": firing,
    "firing, clear hold runs": clearing,
    "firing, over, not confirmed (latched)": over,
    "resolved": resolved,
}
COMES: dict[str, Callable[[Story, float], None]] = {
    "breach": lambda story, at_s: story.say(at_s, 5),
    "no breach": lambda story, at_s: story.say(at_s, 0),
    "missing value": lambda story, at_s: story.say(at_s, None),
    "late reading": lambda story, at_s: story.say(at_s, 1 if story.last["values"]["floor"] == 4 else 4, clock_s=1),
    "repeated reading": lambda story, at_s: story.repeat(at_s),
    "breach, clock at 1970": lambda story, at_s: story.say(at_s, 5, clock_s=-NOW_MS / 1000),
    "time passes": lambda story, at_s: story.at(at_s + 60),
    "our clock +1 h": lambda story, _at_s: story.step(3600),
    "our clock −1 h": lambda story, _at_s: story.step(-3600),
    "restart": lambda story, _at_s: story.site.restart(),
    "other threshold": lambda story, _at_s: story.reload(when="floor > 30"),
    "other condition": lambda story, _at_s: story.reload(when="occupied"),
    "acknowledged": lambda story, _at_s: story.acknowledge(),
    "silenced": lambda story, _at_s: story.silence(),
    "breach for 15 s under a silence": lambda story, at_s: story.breach_under_silence(at_s),
    "shelved": lambda story, _at_s: story.shelve(),
}


def outcome(before: Alarm | None, after: Alarm | None, ended: list[Alarm]) -> str:
    """What happened, in the words of the guide."""
    if before is None or (after is not None and after.alarm_id != before.alarm_id):
        return _begun(after) if after else "—"
    if after is None:
        if before.state is AlarmState.PENDING:
            return "forgotten"
        return "ends, marked" if ended[-1].evidence.get("ended_by") else "resolved"
    if after.state is not before.state:
        return "fires, quiet" if after.quieted_by else "fires"
    if after.quieted_by and not before.quieted_by:
        return "goes on, quiet"
    if before.clear_since_ms is None and after.clear_since_ms is not None:
        return "clear hold begins"
    if before.cleared_at_ms is not None and after.cleared_at_ms is None:
        return "over no more"
    if before.clear_since_ms is not None and after.clear_since_ms is None:
        return "clear hold broken"
    if after.acknowledged_at_ms is not None:
        return "acknowledged"
    return "goes on" + (", new version" if after.rule_version != before.rule_version else "")


def _begun(alarm: Alarm) -> str:
    if alarm.state is AlarmState.PENDING:
        return "pending begins"
    return "fires, quiet" if alarm.quieted_by else "fires"


def cells() -> list[Any]:
    lines = GUIDE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| state |"))
    columns = [cell.strip() for cell in lines[start].strip("|").split("|")][1:]
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        state, *said = (cell.strip() for cell in line.strip("|").split("|"))
        found += [
            pytest.param(state, column, text, id=f"{state}-{column}")
            for column, text in zip(columns, said, strict=True)
        ]
    return found


@pytest.mark.parametrize(("state", "comes", "said"), cells())
def test_the_guide_says_what_comes_of_it(state: str, comes: str, said: str, make_site: Callable[..., Any]) -> None:
    latched = "latched" in state
    site = make_site(rules=rules(latched=latched))
    story = Story(site, latched=latched)
    STATES[state](story)
    before = story.alarm()
    COMES[comes](story, 27 if state in {"resolved", "firing, over, not confirmed (latched)"} else 22)
    ended = site.reader().alarms(scopes=("",), state=AlarmState.RESOLVED, limit=10) if before else []
    assert outcome(before, story.alarm(), ended) == said


def test_the_table_is_whole() -> None:
    named = {(cell.values[0], cell.values[1]) for cell in cells()}
    assert {(state, comes) for state in STATES for comes in COMES} <= named

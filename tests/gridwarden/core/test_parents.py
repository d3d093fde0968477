"""What a fireman would tell: many devices, one matter. The shipped packs on real records, with restarts in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridwarden.core.commands import COMMANDS, Desk, look_up
from gridwarden.errors import Refused
from gridwarden.model import Alarm, Device, EventState, GridEvent
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from rules.rule import RuleSet

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
TOWER = {f"HEAD-{floor}": Device(f"HEAD-{floor}", "smoke", "330106003012001P001B001", gateway="gw1", building="Tower 1",
                                 attributes={"floor": floor}) for floor in range(1, 5)}  # fmt: skip
NEXT_DOOR = {"HEAD-9": Device("HEAD-9", "smoke", "330106003012001P001B002", gateway="gw1", building="Tower 2")}
MAIN_STREET = {f"HYD-{n}": Device(f"HYD-{n}", "hydrant", f"33010600301200{n % 2 + 1}", water_main="DN300 Main Street")
               for n in range(1, 6)}  # fmt: skip


class Story:
    """Devices speak minute by minute; what the control room sees is read from the records alone."""

    def __init__(self, site: Any) -> None:
        self.site = site
        self.site.devices.update(TOWER | NEXT_DOOR | MAIN_STREET)
        self.site.restart()
        self.reader: Reader = site.reader()
        self.seq = 0

    def says(self, minute: float, device: str, gateway: str = "gw1", sent: float | None = None, **values: Any) -> None:
        self.passes(minute)
        self.seq += 1
        at_ms = NOW_MS + round(minute * MINUTE_MS)
        sent_ms = at_ms if sent is None else NOW_MS + round(sent * MINUTE_MS)
        body = {"device": device, "at": sent_ms, "seq": self.seq, "values": values}
        self.site.hear(body, at_ms=at_ms, gateway=gateway)

    def passes(self, minute: float) -> None:
        end_ms = NOW_MS + round(minute * MINUTE_MS)
        while (wake_ms := self.site.judge.next_wake_ms()) is not None and wake_ms <= end_ms:
            self.site.clock.at_ms = max(wake_ms, self.site.clock.at_ms)
            transaction = self.site.judge.advance()
            if transaction is not None:
                self.site.commit(transaction)
        self.site.clock.at_ms = end_ms

    def does(self, name: str, **params: Any) -> dict[str, Any]:
        """A person in the control room does something."""
        judge, params = self.site.judge, {"actor": "op", **params}
        family = judge.cases.family(params["event_id"]) if "event_id" in params else ()
        found = look_up(self.site.writer, "c", params, family)
        transaction, answer = COMMANDS[name](Desk(judge, found, ()), params)
        self.site.commit(transaction)
        return answer

    @property
    def open(self) -> list[GridEvent]:
        """The list of the control room."""
        return self.reader.events(state="open")

    @property
    def merged(self) -> list[GridEvent]:
        return sorted(self.reader.events(state="merged"), key=lambda event: event.case_no)

    def alarms(self, event: GridEvent) -> list[Alarm]:
        """What is listed on the page of a case."""
        return self.reader.alarms(event=event.event_id)

    def told(self, operation: str) -> list[str]:
        """Cases or alarms of which the journal says so, in order."""
        entries = [entry for entry in self.reader.journal(0) if entry.operation == operation]
        return [(one.body["alarm"] or one.body["event"]).get("rule_id") for one in entries]


@pytest.fixture
def story(site: Any) -> Iterator[Story]:
    story = Story(site)
    yield story
    story.reader.close()


# --- fire ------------------------------------------------------------------------------------------------------------


def test_one_smoke_detector_is_one_detector(story: Story) -> None:
    story.says(0, "HEAD-1", state="alarm")
    story.says(1, "HEAD-9", state="alarm")  # in the next building
    assert [event.rule_id for event in story.open] == ["smoke.fire", "smoke.fire"]


def test_a_second_detector_in_the_same_building_confirms_the_fire(story: Story) -> None:
    story.says(0, "HEAD-1", state="alarm")
    (first,) = story.open
    story.says(3, "HEAD-2", state="alarm")
    (fire,) = story.open
    assert (fire.rule_id, fire.severity, fire.area) == ("smoke.fire_confirmed", "critical", "330106003012001P001B001")
    assert (fire.alarm_count, fire.firing_count, fire.unacknowledged_count) == (3, 3, 3)
    (child,) = story.merged
    assert (child.event_id, child.case_no) == (first.event_id, first.case_no)
    assert (child.merged_into, child.closed_at_ms, child.updated_at_ms) == (fire.event_id, None, NOW_MS + 3 * MINUTE_MS)
    assert {alarm.device_id for alarm in story.alarms(fire)} == {"HEAD-1", "HEAD-2"}
    assert len(story.alarms(fire)) == 3
    assert len(story.alarms(child)) == 2
    assert story.told("event.merged") == ["smoke.fire"]
    assert story.reader.counts(("",))["open_events"] == {"critical": 1}


def test_a_third_detector_joins_the_fire_and_opens_no_case(story: Story) -> None:
    for minute, head in enumerate(["HEAD-1", "HEAD-2", "HEAD-3"]):
        story.says(minute, head, state="alarm")
        story.site.restart()
    (fire,) = story.open
    assert (fire.alarm_count, len(story.merged), fire.case_no[-4:]) == (4, 1, "0002")
    (confirmed,) = (alarm for alarm in story.alarms(fire) if alarm.rule_id == "smoke.fire_confirmed")
    assert [member["device_id"] for member in confirmed.evidence["members"]] == ["HEAD-1", "HEAD-2", "HEAD-3"]
    assert (confirmed.evidence["k"], confirmed.evidence["n"], confirmed.evidence["count"]) == (2, 4, 3)
    assert confirmed.fired_at_ms == NOW_MS + MINUTE_MS
    assert story.told("alarm.fired").count("smoke.fire_confirmed") == 1


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"minute": 11, "device": "HEAD-2", "state": "alarm"}, "eleven minutes later"),
        ({"minute": 1, "device": "HEAD-2", "state": "test"}, "a test"),
        (
            {"minute": 1, "device": "HEAD-2", "state": "alarm", "gateway": "gw2"},
            "by a gateway that may not speak for it",
        ),
        ({"minute": 1, "device": "HEAD-7", "state": "alarm"}, "not registered"),
        ({"minute": 1, "device": "HEAD-1", "temperature_c": 60}, "the same detector again"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_confirms_no_fire(story: Story, says: dict[str, Any], why: str) -> None:
    story.says(0, "HEAD-1", state="alarm")
    story.says(**says)
    assert "smoke.fire_confirmed" not in [event.rule_id for event in story.open], why


def test_toast_that_a_person_has_named_so_does_not_confirm_the_next_toast(story: Story) -> None:
    story.says(0, "HEAD-1", state="alarm")
    (alarm,) = story.reader.alarms()
    story.does("confirm", alarm_id=alarm.alarm_id, outcome="false", note="toast")
    story.says(2, "HEAD-2", state="alarm")
    assert [event.rule_id for event in story.open] == ["smoke.fire"]


def test_a_detector_heard_of_late_is_adopted_once_another_late_one_links_it_to_the_fire(story: Story) -> None:
    story.says(30, "HEAD-1", state="alarm")
    story.says(31, "HEAD-2", state="alarm")
    story.says(32, "HEAD-3", sent=15, state="alarm")  # a quarter of an hour before: another fire, as far as one can see
    assert [event.rule_id for event in story.open] == ["smoke.fire_confirmed", "smoke.fire"]
    story.says(33, "HEAD-4", sent=22, state="alarm")
    (fire,) = story.open
    assert (fire.alarm_count, len(story.merged), len(story.alarms(fire))) == (5, 2, 5)
    assert story.told("event.merged")[1:] == ["smoke.fire", "smoke.fire_confirmed"]  # the child, and who has it now


def test_a_fire_ends_when_people_have_confirmed_every_alarm_and_closed_the_case(story: Story) -> None:
    for minute, head in enumerate(["HEAD-1", "HEAD-2"]):
        story.says(minute, head, state="alarm")
    (fire,) = story.open
    (child,) = story.merged
    seen = story.does("acknowledge_event", event_id=fire.event_id)
    assert seen["event"]["unacknowledged_count"] == 0
    for minute, head in enumerate(["HEAD-1", "HEAD-2"], start=30):
        story.says(minute, head, state="normal")
    with pytest.raises(Refused, match="unconfirmed_alarms"):
        story.does("close", event_id=fire.event_id, note="out")
    story.site.restart()
    for alarm in sorted(story.alarms(fire), key=lambda alarm: alarm.rule_id):
        with pytest.raises(Refused, match="unconfirmed_alarms"):
            story.does("close", event_id=fire.event_id, note="out")
        story.does("confirm", alarm_id=alarm.alarm_id, outcome="true", note="flat on the second floor")
    assert {alarm.state for alarm in story.alarms(fire)} == {"resolved"}
    with pytest.raises(Refused, match="not_open"):
        story.does("close", event_id=child.event_id, note="out")
    closed = story.does("close", event_id=fire.event_id, note="out")
    assert (closed["event"]["state"], closed["event"]["firing_count"]) == ("closed", 0)
    assert story.open == []
    assert [event.state for event in story.merged] == [EventState.MERGED]
    story.says(60, "HEAD-1", state="alarm")
    assert [event.rule_id for event in story.open] == ["smoke.fire"]


def test_a_command_sees_what_was_adopted_a_moment_ago(story: Story) -> None:
    """The second alarm is judged and not yet durable; to close the fire all its alarms must be confirmed all the same."""
    site = story.site
    story.says(0, "HEAD-1", state="alarm")
    pending: Transaction = site.judged({"device": "HEAD-2", "at": NOW_MS + 1, "seq": 99, "values": {"state": "alarm"}})
    (fire,) = (event for event in pending.events.values() if event.state is EventState.OPEN)
    found = look_up(site.writer, "c", {"event_id": fire.event_id}, site.judge.cases.family(fire.event_id))
    desk = Desk(site.judge, found, [pending])
    assert sorted(alarm.device_id for alarm in desk.alarms_of(fire.event_id)) == ["HEAD-1", "HEAD-1", "HEAD-2"]


# --- water -----------------------------------------------------------------------------------------------------------


def loses_pressure(story: Story, minute: float, *hydrants: str, mpa: float = 0.04) -> None:
    """It says so at once and again a minute later: the rule wants it to hold."""
    for hydrant in hydrants:
        story.says(minute, hydrant, pressure_mpa=mpa)
    for hydrant in hydrants:
        story.says(minute + 1, hydrant, pressure_mpa=mpa)


def test_three_hydrants_without_pressure_on_one_main_are_one_burst(story: Story) -> None:
    for minute, hydrant in enumerate(["HYD-1", "HYD-2"]):
        loses_pressure(story, 3 * minute, hydrant)
    assert [event.rule_id for event in story.open] == ["hydrant.very_low_pressure"] * 2
    story.site.restart()
    loses_pressure(story, 6, "HYD-3")
    (burst,) = story.open
    assert (burst.rule_id, burst.category, burst.severity) == ("hydrant.main_burst", "water", "high")
    assert burst.area == "330106003012"  # the community: the main runs through two grids of it
    assert [event.merged_into for event in story.merged] == [burst.event_id] * 3
    loses_pressure(story, 12, "HYD-4")
    (burst,) = story.open
    assert len(story.merged) == 3
    assert {alarm.device_id for alarm in story.alarms(burst)} == {"HYD-1", "HYD-2", "HYD-3", "HYD-4"}
    assert burst.alarm_count == burst.firing_count == len(story.alarms(burst))


def test_a_repaired_main_clears_after_ten_minutes_of_pressure(story: Story) -> None:
    loses_pressure(story, 0, "HYD-1", "HYD-2", "HYD-3")
    for hydrant in ("HYD-1", "HYD-2", "HYD-3"):
        story.says(40, hydrant, pressure_mpa=0.3)
    story.site.restart()
    story.passes(49)
    assert story.open[0].firing_count == 1
    story.passes(51)
    (burst,) = story.open
    assert burst.firing_count == 0
    assert {alarm.state for alarm in story.alarms(burst)} == {"resolved"}
    assert story.does("close", event_id=burst.event_id, note="pipe mended")["event"]["state"] == "closed"


def test_a_hydrant_that_has_been_low_for_weeks_is_another_matter(story: Story) -> None:
    loses_pressure(story, 0, "HYD-5", mpa=0.12)
    story.passes(6)
    loses_pressure(story, 30_000, "HYD-1", "HYD-2", "HYD-3")
    assert sorted(event.rule_id for event in story.open) == ["hydrant.low_pressure", "hydrant.main_burst"]


# --- quiet alarms, other rules ---------------------------------------------------------------------------------------


def test_quiet_alarms_count_and_are_adopted_once_they_are_told(story: Story) -> None:
    """Works on the main: three hydrants are silenced. The burst is told all the same."""
    story.does("quiet", kind="silence", area="", matchers={"rules": ["hydrant.very_low_pressure"]}, protected=False,
               until_at_ms=NOW_MS + 30 * MINUTE_MS, comment="flushing", actor_id="u1")  # fmt: skip
    loses_pressure(story, 0, "HYD-1", "HYD-2", "HYD-3")
    (burst,) = story.open
    assert (burst.rule_id, burst.alarm_count) == ("hydrant.main_burst", 1)
    story.site.restart()
    story.passes(31)
    (burst,) = story.open
    assert (burst.alarm_count, story.merged) == (4, [])  # they joined it at once
    assert len(story.alarms(burst)) == 4


def test_a_quiet_correlation_adopts_once_it_is_told(story: Story) -> None:
    story.does("quiet", kind="silence", area="", matchers={"rules": ["hydrant.main_burst"]}, protected=False,
               until_at_ms=NOW_MS + 30 * MINUTE_MS, comment="flushing", actor_id="u1")  # fmt: skip
    loses_pressure(story, 0, "HYD-1", "HYD-2", "HYD-3")
    assert [event.rule_id for event in story.open] == ["hydrant.very_low_pressure"] * 3
    story.site.restart()
    story.passes(31)
    assert [(event.rule_id, event.alarm_count) for event in story.open] == [("hydrant.main_burst", 4)]
    assert len(story.merged) == 3


def reloaded(story: Story, rules: RuleSet) -> None:
    story.site.commit(story.site.judge.reload(rules, [], "op"))
    story.passes(story.site.clock.at_ms / MINUTE_MS - NOW_MS / MINUTE_MS)


def test_other_rules_go_on_counting_what_fires(story: Story) -> None:
    rules: RuleSet = story.site.rules
    without = RuleSet(tuple(rule for rule in rules.all if rule.id != "hydrant.main_burst"))
    lower = RuleSet(tuple(replace(rule, at_least=2, version="2") if rule.id == "hydrant.main_burst" else rule
                          for rule in rules.all))  # fmt: skip
    loses_pressure(story, 0, "HYD-1")
    reloaded(story, without)
    loses_pressure(story, 3, "HYD-2")
    reloaded(story, lower)
    assert story.told("alarm.fired").count("hydrant.main_burst") == 0  # nothing new has happened on the main
    loses_pressure(story, 6, "HYD-3")
    (burst,) = story.open
    assert burst.alarm_count == 4
    reloaded(story, rules)
    assert story.told("alarm.resolved") == []
    (alarm,) = (alarm for alarm in story.alarms(burst) if alarm.rule_id == "hydrant.main_burst")
    assert alarm.rule_version == rules.by_id["hydrant.main_burst"].version
    reloaded(story, without)
    assert story.told("alarm.resolved") == ["hydrant.main_burst"]
    assert story.open[0].firing_count == 3


# --- kills -----------------------------------------------------------------------------------------------------------


def test_kills_at_any_moment_tell_nothing_twice_and_lose_nothing(make_site: Any, tmp_path: Path) -> None:
    """Before a commit (the broker delivers again) and after it (a duplicate), with the same history read to its end."""
    dice = random.Random(7)
    steps = []
    for minute in range(40):
        device = dice.choice([*TOWER, *MAIN_STREET])
        values = (
            {"state": dice.choice(["alarm", "normal"])}
            if device in TOWER
            else {"pressure_mpa": dice.choice([0.04, 0.3])}
        )
        steps.append((minute, {"device": device, "at": NOW_MS + minute * MINUTE_MS, "seq": minute, "values": values}))
    outcomes = []
    for name in ("clean", "rough"):
        story = Story(make_site(name))
        for minute, body in steps:
            story.passes(minute)
            at_ms = NOW_MS + minute * MINUTE_MS
            if name == "rough" and dice.random() < 0.4:
                story.site.judged(body, at_ms=at_ms)
                story.site.restart()
            story.site.hear(body, at_ms=at_ms)
            if name == "rough" and dice.random() < 0.4:
                story.site.restart()
                story.site.hear(body, at_ms=at_ms)
        story.passes(60)
        reader = story.reader
        outcomes.append((
            [(entry.operation, entry.body["alarm"], entry.body["event"]) for entry in reader.journal(0)],
            reader.events(limit=1000), reader.alarms(limit=1000),
        ))  # fmt: skip
        assert {"hydrant.main_burst", "smoke.fire_confirmed"} <= {event.rule_id for event in reader.events(limit=1000)}
        keys = [event.incident_key for event in story.open]
        assert len(keys) == len(set(keys))
        ledger = reader.ledger()
        assert ledger["received"] == ledger["stored"] + ledger["duplicate"]
        reader.close()
    assert outcomes[0] == outcomes[1]


def test_the_counts_of_open_cases_are_those_of_their_alarms(story: Story) -> None:
    """Whatever was adopted, acknowledged, cleared: what a case says of its alarms is what its page lists."""
    dice = random.Random(11)
    for minute in range(120):
        device = dice.choice([*TOWER, *NEXT_DOOR, *MAIN_STREET])
        if device.startswith("HEAD"):
            story.says(minute, device, state=dice.choice(["alarm", "normal"]))
        else:
            story.says(minute, device, pressure_mpa=dice.choice([0.04, 0.3]))
        firing = story.reader.alarms(state="firing", limit=1000)
        if firing and dice.random() < 0.3:
            chosen = dice.choice(firing)
            act = dice.choice(["acknowledge", "confirm"])
            story.does(
                act,
                alarm_id=chosen.alarm_id,
                **({"outcome": dice.choice(["true", "false"])} if act == "confirm" else {}),
            )
        if dice.random() < 0.2:
            story.site.restart()
        for event in story.open:
            alarms = story.reader.alarms(event=event.event_id, limit=1000)
            counted = (event.alarm_count, event.firing_count, event.unacknowledged_count)
            assert counted == (
                len(alarms),
                sum(alarm.state == "firing" for alarm in alarms),
                sum(alarm.acknowledged_at_ms is None for alarm in alarms),
            ), (minute, event)
    assert story.merged

"""Cases: which alarms share one, how it is numbered, when it may be closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridwarden.cases.book import CaseBook, Incident, group_key, incident_key
from gridwarden.errors import Refused
from gridwarden.model import Alarm, AlarmState, Device, EventState, Outcome, Severity

FIRED_MS = 1_800_000_000_000  # 2027-01-15 16:00 in Shanghai


def alarm(number: int = 1, **changes: object) -> Alarm:
    plain = Alarm(f"A{number}", "smoke.fire", "1", f"S{number}", f"S{number}", "smoke", "3301", Severity.HIGH,
                  AlarmState.FIRING, FIRED_MS, fired_at_ms=FIRED_MS, life_safety=True, evidence={"gateway": "gw1"})  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "unverified", "building", "key"),
    [
        ("device", False, "B1", "fire/device:S1"), ("building", False, "B1", "fire/building:B1"),
        ("building", False, "", "fire/device:S1"), ("building", True, "B1", "fire/unverified:gw1"),
    ],
)  # fmt: skip
def test_what_makes_two_alarms_one_case(by: str, unverified: bool, building: str, key: str) -> None:
    device = Device("S1", "smoke", building=building)
    assert incident_key(alarm(unverified=unverified), Incident("fire", by), device) == key


def test_a_device_that_is_not_registered_stands_for_itself() -> None:
    assert incident_key(alarm(), Incident("fire", "building"), None) == "fire/device:S1"


def test_the_first_alarm_opens_and_others_join() -> None:
    book = CaseBook("Asia/Shanghai")
    first, event, counters = book.fired(alarm(unverified=True), "k", "fire", FIRED_MS + 5)
    assert (event.case_no, counters) == ("F20270115-0001", {"case:F20270115": 1})
    assert (event.opened_at_ms, event.updated_at_ms, event.unverified) == (FIRED_MS, FIRED_MS + 5, True)
    worse, joined, counters = book.fired(alarm(2, severity=Severity.CRITICAL), "k", "fire", FIRED_MS + 9)
    assert counters == {}
    assert first.event_id == worse.event_id == joined.event_id
    assert (joined.severity, joined.unverified, joined.revision) == (Severity.CRITICAL, False, 2)
    assert (joined.alarm_count, joined.firing_count, joined.unacknowledged_count) == (2, 2, 2)
    _, milder, _ = book.fired(alarm(3, severity=Severity.LOW), "k", "fire", FIRED_MS + 9)
    assert milder.severity is Severity.CRITICAL
    assert book.open_count == 1


def test_numbers_are_of_the_site_s_day_and_go_on_after_a_restart() -> None:
    book = CaseBook("Asia/Shanghai")
    _, _, counters = book.fired(alarm(), "k", "fire", FIRED_MS)
    again = CaseBook("Asia/Shanghai", (), counters)
    numbers = [
        again.fired(alarm(2), "k2", "fire", FIRED_MS)[1].case_no,
        again.fired(alarm(3, fired_at_ms=FIRED_MS + 8 * 3_600_000), "k3", "fire", FIRED_MS)[1].case_no,
        again.fired(alarm(4), "k4", "water", FIRED_MS)[1].case_no,
        again.fired(alarm(5), "k5", "something", FIRED_MS)[1].case_no,
        again.fired(alarm(6), "k6", "other", FIRED_MS)[1].case_no,
    ]
    assert numbers == ["F20270115-0002", "F20270116-0001", "W20270115-0001", "X20270115-0001", "X20270115-0002"]


def test_an_open_case_goes_on_after_a_restart() -> None:
    book = CaseBook("Asia/Shanghai")
    fired, event, counters = book.fired(alarm(), "k", "fire", FIRED_MS)
    again = CaseBook("Asia/Shanghai", [event], counters)
    assert again.open_event(event.event_id) == event
    changed = again.changed(fired, FIRED_MS + 1, resolved=True, acknowledged=True)
    assert changed is not None
    assert (changed.firing_count, changed.unacknowledged_count, changed.alarm_count) == (0, 0, 1)
    assert again.fired(alarm(2), "k", "fire", FIRED_MS)[1].event_id == event.event_id


def test_closing_wants_a_note_and_every_fire_confirmed() -> None:
    book = CaseBook("Asia/Shanghai")
    fired, event, _ = book.fired(alarm(), "k", "fire", FIRED_MS)
    for note, alarms, code in ((" ", [], "note_required"), ("done", [fired], "unconfirmed_alarms")):
        with pytest.raises(Refused) as refused:
            book.close(event.event_id, alarms, "op", note, FIRED_MS + 9)
        assert refused.value.code == code
    confirmed = replace(fired, outcome=Outcome.FALSE)
    closed = book.close(event.event_id, [confirmed], "op", " done ", FIRED_MS + 9)
    assert (closed.state, closed.closing_note, closed.closed_by, closed.closed_at_ms) == (
        EventState.CLOSED, "done", "op", FIRED_MS + 9,
    )  # fmt: skip
    assert book.open_count == 0
    assert book.changed(confirmed, FIRED_MS + 10, resolved=True) is None
    with pytest.raises(Refused, match="not_open"):
        book.close(event.event_id, [], "op", "again", FIRED_MS + 10)
    assert book.fired(alarm(2), "k", "fire", FIRED_MS)[1].event_id != event.event_id


def three_cases() -> tuple[CaseBook, list[str]]:
    """A parent and two children, each with one alarm; the first child's is acknowledged, the second's is over."""
    book = CaseBook("Asia/Shanghai")
    keys = [group_key("fire", "smoke.fire_confirmed", "building:B1"), "fire/device:S1", "fire/device:S2"]
    fired = [book.fired(alarm(n), key, "fire", FIRED_MS + n) for n, key in enumerate(keys)]
    book.changed(fired[1][0], FIRED_MS + 5, acknowledged=True)
    book.changed(fired[2][0], FIRED_MS + 6, resolved=True)
    return book, [event.event_id for _, event, _ in fired]


def test_a_parent_adopts_and_counts_what_its_children_counted() -> None:
    book, (parent_id, *child_ids) = three_cases()
    numbers = {event_id: book.home(event_id).case_no for event_id in child_ids}  # type: ignore[union-attr]
    parent, merged = book.adopt(parent_id, [*child_ids, parent_id, child_ids[0], "nobody"], FIRED_MS + 9)
    assert (parent.alarm_count, parent.firing_count, parent.unacknowledged_count) == (3, 2, 2)
    assert (parent.state, parent.updated_at_ms, parent.revision) == (EventState.OPEN, FIRED_MS + 9, 2)
    assert [one.event_id for one in merged] == child_ids
    for child in merged:
        assert (child.state, child.merged_into, child.case_no) == (
            EventState.MERGED,
            parent_id,
            numbers[child.event_id],
        )
        assert (child.closed_at_ms, child.updated_at_ms, child.revision) == (None, FIRED_MS + 9, 3)
        assert book.open_event(child.event_id) is None
        assert book.home(child.event_id) == parent
    assert (book.open_count, book.family(parent_id), book.family("x")) == (1, (parent_id, *child_ids), ("x",))
    assert book.adopt(parent_id, child_ids, FIRED_MS + 10) == (parent, [])


def test_the_worst_severity_of_a_family_is_its_parent_s() -> None:
    book = CaseBook("Asia/Shanghai")
    _, parent, _ = book.fired(alarm(), "p", "fire", FIRED_MS)
    _, child, _ = book.fired(alarm(2, severity=Severity.CRITICAL), "c", "fire", FIRED_MS)
    assert book.adopt(parent.event_id, [child.event_id], FIRED_MS)[0].severity is Severity.CRITICAL


def test_what_becomes_of_an_adopted_alarm_is_told_of_the_parent_also_after_a_restart() -> None:
    book, (parent_id, *child_ids) = three_cases()
    parent, merged = book.adopt(parent_id, child_ids, FIRED_MS + 9)
    for again in (book, CaseBook("Asia/Shanghai", [parent, *merged])):
        changed = again.changed(alarm(2, event_id=child_ids[1]), FIRED_MS + 20, acknowledged=True)
        assert changed is not None
        assert (changed.event_id, changed.unacknowledged_count) == (parent_id, 1)
        assert again.open_count == 1


def test_the_key_of_an_adopted_case_is_free_and_an_alarm_may_join_the_parent_whatever_its_key() -> None:
    book, (parent_id, *child_ids) = three_cases()
    book.adopt(parent_id, child_ids, FIRED_MS + 9)
    joined, parent, counters = book.fired(
        alarm(4), "fire/device:S1", "fire", FIRED_MS + 10, book.open_by_key("fire/smoke.fire_confirmed/building:B1")
    )
    assert (joined.event_id, parent.alarm_count, counters) == (parent_id, 4, {})
    own, _, _ = book.fired(alarm(5), "fire/device:S1", "fire", FIRED_MS + 11)
    assert own.event_id not in (parent_id, *child_ids)
    assert book.open_by_key("fire/device:S2") is None


def test_a_parent_is_adopted_with_its_children() -> None:
    book, (parent_id, *child_ids) = three_cases()
    book.adopt(parent_id, child_ids, FIRED_MS + 9)
    _, larger, _ = book.fired(alarm(7), "larger", "fire", FIRED_MS + 10)
    larger, merged = book.adopt(larger.event_id, [child_ids[0]], FIRED_MS + 11)
    assert {one.event_id for one in merged} == {parent_id, *child_ids}
    assert {one.merged_into for one in merged} == {larger.event_id}
    assert larger.alarm_count == 4
    assert book.adopt(parent_id, child_ids, FIRED_MS + 12) == (larger, [])


def test_closing_a_parent_is_the_end_of_its_children() -> None:
    book, (parent_id, *child_ids) = three_cases()
    book.adopt(parent_id, child_ids, FIRED_MS + 9)
    with pytest.raises(Refused, match="not_open"):
        book.close(child_ids[0], [], "op", "done", FIRED_MS + 10)
    assert book.close(parent_id, [], "op", "done", FIRED_MS + 10).state is EventState.CLOSED
    assert book.changed(alarm(event_id=child_ids[0]), FIRED_MS + 11, resolved=True) is None
    assert (book.open_count, book.family(parent_id)) == (0, (parent_id,))
    with pytest.raises(Refused, match="not_open"):
        book.adopt(parent_id, child_ids, FIRED_MS + 12)

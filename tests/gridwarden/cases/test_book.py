"""Cases: which alarms share one, how it is numbered, when it may be closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridwarden.cases.book import CaseBook, Incident, incident_key
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

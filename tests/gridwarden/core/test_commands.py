"""Commands against how things stand, durable or not yet."""

from __future__ import annotations

from typing import Any

import pytest

from gridwarden.core.commands import COMMANDS, NOTE_LIMIT, Desk, look_up
from gridwarden.errors import NotFound, Refused
from gridwarden.model import AlarmState, Operation
from gridwarden.records.transaction import Transaction

NOW_MS = 1_800_000_000_000


def smoke(device: str, state: str, seq: int = 1) -> dict[str, Any]:
    return {"device": device, "at": NOW_MS + seq, "seq": seq, "values": {"state": state}}


def carry_out(site: Any, name: str, *pending: Transaction, **params: Any) -> tuple[Transaction, dict[str, Any]]:
    params = {"actor": "op", **params}
    return COMMANDS[name](Desk(site.judge, look_up(site.writer, "c", params), pending), params)


def test_a_fire_is_seen_confirmed_and_its_case_closed(site: Any) -> None:
    (change,) = site.hear(smoke("SMK-1", "alarm")).changes
    alarm_id, event_id = change.alarm.alarm_id, change.event.event_id
    transaction, answer = carry_out(site, "acknowledge", alarm_id=alarm_id, note="seen")
    assert (answer["alarm"]["acknowledged_by"], transaction.changes[0].event.unacknowledged_count) == ("op", 0)
    site.commit(transaction)
    assert carry_out(site, "acknowledge", alarm_id=alarm_id)[0].changes == []
    site.commit(site.judged(smoke("SMK-1", "normal", 2)))
    site.clock.at_ms += 3_600_000
    timers = site.judge.advance()
    if timers:
        site.commit(timers)
    transaction, answer = carry_out(site, "confirm", alarm_id=alarm_id, outcome="false", note="toast")
    assert (answer["alarm"]["state"], answer["alarm"]["outcome"]) == (AlarmState.RESOLVED, "false")
    assert transaction.changes[0].event.firing_count == 0
    site.commit(transaction)
    resolved_at_ms = answer["alarm"]["resolved_at_ms"]
    site.clock.at_ms += 1000
    transaction, answer = carry_out(site, "confirm", alarm_id=alarm_id, outcome="test")
    assert (answer["alarm"]["resolved_at_ms"], answer["alarm"]["outcome"]) == (resolved_at_ms, "test")
    assert transaction.changes[0].event.firing_count == 0
    site.commit(transaction)
    transaction, answer = carry_out(site, "close", event_id=event_id, note="toast")
    site.commit(transaction)
    assert answer["event"]["state"] == "closed"
    site.restart()
    with pytest.raises(Refused, match="not_open"):
        carry_out(site, "close", event_id=event_id, note="again")


def test_seeing_a_case_is_seeing_each_of_its_alarms_the_not_yet_durable_too(site: Any) -> None:
    (change,) = site.hear(smoke("SMK-1", "alarm")).changes
    pending = site.judged(smoke("SMK-2", "alarm"))
    assert pending.changes[0].event.event_id == change.event.event_id
    transaction, answer = carry_out(site, "acknowledge_event", pending, event_id=change.event.event_id)
    assert [one.operation for one in transaction.changes] == [Operation.ALARM_ACKNOWLEDGED] * 2
    assert (answer["event"]["event_id"], answer["event"]["state"]) == (change.event.event_id, "merged")
    assert transaction.changes[-1].event.unacknowledged_count == 1  # the parent's: its own alarm nobody has seen


def test_what_is_judged_and_not_yet_durable_can_be_acted_on(site: Any) -> None:
    pending = site.judged(smoke("SMK-1", "alarm"))
    alarm_id, event_id = pending.changes[0].alarm.alarm_id, pending.changes[0].event.event_id
    seen, _ = carry_out(site, "acknowledge", pending, alarm_id=alarm_id)
    confirmed, _ = carry_out(site, "confirm", pending, seen, alarm_id=alarm_id, outcome="true")
    with pytest.raises(Refused, match="unconfirmed_alarms"):
        carry_out(site, "close", pending, seen, event_id=event_id, note="done")
    closed, _ = carry_out(site, "close", pending, seen, confirmed, event_id=event_id, note="done")
    for transaction in (pending, seen, confirmed, closed):
        site.commit(transaction)
    assert site.writer.event(event_id).closed_by == "op"
    assert site.writer.alarm(alarm_id).outcome == "true"


@pytest.mark.parametrize(
    ("name", "params", "code"),
    [("acknowledge", {"alarm_id": "x"}, "no_such_alarm"), ("close", {"event_id": "x"}, "no_such_event"),
     ("confirm", {"alarm_id": "x", "outcome": "true"}, "no_such_alarm")],
)  # fmt: skip
def test_what_is_not_there_is_not_found(site: Any, name: str, params: dict[str, Any], code: str) -> None:
    with pytest.raises(NotFound) as refused:
        carry_out(site, name, **params)
    assert refused.value.code == code


def test_an_alarm_that_is_only_pending_is_not_there_yet(site: Any) -> None:
    trapped = {"occupied": True, "motion": "stopped", "mode": "normal", "door": "closed"}
    (pending,) = site.hear({"device": "LIFT-1", "at": NOW_MS, "values": trapped}).alarms
    with pytest.raises(NotFound):
        carry_out(site, "acknowledge", alarm_id=pending)


@pytest.mark.parametrize("note", [7, None, "x" * (NOTE_LIMIT + 1)])
def test_a_note_is_a_text_of_bounded_length(site: Any, note: object) -> None:
    with pytest.raises(Refused, match="bad_note"):
        carry_out(site, "acknowledge", alarm_id="x", note=note)

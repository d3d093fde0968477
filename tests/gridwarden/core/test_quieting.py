"""The commands by which people quiet alarms: what is refused, and why."""

from __future__ import annotations

from typing import Any

import pytest

from gridwarden.core.commands import COMMANDS, Desk, look_up
from gridwarden.errors import Forbidden, NotFound, Refused
from gridwarden.records.transaction import Transaction
from rules.decisions import QUIETINGS_LIMIT

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SILENCE = {"kind": "silence", "area": "3301", "matchers": {"kinds": ["smoke"]}, "protected": False, "comment": "works",
           "until_at_ms": NOW_MS + HOUR_MS}  # fmt: skip
WEEKLY = {"days": [5], "start": "05:00", "end": "06:00", "zone": "Asia/Shanghai"}


def ask(site: Any, name: str, actor: str = "op", **params: Any) -> dict[str, Any]:
    params = {"actor": actor, "actor_id": f"id-{actor}", **params}
    transaction, answer = COMMANDS[name](Desk(site.judge, look_up(site.writer, "c", params), ()), params)
    assert isinstance(transaction, Transaction)
    site.commit(transaction)
    found: dict[str, Any] = answer["quieting"]
    return found


def test_who_why_which_and_until_when_are_kept(site: Any) -> None:
    made = ask(site, "quiet", **SILENCE)
    assert made["quieting_id"] == 1
    assert (made["author"], made["comment"], made["created_at_ms"]) == ("op", "works", NOW_MS)
    assert (made["from_at_ms"], made["until_at_ms"]) == (NOW_MS, NOW_MS + HOUR_MS)
    (stored,) = site.writer.start().quietings
    assert (stored.author_id, stored.matchers.kinds, stored.area) == ("id-op", ("smoke",), "3301")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"until_at_ms": NOW_MS}, "bad_window"), ({"until_at_ms": None}, "bad_window"),
     ({"until_at_ms": NOW_MS + 30 * DAY_MS + 1}, "bad_window"),
     ({"from_at_ms": NOW_MS + 31 * DAY_MS, "until_at_ms": NOW_MS + 31 * DAY_MS + 1}, "bad_window"),
     ({"from_at_ms": NOW_MS + HOUR_MS}, "bad_window"),
     ({"protected": True, "until_at_ms": NOW_MS + DAY_MS + 1}, "bad_window"),
     ({"kind": "maintenance", "until_at_ms": NOW_MS + 30 * DAY_MS + 1}, "bad_window"),
     ({"kind": "maintenance", "weekly": WEEKLY, "until_at_ms": NOW_MS + 367 * DAY_MS}, "bad_window"),
     ({"comment": "  "}, "bad_comment"), ({"comment": "x" * 501}, "bad_comment"),
     ({"area": "", "matchers": {}}, "matches_everything"), ({"kind": "shelved"}, "bad_parameters"),
     ({"protected": True, "unnamed": True}, "needs_a_person")],
    ids=["over at once", "no end", "too long", "too far ahead", "over before it begins", "fire for too long",
         "a window too long", "a weekly one too long", "no reason", "too long a reason", "everything", "shelved",
         "nobody by name"],
)  # fmt: skip
def test_what_is_refused(site: Any, wrong: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(site, "quiet", **{**SILENCE, **wrong})
    assert refused.value.code == code
    assert site.judge.quieter.book.count == 0


@pytest.mark.parametrize("wrong", [{**WEEKLY, "zone": "Moon/Base"}, {**WEEKLY, "start": "25:00"}, {"days": [1]}])
def test_a_weekly_window_has_hours_and_a_zone(site: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):  # core answers bad_parameters
        ask(site, "quiet", **{**SILENCE, "kind": "maintenance", "weekly": wrong})
    assert site.judge.quieter.book.count == 0


def test_out_of_service_has_no_end_and_a_begin_in_the_past_is_now(site: Any) -> None:
    made = ask(site, "quiet", **{**SILENCE, "kind": "out_of_service"})
    assert (made["from_at_ms"], made["until_at_ms"]) == (NOW_MS, None)
    made = ask(site, "quiet", **{**SILENCE, "from_at_ms": NOW_MS - DAY_MS})
    assert made["from_at_ms"] == NOW_MS


def test_two_people_are_two(site: Any) -> None:
    ask(site, "quiet", **{**SILENCE, "protected": True})
    with pytest.raises(Forbidden, match="second_person"):
        ask(site, "approve_quieting", "op", quieting_id=1)
    with pytest.raises(Forbidden, match="needs_a_person"):
        ask(site, "approve_quieting", "chief", quieting_id=1, unnamed=True)
    made = ask(site, "approve_quieting", "chief", quieting_id=1)
    assert (made["approved_by"], made["approved_by_id"], made["approved_at_ms"]) == ("chief", "id-chief", NOW_MS)
    with pytest.raises(Refused, match="nothing_to_approve"):
        ask(site, "approve_quieting", "other", quieting_id=1)


def test_what_needs_no_second_person_or_is_over_is_not_approved(site: Any) -> None:
    ask(site, "quiet", **SILENCE)
    with pytest.raises(Refused, match="nothing_to_approve"):
        ask(site, "approve_quieting", "chief", quieting_id=1)
    ask(site, "quiet", **{**SILENCE, "protected": True})
    site.clock.at_ms += HOUR_MS
    for quieting_id in (2, 9):
        with pytest.raises(Refused, match="quieting_ended"):
            ask(site, "approve_quieting", "chief", quieting_id=quieting_id)


def test_only_an_alarm_that_fires_and_can_be_trusted_is_shelved(site: Any) -> None:
    until = {"until_at_ms": NOW_MS + HOUR_MS, "comment": "works"}
    with pytest.raises(NotFound):
        ask(site, "shelve", alarm_id="x", **until)
    (change,) = site.hear({"device": "NEW", "at": NOW_MS, "values": {"state": "alarm"}}).changes
    with pytest.raises(Refused, match="unverified"):
        ask(site, "shelve", alarm_id=change.alarm.alarm_id, **until)
    (change,) = site.hear({"device": "HYD-1", "at": NOW_MS, "values": {"cap_open": True}}).changes
    with pytest.raises(Refused, match="bad_window"):
        ask(site, "shelve", alarm_id=change.alarm.alarm_id, until_at_ms=NOW_MS + DAY_MS + 1, comment="x")
    site.hear({"device": "HYD-1", "at": NOW_MS + 1, "values": {"cap_open": False}})
    with pytest.raises(Refused, match="not_firing"):
        ask(site, "shelve", alarm_id=change.alarm.alarm_id, **until)


def test_there_is_a_limit_and_what_has_ended_does_not_count(site: Any) -> None:
    for _ in range(QUIETINGS_LIMIT):
        desk = Desk(site.judge, look_up(site.writer, "c", {}), ())
        COMMANDS["quiet"](desk, {"actor": "op", "actor_id": "u", **SILENCE})
    with pytest.raises(Refused, match="too_many_quietings"):
        ask(site, "quiet", **SILENCE)
    ask(site, "end_quieting", quieting_id=7)
    assert ask(site, "quiet", **SILENCE)["quieting_id"] == QUIETINGS_LIMIT + 1

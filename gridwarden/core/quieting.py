"""The commands by which people quiet alarms: propose, approve, end. The bounds of times and counts are checked here.

What the one who asks may do, and where, is web's to check; that two people are two is checked here, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gridwarden.errors import Forbidden, Refused
from gridwarden.model import AlarmState, Operation
from gridwarden.quieting import Matchers, Quieting, QuietingKind, Weekly
from gridwarden.records import rows
from gridwarden.records.transaction import Transaction
from rules.decisions import QUIETINGS_LIMIT, Stage, stage_of

if TYPE_CHECKING:
    from gridwarden.core.commands import Desk

Params = dict[str, Any]
DAY_MS = 86_400_000
AHEAD_LIMIT_MS = 30 * DAY_MS
"""How far ahead a decision may begin."""
COMMENT_LIMIT = 500
LONGEST_MS = {
    QuietingKind.SILENCE: 30 * DAY_MS,
    QuietingKind.SHELVED: DAY_MS,
    QuietingKind.MAINTENANCE: 30 * DAY_MS,
}
"""How long a decision may last; all ours. Out of service is until further notice, reviewed by its age."""
LONGEST_WEEKLY_MS = 366 * DAY_MS
LONGEST_PROTECTED_MS = DAY_MS
"""The same for fire, entrapment and latched alarms."""


def quiet(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """Make a silence, take devices out of service, set a maintenance window."""
    kind = QuietingKind(params["kind"])
    if kind is QuietingKind.SHELVED:
        raise Refused("bad_parameters", "shelve names an alarm")
    matchers = Matchers(**{name: tuple(map(str, wanted)) for name, wanted in params["matchers"].items()})
    area = str(params["area"])
    if not area and matchers == Matchers():
        raise Refused("matches_everything", "name an area, or what is to be quieted")
    weekly = params.get("weekly")
    return _make(desk, params, kind, area, matchers, weekly=weekly and _weekly(weekly), protected=params["protected"])


def shelve(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """Take one alarm off the list for a time, and those that fire of the same rule on the same scope meanwhile."""
    alarm = desk.alarm(params["alarm_id"])
    if alarm.state is not AlarmState.FIRING:
        raise Refused("not_firing", alarm.alarm_id)
    if alarm.unverified:
        raise Refused("unverified", alarm.alarm_id)
    matchers = Matchers(rules=(alarm.rule_id,), scopes=(alarm.scope,))
    protected = alarm.life_safety or alarm.latched
    return _make(desk, params, QuietingKind.SHELVED, alarm.area, matchers, weekly=None, protected=protected)


def approve(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """A second person agrees."""
    quieting = _standing(desk, params)
    if not quieting.awaits_approval:
        raise Refused("nothing_to_approve", str(quieting.quieting_id))
    if params.get("unnamed"):
        raise Forbidden("needs_a_person", str(quieting.quieting_id))
    if params["actor_id"] == quieting.author_id:
        raise Forbidden("second_person", str(quieting.quieting_id))
    now_ms = desk.judge.clock.now_ms()
    approved = replace(quieting, approved_at_ms=now_ms, approved_by=params["actor"], approved_by_id=params["actor_id"])
    return _record(desk, approved, Operation.QUIETING_APPROVED, params)


def end(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """End a decision early; what it quieted and still fires is told."""
    quieting = _standing(desk, params)
    ended = replace(quieting, ended_at_ms=desk.judge.clock.now_ms(), ended_by=params["actor"])
    return _record(desk, ended, Operation.QUIETING_ENDED, params)


def _make(
    desk: Desk, params: Params, kind: QuietingKind, area: str, matchers: Matchers, *, weekly: Weekly | None,
    protected: bool,
) -> tuple[Transaction, Params]:  # fmt: skip
    book, now_ms = desk.judge.quieter.book, desk.judge.clock.now_ms()
    if book.count >= QUIETINGS_LIMIT:
        raise Refused("too_many_quietings", f"at most {QUIETINGS_LIMIT} at a time; end some")
    if protected and params.get("unnamed"):
        raise Forbidden("needs_a_person", "fire, entrapment and latched alarms are quieted by people with accounts")
    comment = str(params["comment"]).strip()
    if not comment or len(comment) > COMMENT_LIMIT:
        raise Refused("bad_comment", f"text of 1 to {COMMENT_LIMIT} characters")
    from_at_ms, until_at_ms = _window(kind, params, now_ms, weekly=weekly is not None, protected=protected)
    made = Quieting(
        book.last_id + 1, kind, area, matchers, bool(protected), from_at_ms, until_at_ms, str(params["actor"]),
        str(params["actor_id"]), comment, now_ms, weekly,
    )  # fmt: skip
    return _record(desk, made, Operation.QUIETING_ADDED, params)


def _window(
    kind: QuietingKind, params: Params, now_ms: int, *, weekly: bool, protected: bool
) -> tuple[int, int | None]:
    """From when until when; bounded, and not over before it begins.

    Raises:
        Refused: ``bad_window``.
    """
    from_at_ms, until_at_ms = params.get("from_at_ms"), params.get("until_at_ms")
    from_at_ms = now_ms if from_at_ms is None else max(int(from_at_ms), now_ms)
    if kind is QuietingKind.OUT_OF_SERVICE:
        return now_ms, None
    longest_ms = LONGEST_PROTECTED_MS if protected else LONGEST_WEEKLY_MS if weekly else LONGEST_MS[kind]
    if until_at_ms is None or int(until_at_ms) <= from_at_ms:
        raise Refused("bad_window", "it must end, and after it begins")
    if int(until_at_ms) - from_at_ms > longest_ms or from_at_ms - now_ms > AHEAD_LIMIT_MS:
        raise Refused("bad_window", f"at most {longest_ms // 3_600_000} h long, at most 30 days ahead")
    return from_at_ms, int(until_at_ms)


def _weekly(written: Params) -> Weekly:
    """Checked by web; what is no time or zone is refused all the same."""
    weekly = Weekly(tuple(map(int, written["days"])), written["start"], written["end"], written["zone"])
    stage_of(Quieting(0, QuietingKind.MAINTENANCE, "", Matchers(), False, 0, None, "", "", "", 0, weekly), 0)
    return weekly


def _standing(desk: Desk, params: Params) -> Quieting:
    """The decision that is meant.

    Raises:
        Refused: it has ended.
    """
    quieting_id = int(params["quieting_id"])
    quieting = desk.judge.quieter.book.decision(quieting_id)
    if quieting is None or stage_of(quieting, desk.judge.clock.now_ms()) is Stage.ENDED:
        raise Refused("quieting_ended", str(quieting_id))
    return quieting


def _record(desk: Desk, quieting: Quieting, operation: Operation, params: Params) -> tuple[Transaction, Params]:
    transaction = Transaction(desk.judge.clock.now_ms())
    desk.judge.quieter.record(quieting, operation, transaction, str(params["actor"]))
    desk.judge.quieter.settle(transaction)
    return transaction, {"quieting": rows.quieting_row(quieting)}

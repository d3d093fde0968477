"""What is quiet, why, and until when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gridwarden.model import Alarm, AlarmState, Device, Severity
from gridwarden.quieting import Matchers, Quieting, QuietingKind
from rules.inhibit import Inhibit, Relation
from rules.load import load
from rules.quiet import QuietBook, Verdict

NOW_MS = 1_800_000_000_000  # Friday 2027-01-15, 16:00 in Shanghai
HOUR_MS = 3_600_000
RULES = dict(load((), shipped_packs=True).by_id)
RULES["hydrant.tilt"] = replace(
    RULES["hydrant.tilt"],
    inhibits=(Inhibit(("hydrant.c*", "*.tilt"), Relation.BUILDING), Inhibit(("*.leak",), Relation.BUILDING, 60_000)),
)
DEVICES = {
    name: Device(name, "hydrant", "330106003", gateway=f"gw{number}", building="B1" if number < 3 else "B2")
    for number, name in enumerate(("H1", "H2", "H3"), start=1)
}
PLAIN = Quieting(1, QuietingKind.SILENCE, "3301", Matchers(), False, NOW_MS, NOW_MS + HOUR_MS, "op", "u", "x", NOW_MS)


def alarm(rule: str = "hydrant.cap_open", device: str = "H1", **changes: Any) -> Alarm:
    head = RULES[rule]
    plain = Alarm(f"{rule}/{device}", rule, head.version, device, device, "hydrant", "330106003", head.severity,
                  AlarmState.FIRING, NOW_MS, fired_at_ms=NOW_MS, latched=head.latched, life_safety=head.life_safety)  # fmt: skip
    return replace(plain, **changes)


def quieting(**changes: Any) -> Quieting:
    return replace(PLAIN, **changes)


def book(*quietings: Quieting) -> QuietBook:
    return QuietBook(RULES, quietings)


def reason(told: QuietBook, one: Alarm, at_ms: int = NOW_MS) -> str:
    verdict = told.decide(one, DEVICES, at_ms)
    return verdict.reason if verdict else ""


@pytest.mark.parametrize(
    ("matchers", "covers"),
    [
        (Matchers(), True),
        (Matchers(rules=("hydrant.cap_open",)), True), (Matchers(rules=("smoke.*", "*.cap_*")), True),
        (Matchers(rules=("hydrant.cap",)), False),
        (Matchers(categories=("usage", "fire")), True), (Matchers(categories=("fire",)), False),
        (Matchers(kinds=("hydrant",)), True), (Matchers(kinds=("lift",)), False),
        (Matchers(severities=("medium",)), True), (Matchers(severities=("high",)), False),
        (Matchers(devices=("H2", "H1")), True), (Matchers(devices=("H2",)), False),
        (Matchers(buildings=("B1",)), True), (Matchers(buildings=("B2",)), False),
        (Matchers(gateways=("gw1",)), True), (Matchers(gateways=("gw2",)), False),
        (Matchers(scopes=("H1",)), True), (Matchers(scopes=("H1/",)), False),
        (Matchers(kinds=("hydrant",), gateways=("gw2",)), False),
    ],
)  # fmt: skip
def test_every_list_that_is_not_empty_must_hold_the_value(matchers: Matchers, covers: bool) -> None:
    assert reason(book(quieting(matchers=matchers)), alarm()) == ("silence:1" if covers else "")


@pytest.mark.parametrize(
    ("area", "covers"), [("", True), ("330106", True), ("330106004", False), ("3301060031", False)]
)
def test_nothing_outside_its_area(area: str, covers: bool) -> None:
    assert bool(reason(book(quieting(area=area)), alarm())) is covers


def test_an_unknown_device_or_rule_matches_no_relation_and_no_category() -> None:
    lonely = alarm(device="NEW", area="")
    assert reason(book(quieting(area="", matchers=Matchers(buildings=("B1",)))), lonely) == ""
    assert (
        reason(book(quieting(area="", matchers=Matchers(buildings=("",)))), replace(lonely, rule_id="x.y"))
        == "silence:1"
    )
    assert reason(book(quieting(matchers=Matchers(categories=("usage",)))), alarm(rule_id="x.y")) == ""


@pytest.mark.parametrize("protected", [{"life_safety": True}, {"latched": True}], ids=["life safety", "latched"])
@pytest.mark.parametrize("kind", QuietingKind)
def test_what_is_protected_is_quiet_only_by_two_people(kind: QuietingKind, protected: dict[str, bool]) -> None:
    one = alarm(**protected)
    assert reason(book(quieting(kind=kind)), one) == ""
    assert reason(book(quieting(kind=kind, protected=True)), one) == ""
    assert reason(book(quieting(kind=kind, protected=True)), alarm()) == ""  # it waits as a whole
    approved = quieting(kind=kind, protected=True, approved_at_ms=NOW_MS)
    assert reason(book(approved), one) == f"{kind}:1"
    assert reason(book(approved), alarm()) == f"{kind}:1"


def test_what_nobody_can_trust_is_never_quiet() -> None:
    approved = quieting(area="", protected=True, approved_at_ms=NOW_MS)
    assert reason(book(approved), alarm(unverified=True)) == ""


def test_of_several_reasons_one_is_named_always_the_same() -> None:
    kinds = [QuietingKind.SILENCE, QuietingKind.MAINTENANCE, QuietingKind.OUT_OF_SERVICE, QuietingKind.SHELVED]
    standing = [quieting(quieting_id=number, kind=kind) for number, kind in enumerate(kinds, start=1)]
    told = book(*standing, quieting(quieting_id=5))
    for left in reversed(standing):
        assert reason(told, alarm()) == left.reason
        told.put(replace(left, ended_at_ms=NOW_MS), DEVICES, NOW_MS)
    assert reason(told, alarm()) == "silence:5"
    told.heard(alarm("hydrant.tilt", "H2"))
    assert reason(told, alarm()) == "inhibited:hydrant.tilt@H2"
    assert reason(told, alarm(suppressed=True)) == "suppressed"


def test_an_alarm_inhibits_what_it_has_something_in_common_with() -> None:
    told = book()
    told.heard(alarm("hydrant.tilt", "H2"))
    assert reason(told, alarm(device="H1")) == "inhibited:hydrant.tilt@H2"
    assert reason(told, alarm(device="H3")) == ""  # another building
    assert reason(told, alarm("hydrant.freeze")) == ""  # a rule that is not named
    assert reason(told, alarm("hydrant.tilt")) == ""  # one of its own rule
    assert reason(told, alarm(life_safety=True)) == ""
    assert reason(told, alarm(unverified=True)) == ""
    assert told.decide(alarm(), {**DEVICES, "H2": replace(DEVICES["H2"], building="B9")}, NOW_MS) is None


@pytest.mark.parametrize(
    "changes",
    [{"unverified": True}, {"shadow": True}, {"state": AlarmState.RESOLVED, "resolved_at_ms": NOW_MS},
     {"cleared_at_ms": NOW_MS}, {"state": AlarmState.PENDING}],
    ids=["unverified", "on trial", "ended", "cleared", "pending"],
)  # fmt: skip
def test_what_does_not_truly_fire_inhibits_nothing(changes: dict[str, Any]) -> None:
    told = book()
    told.heard(alarm("hydrant.tilt", **changes))
    assert reason(told, alarm()) == ""


def test_one_that_is_over_inhibits_for_as_long_as_its_rule_says_also_after_a_restart() -> None:
    over = alarm("hydrant.tilt", state=AlarmState.RESOLVED, cleared_at_ms=NOW_MS, resolved_at_ms=NOW_MS)
    leak = alarm("hydrant.leak", quieted_by="inhibited:hydrant.tilt@H1")
    live, again = book(), book()
    live.heard(alarm("hydrant.tilt"))
    live.heard(leak, Verdict(leak.quieted_by, None))
    assert (live.next_wake_ms(), reason(live, leak)) == (None, leak.quieted_by)
    live.heard(over)
    again.restore([leak], [over])
    for told in (live, again):
        assert told.next_to_check(10) == [leak]
        verdict = told.decide(leak, DEVICES, NOW_MS)
        assert verdict == Verdict(leak.quieted_by, NOW_MS + 60_000)
        told.heard(leak, verdict)
        assert told.next_wake_ms() == NOW_MS + 60_000
        assert told.run_out(NOW_MS + 60_000) == []
        assert told.next_to_check(10) == [leak]
        assert reason(told, leak, NOW_MS + 60_000) == ""
        assert reason(told, leak) == ""  # let go of, also for a clock that is set back


def test_other_rules_inhibit_otherwise_and_what_is_over_is_kept() -> None:
    told = book()
    told.heard(alarm("hydrant.tilt", "H2"))
    told.heard(alarm("hydrant.tilt", cleared_at_ms=NOW_MS))
    leak = alarm("hydrant.leak", quieted_by="inhibited:hydrant.tilt@H2")
    told.heard(leak)
    told.use(RULES)
    assert told.next_to_check(10) == [leak]
    assert reason(told, leak)
    told.heard(alarm("hydrant.tilt", "H2", state=AlarmState.RESOLVED, resolved_at_ms=NOW_MS - 60_000))
    assert reason(told, leak) == "inhibited:hydrant.tilt@H1"
    told.use({**RULES, "hydrant.tilt": replace(RULES["hydrant.tilt"], inhibits=())})
    assert reason(told, leak) == ""


def test_nothing_wakes_for_a_reason_that_quiets_nothing_any_more() -> None:
    told = book()
    leak = alarm("hydrant.leak", quieted_by="inhibited:hydrant.tilt@H1")
    told.heard(leak, Verdict(leak.quieted_by, NOW_MS + 60_000))
    assert told.next_wake_ms() == NOW_MS + 60_000
    told.heard(replace(leak, state=AlarmState.RESOLVED, resolved_at_ms=NOW_MS))
    assert told.next_wake_ms() is None


def test_it_fires_again_before_its_time_is_over() -> None:
    told = book()
    leak = alarm("hydrant.leak", quieted_by="inhibited:hydrant.tilt@H1")
    told.heard(alarm("hydrant.tilt"))
    told.heard(alarm("hydrant.tilt", cleared_at_ms=NOW_MS))
    told.heard(leak, told.decide(leak, DEVICES, NOW_MS))
    told.heard(alarm("hydrant.tilt"))
    told.run_out(NOW_MS + 60_000)
    assert reason(told, leak, NOW_MS + 60_000) == leak.quieted_by


def test_what_was_told_is_taken_off_the_list_only_by_shelving_and_out_of_service() -> None:
    told = book()
    listed = alarm(event_id="E")
    told.heard(listed)
    for number, kind in enumerate(QuietingKind, start=1):
        told.put(quieting(quieting_id=number, kind=kind), DEVICES, NOW_MS)
        asked = told.next_to_check(10)
        assert bool(asked) is kind.takes_off_the_list
        found = reason(told, listed)
        assert found == (f"{kind}:{number}" if kind.takes_off_the_list else "")
        told.put(quieting(quieting_id=number, kind=kind, ended_at_ms=NOW_MS), DEVICES, NOW_MS)
    told.heard(alarm("hydrant.tilt"))
    assert reason(told, listed) == ""
    lone = alarm("hydrant.leak")  # told, and of a rule that opens no case
    told.heard(lone)
    assert reason(told, lone) == ""


def test_an_alarm_that_gets_worse_is_asked_about_again() -> None:
    told = book(quieting(matchers=Matchers(severities=("medium",))))
    quiet = alarm(quieted_by="silence:1")
    told.heard(quiet)
    told.heard(replace(quiet, revision=2))
    assert told.next_wake_ms() == PLAIN.until_at_ms
    worse = replace(quiet, severity=Severity.HIGH)
    told.heard(worse)
    assert told.next_wake_ms() == 0
    assert told.next_to_check(10) == [worse]
    assert reason(told, worse) == ""
    told.heard(replace(worse, suppressed=True))
    assert len(told.next_to_check(10)) == 1


def test_the_engine_s_alarm_gets_its_event_and_reason_back() -> None:
    told = book()
    told.heard(alarm(event_id="E", quieted_by="shelved:1"))
    assert told.stamped(alarm(severity=Severity.HIGH)) == alarm(
        event_id="E", quieted_by="shelved:1", severity=Severity.HIGH
    )
    assert told.stamped(alarm(device="H2")) == alarm(device="H2")
    told.heard(alarm(state=AlarmState.RESOLVED))
    assert told.stamped(alarm(quieted_by="x")) == alarm(quieted_by="x")


def test_a_reason_fits_its_column() -> None:
    told = book()
    told.heard(alarm("hydrant.tilt", scope="x" * 300))
    assert len(reason(told, alarm())) == 200

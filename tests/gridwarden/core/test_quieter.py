"""Quiet alarms on a real records file: recorded and listed, told to nobody, and told once nothing quiets them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridwarden.core.commands import COMMANDS, Desk, look_up
from gridwarden.core.quieter import CHECKED_AT_ONCE
from gridwarden.errors import Refused
from gridwarden.model import Alarm, AlarmState, Device, Operation
from gridwarden.records.transaction import Transaction
from rules.load import read_rules
from rules.rule import RuleSet

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
LISTS = ("rules", "categories", "kinds", "severities", "devices", "buildings", "gateways")


def ask(site: Any, name: str, actor: str = "op", **params: Any) -> tuple[Transaction, dict[str, Any]]:
    params = {"actor": actor, "actor_id": f"id-{actor}", "comment": "works", **params}
    transaction, answer = COMMANDS[name](Desk(site.judge, look_up(site.writer, "c", params), ()), params)
    site.commit(transaction)
    return transaction, answer.get("quieting", answer)


def silence(
    site: Any, hours: float = 1, *, protected: bool = False, area: str = "3301", **params: Any
) -> dict[str, Any]:
    matchers = {name: params.pop(name) for name in LISTS if name in params}
    kind = params.pop("kind", "silence")
    until_at_ms = site.clock.at_ms + int(hours * HOUR_MS)
    return ask(site, "quiet", kind=kind, area=area, matchers=matchers, protected=protected,
               until_at_ms=until_at_ms, **params)[1]  # fmt: skip


def cap(site: Any, is_open: bool = True, device: str = "HYD-1") -> Transaction:
    """A hydrant's cap is opened or closed: an alarm at once, neither latched nor of life safety."""
    site.seq = getattr(site, "seq", 0) + 1
    reading = {"device": device, "at": site.clock.at_ms, "seq": site.seq, "values": {"cap_open": is_open}}
    return site.hear(reading, at_ms=site.clock.at_ms)


def fire(site: Any, device: str = "SMK-1", **options: Any) -> Transaction:
    site.seq = getattr(site, "seq", 0) + 1
    reading = {"device": device, "at": site.clock.at_ms, "seq": site.seq, "values": {"state": "alarm"}}
    return site.hear(reading, at_ms=site.clock.at_ms, **options)


def settle(site: Any) -> list[tuple[str, str]]:
    """Let time act until nothing is left to do; what was journalled: operation and what quiets its alarm."""
    said = []
    while (wake_ms := site.judge.next_wake_ms()) is not None and wake_ms <= site.clock.at_ms:
        transaction = site.judge.advance()
        if transaction is None:
            break
        site.commit(transaction)
        said += told(transaction)
    return said


def told(transaction: Transaction) -> list[tuple[str, str]]:
    return [(change.operation, change.alarm.quieted_by if change.alarm else "") for change in transaction.changes]


def alarms(site: Any) -> list[Alarm]:
    reader = site.reader()
    try:
        return list(reader.alarms(limit=1000))
    finally:
        reader.close()


def test_a_silenced_alarm_is_recorded_and_told_when_the_silence_runs_out(site: Any) -> None:
    made = silence(site, rules=["hydrant.*"])
    site.clock.at_ms += 1000
    transaction = cap(site)
    assert told(transaction) == [("alarm.quieted", "silence:1")]
    assert transaction.changes[0].detail == {"until_at_ms": made["until_at_ms"]}
    assert not transaction.events
    (alarm,) = alarms(site)
    assert (alarm.state, alarm.fired_at_ms, alarm.quieted_by) == (AlarmState.FIRING, NOW_MS + 1000, "silence:1")
    assert site.judge.next_wake_ms() == made["until_at_ms"]
    site.clock.at_ms = made["until_at_ms"] - 1
    assert settle(site) == []
    site.clock.at_ms += 1
    transaction = site.judge.advance()
    site.commit(transaction)
    assert told(transaction) == [("quieting.ended", ""), ("alarm.fired", "")]
    assert transaction.changes[1].detail == {"quieted_by": "silence:1"}
    assert transaction.changes[1].event.opened_at_ms == NOW_MS + 1000
    (alarm,) = alarms(site)
    assert (alarm.event_id, alarm.quieted_by) == (transaction.changes[1].event.event_id, "")
    assert site.judge.next_wake_ms() is None


def test_a_silence_ended_early_tells_at_once_and_a_second_end_is_refused(site: Any) -> None:
    silence(site, kinds=["hydrant"])
    cap(site)
    transaction, ended = ask(site, "end_quieting", "other", quieting_id=1)
    assert told(transaction) == [("quieting.ended", ""), ("alarm.fired", "")]
    assert (ended["ended_by"], transaction.changes[0].actor) == ("other", "other")
    with pytest.raises(Refused, match="quieting_ended"):
        ask(site, "end_quieting", quieting_id=1)


def test_what_ends_while_it_is_quiet_is_nobodys_case(site: Any) -> None:
    silence(site, rules=["hydrant.cap_open"])
    cap(site)
    assert told(cap(site, False)) == [("alarm.resolved", "silence:1")]
    site.clock.at_ms += 2 * HOUR_MS
    assert settle(site) == [("quieting.ended", "")]
    (alarm,) = alarms(site)
    assert (alarm.state, alarm.quieted_by, alarm.event_id) == (AlarmState.RESOLVED, "silence:1", None)


def test_what_was_told_stays_told_under_a_later_silence(site: Any) -> None:
    cap(site)
    silence(site, rules=["hydrant.*"])
    assert settle(site) == []
    assert alarms(site)[0].quieted_by == ""
    assert told(cap(site, False)) == [("alarm.resolved", "")]


def test_a_shelved_alarm_is_off_the_list_for_a_time_and_its_case_stays(site: Any) -> None:
    (change,) = cap(site).changes
    transaction, shelf = ask(site, "shelve", alarm_id=change.alarm.alarm_id, until_at_ms=NOW_MS + HOUR_MS)
    assert told(transaction) == [("quieting.added", ""), ("alarm.quieted", "shelved:1")]
    assert transaction.changes[1].event.event_id == change.event.event_id
    assert transaction.changes[1].alarm.revision == change.alarm.revision + 1
    assert site.judge.cases.open_count == 1
    assert shelf["matchers"]["scopes"] == ("HYD-1",)
    site.clock.at_ms += HOUR_MS
    assert settle(site) == [("quieting.ended", ""), ("alarm.unquieted", "")]
    assert alarms(site)[0].event_id == change.event.event_id


def test_while_shelved_it_may_end_and_fire_again_in_silence(site: Any) -> None:
    (change,) = cap(site).changes
    ask(site, "shelve", alarm_id=change.alarm.alarm_id, until_at_ms=NOW_MS + HOUR_MS)
    assert told(cap(site, False)) == [("alarm.resolved", "shelved:1")]
    site.clock.at_ms += 1000
    assert told(cap(site)) == [("alarm.quieted", "shelved:1")]
    site.clock.at_ms += HOUR_MS
    assert settle(site) == [("quieting.ended", ""), ("alarm.fired", "")]


def test_a_device_out_of_service_is_quiet_until_it_is_back(site: Any) -> None:
    cap(site)
    silence(site, kind="out_of_service", devices=["HYD-1"])
    assert alarms(site)[0].quieted_by == "out_of_service:1"
    site.clock.at_ms += 100 * 24 * HOUR_MS
    assert settle(site) == []
    assert told(cap(site, False)) == [("alarm.resolved", "out_of_service:1")]
    cap(site)
    transaction, _ = ask(site, "end_quieting", quieting_id=1)
    assert told(transaction) == [("quieting.ended", ""), ("alarm.fired", "")]


def test_a_maintenance_window_opens_every_week_and_what_fires_in_it_is_told_when_it_closes(site: Any) -> None:
    site.clock.at_ms = 1_799_870_400_000  # Thursday 2027-01-14, 04:00 in Shanghai
    weekly = {"days": [3], "start": "05:00", "end": "06:00", "zone": "Asia/Shanghai"}
    silence(site, hours=24 * 30, kind="maintenance", kinds=["hydrant"], weekly=weekly)
    assert told(cap(site)) == [("alarm.fired", "")]
    cap(site, False)
    for _ in range(2):
        site.clock.at_ms += HOUR_MS
        assert told(cap(site)) == [("alarm.quieted", "maintenance:1")]
        assert site.judge.next_wake_ms() == site.clock.at_ms + HOUR_MS
        site.clock.at_ms += HOUR_MS
        assert settle(site) == [("alarm.fired", "")]
        cap(site, False)
        site.clock.at_ms += (24 * 7 - 2) * HOUR_MS


def test_an_inhibited_alarm_is_told_when_what_inhibits_it_is_over(site: Any) -> None:
    def water(pressure_mpa: float, minutes: int) -> list[tuple[str, str]]:
        site.clock.at_ms = at_ms = NOW_MS + minutes * 60_000
        reading = {"device": "HYD-1", "at": at_ms, "seq": minutes + 1, "values": {"pressure_mpa": pressure_mpa}}
        return told(site.hear(reading, at_ms=at_ms)) + settle(site)

    why = "inhibited:hydrant.very_low_pressure@HYD-1"
    assert water(0.05, 0) == []
    assert water(0.05, 2) == [("alarm.fired", "")]
    assert water(0.05, 6) == [("alarm.quieted", why)]
    assert water(0.12, 7) == [("alarm.resolved", ""), ("alarm.fired", "")]
    (low,) = [alarm for alarm in alarms(site) if alarm.rule_id == "hydrant.low_pressure"]
    assert low.fired_at_ms == NOW_MS + 5 * 60_000


def test_fire_is_quiet_only_by_two_people_and_never_from_a_stranger(site: Any) -> None:
    silence(site, area="", kinds=["smoke"])
    assert told(fire(site)) == [("alarm.fired", "")]  # nobody asked for fire to be quiet
    made = silence(site, area="", kinds=["smoke"], protected=True)
    assert told(fire(site, "SMK-2"))[0] == ("alarm.fired", "")  # nobody else has agreed
    site.devices["SMK-3"] = Device("SMK-3", "smoke", "330106001", gateway="gw1")
    ask(site, "approve_quieting", "chief", quieting_id=made["quieting_id"])
    assert told(fire(site, "SMK-3")) == [("alarm.quieted", "silence:2")]
    assert told(fire(site, "STRANGE")) == [("alarm.fired", "")]
    assert told(fire(site, "SMK-3", gateway="gw9")) == [("alarm.fired", "")]
    site.clock.at_ms += HOUR_MS
    assert settle(site) == [("quieting.ended", ""), ("quieting.ended", ""), ("alarm.fired", "")]


def test_a_shelved_fire_waits_for_the_second_person(site: Any) -> None:
    (change,) = fire(site).changes
    transaction, shelf = ask(site, "shelve", alarm_id=change.alarm.alarm_id, until_at_ms=NOW_MS + HOUR_MS)
    assert (told(transaction), shelf["protected"]) == ([("quieting.added", "")], True)
    transaction, _ = ask(site, "approve_quieting", "chief", quieting_id=1)
    assert told(transaction) == [("quieting.approved", ""), ("alarm.quieted", "shelved:1")]


def test_what_was_seen_while_it_was_quiet_is_seen_in_its_case(site: Any) -> None:
    silence(site, rules=["hydrant.*"])
    (change,) = cap(site).changes
    transaction, answer = ask(site, "acknowledge", alarm_id=change.alarm.alarm_id)
    assert (told(transaction), answer["alarm"]["quieted_by"]) == ([("alarm.acknowledged", "silence:1")], "silence:1")
    transaction, _ = ask(site, "end_quieting", quieting_id=1)
    assert (transaction.changes[1].event.unacknowledged_count, transaction.changes[1].event.firing_count) == (0, 1)


def test_the_shorter_of_two_silences_changes_only_the_reason(site: Any) -> None:
    silence(site, hours=1, rules=["hydrant.*"])
    silence(site, hours=2, rules=["hydrant.*"])
    assert told(cap(site)) == [("alarm.quieted", "silence:1")]
    site.clock.at_ms += HOUR_MS
    assert settle(site) == [("quieting.ended", ""), ("alarm.quieted", "silence:2")]
    site.clock.at_ms += HOUR_MS
    assert settle(site) == [("quieting.ended", ""), ("alarm.fired", "")]


@pytest.mark.parametrize("ended", [False, True], ids=["silent", "ran out meanwhile"])
def test_a_restart_changes_nothing(site: Any, ended: bool) -> None:
    silence(site, rules=["hydrant.*"])
    cap(site)
    site.clock.at_ms += 2 * HOUR_MS if ended else 0
    site.restart()
    assert settle(site) == ([("quieting.ended", ""), ("alarm.fired", "")] if ended else [])
    assert silence(site, rules=["x.y"])["quieting_id"] == 2
    if not ended:
        assert told(cap(site, False)) == [("alarm.resolved", "silence:1")]


def test_a_clock_that_is_set_back_or_forward(site: Any) -> None:
    silence(site, rules=["hydrant.*"])
    cap(site)
    site.clock.at_ms -= 10 * HOUR_MS
    assert settle(site) == []
    site.clock.at_ms += 11 * HOUR_MS + 1
    assert settle(site) == [("quieting.ended", ""), ("alarm.fired", "")]
    site.clock.at_ms -= 10 * HOUR_MS  # what has run out does not come back
    assert settle(site) == []
    site.devices["HYD-2"] = Device("HYD-2", "hydrant", "330106003")
    assert told(cap(site, device="HYD-2")) == [("alarm.fired", "")]


def test_the_end_of_a_large_silence_comes_in_parts(site: Any) -> None:
    silence(site, kinds=["hydrant"])
    many = CHECKED_AT_ONCE * 2 + 50
    for number in range(many):
        site.devices[f"H{number}"] = Device(f"H{number}", "hydrant", "330106003")
    site.hear([{"device": f"H{number}", "at": NOW_MS, "values": {"cap_open": True}} for number in range(many)])
    transaction, _ = ask(site, "end_quieting", quieting_id=1)
    sizes = [len(transaction.alarms)]
    while site.judge.next_wake_ms() == 0:
        site.restart()  # and a restart between two of them
        transaction = site.judge.advance()
        site.commit(transaction)
        sizes.append(len(transaction.alarms))
    assert sizes == [CHECKED_AT_ONCE, CHECKED_AT_ONCE, 50]
    assert site.judge.cases.open_count == many


def test_the_journal_does_not_hold_what_was_written(site: Any) -> None:
    silence(site, rules=["hydrant.*"], comment="Zhang's phone is 139")
    reader = site.reader()
    assert "Zhang" not in str(reader.journal(0))
    assert reader.quieting(1).comment == "Zhang's phone is 139"
    reader.close()


# --- whatever happens ------------------------------------------------------------------------------------------------


def life(alarm: Alarm) -> Alarm:
    """An alarm without what quieting may change."""
    return replace(alarm, quieted_by="", event_id=None, revision=0)


def play(site: Any, dice: random.Random, hush: random.Random | None) -> None:
    """Caps, water, fires in a random order; with ``hush`` people quiet things, approve, end, and core restarts."""
    for number in range(40):
        site.clock.at_ms = NOW_MS + number * 45_000
        settle(site)
        device, values = dice.choice([
            ("SMK-1", {"state": dice.choice(["normal", "alarm"])}), ("NEW", {"state": "alarm"}),
            ("HYD-1", {"pressure_mpa": dice.choice([0.02, 0.12, 0.3]), "cap_open": dice.random() < 0.5}),
            ("LIFT-1", {"occupied": True, "motion": "stopped", "mode": "normal", "door": "closed"}),
        ])  # fmt: skip
        site.hear({"device": device, "at": site.clock.at_ms, "seq": number, "values": values}, at_ms=site.clock.at_ms)
        if hush is not None:
            disturb(site, hush)


def disturb(site: Any, hush: random.Random) -> None:
    try:
        match hush.randrange(6):
            case 0:
                kind = hush.choice(["silence", "maintenance", "out_of_service"])
                hours = hush.choice([0.02, 0.1])
                silence(site, hours=hours, kind=kind, protected=hush.random() < 0.5, area="")
            case 1:
                silence(site, hours=hush.choice([0.02, 0.1]), rules=[hush.choice(["hydrant.*", "smoke.*", "*"])])
            case 2 if site.judge.quieter.book.last_id:
                any_one = hush.randint(1, site.judge.quieter.book.last_id)
                ask(site, hush.choice(["end_quieting", "approve_quieting"]), "chief", quieting_id=any_one)
            case 3:
                firing = [alarm for alarm in alarms(site) if alarm.state is AlarmState.FIRING]
                if firing:
                    alarm_id = hush.choice(firing).alarm_id
                    ask(site, "shelve", alarm_id=alarm_id, until_at_ms=site.clock.at_ms + 90_000)
            case 4:
                site.restart()
    except Refused:
        pass


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_quieting_never_changes_an_alarms_own_life_and_hides_none_for_ever(
    make_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("quiet")
    loud, quiet = make_site(str(folder / "loud")), make_site(str(folder / "quiet"))
    play(loud, random.Random(seed), None)
    play(quiet, random.Random(seed), random.Random(seed + 1))
    for number in range(1, quiet.judge.quieter.book.last_id + 1):
        if quiet.judge.quieter.book.decision(number):
            ask(quiet, "end_quieting", quieting_id=number)
    settle(quiet)
    settle(loud)
    expected, found = alarms(loud), alarms(quiet)
    assert [life(alarm) for alarm in found] == [life(alarm) for alarm in expected]
    for before, after in zip(expected, found, strict=True):
        if after.state is AlarmState.FIRING:
            assert after.quieted_by == before.quieted_by  # what is inhibited is so in both
            assert bool(after.event_id) is not bool(after.quieted_by)
    reader = quiet.reader()
    fired = [one.body["alarm"]["alarm_id"] for one in reader.journal(0) if one.operation == Operation.ALARM_FIRED]
    reader.close()
    assert len(fired) == len(set(fired))  # each is told once
    for site in (loud, quiet):
        site.close()


def test_a_suppression_that_ends_is_told_with_the_reading_that_ends_it(make_site: Callable[..., Any]) -> None:
    rule = {"id": "lift.out", "name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "low", "category": "fault",
            "when": "floor > 3", "suppressed_when": "occupied"}  # fmt: skip
    site = make_site(rules=RuleSet(tuple(read_rules({"kind": "lift", "rules": [rule]}))))
    readings = [({"floor": 4, "occupied": True}, ["alarm.quieted"]), ({"occupied": False}, ["alarm.fired"])]
    for seq, (values, told) in enumerate(readings):
        transaction = site.hear({"device": "LIFT-1", "seq": seq, "values": values})
        assert [change.operation for change in transaction.changes] == told

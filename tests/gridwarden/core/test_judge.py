"""The judge on a real records file: every hostile input has its place in the ledger, and nothing is judged twice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridwarden.model import AlarmState, Operation, Outcome
from gridwarden.records.block import decode
from gridwarden.records.transaction import Transaction

NOW_MS = 1_800_000_000_000
NORMAL = {"device": "SMK-1", "at": NOW_MS - 1000, "seq": 1, "values": {"state": "normal"}}
FIRE = {"device": "SMK-1", "at": NOW_MS, "seq": 2, "values": {"state": "alarm"}}


def fire(device: str, seq: int = 1) -> dict[str, Any]:
    return {"device": device, "at": NOW_MS, "seq": seq, "values": {"state": "alarm"}}


def facts(site: Any) -> dict[str, int]:
    """The ledger as it is stored, without what is nought."""
    reader = site.reader()
    try:
        ledger = reader.ledger()
        recount = reader.aside.recount()
    finally:
        reader.close()
    assert ledger["received"] == sum(ledger[n] for n in ("stored", "duplicate", "dead_lettered", "quarantined"))
    assert recount == {name: ledger[name] for name in recount}
    return {name: count for name, count in ledger.items() if count}


def stored(site: Any) -> list[Any]:
    return [reading for _, body in site.writer.blocks_after(0) if body for reading in decode(body)]


def codes(site: Any) -> list[str]:
    reader = site.reader()
    try:
        return [letter["code"] for letter in reader.aside.letters()]
    finally:
        reader.close()


DEEP = b'{"device":"SMK-1","values":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}"
UNDECODABLE = {
    "not JSON": (b"hello", "not_json"),
    "half of it": (b'{"device":"SMK-1","val', "not_json"),
    "nothing": (b"", "not_json"),
    "invalid UTF-8": (b'{"device":"\xff\xfe","values":{}}', "not_json"),
    "a lone surrogate": (b'{"device":"\\ud800","values":{}}', "not_json"),
    "UTF-16": ('{"device":"SMK-1","values":{}}'.encode("utf-16"), "not_json"),
    "deep nesting": (DEEP, "too_deep"),
    "oversize": (b'{"device":"SMK-1","values":{},"x":"' + b"a" * 64 * 1024 + b'"}', "too_large"),
    "a number": (b"17", "not_a_reading"),
    "a null": (b"null", "not_a_reading"),
    "an empty array": (b"[]", "no_readings"),
    "an empty list of readings": (b'{"readings":[]}', "no_readings"),
    "no device": (b'{"values":{"state":"alarm"}}', "not_a_reading"),
    "a device that is a number": (b'{"device":7,"values":{}}', "no_device"),
    "a device of control characters": (b'{"device":"a\\u0000b","values":{}}', "no_device"),
    "a device without end": (json.dumps({"device": "x" * 129, "values": {}}).encode(), "no_device"),
    "no values": (b'{"device":"SMK-1"}', "no_values"),
    "values in a list": (b'{"device":"SMK-1","values":["alarm"]}', "no_values"),
    "an attack of fields": (json.dumps({"device": "A", "values": dict.fromkeys(map(str, range(65)))}).encode(),
                            "too_many_fields"),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "code"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_what_cannot_be_decoded_is_one_dead_letter_kept_whole(site: Any, payload: bytes, code: str) -> None:
    site.hear(payload, NORMAL)
    assert facts(site) == {"received": 2, "stored": 1, "dead_lettered": 1}
    reader = site.reader()
    (listed,) = reader.aside.letters()
    letter = reader.aside.letter(listed["dead_letter_id"])
    reader.close()
    assert (listed["bytes"], listed["head"]) == (len(payload), payload[:4096])
    assert (letter["code"], letter["payload"], letter["broker"]) == (code, payload, "b")


def test_a_topic_that_is_none_of_ours_is_a_dead_letter(site: Any) -> None:
    site.hear(FIRE, topic="gridwarden/v1//up")
    site.hear(FIRE, topic="somewhere/else")
    assert facts(site) == {"received": 2, "dead_lettered": 2}
    assert codes(site) == ["unknown_topic", "unknown_topic"]


BAD_FIELDS = {
    "NaN": (b"NaN", "not_finite"),
    "infinity": (b"-Infinity", "not_finite"),
    "1e400": (b"1e400", "not_finite"),
    "a huge integer": (b"9" * 400, "out_of_range"),
    "an integer of thousands of digits": (b"9" * 6000, "not_finite"),
    "out of range": (b"121", "out_of_range"),
    "text": (b'"hot"', "wrong_type"),
    "a list": (b"[1]", "wrong_type"),
    "true": (b"true", "wrong_type"),
}


@pytest.mark.parametrize(("value", "quality"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_field_that_cannot_be_used_is_null_and_the_fire_beside_it_lives(
    site: Any, value: bytes, quality: str
) -> None:
    payload = b'{"device":"SMK-1","at":%d,"values":{"state":"alarm","temperature_c":%s}}' % (NOW_MS, value)
    transaction = site.hear(payload)
    assert facts(site) == {"received": 1, "stored": 1}
    (reading,) = stored(site)
    assert reading.values == {"state": "alarm", "temperature_c": None}
    assert reading.quality == {"temperature_c": quality}
    assert [change.operation for change in transaction.changes] == [Operation.ALARM_FIRED]


CLOCKS = {
    "1970": 0,
    "seconds for milliseconds": NOW_MS // 1000,
    "far future": NOW_MS + 400_000,
    "year 9999": "9999-12-31T23:59:59Z",
    "year 1 in a zone": "0001-01-01T00:00:00+23:59",
    "no time": "yesterday",
    "a truth": True,
    "a list": [1],
    "huge": 10**300,
    "not a number": float("nan"),
    "negative": -1,
}


@pytest.mark.parametrize("at", CLOCKS.values(), ids=CLOCKS)
def test_a_clock_that_cannot_be_true_gives_way_to_ours(site: Any, at: object) -> None:
    transaction = site.hear({**FIRE, "at": at})
    assert facts(site) == {"received": 1, "stored": 1}
    (reading,) = stored(site)
    assert (reading.occurred_at_ms, reading.quality) == (NOW_MS, {"at": "clock"})
    assert [change.operation for change in transaction.changes] == [Operation.ALARM_FIRED]


@pytest.mark.parametrize("seq", ["17", 1.5, -1, 2**63, True, [1]])
def test_a_seq_that_is_none_is_noted_and_still_tells_repeats_apart(site: Any, seq: object) -> None:
    site.hear({"device": "SMK-1", "seq": seq, "values": {"state": "alarm"}})
    site.hear({"device": "SMK-1", "seq": seq, "values": {"state": "alarm"}})
    assert facts(site) == {"received": 2, "stored": 1, "duplicate": 1}
    (reading,) = stored(site)
    assert (reading.seq, reading.quality) == (None, {"seq": "wrong_type"})


def test_of_an_array_with_one_bad_element_the_good_ones_live(site: Any) -> None:
    site.hear([NORMAL, {"device": 5}, FIRE, "x"])
    assert facts(site) == {"received": 4, "stored": 2, "dead_lettered": 2}
    assert sorted(codes(site)) == ["no_device", "not_a_reading"]


def test_a_payload_of_commas_is_a_hundred_dead_letters_and_one_for_the_rest(site: Any) -> None:
    elements = [0] * 5000
    elements[4000:4000] = [FIRE]
    transaction = site.hear(elements)
    assert facts(site) == {"received": 102, "stored": 1, "dead_lettered": 101}
    assert len(transaction.changes) == 1
    assert json.loads(transaction.dead_letters[-1].payload) == [0] * 4900


def test_of_duplicate_keys_the_last_one_counts(site: Any) -> None:
    site.hear(b'{"device":"HYD-1","device":"SMK-1","values":{"state":"normal","state":"alarm"}}')
    (reading,) = stored(site)
    assert (reading.device_id, reading.values) == ("SMK-1", {"state": "alarm"})


def test_an_unknown_device_is_stored_and_listed(site: Any) -> None:
    site.hear({"device": "NEW", "at": NOW_MS, "values": {"pressure_mpa": 0.3}}, gateway="gw9")
    site.hear({"device": "NEW", "at": NOW_MS + 1, "values": {"pressure_mpa": 0.4}}, gateway="gw9")
    assert facts(site) == {"received": 2, "stored": 2}
    reader = site.reader()
    (seen,) = reader.unregistered()
    reader.close()
    assert (seen["device_id"], seen["kind"], seen["gateway"], seen["reading_count"]) == ("NEW", "hydrant", "gw9", 2)


def test_an_unentitled_gateway_is_set_aside_and_disturbs_nothing(site: Any) -> None:
    site.hear(NORMAL)
    site.hear({**FIRE, "values": {"state": "test"}}, gateway="gw2")
    assert facts(site) == {"received": 2, "stored": 1, "quarantined": 1}
    reading = site.judge.windows.get(stored(site)[0])
    assert reading.values == {"state": "normal"}
    site.hear({**FIRE, "values": {"state": "test"}}, gateway="gw2")
    assert facts(site) == {"received": 3, "stored": 1, "quarantined": 1, "duplicate": 1}
    site.hear({**FIRE, "values": {"state": "test"}})  # the same bytes from its own gateway are news
    assert facts(site) == {"received": 4, "stored": 2, "quarantined": 1, "duplicate": 1}


@pytest.mark.parametrize(("device", "gateway", "place"), [("NEW", "gw1", "stored"), ("SMK-1", "gw2", "quarantined")])
def test_a_fire_from_nobody_we_know_is_an_event_marked_unverified(
    site: Any, device: str, gateway: str, place: str
) -> None:
    transaction = site.hear(fire(device), gateway=gateway)
    assert facts(site) == {"received": 1, place: 1}
    (change,) = transaction.changes
    assert change.operation is Operation.ALARM_FIRED
    assert change.alarm.unverified
    assert change.event.unverified


def test_a_flood_of_unverified_fires_is_one_case_with_a_limit(site: Any) -> None:
    transaction = site.hear([fire(f"FAKE-{number}") for number in range(200)])
    assert facts(site) == {"received": 200, "stored": 200}
    assert len(transaction.events) == 1
    assert len(transaction.changes) == 50
    assert site.judge.engine.unverified_suppressed == 150


def test_readings_of_one_batch_are_judged_in_the_device_s_own_order(site: Any) -> None:
    transaction = site.hear({**FIRE, "at": NOW_MS - 5, "seq": 3, "values": {"state": "normal"}},
                            {**FIRE, "at": NOW_MS - 10, "seq": 2})  # fmt: skip
    assert [reading.seq for reading in stored(site)] == [2, 3]
    assert not any(reading.late for reading in stored(site))
    assert [change.operation for change in transaction.changes] == [Operation.ALARM_FIRED, Operation.ALARM_CLEARED]


def test_a_late_reading_may_fire_and_never_clears(site: Any) -> None:
    site.hear(FIRE)
    transaction = site.hear(NORMAL)
    assert not transaction.changes
    assert [reading.late for reading in stored(site)] == [False, True]
    transaction = site.hear({**fire("SMK-2"), "values": {"state": "normal"}}, {**fire("LIFT-1"), "values": {}})
    transaction = site.hear({**fire("SMK-2"), "at": NOW_MS - 9})
    assert transaction.changes[0].operation is Operation.ALARM_FIRED


def test_an_old_repeat_is_stored_and_counted_unchecked(site: Any) -> None:
    site.hear(*({**NORMAL, "at": NOW_MS + number, "seq": number} for number in range(65)))
    site.hear({**NORMAL, "at": NOW_MS, "seq": 0})
    assert facts(site) == {"received": 66, "stored": 66, "unchecked": 1}


def test_a_replay_clock_takes_its_time_from_the_input_and_leaps_only_so_far(replay: Any) -> None:
    old_ms = 1_600_000_000_000
    replay.hear({**NORMAL, "at": old_ms})
    assert replay.clock.now_ms() == old_ms
    replay.hear({**NORMAL, "at": old_ms + 3_600_000, "seq": 2})
    replay.hear({**FIRE, "at": old_ms + 9_000_000, "seq": 3})  # further than it may leap
    assert replay.clock.now_ms() == old_ms + 3_600_000
    reading = stored(replay)[-1]
    assert (reading.occurred_at_ms, reading.quality) == (old_ms + 3_600_000, {"at": "clock"})
    replay.hear({**FIRE, "at": old_ms, "seq": 4})
    assert replay.clock.now_ms() == old_ms + 3_600_000
    assert facts(replay) == {"received": 4, "stored": 4}


def test_a_timer_acts_by_our_clock(site: Any) -> None:
    trapped = {"occupied": True, "motion": "stopped", "mode": "normal", "door": "closed"}
    site.hear({"device": "LIFT-1", "at": NOW_MS, "values": trapped})
    assert site.judge.advance() is None
    site.clock.at_ms += 90_000
    transaction = site.judge.advance()
    assert [change.operation for change in transaction.changes] == [Operation.ALARM_FIRED]
    (alarm,) = transaction.alarms.values()
    assert (alarm.state, alarm.event_id) == (AlarmState.FIRING, transaction.changes[0].event.event_id)


def test_a_hold_that_is_broken_and_begun_again_in_one_batch_is_kept(site: Any) -> None:
    """Without ``at`` and ``seq`` the second pending alarm has the identity of the first."""
    trapped = {
        "device": "LIFT-1",
        "values": {"occupied": True, "motion": "stopped", "mode": "normal", "door": "closed"},
    }
    moving = {"device": "LIFT-1", "values": {"motion": "running"}}
    site.hear([trapped, moving, trapped])
    site.restart()
    assert [alarm.state for alarm in site.start.alarms] == [AlarmState.PENDING]


def test_case_numbers_go_on_after_a_restart(site: Any) -> None:
    first = site.hear(FIRE).changes[0].event
    site.restart()
    again = site.hear({**fire("SMK-2")}).changes[0].event
    other = site.hear({**fire("NEW")}).changes[0].event
    assert again.event_id == first.event_id
    assert again.alarm_count == 2
    assert int(other.case_no[-4:]) == int(first.case_no[-4:]) + 2  # one went to the case that adopted the first


# --- the past --------------------------------------------------------------------------------------------------------


def samples(pressures: list[float], until_ms: int = NOW_MS) -> list[dict[str, Any]]:
    """One every ten minutes, the newest first, as sensors on a narrow-band network send a day at once."""
    return [
        {"device": "HYD-1", "at": until_ms - number * 600_000, "seq": 1_000 - number, "values": {"pressure_mpa": one}}
        for number, one in enumerate(pressures)
    ]


def test_a_day_at_once_raises_no_alarm_for_what_is_over(site: Any) -> None:
    transaction = site.hear(samples([0.3] * 20 + [0.05] * 8 + [0.3] * 20))
    past = {alarm.rule_id: (alarm.state, alarm.quieted_by, alarm.event_id) for alarm in site.reader().alarms()}
    assert past == dict.fromkeys(("hydrant.low_pressure", "hydrant.very_low_pressure"), ("resolved", "past", None))
    assert {change.operation for change in transaction.changes} == {"alarm.quieted"}
    assert transaction.events == {}


def test_a_day_at_once_tells_what_still_is(site: Any) -> None:
    site.hear(samples([0.05] * 8 + [0.3] * 40))
    alarms = {alarm.rule_id: (alarm.state, alarm.fired_at_ms) for alarm in site.reader().alarms()}
    began_ms = NOW_MS - 7 * 600_000
    assert alarms["hydrant.very_low_pressure"] == ("firing", began_ms + 60_000)
    assert len(site.reader().events()) == 1


def test_a_fire_is_told_however_long_ago(site: Any) -> None:
    day = [{**NORMAL, "at": NOW_MS - age_ms, "seq": seq, "values": {"state": state}}
           for seq, (age_ms, state) in enumerate([(9_000_000, "normal"), (8_000_000, "alarm"), (7_000_000, "normal")])]  # fmt: skip
    site.hear(day)
    assert [(alarm.rule_id, alarm.quieted_by) for alarm in site.reader().alarms()] == [("smoke.fire", "")]
    assert len(site.reader().events()) == 1


def test_what_was_over_a_moment_ago_is_told(site: Any) -> None:
    site.hear([{"device": "HYD-1", "at": NOW_MS - 4_000 + n, "seq": n, "values": {"leak": n == 1}} for n in range(3)])
    assert [(alarm.state, alarm.quieted_by) for alarm in site.reader().alarms()] == [("resolved", "")]


# --- crashes ---------------------------------------------------------------------------------------------------------


def district_day(seed: int, length: int) -> list[list[dict[str, Any]]]:
    """Batches of a day: fires, people in lifts, low water, in a random order of devices."""
    dice = random.Random(seed)
    batches = []
    seq = 0
    for number in range(length):
        batch = []
        for _ in range(dice.randint(1, 6)):
            seq += 1
            device, values = dice.choice([
                ("SMK-1", {"state": dice.choice(["normal", "alarm"])}),
                ("SMK-2", {"state": dice.choice(["normal", "alarm", "test"])}),
                ("LIFT-1", {"occupied": dice.random() < 0.7, "motion": "stopped", "mode": "normal", "door": "closed"}),
                ("LIFT-2", {"entrapment": dice.random() < 0.3}),  # not this gateway's
                ("HYD-1", {"pressure_mpa": dice.choice([0.02, 0.3]), "cap_open": dice.random() < 0.2}),
                ("NEW", {"state": dice.choice(["normal", "alarm"])}),
            ])  # fmt: skip
            batch.append({"device": device, "at": NOW_MS + number * 20_000 + seq % 7, "seq": seq, "values": values})
        batches.append(batch)
    return batches


def outcome(site: Any) -> dict[str, Any]:
    """What the records say: alarms, cases, and what was said of them in which order."""
    reader = site.reader()
    try:
        journal = [
            (entry.operation, entry.body["alarm"] and entry.body["alarm"]["alarm_id"], entry.at_ms)
            for entry in reader.journal(0)
        ]
        return {
            "alarms": sorted(reader.alarms(limit=1000), key=lambda alarm: alarm.alarm_id),
            "events": sorted(reader.events(limit=1000), key=lambda event: event.event_id),
            "journal": journal,
            "stored": stored(site),
        }
    finally:
        reader.close()


def play(site: Any, batches: list[list[dict[str, Any]]], chance: random.Random | None) -> dict[str, Any]:
    """Judge and commit each batch; with ``chance`` stop before or after commits and have batches delivered again."""
    count = 0
    for number, batch in enumerate(batches):
        site.clock.at_ms = NOW_MS + number * 20_000
        while True:
            timers = site.judge.advance()
            if timers:
                site.commit(timers)
            transaction = site.judged(batch, at_ms=site.clock.at_ms)
            if chance is not None and chance.random() < 0.25:
                site.restart()  # before the commit: the broker delivers it again
                continue
            site.commit(transaction, snapshot=chance is not None and chance.random() < 0.7)
            if chance is not None and chance.random() < 0.25:
                site.restart()  # after the commit, before the acknowledgement: the same
                count += len(batch)
                site.hear(batch, at_ms=site.clock.at_ms)
            break
    return outcome(site) | {"again": count}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_crashes_and_redeliveries_change_nothing(
    make_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("crash")
    batches = district_day(seed, 25)
    clean, rough = make_site(str(folder / "clean")), make_site(str(folder / "rough"))
    expected, found = play(clean, batches, None), play(rough, batches, random.Random(seed + 1))
    again = found.pop("again")
    expected.pop("again")
    for name, wanted in expected.items():
        assert found[name] == wanted, name
    assert len({(reading.device_id, reading.key) for reading in found["stored"]}) == sum(map(len, batches))
    without = {name: count for name, count in facts(rough).items() if name not in {"received", "duplicate"}}
    assert without == {name: count for name, count in facts(clean).items() if name != "received"}
    assert facts(rough).get("duplicate", 0) == again
    clean.close()
    rough.close()


def test_a_repeat_too_old_to_recognise_does_not_open_its_alarm_again(site: Any) -> None:
    """Sixty-four readings later the fire's key is forgotten; then the fire comes once more from the broker."""
    site.hear(FIRE)
    (alarm_id,) = (alarm.alarm_id for alarm in site.writer.start().alarms)
    site.hear(
        *({"device": "SMK-1", "at": NOW_MS + n, "seq": 2 + n, "values": {"state": "normal"}} for n in range(1, 80))
    )
    confirmed = site.judge.engine.confirm(alarm_id, "op", NOW_MS + 100, Outcome.FALSE, "")
    transaction = Transaction(NOW_MS)
    site.judge.apply([confirmed], transaction, "op")
    site.commit(transaction)
    site.hear(FIRE)
    assert site.judge.engine.active(alarm_id) is None
    assert site.writer.alarm(alarm_id).state is AlarmState.RESOLVED
    assert facts(site)["unchecked"] == 1

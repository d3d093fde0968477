"""What was set aside, judged once more: the normal way, the original times, each once, and the ledger balanced."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridwarden.core.commands import COMMANDS, Desk, look_up
from gridwarden.errors import Refused
from gridwarden.model import Device, Operation
from gridwarden.records.aside_reader import Which
from gridwarden.records.block import decode
from gridwarden.records.lines import By

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
SMALL, LARGE = 200, 64 * 1024
FATES = ("stored", "duplicate", "dead_lettered", "quarantined")


def reading(
    device: str = "SMK-1", seq: int = 1, state: str = "normal", at_ms: int | None = NOW_MS, **more: Any
) -> dict[str, Any]:
    body: dict[str, Any] = {"device": device, "values": {"state": state}}
    if at_ms is not None:
        body |= {"at": at_ms, "seq": seq}
    return body | more


def padded(*readings: Any) -> bytes:
    """Too large for the small limit."""
    return json.dumps(list(readings)).encode() + b" " * SMALL


def limit(site: Any, max_bytes: int) -> None:
    site.judge.bounds = site.bounds = replace(site.bounds, max_payload_bytes=max_bytes)


def command(site: Any, name: str, *, pending: Any = (), commit: bool = True, **params: Any) -> Any:
    """The outcomes, and what was committed."""
    params = {"actor": "op", **params}
    desk = Desk(site.judge, look_up(site.writer, "c", params), pending)
    transaction, answer = COMMANDS[name](desk, params)
    if transaction is not None and commit:
        site.commit(transaction)
    return dict(answer["outcomes"]), transaction


def retry(site: Any, *numbers: int, **more: Any) -> dict[int, str]:
    return command(site, "retry_letters", letters=list(numbers), **more)[0]


def ledger(site: Any) -> dict[str, dict[str, int]]:
    """By broker, without what is nought; each line balanced, and equal to a recount."""
    reader = site.reader()
    try:
        lines = reader.ledger_lines(By.BROKER)
        total = reader.ledger()
        assert all(line["received"] == sum(line[fate] for fate in FATES) for line in lines)
        assert reader.aside.recount() == {name: total[name] for name in ("dead_lettered", "quarantined")}
        return {line["broker"]: {name: line[name] for name in ("received", *FATES) if line[name]} for line in lines}
    finally:
        reader.close()


def letters(site: Any) -> dict[int, tuple[str, str]]:
    reader = site.reader()
    try:
        return {
            one["dead_letter_id"]: (one["code"], one["retry_outcome"])
            for one in reader.aside.letters(Which(settled=True))
        }
    finally:
        reader.close()


def stored(site: Any) -> list[Any]:
    return [one for _, body in site.writer.blocks_after(0) if body for one in decode(body)]


@pytest.fixture
def strict(site: Any) -> Any:
    """A site where little is too large, until it is mended."""
    limit(site, SMALL)
    return site


def test_a_letter_that_can_be_read_by_now_is_judged_with_the_times_it_came_with(strict: Any) -> None:
    site = strict
    site.hear(padded(reading(state="alarm", at_ms=None)), at_ms=NOW_MS - HOUR_MS)
    assert letters(site) == {1: ("too_large", "")}
    limit(site, LARGE)
    outcomes, transaction = command(site, "retry_letters", letters=[1])
    assert outcomes == {1: "stored"}
    (one,) = stored(site)
    assert (one.received_at_ms, one.occurred_at_ms, one.gateway, one.entitled) == (
        NOW_MS - HOUR_MS, NOW_MS - HOUR_MS, "gw1", True,
    )  # fmt: skip
    assert [change.operation for change in transaction.changes] == [
        Operation.ALARM_FIRED,
        Operation.DEAD_LETTERS_RETRIED,
    ]
    assert transaction.changes[0].alarm.fired_at_ms == NOW_MS - HOUR_MS
    assert (transaction.changes[1].actor, transaction.changes[1].detail) == (
        "op",
        {"outcomes": {"stored": 1}, "count": 1},
    )
    assert letters(site) == {1: ("too_large", "stored")}
    assert ledger(site) == {"b": {"received": 1, "dead_lettered": 1}, "retry": {"received": 1, "stored": 1}}


def test_what_fails_again_stays_open_and_counts_nothing(strict: Any) -> None:
    site = strict
    site.hear(padded(reading()), b"rubbish", b'[{"values":{}}]')
    outcomes = retry(site, 1, 2, 3)
    assert outcomes == {1: "too_large", 2: "not_json", 3: "no_device"}
    assert {number: outcome for number, (_, outcome) in letters(site).items()} == outcomes
    assert ledger(site) == {"b": {"received": 3, "dead_lettered": 3}}
    limit(site, LARGE)
    assert retry(site, 1, 2, 3) == {1: "stored", 2: "not_json", 3: "no_device"}


def test_a_repeat_is_a_duplicate_and_what_was_settled_is_left_alone(strict: Any) -> None:
    site = strict
    site.hear(padded(reading()), reading())
    limit(site, LARGE)
    assert retry(site, 1) == {1: "duplicate"}
    assert command(site, "retry_letters", letters=[1])[1].empty
    assert len(stored(site)) == 1
    assert ledger(site)["retry"] == {"received": 1, "duplicate": 1}


def test_two_commands_before_the_first_is_durable_store_once_even_without_a_key(strict: Any) -> None:
    site = strict
    site.hear(padded(reading(at_ms=None)))
    limit(site, LARGE)
    _, first = command(site, "retry_letters", letters=[1], commit=False)
    outcomes, second = command(site, "retry_letters", letters=[1], pending=[first], commit=False)
    assert (outcomes, second.empty) == ({1: "stored"}, True)


def test_a_retry_that_dies_before_its_commit_is_done_again(strict: Any) -> None:
    site = strict
    site.hear(padded(reading(state="alarm")))
    limit(site, LARGE)
    command(site, "retry_letters", letters=[1], commit=False)
    site.restart()
    assert retry(site, 1) == {1: "stored"}
    site.restart()
    assert retry(site, 1) == {1: "stored"}
    assert (len(stored(site)), len(site.start.alarms)) == (1, 1)


def test_a_letter_of_many_readings_says_the_best_that_became_of_them(strict: Any) -> None:
    site = strict
    site.hear(padded(reading(seq=1), reading("LIFT-2", 2), {"values": {}}, 7), reading(seq=1))
    limit(site, LARGE)
    assert retry(site, 1) == {1: "quarantined"}
    assert ledger(site)["retry"] == {"received": 4, "duplicate": 1, "quarantined": 1, "dead_lettered": 2}
    assert letters(site) == {1: ("too_large", "quarantined"), 2: ("no_device", ""), 3: ("not_a_reading", "")}


def test_an_element_of_an_array_is_decoded_as_one_again(site: Any) -> None:
    site.hear([[reading()], reading()])
    assert letters(site) == {1: ("not_a_reading", "")}
    assert retry(site, 1) == {1: "not_a_reading"}, "by itself it would be an array, and nothing was mended"


def test_a_late_one_clears_nothing_and_what_came_and_went_is_told_nobody(strict: Any) -> None:
    site = strict
    old_ms = NOW_MS - HOUR_MS
    low = {"device": "HYD-1", "at": old_ms, "seq": 1, "values": {"pressure_mpa": 0.01}}
    site.hear(padded(low), at_ms=old_ms)
    site.hear({"device": "HYD-1", "at": NOW_MS, "seq": 9, "values": {"pressure_mpa": 0.3}})
    limit(site, LARGE)
    outcomes, transaction = command(site, "retry_letters", letters=[1])
    assert outcomes == {1: "stored"}
    assert [one.late for one in stored(site) if one.device_id == "HYD-1"] == [False, True]
    assert [change.operation for change in transaction.changes] == [Operation.DEAD_LETTERS_RETRIED]


def test_a_dry_run_says_what_would_become_of_each_and_changes_nothing(strict: Any) -> None:
    site = strict
    site.hear(padded(reading()), padded(reading("SMK-2")), padded(reading("LIFT-2")), b"rubbish", reading())
    limit(site, LARGE)
    before = ledger(site), letters(site), len(site.judge.windows)
    outcomes, transaction = command(site, "retry_letters", letters=[1, 2, 3, 4], dry_run=True)
    assert (outcomes, transaction) == ({1: "duplicate", 2: "stored", 3: "quarantined", 4: "not_json"}, None)
    assert (ledger(site), letters(site), len(site.judge.windows)) == before
    assert retry(site, 1, 2, 3, 4) == outcomes


@pytest.mark.parametrize("numbers", ["1", [True], [1.0], list(range(201))])
def test_numbers_that_are_none_are_refused(site: Any, numbers: Any) -> None:
    with pytest.raises(Refused, match="bad_parameters"):
        command(site, "retry_letters", letters=numbers)


def test_one_command_takes_so_many_bytes_and_one_letter_at_least(strict: Any) -> None:
    site = strict
    site.hear(*(padded(reading(seq=n)) + b" " * 600_000 for n in range(3)))
    assert retry(site, 1, 2, 3) == {1: "too_large"}
    assert site.writer.letters([2, 3], 1)[0][0] == 2


# --- quarantine ---------------------------------------------------------------------------------------------------


def release(site: Any, *numbers: int, **more: Any) -> dict[int, str]:
    return command(site, "retry_quarantined", quarantined=list(numbers), **more)[0]


def bind(site: Any, device_id: str, gateway: str, **changes: Any) -> None:
    site.devices[device_id] = replace(site.devices[device_id], gateway=gateway, **changes)


def test_a_quarantined_reading_is_taken_over_once_its_gateway_is_entitled(site: Any) -> None:
    site.hear(reading("LIFT-2"), at_ms=NOW_MS - HOUR_MS)
    assert release(site, 1) == {1: "not_entitled"}
    assert ledger(site) == {"b": {"received": 1, "quarantined": 1}}
    bind(site, "LIFT-2", "gw1")
    assert release(site, 1, dry_run=True) == {1: "stored"}
    assert release(site, 1) == {1: "stored"}
    assert release(site, 1) == {1: "stored"}, "it was before; nothing is done"
    foreign, own = stored(site)
    assert (foreign.entitled, own.entitled) == (False, True)
    assert own == replace(foreign, entitled=True)
    assert ledger(site) == {"b": {"received": 1, "quarantined": 1}, "retry": {"received": 1, "stored": 1}}


def test_what_the_entitled_gateway_sent_as_well_is_a_duplicate(site: Any) -> None:
    site.hear(reading("LIFT-2"))
    site.hear(reading("LIFT-2"), gateway="gw2")
    bind(site, "LIFT-2", "gw1")
    assert release(site, 1) == {1: "duplicate"}


def test_a_fire_that_was_quarantined_is_raised_verified_where_its_device_stands(site: Any) -> None:
    site.hear(reading("SMK-1", state="alarm"), gateway="gw2")
    bind(site, "SMK-1", "gw2")
    _, transaction = command(site, "retry_quarantined", quarantined=[1])
    fired = transaction.changes[0]
    assert (fired.operation, fired.area, fired.alarm.unverified) == (Operation.ALARM_FIRED, "330106001", False)
    assert transaction.changes[-1].operation is Operation.QUARANTINE_RETRIED


def test_a_device_of_another_kind_by_now_is_judged_as_what_it_is(site: Any) -> None:
    site.hear({"device": "LIFT-2", "at": NOW_MS, "values": {"state": "alarm", "pressure_mpa": 1}})
    site.devices["LIFT-2"] = Device("LIFT-2", "hydrant", "330106002", gateway="gw1")
    assert release(site, 1) == {1: "stored"}
    assert stored(site)[-1].kind == "hydrant"


BODIES = (b"rubbish", padded(reading()), padded(reading(seq=2), {"values": {}}), padded(reading("LIFT-2"), 7),
          json.dumps(reading()).encode(), json.dumps(reading("LIFT-2")).encode())  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.sampled_from(BODIES), st.just("retry"), st.just("release"), st.just("kill"),
        st.sampled_from([("limit", SMALL), ("limit", LARGE), ("bind", "gw1"), ("bind", "gw2")]),
    ),
    max_size=15,
)  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_in_whatever_order_the_ledger_is_balanced_and_each_reading_lies_there_once(
    make_site: Any, tmp_path_factory: pytest.TempPathFactory, steps: Any
) -> None:
    site = make_site(tmp_path_factory.mktemp("steps").name)
    limit(site, SMALL)
    for step in steps:
        match step:
            case bytes():
                site.hear(step)
            case "retry" | "release":
                name = "retry_letters" if step == "retry" else "retry_quarantined"
                command(site, name, **{"letters" if step == "retry" else "quarantined": list(range(1, 50))})
            case "kill":
                site.restart()
            case ("limit", max_bytes):
                limit(site, max_bytes)
            case ("bind", gateway):
                bind(site, "LIFT-2", gateway)
        ledger(site)
    keys = [(one.device_id, one.key, one.entitled) for one in stored(site)]
    assert len(keys) == len(set(keys))
    site.close()

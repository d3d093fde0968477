"""What the writer keeps aside stays within its bounds, and what goes is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridwarden.model import DeadLetter, Reading
from gridwarden.records.aside import ROW_BYTES, Fill, Limits
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer

DAY_MS = 86_400_000
SIZE = 1_000
QUOTA = Limits(quota_bytes=20 * SIZE, keep_ms=10 * DAY_MS, quarantine_rows=5)


def letter(number: int, gateway: str = "g", at_ms: int = 1) -> DeadLetter:
    body = b"%d" % number
    body += b"." * (SIZE - ROW_BYTES - len("c") - len("t") - len(body))
    return DeadLetter(at_ms, "b", "t", "c", "d", body, "telemetry", gateway)


@pytest.fixture
def bounded(writer: Writer, data: Path) -> Iterator[Callable[[], Writer]]:
    """Opens the records with small bounds, again and again."""
    writer.close()
    opened: list[Writer] = []

    def open_again() -> Writer:
        if opened:
            opened[-1].close()
        opened.append(Writer(data, QUOTA))
        opened[-1].start()
        return opened[-1]

    yield open_again
    opened[-1].close()


def held(data: Path) -> Counter[str]:
    reader = Reader(data)
    try:
        return Counter(one["gateway"] for one in reader.aside.letters(limit=1000))
    finally:
        reader.close()


def fill(data: Path) -> tuple[Fill, dict[str, int]]:
    reader = Reader(data)
    try:
        return reader.aside.fill(), reader.aside.recount()
    finally:
        reader.close()


def test_a_noisy_gateway_pushes_nobody_elses_letters_out(bounded: Any, data: Path) -> None:
    writer = bounded()
    quiet = [letter(1000 + n, f"quiet-{n}") for n in range(5)]
    writer.commit(Transaction(1, dead_letters=quiet))
    for start in range(0, 300, 30):
        committed = writer.commit(Transaction(1, dead_letters=[letter(n, "noisy") for n in range(start, start + 30)]))
        assert committed.aside.bytes <= QUOTA.quota_bytes
    assert held(data) == Counter({"noisy": 15} | {f"quiet-{n}": 1 for n in range(5)})
    assert committed.aside.dropped == 285
    assert fill(data) == (committed.aside, {"dead_lettered": 305, "quarantined": 0})


def test_of_two_noisy_ones_each_keeps_its_half_and_the_newest_stay(bounded: Any, data: Path) -> None:
    writer = bounded()
    for number in range(60):
        writer.commit(Transaction(1, dead_letters=[letter(number, "a"), letter(1000 + number, "b")]))
    assert held(data) == {"a": 10, "b": 10}
    reader = Reader(data)
    kept = {bytes(one["head"]).split(b".")[0] for one in reader.aside.letters()}
    reader.close()
    assert kept == {b"%d" % n for n in (*range(50, 60), *range(1050, 1060))}


def test_one_batch_of_much_from_both_is_cut_evenly(bounded: Any, data: Path) -> None:
    bounded().commit(Transaction(1, dead_letters=[letter(n, "ab"[n % 2]) for n in range(60)]))
    assert held(data) == {"a": 10, "b": 10}


def test_those_that_a_retry_has_settled_go_before_all_others_and_are_not_called_dropped(
    bounded: Any, data: Path
) -> None:
    writer = bounded()
    writer.commit(Transaction(1, dead_letters=[letter(n, "a") for n in range(5)]))
    writer.commit(
        Transaction(1, dead_letters=[letter(n, "b") for n in range(100, 115)], retried={2: "stored", 4: "not_json"})
    )
    committed = writer.commit(Transaction(1, dead_letters=[letter(7, "c")]))
    assert (committed.aside.cleared, committed.aside.dropped) == (1, 0)
    committed = writer.commit(Transaction(1, dead_letters=[letter(8, "c")]))
    assert (committed.aside.cleared, committed.aside.dropped) == (1, 1)
    assert held(data) == {"a": 4, "b": 14, "c": 2}


def test_a_start_goes_on_with_what_lies_there(bounded: Any, data: Path) -> None:
    bounded().commit(Transaction(1, dead_letters=[letter(n, f"g{n % 3}") for n in range(25)]))
    writer = bounded()
    assert writer.start().aside == fill(data)[0]
    committed = writer.commit(Transaction(1, dead_letters=[letter(99)]))
    assert committed.aside == fill(data)[0]
    assert (committed.aside.rows, committed.aside.dropped) == (20, 6)


def test_one_letter_larger_than_the_quota_goes_too(bounded: Any, data: Path) -> None:
    committed = bounded().commit(Transaction(1, dead_letters=[DeadLetter(1, "b", "t", "c", "d", bytes(100_000))]))
    assert (committed.aside.bytes, committed.aside.rows, committed.aside.dropped) == (0, 0, 1)


def test_a_repeated_letter_takes_no_more_room(bounded: Any, data: Path) -> None:
    writer = bounded()
    for _ in range(50):
        committed = writer.commit(Transaction(1, dead_letters=[letter(1), letter(1)]))
    assert (committed.aside.rows, committed.aside.bytes, committed.aside.dropped) == (1, SIZE, 0)
    assert fill(data)[1]["dead_lettered"] == 100


def test_what_did_not_come_again_for_long_goes(bounded: Any, data: Path) -> None:
    writer = bounded()
    writer.commit(Transaction(1, dead_letters=[letter(n) for n in range(4)], retried={1: "stored"}))
    now_ms = 11 * DAY_MS
    writer.commit(Transaction(now_ms, dead_letters=[letter(2, at_ms=now_ms), letter(9, at_ms=now_ms)]))
    assert writer.commit(Transaction(now_ms)).aside.rows == 5  # only where housekeeping is asked for
    committed = writer.commit(Transaction(now_ms, keeps_house=True))
    assert (committed.aside.rows, committed.aside.expired, committed.aside.cleared) == (2, 2, 1)
    assert fill(data) == (committed.aside, {"dead_lettered": 6, "quarantined": 0})


def test_the_quarantines_list_is_bounded_in_rows_and_days(bounded: Any, data: Path) -> None:
    writer = bounded()
    for number in range(8):
        reading = Reading("S", "smoke", "g", 1, number * DAY_MS, number, number, True, {}, entitled=False)
        committed = writer.commit(Transaction(1, quarantined=[reading]))
    assert (committed.aside.quarantine_rows, committed.aside.quarantine_dropped) == (5, 3)
    committed = writer.commit(Transaction(15 * DAY_MS, keeps_house=True))
    assert (committed.aside.quarantine_rows, committed.aside.quarantine_dropped) == (3, 5)
    assert fill(data) == (committed.aside, {"dead_lettered": 0, "quarantined": 8})


def test_a_commit_that_fails_leaves_the_measure_as_it_was(
    bounded: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = bounded()
    before = writer.commit(Transaction(1, dead_letters=[letter(1)])).aside
    monkeypatch.setattr("gridwarden.records.writer._trim", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.commit(Transaction(1, dead_letters=[letter(2)], trim_through=1))
    monkeypatch.undo()
    after = writer.commit(Transaction(1, dead_letters=[letter(1)])).aside
    assert after == before == fill(data)[0]

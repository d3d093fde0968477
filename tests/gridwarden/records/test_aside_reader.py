"""What lies aside, read page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gridwarden.errors import NotFound
from gridwarden.model import DeadLetter, Reading
from gridwarden.records import aside_reader
from gridwarden.records.aside_reader import AsideReader, Which
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer


@pytest.fixture
def aside(writer: Writer, data: Path) -> Iterator[AsideReader]:
    letters = [DeadLetter(n, "b", "t", f"c{n % 2}", "", b"x" * (n + 1), gateway=f"g{n % 3}") for n in range(12)]
    reading = Reading("S", "smoke", "g", 1, 2, 3, 4, True, {})
    writer.commit(
        Transaction(1, dead_letters=letters, quarantined=[reading] * 3, retried={1: "stored"}, released={3: "stored"})
    )
    reader = Reader(data)
    yield reader.aside
    reader.close()


def test_which_letters(aside: AsideReader) -> None:
    assert [one["dead_letter_id"] for one in aside.letters(limit=3)] == [12, 11, 10]
    assert [one["dead_letter_id"] for one in aside.letters(before=4)] == [3, 2]
    assert [one["dead_letter_id"] for one in aside.letters(Which(settled=True), before=4)] == [3, 2, 1]
    assert [one["dead_letter_id"] for one in aside.letters(Which("c1", "g0"))] == [10, 4]
    assert [one["dead_letter_id"] for one in aside.letters(Which(numbers=(1, 5, 99)))] == [5]
    assert aside.letter(7)["payload"] == b"x" * 7
    with pytest.raises(NotFound):
        aside.letter(13)


def test_the_next_to_retry_are_bounded_in_number_and_bytes_and_one_at_least(aside: AsideReader) -> None:
    assert aside.letters_to_retry(Which(), 0, 3, 1000) == ([2, 3, 4], True)
    assert aside.letters_to_retry(Which(), 0, 9, 5) == ([2, 3], True)
    assert aside.letters_to_retry(Which(), 9, 9, 5) == ([10], True)
    assert aside.letters_to_retry(Which(), 11, 9, 5) == ([12], False)
    assert aside.letters_to_retry(Which(), 12, 9, 5) == ([], False)
    assert aside.quarantined_to_retry(Which(), 0, 9, 0) == ([1, 2], False)
    assert aside.quarantined_to_retry(Which(gateway="other"), 0, 9, 0) == ([], False)


def test_groups_are_the_same_however_many_are_counted_at_once(
    aside: AsideReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = aside.letter_groups()
    assert sum(one.rows for one in whole) == 11
    monkeypatch.setattr(aside_reader, "GROUPED_AT_ONCE", 2)
    assert aside.letter_groups() == whole
    (one,) = aside.quarantine_groups()
    assert (one.code, one.gateway, one.count, one.first_at_ms) == ("S", "g", 2, 2)


def test_the_recount_and_the_fill_are_what_lies_there(aside: AsideReader) -> None:
    assert aside.recount() == {"dead_lettered": 12, "quarantined": 3}
    fill = aside.fill()
    assert (fill.rows, fill.quarantine_rows) == (12, 3)
    assert fill.bytes > sum(range(1, 13))

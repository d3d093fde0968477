"""What is missing, told from two looks at the store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gridwarden.broker.mark import LOSSES, TAKEN_AT_MOST, Loss, Mark, compare, enter, load, losses, save


@pytest.mark.parametrize(
    ("mark", "messages", "last_seq", "wanted"),
    [
        (Mark(100, 500, clean=True), 100, 500, None),
        (Mark(100, 500, clean=True), 130, 530, None),  # thirty came before anybody looked
        (Mark(100, 500, clean=True), 99, 500, Loss(1, 1)),
        (Mark(100, 500, clean=True), 120, 530, Loss(10, 10)),
        (Mark(100, 500, clean=True), 40, 440, Loss(60, 60)),  # the end is gone, and its numbers
        (Mark(100, 500, clean=True), 0, 0, Loss(100, 100)),  # everything
        (Mark(0, 500, clean=True), 0, 0, None),  # nothing waited
        (Mark(100, 500), 0, 600, None),  # taken in before it was killed
        (Mark(100, 500), 40, 440, Loss(0, 60)),  # or lost: numbers do not go back by themselves
        (Mark(2 * TAKEN_AT_MOST, 10**6), 10, 10**6, Loss(TAKEN_AT_MOST - 10, 2 * TAKEN_AT_MOST - 10)),
        (Mark(TAKEN_AT_MOST, 10**6), 0, 10**6, None),
    ],
)
def test_what_is_missing(mark: Mark, messages: int, last_seq: int, wanted: Loss | None) -> None:
    assert compare(mark, messages, last_seq) == wanted


def test_a_mark_is_read_as_it_was_written_and_one_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    mark = Mark(3, 7, clean=True, subscriptions={"a": {"ack_wait": 5}})
    save(tmp_path, mark)
    assert load(tmp_path) == mark
    for damaged in (b"", b"{", b"[]", b'{"messages": 1}', b"\xff"):
        (tmp_path / "waiting.json").write_bytes(damaged)
        assert load(tmp_path) is None


def test_losses_are_kept_and_a_torn_line_hides_none_of_them(tmp_path: Path) -> None:
    assert losses(tmp_path) == []
    at = datetime(2026, 11, 22, tzinfo=UTC)
    enter(tmp_path, Loss(1, 2), at)
    with (tmp_path / LOSSES).open("a") as file:
        file.write('{"at": "x"\n7\n')
    enter(tmp_path, Loss(3, 3), at)
    assert losses(tmp_path) == [
        {"at": at.isoformat(), "at_least": low, "at_most": high} for low, high in [(1, 2), (3, 3)]
    ]

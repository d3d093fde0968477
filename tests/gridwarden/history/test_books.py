"""Books: whole or as before, and about one bucket only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridwarden.history import HistoryMismatch, HistoryUnavailable, books
from gridwarden.history.books import Books, Page, Rejected


def test_a_page_survives_and_belongs_to_its_bucket(tmp_path: Path) -> None:
    Books(tmp_path, "a").turn(epoch="e", offset=3, complete_until_ms=5, summed_until_ms=9, stale=(1, 2))
    assert Books(tmp_path, "a").page == Page("a", "e", 3, 5, 9, (1, 2))
    with pytest.raises(HistoryMismatch, match="it is about a, not b"):
        Books(tmp_path, "b")


def test_books_from_before_there_were_sums_can_be_read(tmp_path: Path) -> None:
    old = {"target": "a", "epoch": "e", "offset": 3, "complete_until_ms": 5}
    (tmp_path / books.BOOKS).write_text(json.dumps(old))
    assert Books(tmp_path, "a").page == Page("a", "e", 3, 5)


def test_a_page_that_cannot_be_stored_is_not_turned(tmp_path: Path) -> None:
    kept = Books(tmp_path, "a")
    (tmp_path / books.BOOKS).mkdir()  # in the way
    with pytest.raises(HistoryUnavailable):
        kept.turn(offset=3)
    assert kept.page.offset == 0


def test_refused_points_take_a_bounded_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "REJECTED_BYTES", 100)
    kept = Books(tmp_path, "a")
    for number in range(4):
        kept.set_aside([Rejected(422, "no", f"{number} {'x' * 100}")])
    files = sorted(tmp_path.glob(f"{books.REJECTED}*"))
    assert [json.loads(file.read_text("utf-8"))["line"][0] for file in files] == ["3", "2"]

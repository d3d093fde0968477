"""The sum over the history's account and the records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridwarden.history.audit import Account, audit

WELL = Account(
    offset=90,
    since_offset=50,
    since_at_ms=5,
    before=1_000,
    held_before=700,
    written=400,
    refused=3,
    dropped=300,
    held=800,
)


def test_what_was_written_is_what_records_committed_since() -> None:
    found = audit(WELL, 1_403, 9)
    assert (found.expected, found.written, found.refused, found.held, found.dropped) == (403, 400, 3, 800, 300)
    assert (found.missing, found.since_offset, found.since_at_ms, found.checked_at_ms) == (0, 50, 5, 9)


@pytest.mark.parametrize(
    ("account", "missing"),
    [
        (replace(WELL, written=399, held=799), 1),
        (replace(WELL, written=402, held=802), 2),
        (replace(WELL, held=790), 10),
        (replace(WELL, held=801), 1),
        (replace(WELL, dropped=299), 1),
        (replace(WELL, written=399), 2),
        (replace(WELL, held=None), 0),
    ],
    ids=[
        "too few",
        "too many",
        "rows are gone",
        "a row too many",
        "dropped unseen",
        "both do not cancel",
        "not counted",
    ],
)
def test_whatever_is_off_counts(account: Account, missing: int) -> None:
    assert audit(account, 1_403, 0).missing == missing

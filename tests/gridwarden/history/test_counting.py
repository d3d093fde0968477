"""The DuckDB history's account where something went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from gridwarden.history.audit import audit
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.model import Reading

AT_MS = 1_800_000_000_000
FILE = "history.duckdb"


def readings(count: int) -> list[Reading]:
    return [Reading("H", "hydrant", "g", AT_MS + n, AT_MS, n, n, True, {}) for n in range(count)]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[DuckDBHistory]:
    history = DuckDBHistory(tmp_path)
    history.begin_account(0, AT_MS)
    history.append(readings(5), 2, AT_MS)
    yield history
    history.close()


def behind_its_back(history: DuckDBHistory, tmp_path: Path, sql: str) -> DuckDBHistory:
    history.close()
    with duckdb.connect(str(tmp_path / FILE)) as connection:
        connection.execute(sql)
    return DuckDBHistory(tmp_path)


def test_rows_that_are_gone_are_missing(history: DuckDBHistory, tmp_path: Path) -> None:
    history = behind_its_back(history, tmp_path, "DELETE FROM hot_hydrant WHERE seq = 3")
    account = history.account()
    assert account is not None
    assert audit(account, 5, 0).missing == 1
    history.close()


def test_what_an_older_program_appended_begins_the_account_anew(history: DuckDBHistory, tmp_path: Path) -> None:
    assert history.counts_itself()
    history = behind_its_back(history, tmp_path, "UPDATE state SET followed_offset = 9")
    assert not history.counts_itself()
    history.begin_account(50, AT_MS)
    history.append(readings(1), 10, AT_MS)
    account = history.account()
    assert account is not None
    assert (account.since_offset, account.held_before, account.written, account.held) == (9, 5, 1, 6)
    assert audit(account, 51, 0).missing == 0
    history.close()


def test_a_failed_append_counts_nothing(history: DuckDBHistory) -> None:
    with pytest.raises(ValueError, match="already followed"):
        history.append(readings(1), 2, AT_MS)
    account = history.account()
    assert account is not None
    assert (account.written, account.held) == (5, 5)

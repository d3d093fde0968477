"""The DuckDB history's account of itself: one row, changed in the transactions that it counts."""

from __future__ import annotations

import duckdb

from gridwarden.history.audit import Account
from gridwarden.history.layout import one

_TABLE = """
CREATE TABLE IF NOT EXISTS account(since_offset BIGINT NOT NULL, since_at_ms BIGINT NOT NULL, before BIGINT NOT NULL,
  held_before BIGINT NOT NULL, written BIGINT NOT NULL, dropped BIGINT NOT NULL, counted_offset BIGINT NOT NULL)
"""


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table; its row comes with :func:`begin`."""
    connection.execute(_TABLE)


def counts(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether it counts already, without a gap: an older program may have appended and not have counted."""
    sql = "SELECT count(*) FROM account, state WHERE counted_offset = followed_offset"
    return bool(one(connection, sql)[0])


def begin(connection: duckdb.DuckDBPyConnection, before: int, held: int, at_ms: int) -> None:
    """Count from now on."""
    connection.execute("DELETE FROM account")
    connection.execute(
        "INSERT INTO account SELECT followed_offset, $at_ms, $before, $held, 0, 0, followed_offset FROM state",
        {"at_ms": at_ms, "before": before, "held": held},
    )


def wrote(connection: duckdb.DuckDBPyConnection, readings: int, offset: int) -> None:
    """So many readings were written, up to ``offset``; where nothing counts yet this does nothing."""
    connection.execute("UPDATE account SET written = written + $n, counted_offset = $o", {"n": readings, "o": offset})


def dropped(connection: duckdb.DuckDBPyConnection, readings: int) -> None:
    """So many readings went with their age."""
    connection.execute("UPDATE account SET dropped = dropped + $n", {"n": readings})


def account(connection: duckdb.DuckDBPyConnection, held: int) -> Account | None:
    """The account, with what it holds now; ``None`` where nothing counts yet."""
    sql = "SELECT followed_offset, since_offset, since_at_ms, before, held_before, written, dropped FROM account, state"
    rows = connection.execute(sql).fetchall()
    if not rows:
        return None
    offset, since_offset, since_at_ms, before, held_before, written, gone = rows[0]
    return Account(offset, since_offset, since_at_ms, before, held_before, written, 0, gone, held)

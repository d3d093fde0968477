"""Checking the DuckDB history of a backup or of a data directory at rest: every file read, every count held against another."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import duckdb

from gridwarden.backup.faults import Report
from gridwarden.history.audit import audit
from gridwarden.history.copying import SEALED
from gridwarden.history.counting import account
from gridwarden.records.damage import REMEMBERED

FILE = "history.duckdb"
_NAME = f"history/{FILE}"


def check_history(folder: Path, records: sqlite3.Connection, report: Report, advice: str) -> None:
    """The history in ``folder`` beside these records; nobody may have it open."""
    path = folder / FILE
    if not path.exists():
        report.skipped.append(f"the history: there is no {path.name}")
        return
    try:
        with duckdb.connect(str(path), read_only=True, config={"threads": "1", "memory_limit": "512MB"}) as connection:
            held = _hot(connection) + _sealed(connection, folder / SEALED, report, advice)
            report.counts["history_rows"] = held
            _against_records(connection, held, records, report, advice)
    except duckdb.Error as error:
        report.fault(_NAME, "not_readable", f"DuckDB cannot read it: {_first_line(error)}", "all old readings", advice)


def _hot(connection: duckdb.DuckDBPyConnection) -> int:
    """Read everything, so that DuckDB looks at the checksum of every block; the rows."""
    total = 0
    tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
    for (table,) in tables:
        rows, _ = connection.execute(f"SELECT count(*), bit_xor(hash(t)) FROM {table} t").fetchall()[0]  # noqa: S608
        total += rows if table.startswith("hot_") else 0
    return total


def _sealed(connection: duckdb.DuckDBPyConnection, root: Path, report: Report, advice: str) -> int:
    total = 0
    for file, listed in connection.execute("SELECT file, n FROM sealed ORDER BY file").fetchall():
        name = f"history/{SEALED}/{file}"
        if not (root / file).exists():
            report.fault(name, "missing", "it is listed and not there", f"{listed} readings", advice)
            continue
        try:
            read = "SELECT count(*), bit_xor(hash(t)) FROM read_parquet($path) t"
            rows, _ = connection.execute(read, {"path": str(root / file)}).fetchall()[0]
        except duckdb.Error as error:
            report.fault(name, "not_readable", f"it cannot be read: {_first_line(error)}", f"{listed} readings", advice)
            continue
        if rows != listed:
            report.fault(name, "rows", f"it holds {rows} readings, {listed} are listed", "old readings", advice)
        total += rows
    return total


def _against_records(
    connection: duckdb.DuckDBPyConnection, held: int, records: sqlite3.Connection, report: Report, advice: str
) -> None:
    counted = account(connection, held) if _has_account(connection) else None
    offset = int(connection.execute("SELECT followed_offset FROM state").fetchall()[0][0])
    head, committed = _committed(records, offset)
    report.counts |= {"history_offset": offset, "records_offset": head}
    if offset > head:
        what = f"it has followed to offset {offset}, the records end at {head}"
        report.fault(_NAME, "ahead", what, "it is not of these records", advice)
    elif counted is None:
        report.skipped.append("history against records: it has kept no account yet")
    elif missing := audit(counted, committed, 0).missing:
        what = f"{missing} readings do not add up between the records and what it wrote, dropped and holds"
        report.fault(_NAME, "account", what, f"{missing} readings", advice)


def _has_account(connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'account'").fetchall())


def _committed(records: sqlite3.Connection, offset: int) -> tuple[int, int]:
    """The newest offset, and the readings committed up to ``offset`` but those of damaged blocks that were stated as lost."""
    head, later = records.execute(
        'SELECT coalesce(max("offset"), 0), coalesce(sum(reading_count) FILTER (WHERE "offset" > ?), 0) FROM intake_block',
        (offset,),
    ).fetchone()
    (total,) = records.execute("SELECT coalesce(sum(stored + quarantined), 0) FROM ledger").fetchone()
    (stated,) = records.execute("SELECT coalesce(max(value), '{}') FROM meta WHERE name = ?", (REMEMBERED,)).fetchone()
    return head, total - later - json.loads(stated).get("block_readings", 0)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

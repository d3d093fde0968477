"""Looking through a backup, a data directory at rest, or a running one: everything that can be known without writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb

from gridwarden.backup import manifest as manifests
from gridwarden.backup.check_history import check_history
from gridwarden.backup.check_records import check_blocks, check_database, check_ledger, check_mark, opened
from gridwarden.backup.faults import AGAIN, REBUILD, RESTORE, Report, costs_of
from gridwarden.backup.manifest import BadBackup
from gridwarden.backup.restoring import check_hashes
from gridwarden.history.copying import SEALED

Tell = Callable[[str, float], None]
RECORDS, OFFICE, HISTORY = "records.db", "office.db", "history"


def verify_backup(folder: Path, tell: Tell) -> Report:
    """Every file against the manifest, then what is in them."""
    report = Report(str(folder), "backup")
    try:
        found = manifests.read(folder)
    except BadBackup as error:
        report.fault(manifests.FILE, "manifest", error.reason, "whether the rest is whole cannot be known", AGAIN)
        return report
    for file, reason in check_hashes(folder, found, lambda what, share: tell(what, share / 2)):
        report.fault(file.path, "hash", reason, costs_of(file.path), AGAIN)
    report.counts |= {"files": len(found.files), "bytes": sum(file.bytes for file in found.files)}
    _look_into(folder, report, tell, AGAIN, AGAIN)
    history = found.history
    if (
        history
        and history["rows"] is not None
        and report.counts.get("history_rows", history["rows"]) != history["rows"]
    ):
        what = f"it holds {report.counts['history_rows']} readings, {history['rows']} were copied"
        report.fault("history/history.duckdb", "rows", what, "old readings", AGAIN)
    report.skipped += [f"{one.what}: {one.why}" for one in found.not_included]
    return report


def verify_data(data: Path, tell: Tell) -> Report:
    """A data directory that nobody works on, which the caller sees to."""
    report = Report(str(data), "data")
    _look_into(data, report, tell, RESTORE, REBUILD)
    return report


def _look_into(folder: Path, report: Report, tell: Tell, advice: str, history_advice: str) -> None:
    at_rest = not (folder / f"{RECORDS}-wal").exists()  # else what lies in the log counts too
    tell("records", 0.5)
    whole = _there(folder, RECORDS, report, advice) and check_database(
        folder / RECORDS, RECORDS, report, advice, at_rest=at_rest
    )
    if whole:
        _look_into_records(folder, report, advice, at_rest=at_rest)
    tell("office", 0.7)
    if _there(folder, OFFICE, report, advice):
        office_at_rest = not (folder / f"{OFFICE}-wal").exists()
        check_database(folder / OFFICE, OFFICE, report, advice, at_rest=office_at_rest)
    tell("history", 0.8)
    if whole:
        with closing(opened(folder / RECORDS, at_rest=at_rest)) as records:
            check_history(folder / HISTORY, records, report, history_advice)
    else:
        report.skipped.append("the history: it cannot be held against records that are damaged")
    tell("done", 1.0)


def _there(folder: Path, name: str, report: Report, advice: str) -> bool:
    if (folder / name).exists():
        return True
    report.fault(name, "missing", "it is not there", costs_of(name), advice)
    return False


def _look_into_records(folder: Path, report: Report, advice: str, *, at_rest: bool) -> None:
    try:
        with closing(opened(folder / RECORDS, at_rest=at_rest)) as connection:
            check_blocks(connection, report, advice)
            check_ledger(connection, report, advice)
            check_mark(connection, folder, report, advice)
    except sqlite3.Error as error:
        report.fault(RECORDS, "not_readable", f"SQLite cannot read it: {error}", costs_of(RECORDS), advice)


def verify_running(data: Path, tell: Tell) -> Report:
    """What can be looked at beside a running instance without holding it up."""
    report = Report(str(data), "running")
    report.skipped.append(
        "the structure of the databases: that would hold up a running instance; stop it, or verify a backup"
    )
    tell("records", 0.0)
    with closing(opened(data / RECORDS, at_rest=False)) as connection:
        check_blocks(connection, report, RESTORE)
        check_ledger(connection, report, RESTORE)
    _read_sealed(data / HISTORY / SEALED, report, tell)
    tell("done", 1.0)
    return report


def _read_sealed(root: Path, report: Report, tell: Tell) -> None:
    files = sorted(root.glob("*/*.parquet"))
    with duckdb.connect(config={"threads": "1", "memory_limit": "256MB"}) as connection:
        for number, file in enumerate(files, start=1):
            tell("history", 0.5 + number / len(files) / 2)
            try:
                read = "SELECT count(*), bit_xor(hash(t)) FROM read_parquet($path) t"
                connection.execute(read, {"path": str(file)}).fetchall()
            except duckdb.Error as error:
                if file.exists():  # else it was superseded while we looked
                    name = f"history/{SEALED}/{file.relative_to(root)}"
                    what = f"it cannot be read: {str(error).splitlines()[0]}"
                    report.fault(name, "not_readable", what, costs_of("history"), REBUILD)
    report.counts["sealed_files"] = len(files)

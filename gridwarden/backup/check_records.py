"""Checking ``records.db`` and ``office.db``: their structure, every block, and the ledger against what lies there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from gridwarden.backup.faults import Report, costs_of
from gridwarden.errors import Damaged
from gridwarden.records import aside, mark, standing
from gridwarden.records.block import CorruptBlock, decode
from gridwarden.records.damage import compare
from gridwarden.records.mark import BadMark

_AT_ONCE = 50
"""Blocks read in one transaction: a long one would let a running instance's log grow."""
FAULTS_LISTED = 10
_FATES = ("stored", "duplicate", "dead_lettered", "quarantined", "received")


def opened(path: Path, *, at_rest: bool) -> sqlite3.Connection:
    """A database, read-only; ``at_rest``: nobody writes it, and not even its log is made."""
    mode = "mode=ro&immutable=1" if at_rest else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)


def check_database(path: Path, name: str, report: Report, advice: str, *, at_rest: bool) -> bool:
    """SQLite's own look at a whole file; whether there is any use in going on."""
    try:
        with closing(opened(path, at_rest=at_rest)) as connection:
            found = [row[0] for row in connection.execute(f"PRAGMA integrity_check({FAULTS_LISTED})")]
    except sqlite3.Error as error:
        report.fault(name, "not_readable", f"SQLite cannot read it: {error}", costs_of(name), advice)
        return False
    if found != ["ok"]:
        report.fault(name, "not_whole", f"its structure is damaged: {'; '.join(found)}", costs_of(name), advice)
    return found == ["ok"]


def check_blocks(connection: sqlite3.Connection, report: Report, advice: str) -> int:
    """Every block against its checksum and its count; the readings in those that can be read."""
    total = damaged = 0
    for offset, count, body in _blocks(connection):
        try:
            readings = len(decode(body)) if body else 0
        except CorruptBlock as error:
            damaged += 1
            if damaged <= FAULTS_LISTED:
                lost = f"{count} readings, unless the history has them"
                report.fault("records.db", "block_damaged", f"block {offset}: {error}", lost, advice)
            continue
        if readings != count:
            what = f"block {offset} holds {readings} readings and says {count}"
            report.fault("records.db", "block_count", what, "the ledger cannot be trusted here", advice)
        total += readings
    report.counts |= {"readings_in_blocks": total, "blocks_damaged": damaged}
    return total


def _blocks(connection: sqlite3.Connection) -> Iterator[tuple[int, int, bytes]]:
    after = 0
    query = 'SELECT "offset", reading_count, body FROM intake_block WHERE "offset" > ? ORDER BY "offset" LIMIT ?'
    while found := connection.execute(query, (after, _AT_ONCE)).fetchall():
        yield from found
        after = found[-1][0]


def check_ledger(connection: sqlite3.Connection, report: Report, advice: str) -> None:
    """The ledger against itself, against the blocks as far as they are kept, and against what was set aside."""
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _FATES)
    with _sqlalchemy(connection) as same:
        connection.execute("BEGIN")  # all numbers of one moment
        stored, duplicate, dead, quarantined, received = connection.execute(f"SELECT {sums} FROM ledger").fetchone()  # noqa: S608
        (in_blocks,) = connection.execute("SELECT coalesce(sum(reading_count), 0) FROM intake_block").fetchone()
        trimmed = connection.execute("SELECT 1 FROM meta WHERE name = 'trimmed'").fetchone()
        counted = aside.recount(same)
    report.counts |= {"ledger_received": received, "ledger_stored": stored, "ledger_quarantined": quarantined,
                      "ledger_dead_lettered": dead}  # fmt: skip
    if missing := received - stored - duplicate - dead - quarantined:
        _unbalanced(report, f"{missing} readings were received of which it does not say what became", advice)
    kept = stored + quarantined
    if in_blocks > kept or (not trimmed and in_blocks != kept):
        _unbalanced(report, f"it counts {kept} readings, {in_blocks} lie in the blocks", advice)
    for what, told in (("dead_lettered", dead), ("quarantined", quarantined)):
        if counted[what] != told:
            _unbalanced(report, f"it counts {told} {what}, {counted[what]} are accounted for", advice)


def check_mark(connection: sqlite3.Connection, data: Path, report: Report, advice: str) -> None:
    """The newest transaction against the mark that the last commit left beside the records."""
    with _sqlalchemy(connection) as same:
        held, _ = standing.read(same)
    try:
        loss = compare(mark.read(data), held, data / "records.db")
    except (BadMark, Damaged) as error:
        report.fault("records.mark", "mark", str(error), "whether transactions were lost cannot be known", advice)
        return
    if loss is not None:
        costs = f"{loss.transactions} transactions with {loss.readings} readings"
        what = f"it ends at offset {loss.from_offset - 1}, {loss.through_offset} was committed"
        report.fault("records.db", "lost", what, costs, "start: the loss is stated, everybody goes on; or restore")


@contextmanager
def _sqlalchemy(connection: sqlite3.Connection) -> Iterator[Connection]:
    """The same connection for what speaks SQLAlchemy; it stays open, and is in no transaction afterwards."""
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None)
    with engine.connect() as same:
        try:
            yield same
        finally:
            connection.rollback()


def _unbalanced(report: Report, what: str, advice: str) -> None:
    report.fault("records.db", "ledger", f"the ledger: {what}", "the proof that nothing was lost", advice)

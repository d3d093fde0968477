"""Whether the records are what was last committed: looked at before anything writes, stated if not, never mended.

:func:`examine` looks at the files while nobody works on them, and refuses those that cannot be trusted. :func:`compare`
holds what the records hold against the mark that the last commit left beside them. Why a write-ahead log may have to be
put aside: pages move from it into the database, and a torn log would lay older pages over newer ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gridwarden.errors import Damaged, RecordsUnavailable
from gridwarden.records import log, mark
from gridwarden.records.mark import TOTALS, BadMark, Mark, Position

CHECKED_BYTES = 256 * 2**20
"""Records up to this size are looked through at every start; larger ones when the last stop was not a clean one."""
REMEMBERED = "lost"
"""Name under which the records remember what was lost so far, see :class:`Losses`."""
GAPS_KEPT = 100
RESTORE = "Look with `gridwarden verify`, restore a backup; see docs/guide/damage.md"
_TEXTS = [
    ("alarm", "evidence"),
    ("alarm", "memory"),
    ("journal", "body"),
    ("quarantine", "body"),
    ("command", "answer"),
]
"""Columns that hold JSON: structure of which SQLite knows nothing."""
_HEADER = b"SQLite format 3\0"
_log = structlog.get_logger("records")


@dataclass(frozen=True, slots=True)
class Held:
    """What the records say of themselves."""

    epoch: str
    offset: int
    seq: int
    totals: tuple[int, ...]
    """See :data:`gridwarden.records.mark.TOTALS`."""
    missing: int = 0
    """Transactions between the oldest and the newest that are not there and were never stated as lost."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Transactions that were committed and are gone."""

    from_offset: int
    through_offset: int
    from_seq: int
    """Of the journal; no number was lost where it is above ``through_seq``."""
    through_seq: int
    totals: dict[str, int]
    """By column of the ledger, what they had counted."""

    @property
    def transactions(self) -> int:
        """How many."""
        return self.through_offset - self.from_offset + 1

    @property
    def readings(self) -> int:
        """Readings that lay in them, in quarantine or not."""
        return self.totals["stored"] + self.totals["quarantined"]

    def facts(self) -> dict[str, Any]:
        """As the journal tells it."""
        counts = {"transactions": self.transactions, "readings": self.readings,
                  "changes": self.through_seq - self.from_seq + 1}  # fmt: skip
        offsets = {"from_offset": self.from_offset, "through_offset": self.through_offset,
                   "from_seq": self.from_seq, "through_seq": self.through_seq}  # fmt: skip
        return {"what": "transactions", **counts, **offsets, **self.totals}


@dataclass(slots=True)
class Losses:
    """Everything that was ever stated as lost, added up; kept in the records."""

    transactions: int = 0
    changes: int = 0
    readings: int = 0
    """Of all kinds of loss: the sum of the next three."""
    transaction_readings: int = 0
    """In lost transactions: the ledger does not count them any more, the history may hold some."""
    block_readings: int = 0
    """In damaged blocks: the ledger counts them as stored, the history never took them."""
    history_readings: int = 0
    """Gone from the history, and their blocks too; the ledger counts them as stored."""
    dead_letters: int = 0
    office_changes: int = 0
    """Of registry, accounts and sessions."""
    gaps: list[list[int]] = field(default_factory=list)
    """First and last of offsets that no transaction has."""
    blocks: list[int] = field(default_factory=list)
    """Offsets of the latest damaged blocks."""

    def add_loss(self, loss: Loss, next_offset: int) -> None:
        """Count lost transactions; the next one is at ``next_offset``."""
        self.transactions += loss.transactions
        self.changes += loss.through_seq - loss.from_seq + 1
        self.transaction_readings += loss.readings
        self.readings += loss.readings
        self.dead_letters += loss.totals["dead_lettered"]
        self.gaps = [*self.gaps, [loss.from_offset, next_offset - 1]][-GAPS_KEPT:]

    def add_block(self, offset: int, readings: int) -> bool:
        """Count the readings of a damaged block; whether it was not counted before."""
        if offset in self.blocks:
            return False
        self.blocks = [*self.blocks, offset][-GAPS_KEPT:]
        self.block_readings += readings
        self.readings += readings
        return True

    def add_history(self, readings: int) -> None:
        """Count readings that the history has no more."""
        self.history_readings += readings
        self.readings += readings

    def told(self) -> dict[str, int]:
        """As the ledger tells it."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}


def missing(first: int, last: int, count: int, gaps: Iterable[Iterable[int]]) -> int:
    """How many offsets of ``first`` to ``last`` have no transaction, ``count`` being there, and lie in no known gap."""
    if not count:
        return 0
    known = sum(max(0, min(end, last) - max(begin, first) + 1) for begin, end in gaps)
    return last - first + 1 - count - known


def compare(marked: Mark | None, held: Held, path: Path) -> Loss | None:
    """What was lost since ``marked``; ``None``: nothing, or there is no mark, or one of other records.

    Raises:
        Damaged: the records contradict the mark, or themselves.
    """
    if held.missing:
        raise Damaged(path, f"{held.missing} transactions are missing between others", RESTORE)
    if marked is None or marked.epoch != held.epoch:
        return None
    if held.offset > marked.offset:  # a kill came between a commit and its mark
        return None
    behind = {name: was - now for name, was, now in zip(TOTALS, marked.totals, held.totals, strict=True)}
    if held.offset == marked.offset:
        if any(behind.values()) or held.seq < marked.seq:
            told = f"its newest transaction is {held.offset}, its ledger or journal are not of that time"
            raise Damaged(path, told, RESTORE)
        return None
    return Loss(held.offset + 1, marked.offset, held.seq + 1, marked.seq, behind)


def examine(data: Path, left: tuple[Position, int] | None = None) -> None:
    """Look at the records of ``data`` before anything opens them for writing. Nobody may be at work there.

    ``left``: what :func:`gridwarden.records.log.left_behind` said, if anybody has opened them for reading since.

    Raises:
        Damaged: gone, emptied, or not what SQLite has written.
        RecordsUnavailable: it cannot be read now.
    """
    path = data / "records.db"
    marked = _marked(data)
    if not is_there(path):
        return
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            raise Damaged(path, "it is no SQLite database", RESTORE)
    try:
        if marked is not None:
            _examine_log(path, marked, left or log.left_behind(path))
        _examine_schema(path, known=marked is not None)
        if marked is None or not marked.clean or path.stat().st_size <= CHECKED_BYTES:
            _look_through(path)
    except sqlite3.OperationalError as error:  # of its surroundings: rights, disk, another process
        raise RecordsUnavailable(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(path, str(error), RESTORE) from error


def is_there(path: Path) -> bool:
    """Whether there are records; where there are none, none must ever have been.

    Raises:
        Damaged: they are gone, or emptied.
    """
    if path.exists() and path.stat().st_size:
        return True
    _refuse_a_silent_beginning(path, path.with_name(mark.FILE))
    return False


def _marked(data: Path) -> Mark | None:
    try:
        return mark.read(data)
    except BadMark as error:
        _log.error("records.mark is damaged: whether transactions were lost cannot be told", error=str(error))
        return None


def _refuse_a_silent_beginning(path: Path, mark_path: Path) -> None:
    wal = path.with_name(f"{path.name}-wal")
    what = "it is empty" if path.exists() else "it is gone"
    if mark_path.exists():
        remedy = f"{RESTORE}. To begin anew without what was in it, remove {mark_path.name} as well"
        raise Damaged(path, f"{what}, and {mark_path.name} says that there were records", remedy)
    if wal.exists() and wal.stat().st_size:
        raise Damaged(path, f"{what}, and its write-ahead log is not", f"{RESTORE}. To begin anew, remove {wal.name}")


def _examine_log(path: Path, marked: Mark, left: tuple[Position, int]) -> None:
    """Put a torn log aside where the database is whole without it; refuse where neither is.

    The log up to any frame is whole as long as nothing beyond that frame was moved: it lies over the database. Once all
    of it was moved the database is whole. In between only both together are, and only up to the last frame.
    """
    with closing(_opened(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # reads the log and makes its index anew
        found, _ = log.left_behind(path)
    same = found.salt == marked.log.salt != bytes(8)
    if found.frames and not same:
        return  # a later log: the kill came before its first commit was marked
    frames, whole = found.frames, marked.log.frames
    moved = max(marked.log.moved, left[1] if left[0].salt == marked.log.salt else 0)
    if frames >= min(moved, whole):
        return
    there = _log_exists(path)
    if marked.log.moved == whole:
        if there:
            _put_aside(path, frames, whole)
    elif there or _newest(path) != marked.offset:  # equal: it was moved and removed, as SQLite does at its last close
        raise Damaged(
            path, f"its write-ahead log is torn after {frames} of {whole} frames, half moved into it", RESTORE
        )


def _put_aside(path: Path, frames: int, whole: int) -> None:
    wal = path.with_name(f"{path.name}-wal")
    aside = wal.with_name(f"{wal.name}.torn")
    wal.replace(aside)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    _log.error("the write-ahead log of the records is torn and put aside: all of it has been moved already",
               frames=frames, of=whole, aside=str(aside))  # fmt: skip


def _newest(path: Path) -> int:
    with closing(_opened(path)) as connection:
        return int(connection.execute('SELECT coalesce(max("offset"), 0) FROM intake_block').fetchone()[0])


def _log_exists(path: Path) -> bool:
    wal = path.with_name(f"{path.name}-wal")
    return wal.exists() and wal.stat().st_size > 0


def _examine_schema(path: Path, *, known: bool) -> None:
    with closing(_opened(path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        version = (
            "alembic_version" in tables and connection.execute("SELECT version_num FROM alembic_version").fetchone()
        )
    if not version and (tables or known):
        raise Damaged(path, "it holds no records: the table that tells its version is not there or empty", RESTORE)


def _look_through(path: Path) -> None:
    with closing(_opened(path)) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise Damaged(path, "; ".join(found), RESTORE)
        for table, column in _TEXTS:
            if column not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
                continue  # of an older schema
            bad = f'SELECT count(*) FROM "{table}" WHERE NOT json_valid("{column}")'  # noqa: S608 - NULL counts as valid
            (count,) = connection.execute(bad).fetchone()
            if count:
                raise Damaged(path, f"{table}.{column} cannot be read in {count} rows", RESTORE)


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)

"""Hot rows to sealed Parquet files and away again. Late rows are the same act: merge, write anew, swap.

No step looks for duplicates, because none can arise: records admits a reading once, the offset commits with
the rows, and the rows that are copied leave the hot table in the transaction that lists their new file. So two
readings that look alike are two readings (a source without ``at`` and ``seq``), and both are kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from gridwarden.history import HistoryDamaged
from gridwarden.history.layout import BUCKETS, DAY_MS, HOT_ONLY, ORDER, file_name, hot, one

# Row groups of 30,720: one device's day in 22 ms where an unbucketed day has groups of 10k 56 ms, of 1 M 28 ms.
_PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION v2, ROW_GROUP_SIZE 30720"


@dataclass(frozen=True, slots=True)
class Due:
    """Hot rows of one table, day and bucket that are to be sealed."""

    table: str
    day: date
    bucket: int
    before_ms: int

    @property
    def where(self) -> str:
        """Which hot rows; parameters in :attr:`parameters`."""
        return (
            "occurred_at >= make_timestamp_ms($from) AND occurred_at < make_timestamp_ms($to)"
            f" AND device_key % {BUCKETS} = $bucket"
        )

    @property
    def parameters(self) -> dict[str, int]:
        """See :attr:`where`."""
        start = day_ms(self.day)
        return {"from": start, "to": min(start + DAY_MS, self.before_ms), "bucket": self.bucket}


def day_ms(day: date) -> int:
    """The time a UTC day begins."""
    return (day - date(1970, 1, 1)).days * DAY_MS


def day_of(at_ms: int) -> date:
    """The UTC day of a time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def due(connection: duckdb.DuckDBPyConnection, table: str, before_ms: int) -> list[Due]:
    """What has hot rows that occurred before ``before_ms``, oldest day first."""
    rows = connection.execute(
        f"SELECT DISTINCT occurred_at::DATE AS day, device_key % {BUCKETS} AS bucket FROM {hot(table)}"  # noqa: S608
        " WHERE occurred_at < make_timestamp_ms($before) ORDER BY ALL",
        {"before": before_ms},
    ).fetchall()
    return [Due(table, day, bucket, before_ms) for day, bucket in rows]


def seal(connection: duckdb.DuckDBPyConnection, root: Path, what: Due) -> tuple[int, str | None]:
    """Seal one day and bucket inside the caller's transaction; the rows moved and the file that is superseded.

    After a failure the new file may lie about unlisted: it is overwritten by the next try or removed at start,
    and never removed here, since a commit that reports an error may have happened nevertheless.
    """
    place = {"table": what.table, "day": what.day, "bucket": what.bucket}
    listed = connection.execute(
        "SELECT gen, file, n FROM sealed WHERE table_name = $table AND day = $day AND bucket = $bucket", place
    ).fetchall()
    gen, old_file, old_rows = listed[0] if listed else (0, None, 0)
    file = file_name(what.table, what.day.isoformat(), what.bucket, gen + 1)
    total = _write(connection, what, root / file, None if old_file is None else root / old_file)
    (moved,) = one(connection, f"DELETE FROM {hot(what.table)} WHERE {what.where}", what.parameters)  # noqa: S608
    if total != moved + old_rows:
        msg = f"{file}: {total} rows written, {moved} hot and {old_rows} sealed before"
        raise HistoryDamaged(msg)
    connection.execute("DELETE FROM sealed WHERE table_name = $table AND day = $day AND bucket = $bucket", place)
    connection.execute(
        "INSERT INTO sealed BY NAME SELECT $table AS table_name, $day AS day, $bucket AS bucket, $gen AS gen,"
        " $file AS file, $n AS n",
        place | {"gen": gen + 1, "file": file, "n": total},
    )
    return moved, old_file


def _write(connection: duckdb.DuckDBPyConnection, what: Due, path: Path, old: Path | None) -> int:
    """Write hot ∪ old to ``path``, durable before it has its name; the rows that can be read back from it."""
    parameters: dict[str, object] = dict(what.parameters)
    rows = f"SELECT * EXCLUDE ({', '.join(HOT_ONLY)}) FROM {hot(what.table)} WHERE {what.where}"  # noqa: S608
    if old is not None:
        rows += " UNION ALL BY NAME SELECT * FROM read_parquet($old)"
        parameters["old"] = str(old)
    part = path.with_suffix(".tmp")
    quoted = str(part).replace("'", "''")
    connection.execute(f"COPY ({rows} ORDER BY device_key, {ORDER}) TO '{quoted}' ({_PARQUET})", parameters)
    sync(part)  # COPY itself does not
    part.replace(path)
    sync(path.parent)
    return int(one(connection, "SELECT count(*) FROM read_parquet($path)", {"path": str(path)})[0])


def retain(connection: duckdb.DuckDBPyConnection, tables: list[str], from_ms: int) -> tuple[int, list[str]]:
    """Drop the days before the day of ``from_ms``, in the caller's transaction; rows dropped, files not needed."""
    day = day_of(from_ms)
    files = connection.execute("DELETE FROM sealed WHERE day < $day RETURNING file, n", {"day": day}).fetchall()
    dropped = sum(n for _, n in files)
    for table in tables:
        sql = f"DELETE FROM {hot(table)} WHERE occurred_at < make_timestamp_ms($from)"  # noqa: S608
        (rows,) = one(connection, sql, {"from": day_ms(day)})
        dropped += rows
    return dropped, [file for file, _ in files]


def sync(path: Path) -> None:
    """Bring a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare_directories(root: Path, tables: list[str]) -> None:
    """Make the sealed directories."""
    for table in tables:
        (root / table).mkdir(parents=True, exist_ok=True)
    sync(root)
    sync(root.parent)


def sweep(connection: duckdb.DuckDBPyConnection, root: Path) -> list[str]:
    """Remove what no manifest row lists (left by a crash between two steps); call before anybody reads.

    Raises:
        HistoryDamaged: a listed file is not there, or the history is new and files are. Nothing is removed then.
    """
    listed = dict(connection.execute("SELECT file, n FROM sealed").fetchall())
    there = {str(path.relative_to(root)) for path in root.glob("*/*") if path.suffix in {".parquet", ".tmp"}}
    if missing := sorted(listed.keys() - there):
        rows = sum(listed[file] for file in missing)
        msg = f"{len(missing)} sealed files with {rows} readings are missing below {root}, the first is {missing[0]}"
        raise HistoryDamaged(msg)
    orphans = sorted(there - listed.keys())
    sealed = [str(root / file) for file in orphans if file.endswith(".parquet")]
    if sealed and not listed and one(connection, "SELECT followed_offset FROM state") == (0,):
        rows = _rows_of(connection, sealed)
        msg = (f"history.duckdb is new, and {len(sealed)} sealed files with {rows} readings lie below {root}: restore the"
               " one that belongs to them, or move the directory of the history away to begin anew")  # fmt: skip
        raise HistoryDamaged(msg)
    for file in orphans:
        (root / file).unlink()
    return orphans


def _rows_of(connection: duckdb.DuckDBPyConnection, files: list[str]) -> str:
    try:
        return str(one(connection, "SELECT count(*) FROM read_parquet($files)", {"files": files})[0])
    except duckdb.Error:
        return "an unknown number of"


class Retired:
    """Files that no manifest row lists any more, kept until every read that may have seen them listed is over."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._ticket = 0
        self._reading: set[int] = set()
        self._files: list[tuple[int, str]] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around a whole read, begun before its snapshot."""
        with self._lock:
            self._ticket += 1
            ticket = self._ticket
            self._reading.add(ticket)
        try:
            yield
        finally:
            with self._lock:
                self._reading.remove(ticket)
            self._collect()

    def add(self, files: list[str]) -> None:
        """Take files whose manifest rows are gone, durably."""
        with self._lock:
            self._files += [(self._ticket, file) for file in files]
        self._collect()

    def _collect(self) -> None:
        with self._lock:
            oldest = min(self._reading, default=self._ticket + 1)
            free = [file for ticket, file in self._files if ticket < oldest]
            self._files = [(ticket, file) for ticket, file in self._files if ticket >= oldest]
        for file in free:
            (self._root / file).unlink(missing_ok=True)

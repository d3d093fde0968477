"""A frozen copy of a part of the DuckDB history, for long work in another process. Cheap to take, read by nobody else.

Sealed files are linked, not copied; hot rows are written out in the same form: one Parquet file per table, UTC day and
device bucket. A manifest beside them says what there is. Whoever asked for it removes the directory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from pydantic_core import from_json, to_json

from gridwarden.history.layout import DAY_MS, HOT_ONLY, ORDER, hot
from gridwarden.history.sealing import Due, day_ms, day_of, due

MANIFEST = "manifest.json"
DEVICES, GATEWAYS = "devices.parquet", "gateways.parquet"
LIFE_S = 86_400
"""A snapshot older than this was left behind by somebody who is gone."""
_HOT_PARQUET = "FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 122880"


@dataclass(frozen=True, slots=True)
class Part:
    """The readings of one table, UTC day and device bucket."""

    table: str
    day: str
    bucket: int
    files: tuple[str, ...]
    """Below the snapshot's directory; each in the order of device and time."""
    rows: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot holds."""

    directory: Path
    from_ms: int
    to_ms: int
    complete_until_ms: int
    """Readings that records committed later are not in it."""
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """At most so many readings lie in the interval: whole files are counted."""
        return sum(part.rows for part in self.parts)

    def remove(self) -> None:
        """Give back its disk space."""
        shutil.rmtree(self.directory, ignore_errors=True)


def load(directory: Path) -> Snapshot:
    """The snapshot that lies in ``directory``."""
    written = from_json((directory / MANIFEST).read_bytes())
    parts = tuple(Part(**{**part, "files": tuple(part["files"])}) for part in written.pop("parts"))
    return Snapshot(directory, parts=parts, **written)


def new_directory(below: Path) -> Path:
    """A fresh place for a snapshot below ``below``; what was left behind there long ago is removed."""
    below.mkdir(parents=True, exist_ok=True)
    for old in below.iterdir():
        if time.time() - old.stat().st_mtime > LIFE_S:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=below))


def take(
    connection: duckdb.DuckDBPyConnection, root: Path, directory: Path, tables: Iterable[str],
    interval: tuple[int, int], complete_until_ms: int,
) -> Snapshot:  # fmt: skip
    """Freeze the readings of ``tables`` that occurred in ``interval`` (half open), as the caller's transaction sees them.

    Args:
        connection: in a transaction.
        root: where the sealed files lie.
        directory: an empty one on the same disk.
        tables: of the layout.
        interval: from and to, milliseconds since the epoch.
        complete_until_ms: see :class:`Snapshot`.
    """
    for name, file in (("devices", DEVICES), ("gateways", GATEWAYS)):
        connection.execute(f"COPY {name} TO {_quoted(directory / file)} (FORMAT parquet)")
    parts: list[Part] = []
    for table in tables:
        found = _link_sealed(connection, root, directory, table, interval)
        for written in _write_hot(connection, directory, table, interval):
            found.setdefault((written.day, written.bucket), []).append(written)
        parts += [
            Part(table, day, bucket, tuple(file for part in same for file in part.files), sum(p.rows for p in same))
            for (day, bucket), same in found.items()
        ]
    parts.sort(key=lambda part: (part.table, part.bucket, part.day))
    snapshot = Snapshot(directory, *interval, complete_until_ms, tuple(parts))
    (directory / MANIFEST).write_bytes(to_json({**_plain(snapshot), "parts": [asdict(part) for part in parts]}))
    return snapshot


def _plain(snapshot: Snapshot) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in ("from_ms", "to_ms", "complete_until_ms")}


def _link_sealed(
    connection: duckdb.DuckDBPyConnection, root: Path, directory: Path, table: str, interval: tuple[int, int]
) -> dict[tuple[str, int], list[Part]]:
    rows: Sequence[tuple[date, int, str, int]] = connection.execute(
        "SELECT day, bucket, file, n FROM sealed WHERE table_name = $table AND day BETWEEN $first AND $last",
        {"table": table, "first": day_of(interval[0]), "last": day_of(interval[1] - 1)},
    ).fetchall()
    parts: dict[tuple[str, int], list[Part]] = {}
    for day, bucket, file, number in rows:
        name = file.replace("/", "-")
        _link(root / file, directory / name)
        parts[day.isoformat(), bucket] = [Part(table, day.isoformat(), bucket, (name,), number)]
    return parts


def _link(file: Path, name: Path) -> None:
    try:
        os.link(file, name)
    except OSError:  # a disk that knows no links
        shutil.copyfile(file, name)


def _write_hot(
    connection: duckdb.DuckDBPyConnection, directory: Path, table: str, interval: tuple[int, int]
) -> Iterable[Part]:
    from_ms, to_ms = interval
    for one in due(connection, table, to_ms):
        if day_ms(one.day) + DAY_MS > from_ms:
            yield _write(connection, directory, one)


def _write(connection: duckdb.DuckDBPyConnection, directory: Path, what: Due) -> Part:
    name = f"hot-{what.table}-{what.day}-{what.bucket:02d}.parquet"
    rows = f"SELECT * EXCLUDE ({', '.join(HOT_ONLY)}) FROM {hot(what.table)} WHERE {what.where}"  # noqa: S608
    copy = f"COPY ({rows} ORDER BY device_key, {ORDER}) TO {_quoted(directory / name)} ({_HOT_PARQUET})"
    (number,) = connection.execute(copy, what.parameters).fetchall()[0]
    return Part(what.table, what.day.isoformat(), what.bucket, (name,), number)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"

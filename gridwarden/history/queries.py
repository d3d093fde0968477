"""What is read from the DuckDB history: SQL over hot rows ∪ sealed files, inside the caller's snapshot.

A field's name becomes part of SQL only if a kind has such a field; everything else is a bound parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from pydantic_core import from_json

from gridwarden.errors import Refused
from gridwarden.history import Buckets, Series
from gridwarden.history.layout import BUCKETS, ENTITLED, ORDER, Layout, hot, one, sql_type
from gridwarden.history.sealing import day_of
from gridwarden.kinds import FieldType
from gridwarden.model import Value

_LATEST_TIME_MS = 253_402_300_799_999
"""End of the year 9999, beyond which calendars (and time stamps) fail."""
_INTERVAL = "occurred_at >= make_timestamp_ms($from) AND occurred_at < make_timestamp_ms($to)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows of a device lie. A device whose kind became known later has more than one."""

    table: str
    kind: str
    device_key: int


class Queries:
    """Reads on one connection; the caller holds the transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, layout: Layout, root: Path) -> None:
        self._connection = connection
        self._layout = layout
        self._root = root

    def series(self, places: Sequence[Place], field: str, from_ms: int, to_ms: int, limit: int) -> Series:
        """See :class:`gridwarden.history.History`."""
        points, parameters = self._points(places, field, from_ms, to_ms)
        if not points:
            return Series([], [])
        rows = self._connection.execute(
            f"SELECT epoch_ms(occurred_at), v FROM ({points}) ORDER BY {ORDER} LIMIT $limit",  # noqa: S608
            parameters | {"limit": limit + 1},
        ).fetchall()
        return Series([t for t, _ in rows[:limit]], [v for _, v in rows[:limit]], len(rows) > limit)

    def buckets(self, places: Sequence[Place], field: str, from_ms: int, to_ms: int, step_ms: int) -> Buckets:
        """See :class:`gridwarden.history.History`."""
        if step_ms <= 0:
            raise Refused("bad_step", f"{step_ms} ms")
        if field in self._layout.fields and self._layout.fields[field].type not in {FieldType.INT, FieldType.FLOAT}:
            raise Refused("not_numeric", field)
        points, parameters = self._points(places, field, from_ms, to_ms)
        if not points:
            return Buckets(step_ms, [], [], [], [], [], [])
        rows = self._connection.execute(
            "SELECT epoch_ms(occurred_at) // $step * $step AS step_at_ms, min(v), max(v), avg(v),"  # noqa: S608
            f" last(v ORDER BY {ORDER}), count(*) FROM (SELECT * REPLACE (v::DOUBLE AS v) FROM ({points}))"
            " WHERE v IS NOT NULL GROUP BY step_at_ms ORDER BY step_at_ms",
            parameters | {"step": step_ms},
        ).fetchall()
        return Buckets(step_ms, *([row[column] for row in rows] for column in range(6)))

    def _points(self, places: Sequence[Place], field: str, from_ms: int, to_ms: int) -> tuple[str, dict[str, Any]]:
        """SQL for the rows that carry ``field``, with the columns of ``ORDER`` and ``v``; ``""``: there are none."""
        if field not in self._layout.fields:
            raise Refused("unknown_field", field)
        from_ms, to_ms = (min(max(at_ms, 0), _LATEST_TIME_MS) for at_ms in (from_ms, to_ms))
        if from_ms >= to_ms:
            return "", {}
        parameters: dict[str, Any] = {"from": from_ms, "to": to_ms, "path": f'$."{field}"'}
        parts = []
        for number, place in enumerate(places):
            days = (day_of(from_ms), day_of(to_ms - 1))
            files = self._files(place, "AND day BETWEEN $first AND $last", {"first": days[0], "last": days[1]})
            rows, more = _rows(place.table, [file for file, _ in files], number)
            parameters |= more | {f"device{number}": place.device_key}
            parts.append(
                f"SELECT occurred_at, seq, rx_delay_ms, {self._value(place.table, field)} AS v FROM {rows}"  # noqa: S608
                f" WHERE device_key = $device{number} AND {_INTERVAL} AND flags & {ENTITLED} <> 0"
                " AND (v IS NOT NULL OR json_exists(quality, $path) OR json_exists(extra, $path))"
            )
        return " UNION ALL ".join(parts), parameters if parts else {}

    def _value(self, table: str, field: str) -> str:
        """The value of ``field``: its column, or what lies in ``extra`` from a time when there was no such column."""
        column_type = sql_type(self._layout.fields[field])
        shown = "DOUBLE" if column_type == "FLOAT" else column_type
        extra = f"TRY_CAST(json_extract_string(extra, $path) AS {shown})"
        if field not in self._layout.tables[table]:
            return extra
        # Through text a 32-bit float becomes the decimal number that was sent: 0.42, not 0.41999998688697815.
        column = f"{field}::VARCHAR::DOUBLE" if column_type == "FLOAT" else field
        return f"coalesce({column}, {extra})"

    def latest(self, places: Iterable[Place]) -> tuple[Place, dict[str, Any]] | None:
        """The last row of the device by column name, and its place; ``None`` where there is none."""
        found = [(place, row) for place in places if (row := self._last_of(place)) is not None]
        return max(found, key=lambda pair: _rank(pair[1]), default=None)

    def _last_of(self, place: Place) -> dict[str, Any] | None:
        best = self._last_in(place, hot(place.table), {})
        for file, day in self._files(place, "ORDER BY day DESC", {}):
            if best is not None and day < best["day"]:
                break
            row = self._last_in(place, "read_parquet($file)", {"file": file})
            if row is not None and (best is None or _rank(row) > _rank(best)):
                best = row
        return best

    def _last_in(self, place: Place, rows: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        cursor = self._connection.execute(
            f"SELECT * REPLACE (epoch_ms(occurred_at) AS occurred_at), occurred_at::DATE AS day FROM {rows}"  # noqa: S608
            f" WHERE device_key = $device AND flags & {ENTITLED} <> 0"
            " ORDER BY occurred_at DESC, seq DESC NULLS LAST, rx_delay_ms DESC LIMIT 1",
            parameters | {"device": place.device_key},
        )
        names = [column[0] for column in cursor.description or ()]
        rows_found = cursor.fetchall()
        return dict(zip(names, rows_found[0], strict=True)) if rows_found else None

    def values_of(self, place: Place, row: dict[str, Any]) -> tuple[dict[str, Value], dict[str, str]]:
        """The values and qualities of a row, as they were appended."""
        quality: dict[str, str] = from_json(row["quality"] or "{}")
        values: dict[str, Value] = {name: None for name in quality if name != "at"}
        for name, column_type in self._layout.tables[place.table].items():
            value = row.get(name)  # an older file may lack the column
            if value is not None:
                values[name] = float(str(np.float32(value))) if column_type == "FLOAT" else value
        return values | from_json(row["extra"] or "{}"), quality

    def gateway(self, key: int) -> str:
        """The gateway's name."""
        return str(one(self._connection, "SELECT gateway FROM gateways WHERE gateway_key = $key", {"key": key})[0])

    def counts(self) -> dict[str, int]:
        """Rows per device id."""
        counts: dict[str, int] = {}
        for table in self._layout.tables:
            files = self._connection.execute("SELECT file FROM sealed WHERE table_name = $table", {"table": table})
            rows, parameters = _rows(table, [str(self._root / file) for (file,) in files.fetchall()], 0)
            sql = f"SELECT device_id, count(*) FROM {rows} JOIN devices USING (device_key) GROUP BY ALL"  # noqa: S608
            for device_id, count in self._connection.execute(sql, parameters).fetchall():
                counts[device_id] = counts.get(device_id, 0) + count
        return counts

    def count(self) -> int:
        """All rows."""
        total = int(one(self._connection, "SELECT coalesce(sum(n), 0)::BIGINT FROM sealed")[0])
        for table in self._layout.tables:
            total += one(self._connection, f"SELECT count(*) FROM {hot(table)}")[0]  # noqa: S608
        return total

    def _files(self, place: Place, where: str, parameters: dict[str, Any]) -> list[tuple[str, date]]:
        rows = self._connection.execute(
            f"SELECT file, day FROM sealed WHERE table_name = $table AND bucket = $bucket {where}",  # noqa: S608
            {"table": place.table, "bucket": place.device_key % BUCKETS} | parameters,
        ).fetchall()
        return [(str(self._root / file), day) for file, day in rows]


def _rank(row: dict[str, Any]) -> tuple[int, int, int]:
    """The Python side of ``ORDER``; no ``seq`` comes first."""
    return row["occurred_at"], -1 if row["seq"] is None else row["seq"], row["rx_delay_ms"]


def _rows(table: str, files: list[str], number: int) -> tuple[str, dict[str, Any]]:
    """SQL for hot rows ∪ ``files``; a column that a file does not have is NULL in its rows."""
    if not files:
        return hot(table), {}
    sealed = f"SELECT * FROM read_parquet($files{number}, union_by_name = true)"  # noqa: S608
    return f"(SELECT * FROM {hot(table)} UNION ALL BY NAME {sealed})", {f"files{number}": files}  # noqa: S608

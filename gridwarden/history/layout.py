"""Tables, columns and files of the DuckDB history, generated from the kinds. Knows names, stores nothing.

One hot table per kind, without key or index (with a primary key appends are 7 times slower and rows 6 times
bigger); below it sealed Parquet files, one per UTC day and device bucket, listed in a manifest table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from gridwarden.history import HistoryDamaged, HistoryMismatch
from gridwarden.kinds import KINDS, Field, FieldType, Kind

SCHEMA_VERSION = 1
"""Version of the tables other than the fields of kinds, which may grow at any start."""
BUCKETS = 16
"""Sealed files per table and day: one device's day is 5 ms with 16, 79 ms in arrival order (100 M rows)."""
DAY_MS = 86_400_000
OTHER = "other"
"""The table of readings whose kind is not known (yet); all their values are in ``extra``."""
KEYED, REGISTERED, ENTITLED, LATE = 1, 2, 4, 8
"""Bits of the column ``flags``."""

OWN_COLUMNS = {
    "device_key": "INTEGER NOT NULL",
    "occurred_at": "TIMESTAMP NOT NULL",
    "seq": "BIGINT",
    # A delay to occurred_at takes a third less than a second time stamp. 32 bits would end after 24.8 days.
    "rx_delay_ms": "BIGINT NOT NULL",
    "gateway_key": "INTEGER NOT NULL",
    "flags": "UTINYINT NOT NULL",
    "key": "UBIGINT NOT NULL",
    "quality": "VARCHAR",
    "extra": "VARCHAR",
}
"""What every hot table has beside its kind's fields. ``quality`` and ``extra`` are JSON, NULL when empty."""
HOT_ONLY = ("key",)
"""Left behind when sealing: 8 incompressible bytes would double a sealed row, and nothing reads them there."""
ORDER = "occurred_at, seq NULLS FIRST, rx_delay_ms"
"""The order of one device's readings: its clock, its counter, then arrival."""

_BOOKS = """
CREATE TABLE state(schema_version INTEGER NOT NULL, epoch VARCHAR NOT NULL, followed_offset BIGINT NOT NULL,
  complete_until_ms BIGINT NOT NULL);
INSERT INTO state VALUES ({version}, '', 0, 0);
CREATE TABLE devices(device_key INTEGER NOT NULL, device_id VARCHAR NOT NULL, kind VARCHAR NOT NULL,
  table_name VARCHAR NOT NULL);
CREATE TABLE gateways(gateway_key INTEGER NOT NULL, gateway VARCHAR NOT NULL);
CREATE TABLE sealed(table_name VARCHAR NOT NULL, day DATE NOT NULL, bucket INTEGER NOT NULL, gen INTEGER NOT NULL,
  file VARCHAR NOT NULL, n BIGINT NOT NULL);
"""
_INT32 = 2**31 - 1
_FLOAT32_EXACT = 2**24
_NUMBERS = {"INTEGER", "BIGINT", "FLOAT", "DOUBLE"}


def sql_type(field: Field) -> str:
    """The column type of ``field``: counters need 64 bits, other quantities are measured to far fewer digits."""
    match field.type:
        case FieldType.BOOL:
            return "BOOLEAN"
        case FieldType.INT:
            return "INTEGER" if max(abs(field.low or 0), abs(field.high or 0)) <= _INT32 else "BIGINT"
        case FieldType.FLOAT:
            return "FLOAT" if (field.high or 0) <= _FLOAT32_EXACT else "DOUBLE"
        case FieldType.ENUM | FieldType.TEXT:
            return "VARCHAR"


class Layout:
    """The tables of a set of kinds."""

    def __init__(self, kinds: Mapping[str, Kind] = KINDS) -> None:
        self.tables = {name: {f: sql_type(field) for f, field in kind.fields.items()} for name, kind in kinds.items()}
        """Table to its field columns with their types."""
        self.tables[OTHER] = {}
        self.fields = {name: field for kind in kinds.values() for name, field in kind.fields.items()}
        """Every field any kind has: the only names that may become part of SQL."""
        if OTHER in kinds or self.fields.keys() & OWN_COLUMNS.keys():
            msg = f"a kind named {OTHER!r}, or a field named like one of {sorted(OWN_COLUMNS)}, cannot be stored"
            raise ValueError(msg)

    def table_of(self, kind: str) -> str:
        """Where readings of ``kind`` go."""
        return kind if kind in self.tables else OTHER

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create what is missing, add the columns of fields that are new; one transaction of the caller's.

        Raises:
            HistoryMismatch: the file is of a later program, or a field changed its type beyond conversion.
        """
        if not _columns(connection, "state"):
            connection.execute(_BOOKS.format(version=SCHEMA_VERSION))
        (version,) = one(connection, "SELECT schema_version FROM state")
        if version != SCHEMA_VERSION:
            msg = f"the history has schema version {version}, this program knows {SCHEMA_VERSION}"
            raise HistoryMismatch(msg)
        for table, fields in self.tables.items():
            _prepare_hot(connection, hot(table), fields)


def hot(table: str) -> str:
    """Name of the hot table."""
    return f"hot_{table}"


def one(connection: duckdb.DuckDBPyConnection, sql: str, parameters: object = None) -> tuple[Any, ...]:
    """The only row of a query that always has one."""
    rows = connection.execute(sql, parameters).fetchall()  # all: the next statement needs this one finished
    if len(rows) != 1:
        msg = f"{len(rows)} rows, one expected: {sql}"
        raise HistoryDamaged(msg)
    row: tuple[Any, ...] = rows[0]
    return row


def file_name(table: str, day: str, bucket: int, gen: int) -> str:
    """Path of a sealed file below the sealed directory; a new generation never reuses a name that is listed."""
    return f"{table}/{day}-{bucket:02d}-g{gen}.parquet"


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    sql = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = $table AND NOT internal"
    return dict(connection.execute(sql, {"table": table}).fetchall())


def _prepare_hot(connection: duckdb.DuckDBPyConnection, table: str, fields: dict[str, str]) -> None:
    there = _columns(connection, table)
    if not there:
        columns = ", ".join(f"{name} {kind}" for name, kind in (OWN_COLUMNS | fields).items())
        connection.execute(f"CREATE TABLE {table}({columns})")
        return
    for name, kind in fields.items():
        if name not in there:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        elif there[name] != kind:
            if not {there[name], kind} <= _NUMBERS:
                msg = f"{table}.{name} holds {there[name]}, the kind now says {kind}: give the field a new name"
                raise HistoryMismatch(msg)
            connection.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {kind}")

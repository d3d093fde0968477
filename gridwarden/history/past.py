"""All readings of a snapshot as columns, chunk by chunk, in the order in which a device told them. For back-tests.

A chunk is one table, UTC day and device bucket: some ten thousand to some hundred thousand rows in memory at a time,
whatever the length of the history. Chunks come bucket by bucket, within a bucket day by day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
from pydantic_core import from_json

from gridwarden.history import HistoryUnavailable
from gridwarden.history.layout import DAY_MS, sql_type
from gridwarden.history.sealing import day_ms
from gridwarden.history.snapshots import DEVICES, GATEWAYS, Part, Snapshot
from gridwarden.kinds import KINDS, Field, FieldType
from gridwarden.model import Value

Column = np.ndarray[Any, Any]
NO_SEQ = -(2**63)
"""Stands for a missing ``seq``."""
UNKNOWN = -1
"""In columns of truths and of text codes; unknown numbers are NaN."""
_UNLISTED = 1
"""Read for a text that is none of its field's choices; 0 for none at all, above it the place among the choices."""
_OWN = ("device_key", "occurred_at", "rx_delay_ms", "flags", "gateway_key", "quality", "extra")
_DECIMALS = ((3, 2**13), (6, 2**3))
"""Decimal places tried, and up to which magnitude two such numbers are always two different 32-bit floats."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Readings of devices of one kind, by device, each device's in the order of its own clock."""

    kind: str
    device_keys: Column
    """One entry a device, ascending; a device keeps its key."""
    device_ids: tuple[str, ...]
    starts: Column
    """Where each device's rows begin; one entry more says where the last one's end."""
    occurred_at_ms: Column
    received_at_ms: Column
    seq: Column
    flags: Column
    """Bits of :mod:`gridwarden.history.layout`: keyed, registered, entitled, late."""
    gateways: Column
    values: dict[str, Column]
    """Per field what each reading said: float64 (NaN: nothing), int8 truths or int32 text codes (-1: nothing)."""
    said: dict[int, dict[str, Value]]
    """What rows said that no column holds: a value that could not be used (``None``), or one of another type."""


class Past:
    """The readings of a snapshot.

    Args:
        snapshot: where they lie.
        fields: the fields wanted, per kind; other kinds are left out.
        memory_limit: DuckDB's.
        threads: DuckDB's.

    Raises:
        HistoryUnavailable: its files cannot be read (any more), here and while chunks are read.
    """

    def __init__(
        self, snapshot: Snapshot, fields: Mapping[str, Iterable[str]], *, memory_limit: str = "512MB", threads: int = 1
    ) -> None:
        self._snapshot = snapshot
        self._fields = {kind: tuple(names) for kind, names in fields.items()}
        spill = str(snapshot.directory / "spill")
        self._connection = duckdb.connect(
            config={"memory_limit": memory_limit, "threads": str(threads), "temp_directory": spill}
        )
        self._ids = dict(self._names(DEVICES, "device_key, device_id"))
        self.gateways: dict[int, str] = dict(self._names(GATEWAYS, "gateway_key, gateway"))
        """Gateways by their key."""
        self.codes: dict[str, int] = {}
        """Texts to the codes that stand for them in all chunks; whoever meets a new text adds it."""

    def close(self) -> None:
        """Release memory."""
        self._connection.close()

    @property
    def rows(self) -> int:
        """At most so many readings will come."""
        return sum(part.rows for part in self._snapshot.parts if part.table in self._fields)

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, one after the other; only one is kept in memory."""
        for part in self._snapshot.parts:
            if part.table in self._fields:
                yield self._read(part)

    def _names(self, file: str, columns: str) -> list[tuple[int, str]]:
        path = str(self._snapshot.directory / file)
        try:
            return self._connection.execute(f"SELECT {columns} FROM read_parquet($path)", {"path": path}).fetchall()  # noqa: S608
        except duckdb.Error as error:
            raise HistoryUnavailable(str(error)) from error

    def _read(self, part: Part) -> Chunk:
        fields = {name: KINDS[part.table].fields[name] for name in self._fields[part.table]}
        read = self._columns(part, fields)
        unlisted = [name for name, field in fields.items() if _has_unlisted(field, read[name])]
        if unlisted:  # choices of an older program: their texts as they are
            fields |= {name: replace(fields[name], type=FieldType.TEXT) for name in unlisted}
            read = self._columns(part, fields)
        order = _order(read)
        if order is not None:
            read = {name: column[order] for name, column in read.items()}
        keys = read["device_key"]
        first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
        occurred_at_ms = read["occurred_at"].astype(np.int64) // 1000
        device_keys = keys[first]
        return Chunk(
            kind=part.table,
            device_keys=device_keys,
            device_ids=tuple(self._ids[key] for key in device_keys.tolist()),
            starts=np.append(first, len(keys)),
            occurred_at_ms=occurred_at_ms,
            received_at_ms=occurred_at_ms + read["rx_delay_ms"],
            seq=read["seq"],
            flags=read["flags"],
            gateways=read["gateway_key"],
            values={name: self._values(field, read[name]) for name, field in fields.items()},
            said=_said(read["quality"], read["extra"], fields),
        )

    def _columns(self, part: Part, fields: Mapping[str, Field]) -> dict[str, Column]:
        wanted = [*_OWN, f"coalesce(seq, {NO_SEQ}) AS seq", *(_as_read(field) for field in fields.values())]
        from_ms, to_ms = self._snapshot.from_ms, self._snapshot.to_ms
        start_ms = day_ms(date.fromisoformat(part.day))
        parameters: dict[str, Any] = {"files": [str(self._snapshot.directory / file) for file in part.files]}
        where = ""
        if not (from_ms <= start_ms and start_ms + DAY_MS <= to_ms):
            where = " WHERE occurred_at >= make_timestamp_ms($from) AND occurred_at < make_timestamp_ms($to)"
            parameters |= {"from": from_ms, "to": to_ms}
        # An older file lacks the fields that came later; the empty relation gives them their type.
        nothing = ", ".join(f"NULL::{sql_type(field)} AS {name}" for name, field in fields.items()) or "NULL AS nothing"
        typed = f"SELECT {nothing} WHERE false"
        rows = f"SELECT * FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {typed}"  # noqa: S608 - our names
        sql = f"SELECT {', '.join(wanted)} FROM ({rows}){where}"  # noqa: S608
        try:
            columns: dict[str, Column] = self._connection.execute(sql, parameters).fetchnumpy()
        except duckdb.Error as error:
            raise HistoryUnavailable(str(error)) from error
        return columns

    def _values(self, field: Field, column: Column) -> Column:
        match field.type:
            case FieldType.BOOL:
                return _filled(column, np.int8, UNKNOWN)
            case FieldType.INT:
                return _filled(column, np.float64, np.nan)
            case FieldType.FLOAT:
                return as_written(_filled(column, column.dtype, np.nan))
            case FieldType.ENUM:
                return np.array([UNKNOWN, UNKNOWN, *map(self._code, field.choices)], np.int32)[column]
            case FieldType.TEXT:
                coded = np.full(len(column), UNKNOWN, np.int32)
                said = np.flatnonzero(~np.ma.getmaskarray(column))
                coded[said] = [self._code(text) for text in np.ma.getdata(column)[said].tolist()]
                return coded

    def _code(self, text: str) -> int:
        return self.codes.setdefault(text, len(self.codes))


def as_written(numbers: Column) -> Column:
    """32-bit floats as the decimal numbers that were sent, in 64 bits: 0.42, not 0.41999998688697815."""
    wide = numbers.astype(np.float64)
    if numbers.dtype != np.float32:
        return wide
    left = ~np.isnan(wide)
    for decimals, magnitude in _DECIMALS:
        scale = 10.0**decimals
        short = np.rint(wide * scale) / scale
        fits = left & (short.astype(np.float32) == numbers) & (np.abs(wide) < magnitude)
        wide = np.where(fits, short, wide)
        left &= ~fits
        if not left.any():
            return wide
    wide[left] = [float(str(number)) for number in numbers[left]]
    return wide


def _as_read(field: Field) -> str:
    """A column of a choice comes as its number: texts take ten times as long."""
    if field.type is not FieldType.ENUM:
        return field.name
    choices = ", ".join(f"'{choice}'" for choice in field.choices)
    place = f"coalesce(list_position([{choices}], {field.name}), 0)"
    return f"(CASE WHEN {field.name} IS NULL THEN 0 ELSE {_UNLISTED} + {place} END)::UTINYINT AS {field.name}"


def _has_unlisted(field: Field, column: Column) -> bool:
    return field.type is FieldType.ENUM and bool((column == _UNLISTED).any())


def _filled(column: Column, dtype: Any, missing: float) -> Column:
    values: Column = np.ma.getdata(column).astype(dtype)
    mask = np.ma.getmask(column)
    if mask is not np.ma.nomask:
        values[mask] = missing
    return values


def _order(read: Mapping[str, Column]) -> Column | None:
    """How to sort the rows by device and in the order of its readings; ``None``: they are."""
    keys = [read[name] for name in ("device_key", "occurred_at", "seq", "rx_delay_ms")]
    ascending: Column = np.ones(max(len(keys[0]) - 1, 0), bool)
    for key in reversed(keys):
        before, after = key[:-1], key[1:]
        ascending = (before < after) | ((before == after) & ascending)
    return None if ascending.all() else np.lexsort(keys[::-1])


def _said(quality: Column, extra: Column, fields: Mapping[str, Field]) -> dict[int, dict[str, Value]]:
    found: dict[int, dict[str, Value]] = {}
    for column in (quality, extra):  # what is in extra has the last word: a value of another type
        for row in np.flatnonzero(~np.ma.getmaskarray(column)).tolist():
            for name, value in from_json(column[row]).items():
                if name in fields:
                    found.setdefault(row, {})[name] = None if column is quality else value
    return found

"""Readings to numpy columns for one hot table. Pure; nothing is lost: what fits no column goes to ``extra``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic_core import to_json

from gridwarden.history.layout import ENTITLED, KEYED, LATE, REGISTERED
from gridwarden.model import Reading, Value

Columns = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class _Type:
    dtype: str
    python: tuple[type, ...]
    limit: float | None = None
    """Largest magnitude; a larger one would overflow the column."""


_TYPES = {
    "BOOLEAN": _Type("bool", (bool,)),
    "INTEGER": _Type("int32", (int,), 2**31 - 1),
    "BIGINT": _Type("int64", (int,), 2**63 - 1),
    "FLOAT": _Type("float32", (float, int), 1e38),
    "DOUBLE": _Type("float64", (float, int), 1e300),
    "VARCHAR": _Type("object", (str,)),
}


def columns_of(
    readings: Sequence[Reading], fields: Mapping[str, str], device_key: Callable[[Reading], int],
    gateway_key: Callable[[Reading], int],
) -> Columns:  # fmt: skip
    """The columns of ``readings`` for a table with ``fields`` (name to SQL type); absent columns are NULL."""
    columns, extras = _values(readings, fields)
    columns["device_key"] = np.array([device_key(r) for r in readings], dtype="int32")
    columns["gateway_key"] = np.array([gateway_key(r) for r in readings], dtype="int32")
    occurred = np.array([r.occurred_at_ms for r in readings], dtype="int64")
    columns["occurred_at"] = occurred.astype("datetime64[ms]")
    columns["rx_delay_ms"] = np.array([r.received_at_ms for r in readings], dtype="int64") - occurred
    columns["key"] = np.array([r.key for r in readings], dtype="uint64")
    columns["flags"] = np.array([_flags(r) for r in readings], dtype="uint8")
    numbered = [row for row, r in enumerate(readings) if r.seq is not None]
    if numbered:
        columns["seq"] = _sparse(len(readings), "int64", numbered, [readings[row].seq for row in numbered])
    columns["quality"] = _json([r.quality for r in readings])
    columns["extra"] = _json(extras)
    return columns


def _flags(r: Reading) -> int:
    return r.keyed * KEYED | r.registered * REGISTERED | r.entitled * ENTITLED | r.late * LATE


def _values(readings: Sequence[Reading], fields: Mapping[str, str]) -> tuple[Columns, list[dict[str, Value] | None]]:
    # Row by row, because a reading carries a few of its kind's thirty fields; and without making an object for
    # each row, or the garbage collector takes twice as long as all the rest.
    found: dict[str, tuple[_Type, list[int], list[Value]]] = {n: (_TYPES[t], [], []) for n, t in fields.items()}
    extras: list[dict[str, Value] | None] = [None] * len(readings)
    for row, reading in enumerate(readings):
        for name, value in reading.values.items():
            if name in found and _fits(value, found[name][0]):
                _, rows, values = found[name]
                rows.append(row)
                values.append(value)
            elif value is not None or name not in reading.quality:  # a null with a quality is told by the quality
                extra = extras[row] = extras[row] or {}
                extra[name] = value
    filled = {n: _sparse(len(readings), t.dtype, rows, values) for n, (t, rows, values) in found.items() if rows}
    return filled, extras


def _fits(value: Value, column: _Type) -> bool:
    # The decoder has checked types and bounds; a block of an older program may have had others.
    if type(value) not in column.python:
        return False
    limit = column.limit
    return limit is None or -limit <= value <= limit  # type: ignore[operator]


def _sparse(length: int, dtype: str, rows: Sequence[int], values: Sequence[Any]) -> np.ndarray[Any, Any]:
    data = np.full(length, None, dtype=object) if dtype == "object" else np.zeros(length, dtype=dtype)
    index = np.array(rows, dtype="int64")
    data[index] = np.array(values, dtype=dtype)  # the dtype is said: numpy's own text type would cut off NULs
    if dtype == "object" or len(rows) == length:
        return data
    missing = np.ones(length, dtype=bool)
    missing[index] = False
    return np.ma.masked_array(data, mask=missing)


def _json(maps: Sequence[Mapping[str, Any] | None]) -> np.ndarray[Any, Any]:
    return np.array([to_json(m).decode() if m else None for m in maps], dtype=object)

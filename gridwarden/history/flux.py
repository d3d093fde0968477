"""The Flux that the InfluxDB history asks. Texts only; few and plain functions, the rest is worked out here.

Names that become part of a text are fields of kinds, or have gone through :func:`gridwarden.history.points.tag`,
which leaves no quotation mark, backslash or dollar sign in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from gridwarden.history.points import DELAY, ENTITLED, FIELDS, NUMBERS, UNENTITLED, tag

LATEST_MS = 9_214_646_400_000
"""The year 2262: nanoseconds since the epoch end there."""
_WITH_NS = "|> map(fn: (r) => ({r with ns: int(v: r._time)}))"
"""The client reads times to the microsecond; two readings may differ by less."""
SUMS = "sums"
"""The measurement of sums; the field that was summed up is the tag ``of``."""
AGGREGATES = {
    "count": "|> count()",
    "min": "|> min()",
    "max": "|> max()",
    "sum": "|> sum()",
    "last": "|> last()",
    "last_ms": "|> last() |> map(fn: (r) => ({r with _value: int(v: r._time) / 1000000}))",
    "tied": '|> tail(n: 2) |> elapsed(unit: 1ns, columnName: "apart") |> filter(fn: (r) => r.apart < 1000000) |> count()',
}
"""The fields of a sum, and how they are worked out. ``tied`` is there if the last millisecond may have several values, whose
order only we know. InfluxDB's storage does nearly all of it; ``reduce``, which could do it at once, takes 26 µs a value."""
_TOGETHER = {"count": "sum", "sum": "sum", "min": "min", "max": "max"}
"""How several windows become one; of all others the last counts."""


def rfc3339(at_ms: int) -> str:
    """A time as Flux writes it, within what InfluxDB can hold."""
    at_ms = min(max(at_ms, 0), LATEST_MS)
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def points(
    bucket: str, device_id: str, fields: Iterable[str], from_ms: int, to_ms: int, limit: int | None = None
) -> str:
    """The values of ``fields`` (all: none given), at most ``limit`` of each series, in order of time."""
    names = " or ".join(f'r._field == "{name}"' for name in fields)
    where = f'r._measurement == "{ENTITLED}" and r.device == "{tag(device_id)}"' + (f" and ({names})" if names else "")
    limited = f" |> limit(n: {limit})" if limit is not None else ""
    return f"{_from(bucket, from_ms, to_ms)} |> filter(fn: (r) => {where}){limited} {_WITH_NS}"


def last(bucket: str, device_id: str) -> str:
    """The last point of each kind that ``device_id`` had."""
    where = f'r._measurement == "{ENTITLED}" and r.device == "{tag(device_id)}" and (r._field == "{DELAY}")'
    return f"{_from(bucket, 0, LATEST_MS)} |> filter(fn: (r) => {where}) |> last() {_WITH_NS}"


def counts(bucket: str, to_ms: int = LATEST_MS) -> str:
    """The number of readings of each series before ``to_ms``."""
    both = f'(r._measurement == "{ENTITLED}" or r._measurement == "{UNENTITLED}")'
    return f'{_from(bucket, 0, to_ms)} |> filter(fn: (r) => {both} and (r._field == "{DELAY}")) |> count()'


def sum_up(bucket: str, into: str, aggregate: str, start_ms: int, stop_ms: int) -> str:
    """Store one aggregate of every numeric field of each device over one window, and tell how many were stored."""
    names = " or ".join(f'r._field == "{name}"' for name, field in FIELDS.items() if field.type in NUMBERS)
    return (
        f'{_from(bucket, start_ms, stop_ms)} |> filter(fn: (r) => r._measurement == "{ENTITLED}" and ({names}))'
        f' {AGGREGATES[aggregate]} |> duplicate(column: "_field", as: "of") |> duplicate(column: "_start", as: "_time")'
        f' |> set(key: "_measurement", value: "{SUMS}") |> set(key: "_field", value: "{aggregate}")'
        f' |> to(bucket: "{into}", tagColumns: ["device", "kind", "of"]) |> group() |> count()'
    )


def summed(bucket: str, device_id: str, field: str, from_ms: int, to_ms: int, step_ms: int) -> str:
    """The sums of a field, one of each kind that ``device_id`` had and each step, aggregate by aggregate."""
    where = f'r._measurement == "{SUMS}" and r.device == "{tag(device_id)}" and r.of == "{field}"'
    # Each from its own source: only then does InfluxDB's storage work it out, fifty times faster than Flux does.
    return "\n".join(
        f'{_from(bucket, from_ms, to_ms)} |> filter(fn: (r) => {where} and r._field == "{name}")'
        f' |> aggregateWindow(every: {step_ms}ms, fn: {_TOGETHER.get(name, "last")}, createEmpty: false, timeSrc: "_start")'
        f' {_WITH_NS} |> yield(name: "{name}")'
        for name in AGGREGATES
    )


def earliest(bucket: str, from_ms: int, to_ms: int) -> str:
    """The first reading of the interval."""
    where = f'r._measurement == "{ENTITLED}" and (r._field == "{DELAY}")'
    first = '|> first() |> group() |> sort(columns: ["_time"]) |> limit(n: 1)'
    return f"{_from(bucket, from_ms, to_ms)} |> filter(fn: (r) => {where}) {first} {_WITH_NS}"


def _from(bucket: str, from_ms: int, to_ms: int) -> str:
    return f'from(bucket: "{bucket}") |> range(start: {rfc3339(from_ms)}, stop: {rfc3339(to_ms)})'

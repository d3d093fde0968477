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
    "min": "min",
    "max": "max",
    "sum": "sum",
    "count": "sum",
    "last": "last",
    "last_ms": "last",
    "tied": "last",
}
"""The fields of a sum, and how those of several windows become one."""
SUM = """\
 |> reduce(
  identity: {min: 0.0, max: 0.0, sum: 0.0, count: 0, last: 0.0, last_ms: -1, tied: 0},
  fn: (r, accumulator) => {
   ms = int(v: r._time) / 1000000
   return {
    min: if accumulator.count == 0 or r._value < accumulator.min then r._value else accumulator.min,
    max: if accumulator.count == 0 or r._value > accumulator.max then r._value else accumulator.max,
    sum: accumulator.sum + r._value,
    count: accumulator.count + 1,
    last: if ms > accumulator.last_ms then r._value else accumulator.last,
    last_ms: if ms > accumulator.last_ms then ms else accumulator.last_ms,
    tied: if ms > accumulator.last_ms then 1 else if ms == accumulator.last_ms then accumulator.tied + 1 else accumulator.tied
   }
  }
 )
 |> map(fn: (r) => ({r with _time: r._start, _measurement: "sums", of: r._field}))
"""
"""One row for each series: ``tied`` is the number of values in the last millisecond, whose order only we know."""


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


def sum_up(bucket: str, into: str, start_ms: int, stop_ms: int) -> str:
    """Sum up every numeric field of each device over one window, and tell how many sums were written."""
    names = " or ".join(f'r._field == "{name}"' for name, field in FIELDS.items() if field.type in NUMBERS)
    fields = ", ".join(f"{name}: r.{name}" for name in AGGREGATES)
    return (
        f'{_from(bucket, start_ms, stop_ms)} |> filter(fn: (r) => r._measurement == "{ENTITLED}" and ({names}))\n{SUM}'
        f' |> to(bucket: "{into}", tagColumns: ["device", "kind", "of"], fieldFn: (r) => ({{{fields}}}))\n'
        ' |> group() |> count(column: "count")'
    )


def summed(bucket: str, device_id: str, field: str, from_ms: int, to_ms: int, step_ms: int) -> str:
    """The sums of a field, one of each kind that ``device_id`` had and each step, aggregate by aggregate."""
    where = f'r._measurement == "{SUMS}" and r.device == "{tag(device_id)}" and r.of == "{field}"'
    # Each from its own source: only then does InfluxDB's storage work it out, fifty times faster than Flux does.
    return "\n".join(
        f'{_from(bucket, from_ms, to_ms)} |> filter(fn: (r) => {where} and r._field == "{name}")'
        f' |> aggregateWindow(every: {step_ms}ms, fn: {function}, createEmpty: false, timeSrc: "_start")'
        f' {_WITH_NS} |> yield(name: "{name}")'
        for name, function in AGGREGATES.items()
    )


def earliest(bucket: str, from_ms: int, to_ms: int) -> str:
    """The first reading of the interval."""
    where = f'r._measurement == "{ENTITLED}" and (r._field == "{DELAY}")'
    first = '|> first() |> group() |> sort(columns: ["_time"]) |> limit(n: 1)'
    return f"{_from(bucket, from_ms, to_ms)} |> filter(fn: (r) => {where}) {first} {_WITH_NS}"


def _from(bucket: str, from_ms: int, to_ms: int) -> str:
    return f'from(bucket: "{bucket}") |> range(start: {rfc3339(from_ms)}, stop: {rfc3339(to_ms)})'

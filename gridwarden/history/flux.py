"""The Flux that the InfluxDB history asks. Texts only; few and plain functions, the rest is worked out here.

Names that become part of a text are fields of kinds, or have gone through :func:`gridwarden.history.points.tag`,
which leaves no quotation mark, backslash or dollar sign in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from gridwarden.history.points import DELAY, ENTITLED, UNENTITLED, tag

LATEST_MS = 9_214_646_400_000
"""The year 2262: nanoseconds since the epoch end there."""
_WITH_NS = "|> map(fn: (r) => ({r with ns: int(v: r._time)}))"
"""The client reads times to the microsecond; two readings may differ by less."""


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


def _from(bucket: str, from_ms: int, to_ms: int) -> str:
    return f'from(bucket: "{bucket}") |> range(start: {rfc3339(from_ms)}, stop: {rfc3339(to_ms)})'

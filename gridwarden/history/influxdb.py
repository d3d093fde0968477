"""The history in InfluxDB 2.x: one point a reading, at least once and each time the same, so in the end once.

The offset lies in a file here and is stored after the points. What an interrupted append has written already is
written again by the next one, in the same places. See docs/guide/history.md.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from gridwarden.errors import Refused
from gridwarden.history import (
    NO_ANCESTORS,
    Buckets,
    Frozen,
    HistoryMismatch,
    Latest,
    SealReport,
    Series,
    flux,
    may_follow,
)
from gridwarden.history.audit import Account
from gridwarden.history.books import Books
from gridwarden.history.influx_client import Connection
from gridwarden.history.influx_sums import Sums
from gridwarden.history.points import (
    DELAY,
    ENTITLED,
    FIELDS,
    GATEWAY,
    NS_PER_MS,
    OTHER,
    QUALITY,
    SEQ,
    UNENTITLED,
    fits,
    lines_of,
    untag,
    value_of,
    values_of,
)  # fmt: skip
from gridwarden.history.steps import Steps
from gridwarden.kinds import FieldType
from gridwarden.model import Reading, Value

DAY_MS = 86_400_000
Spot = tuple[str, int]
"""A point of a device: its kind, and its time in nanoseconds."""
Rank = tuple[int, int]
"""The order of readings of one millisecond: counter (none comes first), then delay."""
_log = structlog.get_logger(__name__)


class InfluxHistory:
    """See :class:`gridwarden.history.History`. Opening sends nothing: InfluxDB may be down at that time.

    Args:
        directory: where the books lie; made if missing.
        url: InfluxDB's address.
        org: its organisation.
        bucket: made at the first append where it is missing and the token may.
        token: with the right to read and write the bucket.
        timeout_s: for each request that somebody waits for.
        keep_days: how long a bucket must keep points at least; ours keeps them no longer.

    Raises:
        HistoryMismatch: the books are of another bucket.
    """

    step_bytes = 256 << 10
    """Two or three requests: what a step that fails has to hold, read again for each try, is an eighth of DuckDB's."""

    def __init__(
        self, directory: Path, *, url: str, org: str, bucket: str, token: str, timeout_s: float = 10.0,
        keep_days: int = 400,
    ) -> None:  # fmt: skip
        self._books = Books(directory, f"{url.rstrip('/')} {org} {bucket}")
        self._directory = directory
        self._bucket = bucket
        self._connection = Connection(url, org, bucket, token, timeout_s=timeout_s)
        self._keep_days = keep_days
        self._prepared = False
        self._writing = threading.Lock()
        self._sums = Sums(self._connection, self._books, self._writing, bucket, keep_days)

    def offset(self) -> int:
        """See :class:`gridwarden.history.History`."""
        return self._books.page.offset

    def epoch(self) -> str:
        """See :class:`gridwarden.history.History`."""
        return self._books.page.epoch

    def complete_until_ms(self) -> int:
        """See :class:`gridwarden.history.History`."""
        return self._books.page.complete_until_ms

    def begin(self, epoch: str, ancestors: Mapping[str, int] = NO_ANCESTORS) -> None:
        """See :class:`gridwarden.history.History`."""
        with self._writing:
            stored = self._books.page.epoch
            if not may_follow(stored, self._books.page.offset, epoch, ancestors):
                msg = f"it follows the records {stored!r}, not {epoch!r}: name a new bucket, and move the books away"
                raise HistoryMismatch(msg, path=self._directory)
            self._books.turn(epoch=epoch)

    def counts_itself(self) -> bool:
        """See :class:`gridwarden.history.History`."""
        return self._books.page.counts

    def begin_account(self, before: int, at_ms: int) -> None:
        """See :class:`gridwarden.history.History`."""
        with self._writing:
            offset = self._books.page.offset
            counted = {"written": 0, "refused": 0, "dropped": 0, "since_offset": offset, "counted_offset": offset}
            self._books.turn(before=before, since_at_ms=at_ms, **counted)

    def account(self) -> Account | None:
        """See :class:`gridwarden.history.History`. What InfluxDB holds is not counted: it would read everything for it."""
        page = self._books.page
        if page.since_offset < 0:
            return None
        return Account(page.offset, page.since_offset, page.since_at_ms, page.before, 0, page.written, page.refused,
                       page.dropped, None)  # fmt: skip

    def append(self, readings: Sequence[Reading], offset: int, complete_until_ms: int) -> None:
        """See :class:`gridwarden.history.History`; a failure may leave some of the points written, not the offset.

        Points that InfluxDB refuses for good are set aside in a file, with the reason, and the rest goes on.
        """
        with self._writing:
            followed = self._books.page.offset
            if offset < followed or (readings and offset == followed):
                msg = f"offset {offset}: already followed up to {followed}"
                raise ValueError(msg)
            if not self._prepared:
                self._connection.prepare(self._bucket, self._keep_days)
                self._prepared = True
            rejected = self._connection.write(lines_of(readings, followed))
            if rejected:
                self._books.set_aside(rejected)
                _log.error("history.points_refused", points=len(rejected), first=rejected[0].reason)
            complete_until_ms = max(complete_until_ms, self._books.page.complete_until_ms)
            touched = self._sums.touch(r.occurred_at_ms for r in readings)
            counted = self._counted(len(readings), len(rejected), offset)
            self._books.turn(offset=offset, complete_until_ms=complete_until_ms, **touched, **counted)

    def _counted(self, readings: int, refused: int, offset: int) -> dict[str, int]:
        """The books' account after an append; nothing where none is kept."""
        page = self._books.page
        if not page.counts:
            return {}
        written = page.written + readings - refused
        return {"written": written, "refused": page.refused + refused, "counted_offset": offset}

    def series(self, device_id: str, field: str, from_ms: int, to_ms: int, limit: int) -> Series:
        """See :class:`gridwarden.history.History`."""
        if field not in FIELDS:
            raise Refused("unknown_field", field)
        points = self._points(device_id, field, from_ms, to_ms, limit + 1)
        truncated = len(points) > limit
        if truncated and limit > 0:  # of the millisecond at the cut, more may be there than was asked for
            cut_ms = sorted(at_ns for _, at_ns in points)[limit - 1] // NS_PER_MS
            points = {spot: value for spot, value in points.items() if spot[1] // NS_PER_MS < cut_ms}
            points |= self._points(device_id, field, cut_ms, cut_ms + 1, None)
        ranks = self._ranks(device_id, _meeting(points))
        ordered = sorted(points, key=lambda spot: (spot[1] // NS_PER_MS, ranks.get(spot, (0, 0))))[:limit]
        return Series([at_ns // NS_PER_MS for _, at_ns in ordered], [points[spot] for spot in ordered], truncated)

    def _points(self, device_id: str, field: str, from_ms: int, to_ms: int, limit: int | None) -> dict[Spot, Value]:
        points: dict[Spot, Value] = {}
        for row in self._rows(device_id, (field, field + OTHER), from_ms, to_ms, limit):
            value = value_of(row["_field"], row["_value"])
            points[_spot(row)] = value if fits(value, FIELDS[field]) or isinstance(value, str) else None
        return points

    def buckets(self, device_id: str, field: str, from_ms: int, to_ms: int, step_ms: int) -> Buckets:
        """See :class:`gridwarden.history.History`. From sums where they hold; else every value is read, and none kept."""
        if field not in FIELDS:
            raise Refused("unknown_field", field)
        if FIELDS[field].type not in {FieldType.INT, FieldType.FLOAT}:
            raise Refused("not_numeric", field)
        if step_ms <= 0:
            raise Refused("bad_step", str(step_ms))
        steps = Steps(step_ms)
        from_ms, to_ms = max(from_ms, 0), min(to_ms, flux.LATEST_MS)
        first_ms, last_ms = self._sums.trusted(from_ms, to_ms, step_ms)
        for start_ms, stop_ms in ((from_ms, first_ms), (last_ms, to_ms)):
            for row in self._rows(device_id, (field,), start_ms, stop_ms, None):
                steps.add(_spot(row), row["_value"])
        if first_ms < last_ms:
            for one in self._sums.read(device_id, field, first_ms, last_ms, step_ms):
                steps.add_sum(one)
        for at_ms in steps.unsure_ms():
            rows = self._rows(device_id, (field,), at_ms, at_ms + 1, None)
            steps.settle(at_ms, {_spot(row): row["_value"] for row in rows})
        return steps.buckets(lambda spots: self._ranks(device_id, spots))

    def latest(self, device_id: str) -> Latest | None:
        """See :class:`gridwarden.history.History`."""
        at_ms: int | None = max(
            (row["ns"] // NS_PER_MS for row in self._query(flux.last(self._bucket, device_id))), default=None
        )
        if at_ms is None:
            return None
        found: dict[Spot, dict[str, Any]] = {}
        for row in self._rows(device_id, (), at_ms, at_ms + 1, None):
            found.setdefault(_spot(row), {})[row["_field"]] = row["_value"]
        if not found:  # retention was quicker
            return None
        (kind, _), stored = max(found.items(), key=lambda item: _rank(item[1]))
        return Latest(
            device_id, kind, untag(stored[GATEWAY] or ""), at_ms, at_ms + stored[DELAY], stored.get(SEQ),
            values_of(stored), _quality(stored),
        )  # fmt: skip

    def count(self) -> int:
        """See :class:`gridwarden.history.History`. InfluxDB counts, and reads everything for it."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """See :class:`gridwarden.history.History`."""
        counts: dict[str, int] = {}
        for row in self._connection.query_patiently(flux.counts(self._bucket)):
            device_id = untag(row["device"])
            counts[device_id] = counts.get(device_id, 0) + row["_value"]
        return counts

    def seal(self, before_ms: int) -> SealReport:
        """See :class:`gridwarden.history.History`: what charts of long times need is summed up, and all is kept."""
        return self._sums.seal(before_ms)

    def retain(self, from_ms: int) -> int:
        """See :class:`gridwarden.history.History`. The bucket's own retention may have been quicker."""
        start_of_day_ms = from_ms // DAY_MS * DAY_MS
        with self._writing:
            old = self._connection.query_patiently(flux.counts(self._bucket, start_of_day_ms))
            dropped: int = sum(row["_value"] for row in old)
            if dropped:
                last = flux.rfc3339(start_of_day_ms - 1).replace("Z", "999999Z")  # the end belongs to it
                for measurement in (ENTITLED, UNENTITLED):
                    self._connection.delete(self._bucket, flux.rfc3339(0), last, measurement)
                self._sums.retain(start_of_day_ms, last)
                self._books.turn(dropped=self._books.page.dropped + dropped)
        return dropped

    @contextmanager
    def frozen(self, directory: Path) -> Iterator[Frozen]:
        """See :class:`gridwarden.history.History`. Only how far it has come: the points lie in InfluxDB."""
        directory.mkdir(mode=0o700)
        with self._writing:  # page and refused points of one state
            page = self._books.page
            self._books.copy(directory)
        missing = f"the readings in InfluxDB, bucket {self._bucket}: `influx backup` copies them"
        yield Frozen(page.epoch, page.offset, None, missing=missing)

    def close(self) -> None:
        """See :class:`gridwarden.history.History`."""
        self._sums.close()
        with self._writing:
            self._connection.close()

    def _query(self, text: str) -> Iterator[dict[str, Any]]:
        return self._connection.query(text)

    def _rows(
        self, device_id: str, fields: tuple[str, ...], from_ms: int, to_ms: int, limit: int | None
    ) -> Iterator[dict[str, Any]]:
        from_ms, to_ms = max(from_ms, 0), min(to_ms, flux.LATEST_MS)
        if from_ms >= to_ms:  # Flux takes an empty range for an error
            return iter(())
        return self._query(flux.points(self._bucket, device_id, fields, from_ms, to_ms, limit))

    def _ranks(self, device_id: str, spots: Sequence[Spot]) -> dict[Spot, Rank]:
        """The order of points that share a millisecond; rarely asked, for they rarely do."""
        if not spots:
            return {}
        stored: dict[Spot, dict[str, Any]] = {spot: {} for spot in spots}
        times_ms = [at_ns // NS_PER_MS for _, at_ns in spots]
        for row in self._rows(device_id, (SEQ, DELAY), min(times_ms), max(times_ms) + 1, None):
            if (spot := _spot(row)) in stored:
                stored[spot][row["_field"]] = row["_value"]
        return {spot: _rank(fields) for spot, fields in stored.items()}


def _spot(row: dict[str, Any]) -> Spot:
    return untag(row.get("kind") or ""), row["ns"]


def _rank(stored: dict[str, Any]) -> Rank:
    return stored.get(SEQ, -1), stored.get(DELAY, 0)


def _quality(stored: dict[str, Any]) -> dict[str, str]:
    quality: dict[str, str] = json.loads(stored.get(QUALITY) or "{}")
    return quality


def _meeting(points: dict[Spot, Value]) -> list[Spot]:
    """Those that share their millisecond with another."""
    by_ms: dict[int, list[Spot]] = {}
    for spot in points:
        by_ms.setdefault(spot[1] // NS_PER_MS, []).append(spot)
    return [spot for spots in by_ms.values() if len(spots) > 1 for spot in spots]

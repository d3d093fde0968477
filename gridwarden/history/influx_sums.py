"""Sums of hours in a bucket of their own: what long charts are drawn from. InfluxDB works them out, on our word.

A window is summed up when it is old, and again when a reading comes late. Which windows may be trusted is written in
our books, with the offset, so that an answer is the same with sums and without. See docs/adr/0007-influxdb-sums.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import structlog

from gridwarden.history import HistoryUnavailable, SealReport, flux
from gridwarden.history.books import Books
from gridwarden.history.influx_client import Connection
from gridwarden.history.points import NS_PER_MS, untag
from gridwarden.history.steps import Sum

WINDOW_MS = 3_600_000
STALE_LIMIT = 10_000
"""Windows to do again that are worth a list. With more, everything since the first of them is done again."""
AT_ONCE = 500
"""Windows of one sealing: three weeks, so that housekeeping comes round to its other work."""
_log = structlog.get_logger(__name__)


class Sums:
    """Makes and reads the sums.

    Args:
        connection: to InfluxDB.
        books: where it is written which sums hold.
        writing: held by whoever turns a page of the books.
        bucket: of the readings.
        keep_days: as for that bucket.
    """

    def __init__(
        self, connection: Connection, books: Books, writing: threading.Lock, bucket: str, keep_days: int
    ) -> None:
        self.bucket = f"{bucket}_1h"
        self._connection = connection
        self._books = books
        self._writing = writing
        self._readings = bucket
        self._keep_days = keep_days
        self._prepared = False
        self._told = False
        self._closed = False
        self._end_ms = 0
        self._touched: set[int] = set()

    def close(self) -> None:
        """Let a sealing that runs come to an end."""
        self._closed = True

    def touch(self, times_ms: Iterable[int]) -> dict[str, Any]:
        """What changes in the books with readings of these times; the caller turns the page."""
        page = self._books.page
        bound_ms = max(page.summed_until_ms, self._end_ms)
        windows = {at_ms // WINDOW_MS * WINDOW_MS for at_ms in times_ms if at_ms < bound_ms}
        self._touched |= windows
        return self._stale({*page.stale, *(start for start in windows if start < page.summed_until_ms)})

    def _stale(self, windows: set[int]) -> dict[str, Any]:
        stale = tuple(sorted(windows))
        return {"stale": stale} if len(stale) <= STALE_LIMIT else {"stale": (), "summed_until_ms": stale[0]}

    def seal(self, before_ms: int) -> SealReport:
        """Sum up what is not summed up and lies before ``before_ms``, and do again what is stale."""
        if not self._ready():
            return SealReport(0, 0)
        self._end_ms = max(before_ms, 0) // WINDOW_MS * WINDOW_MS
        report = SealReport(0, 0)
        for start_ms in self._books.page.stale:
            report = self._sum_up(start_ms, report)
        after_a_gap = self._books.page.summed_until_ms == 0
        while report.files < AT_ONCE and not self._closed:
            start_ms = self._after_gap() if after_a_gap else self._books.page.summed_until_ms
            if start_ms >= self._end_ms:
                break
            rows = report.rows
            report = self._sum_up(start_ms, report)
            after_a_gap = report.rows == rows
        return report

    def _ready(self) -> bool:
        """Whether there is a bucket for sums. Without one everything is answered from the readings."""
        if self._prepared:
            return True
        try:
            made = self._connection.prepare(self.bucket, self._keep_days)
        except HistoryUnavailable as error:
            if not self._told:
                _log.warning("history.not_summed_up: charts of long times will be slow", reason=str(error))
            self._told = True
            return False
        if made:  # anew, perhaps: what the books say was about another one
            with self._writing:
                self._books.turn(summed_until_ms=0, stale=())
        self._prepared = True
        return True

    def _after_gap(self) -> int:
        """The first window with readings that is not summed up; those before it need no sums."""
        with self._writing:
            self._touched.clear()
            from_ms = self._books.page.summed_until_ms
        if from_ms >= self._end_ms:
            return from_ms
        rows = self._connection.query_patiently(flux.earliest(self._readings, from_ms, self._end_ms))
        found_ms = min((row["ns"] // NS_PER_MS // WINDOW_MS * WINDOW_MS for row in rows), default=self._end_ms)
        with self._writing:
            next_ms = min([found_ms, *(start_ms for start_ms in self._touched if start_ms >= from_ms)])
            self._books.turn(summed_until_ms=next_ms)
        return next_ms

    def _sum_up(self, start_ms: int, before: SealReport) -> SealReport:
        """Sum up one window; it is stale until that is done, so that nobody reads half of it."""
        with self._writing:
            page = self._books.page
            if start_ms > page.summed_until_ms or self._closed:  # too much became stale, and it begins anew there
                return before
            self._touched.discard(start_ms)
            until_ms = max(page.summed_until_ms, start_ms + WINDOW_MS)
            self._books.turn(summed_until_ms=until_ms, stale=tuple(sorted({*page.stale, start_ms})))
        written = self._store("count", start_ms)
        for aggregate in (name for name in flux.AGGREGATES if written and name != "count"):
            self._store(aggregate, start_ms)
        with self._writing:
            if start_ms not in self._touched:
                self._books.turn(stale=tuple(one for one in self._books.page.stale if one != start_ms))
        return SealReport(before.rows + written, before.files + 1)

    def _store(self, aggregate: str, start_ms: int) -> int:
        """One aggregate at a time: each takes a moment, all together might take longer than is waited for."""
        text = flux.sum_up(self._readings, self.bucket, aggregate, start_ms, start_ms + WINDOW_MS)
        return sum(row["_value"] for row in self._connection.query_patiently(text))

    def trusted(self, from_ms: int, to_ms: int, step_ms: int) -> tuple[int, int]:
        """The part of an interval that sums answer; an empty one at its beginning if none."""
        page = self._books.page
        first_ms = -(-from_ms // WINDOW_MS) * WINDOW_MS
        stale_ms = (start_ms for start_ms in page.stale if start_ms >= first_ms)
        last_ms = min(to_ms // WINDOW_MS * WINDOW_MS, page.summed_until_ms, next(stale_ms, to_ms))
        if step_ms % WINDOW_MS or last_ms <= first_ms:
            return from_ms, from_ms
        return first_ms, last_ms

    def read(self, device_id: str, field: str, from_ms: int, to_ms: int, step_ms: int) -> Iterator[Sum]:
        """The sums of an interval that :meth:`trusted` gave."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for row in self._connection.query(flux.summed(self.bucket, device_id, field, from_ms, to_ms, step_ms)):
            at_ms = row["ns"] // NS_PER_MS // step_ms * step_ms
            found.setdefault((untag(row.get("kind") or ""), at_ms), {})[row["result"]] = row["_value"]
        return (Sum(kind, at_ms, **aggregates) for (kind, at_ms), aggregates in found.items())

    def retain(self, from_ms: int, last: str) -> None:
        """Drop the sums of days that were dropped, up to the time ``last``; the caller holds the lock."""
        if not self._prepared:
            return
        self._connection.delete(self.bucket, flux.rfc3339(0), last, flux.SUMS)
        self._books.turn(stale=tuple(start_ms for start_ms in self._books.page.stale if start_ms >= from_ms))

"""The connection to InfluxDB: requests and their failures in this program's words; batches with bad points in them.

A failed write raises, at once and here: nothing is retried or buffered behind our back. Who tries again is the
follower, from the offset that was stored.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
import urllib3
from influxdb_client.client.flux_csv_parser import FluxCsvParserException, FluxQueryException
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from gridwarden.history import HistoryUnavailable, influx_buckets
from gridwarden.history.books import Rejected

BATCH_LINES = 5_000
"""Points of one request: InfluxData's own advice for the best throughput."""
LONGEST_PAUSE_S = 300.0
"""No ``Retry-After`` keeps us away for longer."""
READS_AT_ONCE = 8
"""A database that hangs holds so many threads of the API and no more."""
TURN_S = 1.0
"""Longest wait for one's turn to read."""
REST_S = 5.0
"""After a request that got no answer in time, reads are refused at once for so long."""
PATIENCE = 12
"""Counting, deleting and summing up go through much, and nobody waits for them: times the usual limit."""
_POINTS_AT_FAULT = {400, 413, 422}
_TOO_OLD = re.compile(r"(?:outside|beyond) retention policy")
"""Said only once every other point is written."""
_PROBE = "probes ok=true"
"""A point that every bucket takes."""
_log = structlog.get_logger(__name__)


class Connection:
    """One bucket of one InfluxDB. Opening it sends nothing. Any thread may use it."""

    def __init__(
        self, url: str, org: str, bucket: str, token: str, *, timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._bucket = bucket
        self._name = f"InfluxDB at {url}"
        self._client, self._patient = (
            InfluxDBClient(url, token, org=org, timeout=round(limit_s * 1000), enable_gzip=True)
            for limit_s in (timeout_s, timeout_s * PATIENCE)
        )
        self._writing = self._client.write_api(write_options=SYNCHRONOUS)
        self._reading = threading.BoundedSemaphore(READS_AT_ONCE)
        self._monotonic = monotonic
        self._not_before = 0.0
        self._no_reads_before = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._writing.close()
        for client in (self._client, self._patient):
            client.close()

    def prepare(self, bucket: str, keep_days: int) -> bool:
        """See :func:`gridwarden.history.influx_buckets.prepare`.

        Raises:
            HistoryUnavailable: there is no such bucket and this token may not make one; the text says what to do.
        """
        try:
            with self._told():
                return influx_buckets.prepare(self._client, bucket, keep_days)
        except _PointsRefusedError as error:
            raise HistoryUnavailable(f"{self._name} refuses the bucket {bucket!r}: {error.reason}") from error

    def write(self, lines: Sequence[str]) -> list[Rejected]:
        """Write points; those that InfluxDB will never take, each with its reason.

        Raises:
            HistoryUnavailable: some may be written and some not; write them all again.
        """
        rejected: list[Rejected] = []
        for start in range(0, len(lines), BATCH_LINES):
            rejected += self._write_batch(lines[start : start + BATCH_LINES])
        return rejected

    def _write_batch(self, lines: Sequence[str]) -> list[Rejected]:
        refusal = self._send(lines)
        if refusal is None:
            return []
        if (nothing := self._send([_PROBE])) is not None:  # not the points are at fault: something refuses everything
            raise HistoryUnavailable(f"{self._name} refuses every point ({nothing.status}): {nothing.reason}")
        return list(self._searched(lines, refusal))

    def _searched(self, lines: Sequence[str], refusal: Rejected) -> Iterator[Rejected]:
        """Halve what was refused until single points are left; whatever is good gets written on the way."""
        if len(lines) == 1:
            yield refusal
            return
        middle = len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            if (refused := self._send(half)) is not None:
                yield from self._searched(half, refused)

    def _send(self, lines: Sequence[str]) -> Rejected | None:
        """Write one batch; why InfluxDB refused its points, if it did."""
        text = "\n".join(lines)
        try:
            with self._told():
                self._writing.write(self._bucket, record=text.encode())  # nanoseconds are its default
        except _PointsRefusedError as error:
            if not _TOO_OLD.search(error.reason):
                return Rejected(error.status, error.reason, text)
            _log.warning("history.points_too_old", reason=error.reason)  # housekeeping would delete them soon
        return None

    def query(self, flux: str) -> Iterator[dict[str, Any]]:
        """The rows of a query, as they come. Who asks waits for a bounded time, however InfluxDB behaves."""
        if self._no_reads_before > self._monotonic():
            raise HistoryUnavailable(f"{self._name} did not answer a moment ago")
        if not self._reading.acquire(timeout=TURN_S):
            raise HistoryUnavailable(f"{self._name} is still busy with {READS_AT_ONCE} other queries")
        try:
            yield from self._queried(self._client, flux)
        finally:
            self._reading.release()

    def query_patiently(self, flux: str) -> Iterator[dict[str, Any]]:
        """The rows of a query that reads very much, for housekeeping."""
        return self._queried(self._patient, flux)

    def _queried(self, client: InfluxDBClient, flux: str) -> Iterator[dict[str, Any]]:
        try:
            with self._told():
                for record in client.query_api().query_stream(flux):
                    yield record.values
        except _PointsRefusedError as error:
            raise HistoryUnavailable(f"{self._name} refuses the query ({error.status}): {error.reason}") from error

    def delete(self, bucket: str, start: str, stop: str, measurement: str) -> None:
        """Delete the points of ``measurement`` from ``start`` to ``stop``, both included."""
        with self._told():
            self._patient.delete_api().delete(start, stop, f'_measurement="{measurement}"', bucket)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What fails inside, as HistoryUnavailable with words for a person, or as _PointsRefusedError."""
        if (left_s := self._not_before - self._monotonic()) > 0:
            raise HistoryUnavailable(f"{self._name} asked to be left alone for another {left_s:.0f} s")
        try:
            yield
        except ApiException as error:
            raise self._answer(error) from error
        except FluxQueryException as error:
            raise HistoryUnavailable(f"{self._name} broke off a query: {error.message}") from error
        except urllib3.exceptions.TimeoutError as error:
            self._no_reads_before = self._monotonic() + REST_S
            raise HistoryUnavailable(f"{self._name} does not answer: {error}") from error
        except (urllib3.exceptions.HTTPError, FluxCsvParserException, OSError) as error:
            raise HistoryUnavailable(f"{self._name}: {type(error).__name__}: {error}") from error

    def _answer(self, error: ApiException) -> Exception:
        status, reason = int(error.status or 0), influx_buckets.reason_of(error)
        if status in _POINTS_AT_FAULT:
            return _PointsRefusedError(status, reason)
        if status in {401, 403}:
            msg = (
                f"{self._name} does not accept the token ({status}): it must be one of this organisation's, with"
                f" the right to read and write the bucket {self._bucket!r}; {reason}"
            )
            return HistoryUnavailable(msg)
        if status == 404:  # noqa: PLR2004 - HTTP's
            return HistoryUnavailable(f"{self._name} has no such organisation or bucket {self._bucket!r}: {reason}")
        self._not_before = self._monotonic() + _retry_after_s(error)
        return HistoryUnavailable(f"{self._name} answers {status}: {reason}")


class _PointsRefusedError(Exception):
    """An answer that would be the same the next time."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status}: {reason}")


def _retry_after_s(error: ApiException) -> float:
    """Seconds; a date, which the standard allows too, is left to the follower's own pauses."""
    headers: Mapping[str, str] = error.headers or {}
    text = headers.get("Retry-After", "0")
    return min(float(text), LONGEST_PAUSE_S) if text.isascii() and text.isdigit() else 0.0

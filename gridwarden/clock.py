"""The clocks. ``SystemClock`` is the only place that asks the system for the time of day.

All times inside are integers, milliseconds since 1970-01-01T00:00:00Z, in names ending ``_at_ms``.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SMALLEST_STEP_MS = 1_000
"""Less than this is the clock being kept in time, not set."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_HALF_MS = timedelta(microseconds=500)


class Clock(Protocol):
    """What time it is, for everything that records or judges."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def observe(self, occurred_at_ms: int) -> None:
        """Hear of a time in the input; only a replay clock moves by it."""
        ...


class SystemClock:
    """The time of this machine."""

    def now_ms(self) -> int:
        """See :class:`Clock`."""
        return time.time_ns() // 1_000_000

    def observe(self, occurred_at_ms: int) -> None:
        """Nothing: the input does not move the system clock."""


class Steps:
    """Notices that the clock of this machine was set, by holding it against one that cannot be.

    Args:
        ahead_ms: by how much it was ahead of that one when somebody looked before.
    """

    def __init__(self, ahead_ms: int | None = None) -> None:
        self.ahead_ms = ahead_ms

    def seen(self, now_ms: int, monotonic_ms: int) -> int:
        """By how much the clock was set since the last look, milliseconds; 0: it ran on, give or take a second.

        Args:
            now_ms: the system clock.
            monotonic_ms: a clock that only ever runs on; where it begins does not matter.
        """
        ahead_ms, before_ms = now_ms - monotonic_ms, self.ahead_ms
        self.ahead_ms = ahead_ms
        step_ms = 0 if before_ms is None else ahead_ms - before_ms
        return step_ms if abs(step_ms) > SMALLEST_STEP_MS else 0


class ReplayClock:
    """The latest time seen in the input. It stands still between readings and never goes back."""

    def __init__(self, start_at_ms: int = 0) -> None:
        self._now_ms = start_at_ms

    def now_ms(self) -> int:
        """See :class:`Clock`."""
        return self._now_ms

    def observe(self, occurred_at_ms: int) -> None:
        """Move forward to ``occurred_at_ms``; an earlier time changes nothing."""
        self._now_ms = max(self._now_ms, occurred_at_ms)


def rfc3339(at_ms: int) -> str:
    """``2026-11-22T06:00:00.123Z`` for a time in milliseconds."""
    seconds, ms = divmod(at_ms, 1000)  # a float of seconds would lose a millisecond in far years
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch for an RFC 3339 time; a time without an offset is taken as UTC.

    Raises:
        ValueError: ``text`` is no such time.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - _EPOCH + _HALF_MS) // _MS

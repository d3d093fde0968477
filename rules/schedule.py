"""When a rule is at work: days of the week, hours of the day, holidays, in one time zone. Pure.

Hours are wall-clock hours: on the day of a change to summer time ``02:00`` to ``06:00`` is an hour shorter. A time that
is skipped on that day counts with the offset before the change (02:30 is 03:30), one that comes twice is its first
(RFC 5545 3.3.5). A range whose end is not after its start goes over midnight and belongs to the day it began on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import takewhile
from zoneinfo import ZoneInfo

SEARCHED_DAYS = 400
"""How far ahead the next opening is looked for: every weekday and every yearly holiday comes within it."""


class Holidays(StrEnum):
    """What a schedule makes of the holidays it names."""

    OFF = "off"
    """They are days like no other: the rule rests."""
    ONLY = "only"
    """The rule works on them alone."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The hours at which a rule may begin to fire."""

    zone: ZoneInfo
    weekdays: frozenset[int]
    """0 is Monday; the day on which a range begins."""
    start: time
    end: time
    """Equal to ``start``: the whole day."""
    holidays: frozenset[date] = frozenset()
    on_holidays: Holidays = Holidays.OFF

    def is_open(self, at_ms: int) -> bool:
        """Whether the rule is at work at this time."""
        return self.next_open_ms(at_ms) == at_ms

    def next_open_ms(self, at_ms: int) -> int | None:
        """The first time at or after ``at_ms`` when the rule is at work; ``None``: not within a year."""
        for open_ms, close_ms in self._ranges(at_ms):
            if at_ms < close_ms:
                return max(at_ms, open_ms)
        return None

    def closes_ms(self, at_ms: int) -> int | None:
        """When the range ends that is open at ``at_ms``; ``None``: none is."""
        ends = [close_ms for open_ms, close_ms in takewhile(lambda one: one[0] <= at_ms, self._ranges(at_ms))]
        return max((close_ms for close_ms in ends if at_ms < close_ms), default=None)

    def _ranges(self, at_ms: int) -> Iterator[tuple[int, int]]:
        """Opening and closing times, from the day before on: its night may still go on."""
        today = datetime.fromtimestamp(at_ms / 1000, self.zone).date()
        for number in range(-1, SEARCHED_DAYS):
            day = today + timedelta(days=number)
            if self._has(day):
                until = day if self.start < self.end else day + timedelta(days=1)
                yield self._ms(day, self.start), self._ms(until, self.end)

    def _has(self, day: date) -> bool:
        is_holiday = day in self.holidays
        return is_holiday if self.on_holidays is Holidays.ONLY else not is_holiday and day.weekday() in self.weekdays

    def _ms(self, day: date, hour: time) -> int:
        return int(datetime.combine(day, hour, self.zone).timestamp() * 1000)

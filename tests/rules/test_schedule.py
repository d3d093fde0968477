"""Hours of rules: weekdays, nights, holidays, zones, and the two days a year when clocks change."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from rules.schedule import Holidays, Schedule

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
EVERY_DAY, WORKDAYS = frozenset(range(7)), frozenset(range(5))
NIGHT = Schedule(SHANGHAI, EVERY_DAY, time(22), time(6))


def ms(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-22T21:59:59.999", False),
        ("2026-11-22T22:00", True),
        ("2026-11-23T05:59:59.999", True),
        ("2026-11-23T06:00", False),
    ],
)
def test_a_night_goes_over_midnight_and_ends_on_the_minute(at: str, is_open: bool) -> None:
    assert NIGHT.is_open(ms(at)) is is_open


def test_a_night_belongs_to_the_day_it_began_on() -> None:
    fridays = Schedule(SHANGHAI, frozenset({4}), time(22), time(6))
    assert fridays.is_open(ms("2026-11-21T05:00"))  # Saturday morning
    assert not fridays.is_open(ms("2026-11-20T05:00"))  # Friday morning
    assert fridays.next_open_ms(ms("2026-11-21T06:00")) == ms("2026-11-27T22:00")


def test_the_same_hour_twice_is_the_whole_day() -> None:
    workdays = Schedule(SHANGHAI, WORKDAYS, time(0), time(0))
    assert workdays.is_open(ms("2026-11-20T23:59:59.999"))
    assert workdays.next_open_ms(ms("2026-11-21T00:00")) == ms("2026-11-23T00:00")


def test_hours_are_those_of_the_zone_not_of_the_machine() -> None:
    office = Schedule(SHANGHAI, WORKDAYS, time(9), time(18))
    assert office.is_open(ms("2026-11-20T01:00", ZoneInfo("UTC")))
    assert not office.is_open(ms("2026-11-20T10:00", ZoneInfo("UTC")))


def test_holidays_rest_or_are_the_only_days() -> None:
    national = frozenset({date(2026, 10, 1), date(2026, 10, 2)})
    resting = Schedule(SHANGHAI, EVERY_DAY, time(0), time(0), national)
    alone = Schedule(SHANGHAI, WORKDAYS, time(0), time(0), national, Holidays.ONLY)
    assert resting.next_open_ms(ms("2026-10-01T00:00")) == ms("2026-10-03T00:00")
    assert alone.next_open_ms(ms("2026-09-01T00:00")) == ms("2026-10-01T00:00")
    assert alone.next_open_ms(ms("2026-10-03T00:00")) is None


def test_a_night_before_a_holiday_goes_on_into_it() -> None:
    resting = Schedule(SHANGHAI, EVERY_DAY, time(22), time(6), frozenset({date(2026, 10, 1)}))
    assert resting.is_open(ms("2026-10-01T05:00"))
    assert not resting.is_open(ms("2026-10-01T23:00"))
    assert not resting.is_open(ms("2026-10-02T05:00"))


def test_the_night_of_summer_time_is_an_hour_shorter_and_that_of_winter_time_longer() -> None:
    night = Schedule(BERLIN, EVERY_DAY, time(1), time(4))

    def length_h(day: str) -> float:
        opens = night.next_open_ms(ms(f"{day}T00:00", BERLIN))
        assert opens is not None
        closes = next(at for at in range(opens, opens + 10 * 3_600_000, 60_000) if not night.is_open(at))
        return (closes - opens) / 3_600_000

    assert [length_h(day) for day in ("2026-03-28", "2026-03-29", "2026-10-25")] == [3, 2, 4]


def test_a_time_that_is_skipped_counts_an_hour_later_and_one_that_comes_twice_is_its_first() -> None:
    early = Schedule(BERLIN, EVERY_DAY, time(2, 30), time(5))
    assert early.next_open_ms(ms("2026-03-29T00:00", BERLIN)) == ms("2026-03-29T03:30", BERLIN)
    assert early.next_open_ms(ms("2026-10-25T00:00", BERLIN)) == ms("2026-10-25T02:30", BERLIN)


def test_an_open_range_knows_when_it_closes() -> None:
    assert NIGHT.closes_ms(ms("2026-11-22T21:59")) is None
    assert NIGHT.closes_ms(ms("2026-11-22T22:00")) == ms("2026-11-23T06:00")
    assert NIGHT.closes_ms(ms("2026-11-23T05:59")) == ms("2026-11-23T06:00")
    always = Schedule(BERLIN, EVERY_DAY, time(2), time(2))
    assert always.closes_ms(ms("2026-03-28T12:00", BERLIN)) == ms("2026-03-29T03:00", BERLIN)

"""What may stand together in a rule, and what is refused with its reason."""

from datetime import date, time
from typing import Any

import pytest
from pydantic import ValidationError

from rules.schedule import Holidays
from rules.written import WrittenRule, WrittenSchedule, parse_duration

PLAIN: dict[str, Any] = {
    "id": "lift.r", "name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "medium", "category": "fault",
    "when": "floor > 3",
}  # fmt: skip
LEVEL = {"severity": "high", "when": "floor > 5"}
NIGHT = {"from": "22:00", "to": "06:00", "zone": "Asia/Shanghai"}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"first": "floor > 1", "within": "1m", "count": 2}, "a sequence or counts"),
        ({"first": "floor > 1"}, "within is missing"),
        ({"within": "1m"}, "with count or first only"),
        ({"count": 2, "within": "0s"}, "above 0"),
        ({"count": 2, "within": "1m", "for": "5s"}, "does not go with count and within"),
        ({"hold_by": "readings"}, "needs a hold"),
        ({"levels": [{**LEVEL, "severity": "medium"}]}, "worse than the one before"),
        ({"levels": [{**LEVEL, "severity": "critical"}, LEVEL]}, "worse than the one before"),
        ({"count": 2, "late": "evaluate"}, "one reading by itself"),
        ({"late": "correct"}, "how late"),
        ({"lateness": "5m"}, "late: correct only"),
        ({"late": "correct", "lateness": "0s"}, "above 0"),
        ({"late": "correct", "lateness": "61m"}, "up to 1h"),
        ({"late": "correct", "lateness": "5m", "clock": "received"}, "goes by the device's clock"),
        ({"late": "correct", "lateness": "5m", "life_safety": True}, "however late"),
        ({"count": 2, "life_safety": True}, "one reading must be enough"),
        ({"life_safety": True, "late": "store_only"}, "however late"),
        ({"life_safety": True, "schedule": NIGHT}, "no office hours"),
        ({"life_safety": True, "on_missing": "clear"}, "silence clears no fire"),
        ({"life_safety": True, "incident": "none"}, "somebody's case"),
        ({"count": 101}, "less than or equal to 100"),
        ({"late": "corrected"}, "store_only"),
        ({"schedule": {**NIGHT, "zone": "Beijing"}}, "IANA time zone"),
        ({"schedule": {**NIGHT, "zone": 8}}, "IANA time zone"),
        ({"schedule": {**NIGHT, "zone": "../../etc/passwd"}}, "IANA time zone"),
        ({"schedule": {**NIGHT, "from": "24:00"}}, "'22:00'"),
        ({"schedule": {**NIGHT, "from": 79200}}, "'22:00'"),
        ({"schedule": {**NIGHT, "holidays": ["1st of May"]}}, "isoformat"),
        ({"schedule": {**NIGHT, "holidays": [20261001]}}, "a date such as"),
        ({"schedule": {**NIGHT, "days": []}}, "at least 1"),
        ({"flapping": {"count": 1, "within": "1m", "quiet": "1m"}}, "greater than or equal to 2"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_does_not_fit_together_is_refused(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        WrittenRule.model_validate({**PLAIN, **keys})


def test_a_schedule_says_days_hours_zone_and_holidays() -> None:
    written = {"days": ["mon", "sun"], **NIGHT, "holidays": ["2026-10-01", date(2026, 10, 2)], "on_holidays": "only"}
    schedule = WrittenSchedule.model_validate(written).schedule()
    assert (schedule.weekdays, schedule.start, schedule.end) == (frozenset({0, 6}), time(22), time(6))
    assert (schedule.zone.key, schedule.on_holidays) == ("Asia/Shanghai", Holidays.ONLY)
    assert schedule.holidays == {date(2026, 10, 1), date(2026, 10, 2)}
    assert WrittenSchedule.model_validate({"zone": "UTC"}).schedule().is_open(0)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0s", 0), ("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("30d", 2_592_000_000)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "1.5s", "1 s", "1m30s", "31d", "٣s", "9999999999s", 30, None, True]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|30 days"):
        parse_duration(text)

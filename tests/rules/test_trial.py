"""How a back-test is told to people and to programs."""

import json
from typing import Any

import pytest

from gridwarden.model import Severity
from rules.episodes import Episode
from rules.rule import RuleSet
from rules.trial import SHOWN, Extent, Result, as_json, as_text, rounded, trial
from tests.rules.test_backtest import rule

DAY_MS = 86_400_000
START_MS = 1_795_305_600_000  # 2026-11-22T00:00:00Z
EXTENT = Extent(START_MS, START_MS + DAY_MS, START_MS + DAY_MS, 1234, {"lift": 2000})
RULES = RuleSet((rule(when="floor > 1"), rule(1, when="occupied"), rule(2, when="occupied", enabled=False)))


def episode(at_ms: int = 0, lasts_ms: int | None = 90_000, scope: str = "L-1") -> Episode:
    begun_ms = START_MS + at_ms
    end_ms = None if lasts_ms is None else begun_ms + lasts_ms
    return Episode(begun_ms, "own.rule0", scope, begun_ms - 60_000, end_ms, end_ms, Severity.LOW)


def result(*episodes: Episode, against: list[Episode] | None = None, extent: Extent = EXTENT) -> Result:
    other = None if against is None else trial(RULES, against, extent)
    return Result(extent, trial(RULES, episodes, extent), other)


def test_people_get_a_line_for_each_rule_that_was_tried() -> None:
    lines = as_text(result(episode(), episode(7_200_000, None, "L-2"))).splitlines()
    assert lines[0] == "2026-11-22T00:00:00.000Z to 2026-11-23T00:00:00.000Z: 1,234 readings, 2,000 device-days"
    assert [line.split() for line in lines[2:]] == [
        ["own.rule0", "2", "2", "22h", "1m", "11h", "1m", "1", "1"],
        ["own.rule1", "0", "0", "0s", "0s", "0s", "0", "0"],
    ]


def test_an_incomplete_history_is_said() -> None:
    half = Extent(START_MS, START_MS + DAY_MS, START_MS + DAY_MS // 2, 1, {})
    assert "INCOMPLETE: the history has followed the records until 2026-11-22T12:00" in as_text(result(extent=half))
    assert as_json(result(extent=half))["complete"] is False
    never = Extent(START_MS, START_MS + DAY_MS, 0, 1, {})
    assert "nowhere yet" in as_text(result(extent=never))
    assert never.end_ms == START_MS
    assert "INCOMPLETE" not in as_text(result())


def test_what_is_open_counts_until_the_history_ends() -> None:
    half = Extent(START_MS, START_MS + DAY_MS, START_MS + DAY_MS // 2, 1, {"lift": 1})
    assert result(episode(0, None), extent=half).trial.sums[0].total_ms == DAY_MS // 2


def test_what_fired_before_the_interval_does_not_count() -> None:
    assert result(episode(-1), episode(0)).trial.episodes == (episode(0),)


def test_a_difference_is_told_with_its_first_episodes() -> None:
    new = [episode(n * 1_000_000) for n in range(1, SHOWN + 4)]
    text = as_text(result(episode(), *new, against=[episode(), episode(5_000, scope="L-9")]))
    assert f"{len(new)} added, 1 gone, 0 changed, 1 the same" in text
    assert "+ … and 3 more" in text
    assert "- 2026-11-22T00:00:05.000Z own.rule0 L-9" in text


def test_programs_get_everything_in_plain_values() -> None:
    told: Any = json.loads(json.dumps(as_json(result(episode(), against=[episode(0, 50_000)]))))
    assert (told["readings"], told["device_days"], told["complete"]) == (1234, {"lift": 2000}, True)
    assert told["episodes"] == [
        {
            "rule_id": "own.rule0", "scope": "L-1", "severity": "low", "flapping": False,
            "pending_at": "2026-11-21T23:59:00.000Z", "fired_at": "2026-11-22T00:00:00.000Z",
            "cleared_at": "2026-11-22T00:01:30.000Z", "resolved_at": "2026-11-22T00:01:30.000Z",
        }
    ]  # fmt: skip
    assert told["rules"][0]["per_1000_device_days"] == 0.5
    assert [one["now"]["scope"] for one in told["difference"]["changed"]] == ["L-1"]
    assert "against" not in as_json(result())


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(0, "0s"), (250, "250ms"), (90_000, "1m 30s"), (3_600_000, "1h"), (90_061_000, "1d 1h"), (86_401_000, "1d")],
)
def test_durations_are_rounded_to_two_units(duration_ms: int, text: str) -> None:
    assert rounded(duration_ms) == text

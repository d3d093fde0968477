"""Rules about absence as they stand in files: what is refused, and whose limit is what."""

from __future__ import annotations

from typing import Any

import pytest

from gridwarden.errors import ConfigError
from gridwarden.model import Device
from rules.absence import Absence, After, Of, parse_after
from rules.load import read_rules
from rules.rule import RuleSet

HOUR_MS = 3_600_000
HEAD = {"id": "smoke.silent", "name": {"zh": "静默", "en": "Silent"}, "source": "ours", "severity": "low",
        "category": "maintenance", "incident": "none"}  # fmt: skip


def absence(kind: str = "smoke", **words: Any) -> Absence:
    (rule,) = read_rules({"kind": kind, "absences": [{**HEAD, "of": "device", "after": "3 intervals", **words}]})
    assert isinstance(rule, Absence)
    return rule


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("90m", After(0, 90 * 60_000)),
        ("1 interval", After(1, 0)),
        ("3 intervals", After(3, 0)),
        ("2 intervals + 1h", After(2, HOUR_MS)),
    ],
)
def test_after_is_a_time_or_intervals_or_both(text: str, after: After) -> None:
    assert parse_after(text) == after


@pytest.mark.parametrize(
    "text", ["", "0s", "0 intervals", "three intervals", "2 intervals+1h", "101 intervals", "31d", "-1h", 3, None]
)
def test_any_other_after_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match=r"rule smoke\.silent: after"):
        absence(after=text)


@pytest.mark.parametrize(
    ("kind", "words", "reason"),
    [
        ("smoke", {"latched": True}, "latched"),
        ("smoke", {"life_safety": True}, "life_safety"),
        ("smoke", {"interval": "0s"}, "interval"),
        ("smoke", {"profiles": {"TG563A": "0s"}}, "interval"),
        ("smoke", {"of": "gateway"}, "kind: platform"),
        ("smoke", {"of": "broker", "after": "2m"}, "kind: platform"),
        ("platform", {"of": "broker"}, "a broker has no interval"),
        ("platform", {"of": "gateway", "interval": "1h"}, "interval"),
        ("platform", {"of": "gateway", "profiles": {"x": "1h"}}, "profiles"),
        ("smoke", {"of": "somebody"}, "of"),
        ("smoke", {"when": "leak"}, "unknown key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(f"{k}-{v}" for k, v in value.items()),
)
def test_what_does_not_go_together_is_refused(kind: str, words: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        absence(kind, **words)


@pytest.mark.parametrize(
    ("attributes", "profile", "interval_ms"),
    [
        ({"interval_s": 1800}, "TG563A", 1_800_000),
        ({"interval_s": "1800"}, "", 1_800_000),
        ({"interval_s": 0.5}, "TG563A", 12 * HOUR_MS),
        ({"interval_s": True}, "", 24 * HOUR_MS),
        ({"interval_s": [1]}, "", 24 * HOUR_MS),
        ({"interval_s": "often"}, "", 24 * HOUR_MS),
        ({"interval_s": float("nan")}, "", 24 * HOUR_MS),
        ({"interval_s": 10**12}, "", 24 * HOUR_MS),
        ({}, "TG563A", 12 * HOUR_MS),
        ({}, "W308", 24 * HOUR_MS),
    ],
    ids=str,
)
def test_the_interval_is_the_devices_own_else_its_profiles_else_the_rules(
    attributes: dict[str, Any], profile: str, interval_ms: int
) -> None:
    rule = absence(interval="24h", profiles={"TG563A": "12h"}, after="2 intervals + 1h")
    device = Device("SMK-1", "smoke", profile=profile, attributes=attributes)
    assert rule.interval_of_ms(device) == interval_ms
    assert rule.limit_of_ms(device) == 2 * interval_ms + HOUR_MS


def test_without_any_interval_only_a_time_is_a_limit() -> None:
    device = Device("SMK-1", "smoke")
    assert absence().limit_of_ms(device) is None
    assert absence(after="7d").limit_of_ms(device) == 7 * 24 * HOUR_MS


def test_another_limit_is_another_version_of_the_same_shape() -> None:
    rule, other, third = absence(), absence(after="4 intervals"), absence(of="never_seen")
    assert rule.version != other.version
    assert rule.shape == other.shape != third.shape
    assert RuleSet((rule, third)).of(Absence) == (rule, third)
    assert rule.of is Of.DEVICE

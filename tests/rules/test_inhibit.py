"""Which alarms one alarm quiets, and that never all of a group are quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridwarden.errors import ConfigError
from gridwarden.model import Alarm, AlarmState, Device, Severity
from rules.inhibit import Inhibit, Relation, matches_any, related
from rules.load import load, read_rules

RULE = {
    "name": {"zh": "名", "en": "name"}, "source": "ours", "severity": "low", "category": "fault", "when": "leak",
}  # fmt: skip
DEVICES = {"H": Device("H", "hydrant", "33", gateway="gw1", building="B1", water_main="M", power_feeder="F")}


def rules(*own: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "hydrant", "rules": [{**RULE, **one} for one in own]}


def file(tmp_path: Path, *inhibits: tuple[str, list[str], dict[str, Any]]) -> Path:
    text = "kind: hydrant\nrules:\n"
    for name, targets, more in inhibits:
        extra = "".join(f"\n    {key}: {value}" for key, value in more.items())
        quiets = f"\n    inhibits: [{{rules: [{', '.join(targets)}], by: device}}]" if targets else ""
        text += (
            f"  - id: {name}\n    name: {{zh: 名, en: name}}\n    source: ours\n    severity: high\n"
            f"    category: fire\n    when: leak{extra}{quiets}\n"
        )
    path = tmp_path / "own.yaml"
    path.write_text(text, "utf-8")
    return path


def alarm(device: str = "H", scope: str = "", **evidence: str) -> Alarm:
    return Alarm("A", "a.b", "1", scope or device, device, "hydrant", "33", Severity.LOW, AlarmState.FIRING, 1,
                 evidence=dict(evidence))  # fmt: skip


def test_it_is_written_in_a_rule() -> None:
    written = [{"rules": ["a.*", "b.c"], "by": "gateway", "after": "10m"}]
    (rule,) = read_rules(rules({"id": "x.y", "inhibits": written}))
    assert rule.inhibits == (Inhibit(("a.*", "b.c"), Relation.GATEWAY, 600_000),)
    assert read_rules(rules({"id": "x.y"}))[0].inhibits == ()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"rules": [], "by": "device"}, "at least 1"), ({"rules": ["A b"], "by": "device"}, "pattern"),
     ({"rules": ["a.b"], "by": "street"}, "device"), ({"rules": ["a.b"]}, "missing"),
     ({"rules": ["a.b"], "by": "device", "after": "1w"}, "duration"),
     ({"rules": ["a.b"], "by": "device", "when": "x"}, "unknown key")],
    ids=["no rule", "no id", "no relation of ours", "no relation", "no duration", "no such key"],
)  # fmt: skip
def test_what_is_not_understood_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        read_rules(rules({"id": "x.y", "inhibits": [wrong]}))
    assert refused.value.place.startswith("rule x.y: inhibits.0")


@pytest.mark.parametrize(
    ("rule", "patterns", "matches"),
    [("a.b", ("a.b",), True), ("a.b", ("a.*",), True), ("a.b", ("*.c", "*.b"), True), ("a.b", ("a",), False),
     ("a.b", (), False), ("a.bc", ("a.b",), False)],
)  # fmt: skip
def test_patterns(rule: str, patterns: tuple[str, ...], matches: bool) -> None:
    assert matches_any(rule, patterns) is matches


@pytest.mark.parametrize(
    ("relation", "expected"),
    [(Relation.DEVICE, "H"), (Relation.GATEWAY, "gw1"), (Relation.BUILDING, "B1"), (Relation.WATER_MAIN, "M"),
     (Relation.POWER_FEEDER, "F")],
)  # fmt: skip
def test_what_an_alarm_is_about(relation: Relation, expected: str) -> None:
    assert related(alarm(), relation, DEVICES) == expected
    assert related(alarm(scope=f"{relation}:other"), relation, DEVICES) == "other"
    named_like_it = f"{relation}:other"  # a device may be called so; it is no gateway for that
    assert related(alarm(device=named_like_it), relation, {}) == (named_like_it if relation == "device" else "")


def test_the_gateway_is_the_one_that_was_heard() -> None:
    assert related(alarm(gateway="gw2"), Relation.GATEWAY, DEVICES) == "gw2"
    assert related(alarm("unknown"), Relation.GATEWAY, DEVICES) == ""


def test_rules_that_inhibit_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"inhibit each other.*: (own\.\w → ){3}own\.\w$"):
        load([file(tmp_path, ("own.a", ["own.b"], {}), ("own.b", ["own.c"], {}), ("own.c", ["own.a"], {}))])


@pytest.mark.parametrize("more", [{"enabled": "false"}, {"life_safety": "true"}], ids=["switched off", "never quiet"])
def test_a_circle_that_cannot_close_is_none(tmp_path: Path, more: dict[str, Any]) -> None:
    assert len(load([file(tmp_path, ("own.a", ["own.b"], more), ("own.b", ["own.*"], {}))])) == 2


def test_a_rule_that_names_itself_quiets_the_others(tmp_path: Path) -> None:
    assert len(load([file(tmp_path, ("own.a", ["own.*"], {}), ("own.b", [], {}))])) == 2


def test_the_shipped_rules_are_free_of_it() -> None:
    shipped = load((), shipped_packs=True)
    assert shipped.by_id["hydrant.very_low_pressure"].inhibits[0].names("hydrant.low_pressure")
    assert not any(rule.inhibits for rule in shipped.all if rule.life_safety)

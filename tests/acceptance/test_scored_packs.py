"""The shipped packs on the scenarios, with seeds nobody has seen: what the guide says of each rule is held."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gridwarden.cli.rehearsing import fresh_seeds, score_seeds
from rules.correlation import Correlation
from rules.load import load
from rules.rule import Rule, RuleSet
from simulators.world import registry
from simulators.world.scenario import shipped
from simulators.world.truth import LIFE_SAFETY

GUIDE = Path(__file__).parents[2] / "docs/guide/simulator.md"
SEEDS = 5
EXPECTED = 25
"""Fires and entrapments of one run, at least."""
HELD = ("delay_p50_s", "delay_max_s", "false_per_1000_device_days")
"""The last columns of the guide's table: bounds."""


def held() -> dict[str, dict[str, float]]:
    """By rule, what the guide says is held."""
    section = GUIDE.read_text("utf-8").split("## The score, by rule")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_.]+)` \|(.+)\|$", section, re.MULTILINE)
    found = {}
    for rule_id, cells in rows:
        bounds = [cell.strip() for cell in cells.split("|")][-len(HELD) :]
        found[rule_id] = {name: float(bound) for name, bound in zip(HELD, bounds, strict=True) if bound}
    return found


@pytest.fixture(scope="session")
def rules() -> RuleSet:
    return load((), shipped_packs=True)


def test_the_packs_keep_what_the_guide_says_of_each_rule(rules: RuleSet) -> None:
    scored = score_seeds(shipped(), registry.devices(), rules, fresh_seeds(SEEDS, None))
    by_rule: dict[str, dict[str, Any]] = {one["rule"]: one for one in scored["rules"]}
    seeds, bounds = scored["seeds"], held()
    assert {rule_id: by_rule[rule_id]["recall"] for rule_id in LIFE_SAFETY} == dict.fromkeys(LIFE_SAFETY, 1.0), seeds
    assert sum(by_rule[rule_id]["expected"] for rule_id in LIFE_SAFETY) >= EXPECTED * SEEDS
    assert {rule_id: one["missed"] for rule_id, one in by_rule.items() if one["missed"]} == {}, seeds
    broken = {
        (rule_id, name): (one[name], bounds[rule_id][name])
        for rule_id, one in by_rule.items()
        for name in bounds[rule_id]
        if one[name] is not None and one[name] > bounds[rule_id][name]
    }
    assert broken == {}, seeds
    unbound = {rule_id for rule_id, one in by_rule.items() if one["expected"] and len(bounds[rule_id]) < len(HELD)}
    assert unbound == set()


def test_the_guide_names_every_rule_that_is_judged(rules: RuleSet) -> None:
    kinds = {device.kind for device in registry.devices()}
    judged = (*rules.of(Rule), *rules.of(Correlation))
    assert held().keys() == {rule.id for rule in judged if rule.kind in kinds}

"""How a correlation is written: what is refused, what is its shape, and that it counts rules that exist."""

from pathlib import Path
from typing import Any

import pytest

from gridwarden.errors import ConfigError
from rules.correlation import By, Correlation
from rules.load import load, read_rules

PLAIN: dict[str, Any] = {
    "id": "smoke.confirmed", "name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "critical", "category": "fire",
    "of": ["smoke.fire"], "by": "building", "at_least": 2, "within": "10m",
}  # fmt: skip


def read(**changes: Any) -> Correlation:
    (rule,) = read_rules({"kind": "smoke", "correlations": [{**PLAIN, **changes}]})
    assert isinstance(rule, Correlation)
    return rule


def test_what_is_left_out() -> None:
    rule = read()
    assert (rule.by, rule.radius_m, rule.share, rule.clear_below, rule.terms.clear_ms) == (By.BUILDING, 0, 0, 2, 0)
    assert (rule.kind, rule.within_ms, rule.of) == ("smoke", 600_000, ("smoke.fire",))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"of": []}, "of: List should have at least 1 item"),
        ({"of": ["smoke.fire", "smoke.fire"]}, "a rule stands twice"),
        ({"by": "district"}, "by: Input should be"),
        ({"by": "radius"}, "by: radius needs radius_m"),
        ({"radius_m": 100}, "radius_m: stands with by: radius only"),
        ({"by": "radius", "radius_m": 0}, "radius_m: Input should be greater than 0"),
        ({"at_least": 1}, "at_least: Input should be greater than or equal to 2"),
        ({"share": 1.5}, "share: Input should be less than or equal to 1"),
        ({"within": "0s"}, "within: a time above 0 is expected"),
        ({"within": "soon"}, "within: a duration such as 30s"),
        ({"clear_below": 3}, "clear_below: more than at_least"),
        ({"incident": "building"}, "incident: its case is that of its group"),
        ({"incident": "none", "life_safety": True}, "incident: fire and entrapment are always somebody's case"),
        ({"when": "smoke"}, "when: unknown key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**changes)
    assert str(refused.value).startswith("rule smoke.confirmed: ")
    assert reason in str(refused.value)


def test_its_shape_is_what_it_counts_and_by_what() -> None:
    assert read().shape == read(at_least=3, within="1h", clear_below=1, clear_for="5m", share=0.5).shape
    assert read().version != read(at_least=3).version
    shapes = {read(of=["smoke.fire", "smoke.fault"]).shape, read(by="street").shape, read(latched=True).shape}
    assert len(shapes | {read().shape}) == 4


@pytest.mark.parametrize(
    ("of", "reason"),
    [("smoke.nothing", "there is no rule smoke.nothing"), ("smoke.other", "smoke.other is a correlation itself")],
)
def test_it_counts_rules_that_exist(tmp_path: Path, of: str, reason: str) -> None:
    (tmp_path / "own.yaml").write_text(
        f"""
        kind: smoke
        correlations:
          - {{id: smoke.other, name: {{zh: a, en: a}}, source: ours, severity: low, category: fire,
             of: [smoke.fire], by: street, at_least: 2, within: 10m}}
          - {{id: smoke.confirmed, name: {{zh: a, en: a}}, source: ours, severity: low, category: fire,
             of: [smoke.fire, {of}], by: building, at_least: 2, within: 10m}}
        """
    )
    with pytest.raises(ConfigError, match=reason) as refused:
        load([tmp_path], shipped_packs=True)
    assert "rule smoke.confirmed: of" in str(refused.value)

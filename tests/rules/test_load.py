"""Rule files: read strictly, all or nothing, with file, rule, key and reason."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.errors import ConfigError
from gridwarden.plain_yaml import parse_yaml
from rules import load as loading
from rules.load import PACKS, load, read_rules

RULE = """
  - id: lift.high
    name: {zh: 高, en: high}
    source: ours
    severity: low
    category: fault
    when: floor > 3
"""
FILE = "kind: lift\nrules:" + RULE


def _write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_rule_is_read_with_its_defaults(tmp_path: Path) -> None:
    (rule,) = load([_write(tmp_path, FILE + "    for: 90s\n    clear_for: 2h\n")])
    assert (rule.id, rule.kind, rule.name.zh, rule.terms.fire_ms, rule.terms.clear_ms) == (
        "lift.high", "lift", "高", 90_000, 7_200_000,
    )  # fmt: skip
    assert (rule.latched, rule.life_safety, rule.clock, rule.incident, rule.enabled) == (
        False, False, "occurred", "device", True,
    )  # fmt: skip
    assert rule.clear.evaluate({"floor": 3}, {}, {}) is True
    assert rule.clear.evaluate({}, {}, {}) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            ("when: floor > 3", "when: flour > 3"),
            r"own.yaml: rule lift.high: when: column 1: a lift has no field 'flour'",
        ),
        (
            ("when: floor > 3", "when: floor > 3\n    clear: door < 3"),
            "rule lift.high: clear: column 1: door is a text",
        ),
        (("when: floor > 3", "when: device.a == 1"), "when: looks at no field"),
        (("when: floor > 3", "when: true"), "rule lift.high: when"),
        (("source: ours", "sauce: ours"), "rule lift.high: (sauce: unknown key|source: is missing)"),
        (("    source: ours\n", ""), "rule lift.high: source: is missing"),
        (("severity: low", "severity: mild"), "rule lift.high: severity: .*'mild'"),
        (("severity: low", "severity: low\n    for: 30"), "rule lift.high: for: a duration such as 30s"),
        (("severity: low", "severity: low\n    for: 1:30"), "rule lift.high: for: a duration such as 30s"),
        (("severity: low", "severity: low\n    for: 31d"), "rule lift.high: for: longer than 30 days"),
        (("severity: low", "severity: low\n    latched: 1"), "rule lift.high: latched"),
        (("severity: low", "severity: low\n    severity: low"), "line 7: key 'severity' stands twice"),
        (("{zh: 高, en: high}", "{zh: 高}"), "rule lift.high: name.en: is missing"),
        (("id: lift.high", "id: High"), "rule High: id"),
        (("id: lift.high", "id: [a]"), "rule number 1: id"),
        (("kind: lift", "kind: boat"), "own.yaml: kind"),
        (("kind: lift", "kind: lift\nmore: 1"), "own.yaml: more: unknown key"),
        (("rules:", "rules: &a"), "line 2: anchors"),
        (("source: ours", "source: !!python/name:os.system"), "line 5: tags"),
        (("source: ours", "source: " + "[" * 30 + "]" * 30), "nested more than"),
        (("source: ours", "source: 0b_"), "not YAML"),
        (("source: ours", "<<: {source: ours}"), "a key must be plain text"),
        (("source: ours", "? [a]\n    : b"), "a key must be plain text"),
        ((FILE, "kind: lift\nrules: []"), "rules"),
        ((FILE, "kind: lift\nrules: [3]"), "rules.0"),
        ((FILE, ""), "own.yaml"),
        ((FILE, "{"), "own.yaml: line 1"),
        ((FILE, "a: \x01"), "not YAML"),
        ((FILE, FILE + RULE), "rule lift.high: this id is taken"),
    ],
)
def test_what_cannot_be_used_is_refused_with_place_and_reason(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    text = FILE.replace(*change)
    assert text != FILE
    with pytest.raises(ConfigError, match=reason) as caught:
        load([_write(tmp_path, text)])
    assert caught.value.path == str(tmp_path / "own.yaml")


def test_one_bad_file_means_that_nothing_is_loaded(tmp_path: Path) -> None:
    _write(tmp_path, FILE, "a.yaml")
    _write(tmp_path, FILE.replace("lift.high", "lift.other").replace("floor", "flour"), "b.yaml")
    with pytest.raises(ConfigError, match=r"b\.yaml: rule lift\.other"):
        load([tmp_path])


def test_folders_are_searched_and_their_test_files_left_out(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    _write(tmp_path / "deep", FILE, "a.yaml")
    _write(tmp_path, "cases: []", "a.test.yaml")
    assert [rule.id for rule in load([tmp_path])] == ["lift.high"]


def test_an_own_rule_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    own = FILE.replace("lift.high", "lift.tamper") + "    enabled: false\n"
    rules = load([_write(tmp_path, own)], shipped_packs=True)
    assert len(rules) == len(load([PACKS]))
    assert not rules.by_id["lift.tamper"].enabled


def test_bytes_files_and_rules_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = _write(tmp_path, "#" * (loading.MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load([big])
    monkeypatch.setattr(loading, "MAX_RULES", 2)
    many = _write(tmp_path, "kind: lift\nrules:" + "".join(RULE.replace("high", f"r{n}") for n in range(3)))
    with pytest.raises(ConfigError, match="more than 2 rules"):
        load([many])


@pytest.mark.parametrize("name", ["missing.yaml", "\x00"])
def test_a_missing_file_is_a_config_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load([tmp_path / name])


def test_bytes_that_are_no_utf_8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(b"kind: \xff")
    with pytest.raises(ConfigError, match="not YAML"):
        load([path])


def test_the_version_is_of_the_content_not_of_its_shape(tmp_path: Path) -> None:
    plain = load([_write(tmp_path, FILE)])
    written_out = load([_write(tmp_path, FILE + "    latched: false\n    for: 0s\n")])
    other = load([_write(tmp_path, FILE.replace("> 3", "> 4"))])
    assert plain.version == written_out.version != other.version
    assert plain.all[0].version == written_out.all[0].version != other.all[0].version


def test_a_path_may_be_given_twice_over_a_folder_only_once(tmp_path: Path) -> None:
    path = _write(tmp_path, FILE)
    with pytest.raises(ConfigError, match="taken"):
        load([path, Path(tmp_path)])


_PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
)
_NEAR = st.fixed_dictionaries(
    {},
    optional={
        key: st.one_of(_PLAIN, st.just(value))
        for key, value in {
            "id": "a.b", "name": {"zh": "a", "en": "b"}, "source": "ours", "severity": "low", "category": "fire",
            "when": "floor > 1", "for": "1s", "latched": True, "more": 1,
        }.items()
    },
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(_PLAIN, st.fixed_dictionaries({"kind": st.just("lift"), "rules": st.lists(_NEAR, max_size=3)})))
def test_any_content_is_rules_or_a_config_error(content: Any) -> None:
    with suppress(ConfigError):
        read_rules(content)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("{}[]:,-&*!|>'\"%@#? \n\t<abc01_.~", max_size=60).map(str.encode)))
def test_any_bytes_are_yaml_or_a_config_error(content: Any) -> None:
    with suppress(ConfigError):
        parse_yaml(content)

"""YAML without tags, anchors, merges and repeated keys; bounded, and small in memory when it is small on disk."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gridwarden.errors import REASON_LIMIT, ConfigError
from gridwarden.plain_yaml import MAX_NESTING, parse_yaml, read_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{'abcdefghi'[n + 1]}: &{'abcdefghi'[n + 1]} [{', '.join(['*' + 'abcdefghi'[n]] * 9)}]\n" for n in range(8)
)


def test_plain_values() -> None:
    text = "a: [1, 0.5, 0x10, 1:30, true, null, 2026-01-01, 'x']\nb: {c: 火}\n"
    assert parse_yaml(text.encode()) == {"a": [1, 0.5, 16, 90, True, None, date(2026, 1, 1), "x"], "b": {"c": "火"}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS.encode(), "line 1: anchors and aliases"),
        (b"a: !!python/object/apply:os.system [x]", "line 1: tags"),
        (b"<<: {a: 1}", "line 1: a key must be plain text"),
        (b"a: 1\na: 2", "line 2: key 'a' stands twice"),
        (b"[" * (MAX_NESTING + 1) + b"]" * (MAX_NESTING + 1), f"nested more than {MAX_NESTING} deep"),
        (b"[" * 60_000, "nested more than"),
        (b"- " * 60_000, "nested more than"),
        (b"a: " + b"9" * 5_000, "line 1: a number of more than 40 digits"),
        (b"a: 0x" + b"f" * 5_000, "line 1: a number of more than 40 digits"),
        (b"a: 1" + b":59" * 300_000, "line 1: a number of more than 40 digits"),
        (b"a: 1" + b":59" * 300_000 + b".5", "line 1: a number of more than 40 digits"),
        (b"a: \xff", "not YAML: .*utf-8"),
        (b"a: \x01", "not YAML: "),
        (b"a: 2026-02-30", "not YAML: "),
        (b"a: [", "line 1: "),
    ],
)
def test_what_is_not_plain_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        parse_yaml(text, "own.yaml")
    assert refused.value.path == "own.yaml"
    assert len(refused.value.reason) <= REASON_LIMIT


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none.yaml", "no such file"), (".", "is not a file"), ("a\0b", "no such file"), ("x" * 300, "cannot be read")],
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_yaml(tmp_path / name, 100)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("a: 1\n")
    assert read_yaml(path, 5) == {"a": 1}
    with pytest.raises(ConfigError, match="larger than 4 bytes"):
        read_yaml(path, 4)

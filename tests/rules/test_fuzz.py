"""No text of a rule file runs anything: it loads, or is refused with a reason, in little time and memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS
from gridwarden.plain_yaml import parse_yaml
from rules import columns
from rules.condition import compile_condition, compile_with
from rules.load import PACKS, read_rules
from rules.syntax import MAX_LENGTH
from tests.rules.test_columns import Table

MOST_CALLS = 100_000
"""Calls and returns that compiling a text may take: some ten milliseconds."""
EVIL = (
    "__import__('os').system('x')", "().__class__.__mro__[1].__subclasses__()", "exec('x')", "eval('1')", "open('/etc/passwd')",
    "(lambda: 1)()", "[x for x in (1,)]", "f'{floor}'", "floor.__class__", "device.__class__.__init__", "previous.__dict__",
    "known.__globals__", "abs.__self__", "breakpoint()", "globals()", "!!python/object/apply:os.system [x]", "*anchor", "&a b",
    "<<: *a", "${jndi:x}", "{{7*7}}", "\x00", "\ud7ff", "'" * 50, "(" * 90, "[" * 90, "-" * 90, "not " * 90,
)  # fmt: skip
_heard: list[list[str] | None] = [None]
_FORBIDDEN = ("exec", "open", "import", "os.", "subprocess.", "socket.", "marshal.", "pickle.", "ctypes.")


def _hook(name: str, _: Any) -> None:
    if _heard[0] is not None and name.startswith(_FORBIDDEN):
        _heard[0].append(name)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fails where the interpreter runs, opens or imports anything meanwhile."""
    if not getattr(_hook, "added", False):
        sys.addaudithook(_hook)  # it cannot be taken off again
        _hook.added = True  # type: ignore[attr-defined]
    events = _heard[0] = []
    try:
        yield
    finally:
        _heard[0] = None
    assert events == []


def rule(**written: Any) -> dict[str, Any]:
    base = {"id": "own.rule", "name": {"zh": "名", "en": "Name"}, "source": "ours", "severity": "low", "category": "fault",
            "when": "floor > 1"}  # fmt: skip
    return {"kind": "lift", "rules": [base | written]}


def loaded(text: bytes) -> bool:
    """Whether it loads; nothing but a :class:`ConfigError` may come instead."""
    try:
        read_rules(parse_yaml(text))
    except ConfigError:
        return False
    return True


PACK_TEXTS = [path.read_bytes() for path in sorted(PACKS.glob("*.yaml")) if not path.name.endswith(".test.yaml")]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PACK_TEXTS), st.lists(st.tuples(st.floats(0, 1), st.sampled_from(EVIL)), max_size=3), st.data())
def test_a_pack_with_anything_written_into_it(
    text: bytes, insertions: list[tuple[float, str]], data: st.DataObject
) -> None:
    for share, evil in insertions:
        place = int(share * len(text))
        cut = data.draw(st.integers(0, 20))
        text = text[:place] + evil.encode("utf-8", "surrogatepass") + text[place + cut :]
    with nothing_runs():
        loaded(text)


_plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(EVIL))
_anything = st.recursive(
    _plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)), max_leaves=6
)  # fmt: skip
_KEYS = ("id", "name", "source", "severity", "category", "incident", "when", "clear", "for", "count", "within", "first",
         "levels", "flapping", "schedule", "late", "on_missing", "clock", "hold_by", "latched", "life_safety", "surplus")  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(_KEYS), _anything, max_size=4))
def test_a_rule_with_anything_for_its_keys(written: dict[str, Any]) -> None:
    text = yaml.safe_dump(rule(**written), allow_unicode=True).encode("utf-8", "surrogatepass")
    with nothing_runs():
        loaded(text)


@pytest.mark.parametrize("key", ["when", "clear", "first"])
def test_no_evil_expression_loads(key: str) -> None:
    for number, evil in enumerate(EVIL):
        written = {key: evil} | ({"within": "1m"} if key == "first" else {})
        with nothing_runs():
            assert not loaded(yaml.safe_dump(rule(**written)).encode("utf-8", "surrogatepass")), number


def test_what_should_load_does() -> None:
    assert all(loaded(text) for text in PACK_TEXTS)
    assert loaded(yaml.safe_dump(rule()).encode())


_WORDS = st.sampled_from([
    "floor", "door", "occupied", "previous.door", "device.x", "known(", "change(", "rate_per_min(", "abs(", "max(", ")", "(", ",",
    "==", "!=", "<", ">=", "in", "not", "and", "or", "+", "-", "*", "/", "1", "0.5", "'open'", "True", "__class__", ".", "lambda",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=12).map(" ".join)))
def test_any_text_that_compiles_compiles_to_columns_that_agree(text: str) -> None:
    facts = [({"floor": 1, "door": "open", "occupied": True}, {"door": "closed", "floor": 2}, {"x": 2}), ({}, {}, {})]
    with nothing_runs():
        try:
            condition = compile_condition(text, KINDS["lift"])
        except ConfigError:
            return
        table = Table(facts)
        term = compile_with(columns, condition, KINDS["lift"])
        true, false = (list(map(bool, _spread(found, table.size))) for found in (term.true(table), term.false(table)))
        for row, (yes, no) in enumerate(zip(true, false, strict=True)):
            assert condition.evaluate(*facts[row]) is (True if yes else False if no else None)


def _spread(found: Any, size: int) -> list[Any]:
    return [found] * size if getattr(found, "ndim", 0) == 0 else list(found)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * (MAX_LENGTH // 2) + ")" * (MAX_LENGTH // 2), id="brackets"),
        pytest.param("-" * (MAX_LENGTH - 1) + "1", id="signs"),
        pytest.param("not " * (MAX_LENGTH // 4 - 2) + "True", id="negations"),
        pytest.param("floor > 1 or " * (MAX_LENGTH // 13 - 1) + "occupied", id="alternatives"),
        pytest.param("floor < " * (MAX_LENGTH // 8 - 1) + "floor", id="chain"),
        pytest.param("floor_label in (" + "'a'," * (MAX_LENGTH // 4 - 9) + ")", id="choices"),
        pytest.param("floor > " + "9" * (MAX_LENGTH - 10), id="digits"),
        pytest.param("9**9**9**9 > floor", id="powers"),
        pytest.param("'a' * 999999999 == floor_label", id="repetition"),
        pytest.param("x" * (10 * MAX_LENGTH), id="too long"),
    ],
)
def test_the_worst_texts_take_little_work(text: str) -> None:
    calls, refusal = 0, ""

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        compile_condition(text, KINDS["lift"])
    except ConfigError as error:
        refusal = error.reason
    finally:
        sys.setprofile(None)
    assert calls < MOST_CALLS
    assert len(refusal) < MAX_LENGTH

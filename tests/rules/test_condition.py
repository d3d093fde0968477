"""The expression language: what it says, what it refuses, and that it never runs anything."""

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS
from rules.condition import MAX_LENGTH, compile_condition


def judge(
    text: str,
    values: dict[str, Any] | None = None,
    previous: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    kind: str = "lift",
) -> Any:
    return compile_condition(text, KINDS[kind]).evaluate(values or {}, previous or {}, attributes or {})


@pytest.mark.parametrize(
    ("text", "values", "want"),
    [
        ("floor > 3", {"floor": 4}, True),
        ("floor > 3", {"floor": 3}, False),
        ("floor > 3", {}, None),
        ("floor > 3", {"floor": None}, None),
        ("0 <= floor < 10", {"floor": 9}, True),
        ("0 <= floor < 10", {"floor": 10}, False),
        ("-2 < floor", {"floor": -1}, True),
        ("door == 'open' and motion == 'running'", {"door": "open"}, None),
        ("door == 'open' and motion == 'running'", {"door": "closed"}, False),
        ("door == 'open' or motion == 'running'", {"door": "open"}, True),
        ("not occupied", {"occupied": False}, True),
        ("occupied", {"occupied": True}, True),
        ("occupied == True", {"occupied": True}, True),
        ("mode in ('normal', 'vip')", {"mode": "vip"}, True),
        ("mode not in ['normal', 'vip']", {"mode": "vip"}, False),
        ("floor in (-1, 2)", {"floor": -1}, True),
        ("abs(speed_mps - 2) * 2 >= 1 + 1", {"speed_mps": 1.0}, True),
        ("max(floor, trips) / 0 > 1", {"floor": 1, "trips": 2}, None),
        ("min(floor, trips, 5) == 1", {"floor": 1, "trips": 2}, True),
        ("known(floor)", {"floor": None}, False),
        ("not known(floor) or floor > 3", {}, True),
        ("door ==\n'open'", {"door": "open"}, True),
    ],
)
def test_an_expression_means_what_it_says(text: str, values: dict[str, Any] | None, want: bool | None) -> None:
    assert judge(text, values) is want


def test_previous_and_changed_are_unknown_for_a_first_value() -> None:
    text = "status == 'inactive' and previous.status != 'inactive'"
    assert judge(text, {"status": "inactive"}, {"status": None}, kind="public_lift") is None
    assert judge(text, {"status": "inactive"}, {"status": "active"}, kind="public_lift") is True
    assert judge(text, {"status": "inactive"}, {"reason": "x"}, kind="public_lift") is False
    assert judge("changed(floor)", {"floor": 3}, {"floor": None}) is None
    assert judge("changed(floor)", {"floor": 3}, {"floor": 2}) is True
    assert judge("changed(floor)", {"floor": 3}, {}) is False


@pytest.mark.parametrize(
    ("values", "previous", "want"),
    [
        ({"floor": 7}, {"floor": 2}, True),
        ({"floor": 6}, {"floor": 2}, False),
        ({"floor": 7}, {}, False),
        ({"floor": 7}, {"floor": None}, None),
        ({"floor": None}, {"floor": 2}, None),
        ({}, {}, None),
    ],
)
def test_change_is_the_latest_value_minus_the_one_before(
    values: dict[str, Any], previous: dict[str, Any], want: bool | None
) -> None:
    assert judge("change(floor) >= 5", values, previous) is want


@pytest.mark.parametrize(
    ("previous", "want"), [({"floor/min": 2.5}, True), ({"floor/min": -1.0}, False), ({"floor": 1}, None)]
)
def test_the_rate_is_what_the_window_has_ready(previous: dict[str, Any], want: bool | None) -> None:
    assert judge("rate_per_min(floor) > 2", {"floor": 9}, previous) is want


def test_a_condition_names_the_fields_whose_rate_it_asks_for() -> None:
    condition = compile_condition("rate_per_min(floor) > 2 and change(trips) > 0", KINDS["lift"])
    assert condition.rated == {"floor"}
    assert condition.fields == {"floor", "trips"}


@pytest.mark.parametrize(
    ("text", "attributes", "want"),
    [
        ("device.mount == 'cap'", {"mount": "cap"}, True),
        ("device.mount == 'cap'", {}, None),
        ("device.mount == 'cap'", {"mount": 3}, None),
        ("'cap' != device.mount", {"mount": "riser"}, True),
        ("device.mount in ('cap', 'main')", {"mount": ["cap"]}, None),
        ("device.limit * 2 > 3", {"limit": 2}, True),
        ("device.limit > 3", {"limit": "9"}, None),
        ("device.dry", {"dry": True}, True),
        ("device.dry", {"dry": "yes"}, None),
        ("known(device.dry)", {"dry": "yes"}, True),
    ],
)
def test_a_device_attribute_counts_where_its_type_fits(
    text: str, attributes: dict[str, Any], want: bool | None
) -> None:
    assert judge(text, {}, {}, attributes, kind="hydrant") is want


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pressure_mpa < 1", "a lift has no field 'pressure_mpa'"),
        ("previous.nothing == 1", "a lift has no field 'nothing'"),
        ("door == 3", "a text cannot equal a number"),
        ("door > 'a'", "a number is expected"),
        ("door == 'ajar'", "'ajar' is not one of open"),
        ("mode in ('normal', 'ajar')", "'ajar' is not one of"),
        ("mode in ('normal', 3)", "cannot equal"),
        ("mode in ()", "a list of literals"),
        ("mode in (door,)", "only literals"),
        ("'a' in mode", "a list of literals"),
        ("door == direction", "no value in common"),
        ("floor == True", "a number cannot equal true/false"),
        ("floor", "floor is a number, true/false is expected"),
        ("not floor", "true/false is expected"),
        ("occupied + 1 > 0", "a number is expected"),
        ("floor_label * 3 == 'aaa'", "a number is expected"),
        ("floor ** 2 > 1", "Pow|BinOp"),
        ("floor % 2 == 0", "BinOp"),
        ("floor // 2 == 0", "BinOp"),
        ("~floor > 0", "Invert"),
        ("floor is 3", "compare with == or !="),
        ("floor == None", "known"),
        ("floor == 1e999", "a number beyond"),
        ("floor == 99999999999999999999", "a number beyond"),
        (f"floor == {'9' * 400}", "a number beyond"),
        ("floor == 1j", "only numbers"),
        ("floor_label == b'a'", "only numbers"),
        ("f'{floor}' == 'a'", "JoinedStr"),
        ("__import__('os').system('x')", "Call"),
        ("open('x') == 1", "no function 'open'"),
        ("known(1)", "takes one field"),
        ("changed(previous.floor)", "takes one field"),
        ("change(previous.floor) > 0", r"change\(\) takes one field"),
        ("change(floor + 1) > 0", r"change\(\) takes one field"),
        ("change(device.floor) > 0", r"change\(\) takes one field"),
        ("change(door) > 0", "door is a text, change\\(\\) takes a field of numbers"),
        ("rate_per_min(occupied) > 0", "occupied is true/false"),
        ("rate_per_min() > 0", "takes one field"),
        ("rate_per_min(floor, trips) > 0", "takes one field"),
        ("change(floor)", "true/false is expected here"),
        ("abs(floor, 1) > 0", "takes one number"),
        ("max(floor) > 0", "takes two numbers"),
        ("max(*floor) > 0", "takes two numbers|Starred"),
        ("max(floor, key=abs) > 0", "Call"),
        ("floor.real > 0", "Attribute"),
        ("device.a.b > 0", "Attribute"),
        ("device.a == device.b", "two device attributes"),
        ("previous > 0", "no field 'previous'"),
        ("(lambda: 1)() > 0", "Call"),
        ("[x for x in (1,)] == 1", "ListComp"),
        ("(floor := 3) > 1", "NamedExpr"),
        ("floor if occupied else 1", "IfExp"),
        ("mode[0] == 'n'", "Subscript"),
        ("floor > 1; floor", "not an expression"),
        ("", "not an expression"),
        ("1or occupied", "not an expression"),
        ("occupied\x00", "not an expression"),
        ("floor_label == '\ud800'", "not an expression"),
        ("occupied # really\nand occupied", "a comment"),
        ("(" * 250 + "occupied" + ")" * 250, "not an expression"),
        ("not " * 40 + "occupied", "nested more than"),
        ("+".join(["floor"] * 40) + " > 1", "nested more than"),
        ("floor > 1 or " * 200 + "occupied", f"at most {MAX_LENGTH}"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        judge(text)


def test_the_place_of_an_error_is_its_column() -> None:
    with pytest.raises(ConfigError) as caught:
        judge("occupied and nothing > 3")
    assert caught.value.place == "column 14"


def test_the_fields_of_a_condition_are_those_it_looks_at() -> None:
    condition = compile_condition("floor > previous.trips or known(mode) or changed(door)", KINDS["lift"])
    assert condition.fields == {"floor", "trips", "mode", "door"}


_WORDS = st.sampled_from(
    [
        "floor",
        "door",
        "occupied",
        "previous.",
        "device.",
        "known(",
        "changed(",
        "change(",
        "rate_per_min(",
        "abs(",
        "max(",
        ")",
        "(",
        ",",
        "[",
        "]",
        "{",
        "}",
        "==",
        "!=",
        "<",
        ">",
        "<=",
        "in",
        "not",
        "and",
        "or",
        "is",
        "+",
        "-",
        "*",
        "/",
        "**",
        "%",
        "1",
        "0",
        "2.5",
        "'open'",
        '"x"',
        "'a",
        "True",
        "False",
        "None",
        ".",
        ":",
        ":=",
        "lambda",
        "if",
        "else",
        "for",
        "x",
        "__import__",
        "__class__",
        "__builtins__",
        "exec",
        "eval",
        "open",
        "f'",
        "b'",
        "\\",
        "\n",
        "#",
        ";",
        "@",
        "await",
        "yield",
        "*",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(_WORDS, max_size=25).map(" ".join)))
def test_any_text_is_a_condition_or_a_config_error_and_nothing_is_run(text: str) -> None:
    events = []
    _watch(events)
    try:
        condition = compile_condition(text, KINDS["lift"])
        truths = [condition.evaluate(values, {}, {}) for values in ({}, {"floor": 1, "door": "open", "occupied": True})]
        assert set(truths) <= {True, False, None}
    except ConfigError:
        pass
    finally:
        _watch(None)
    assert not events


_watched: list[list[str] | None] = [None]
_FORBIDDEN = ("exec", "open", "import", "os.", "subprocess.", "socket.", "marshal.")
_hooked = []


def _watch(events: list[str] | None) -> None:
    """Collect what the interpreter's audit tells of running, opening or importing (hooks cannot be taken off again)."""
    if not _hooked:
        sys.addaudithook(
            lambda name, _: (
                _watched[0].append(name) if _watched[0] is not None and name.startswith(_FORBIDDEN) else None
            )
        )
        _hooked.append(True)
    _watched[0] = events


def test_the_watch_would_see_code_that_runs() -> None:
    events = []
    _watch(events)
    try:
        eval("1 + 1")  # noqa: S307
    finally:
        _watch(None)
    assert "exec" in events

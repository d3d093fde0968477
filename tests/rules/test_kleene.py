"""The truth tables of three-valued logic, and arithmetic on what may be missing."""

import operator
from typing import Any

import pytest

from rules import kleene

T, F, U = True, False, None


def _constant(*values: Any) -> tuple[kleene.Term, ...]:
    return tuple(kleene.constant(value) for value in values)


def _judge(
    term: Any,
    values: dict[str, Any] | None = None,
    previous: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
) -> Any:
    return term(values or {}, previous or {}, attributes or {})


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (T, T, T, T), (T, F, F, T), (T, U, U, T),
        (F, T, F, T), (F, F, F, F), (F, U, F, U),
        (U, T, U, T), (U, F, F, U), (U, U, U, U),
    ],
)  # fmt: skip
def test_and_or_follow_kleene(a: Any, b: Any, both: Any, either: Any) -> None:
    assert _judge(kleene.conjunction(_constant(a, b))) is both
    assert _judge(kleene.disjunction(_constant(a, b))) is either


@pytest.mark.parametrize(("a", "opposite"), [(T, F), (F, T), (U, U)])
def test_not_follows_kleene(a: Any, opposite: Any) -> None:
    assert _judge(kleene.negation(kleene.constant(a))) is opposite


@pytest.mark.parametrize("sign", [*kleene.ORDER, *kleene.EQUALITY])
def test_a_comparison_with_a_missing_value_is_unknown(sign: str) -> None:
    compare = {**kleene.ORDER, **kleene.EQUALITY}[sign]
    for left, right in [(None, 1), (1, None), (None, None)]:
        assert _judge(kleene.comparison(compare, *_constant(left, right))) is None
    assert _judge(kleene.field_comparison(compare, "x", 1), {"x": None}) is None
    assert _judge(kleene.field_comparison(compare, "x", 1), {}) is None


def test_membership_of_a_missing_value_is_unknown_both_ways() -> None:
    for inside in (True, False):
        assert _judge(kleene.membership(kleene.latest("x"), frozenset("ab"), inside=inside)) is None
    assert _judge(kleene.membership(kleene.latest("x"), frozenset("ab"), inside=True), {"x": "a"}) is True
    assert _judge(kleene.membership(kleene.latest("x"), frozenset("ab"), inside=False), {"x": "a"}) is False


@pytest.mark.parametrize(
    ("calculate", "numbers"),
    [
        (operator.truediv, (1, 0)),
        (operator.truediv, (1.0, 0.0)),
        (operator.mul, (1e300, 1e300)),
        (operator.add, (10**400, 1.0)),
        (operator.add, (None, 1)),
        (max, (1, None)),
        (operator.add, ("a", 1)),
    ],
)
def test_a_calculation_without_a_number_for_result_is_unknown(calculate: Any, numbers: tuple[Any, ...]) -> None:
    assert _judge(kleene.calculation(calculate, _constant(*numbers))) is None


def test_known_is_never_unknown() -> None:
    assert _judge(kleene.known(kleene.latest("x")), {"x": False}) is True
    assert _judge(kleene.known(kleene.latest("x")), {"x": None}) is False
    assert _judge(kleene.known(kleene.latest("x"))) is False


def test_before_is_the_latest_value_where_the_last_reading_did_not_carry_the_field() -> None:
    assert _judge(kleene.before("x"), {"x": 2}, {"x": 1}) == 1
    assert _judge(kleene.before("x"), {"x": 2}, {"y": 1}) == 2
    assert _judge(kleene.before("x"), {"x": 2}, {"x": None}) is None


@pytest.mark.parametrize("value", ["1", True, None, float("nan"), float("inf"), [1], {}])
def test_only_finite_numbers_are_numbers(value: Any) -> None:
    assert _judge(kleene.as_number(kleene.attribute("x")), attributes={"x": value}) is None


def test_attributes_of_another_type_are_unknown() -> None:
    assert _judge(kleene.as_text(kleene.attribute("x")), attributes={"x": 1}) is None
    assert _judge(kleene.as_truth(kleene.attribute("x")), attributes={"x": 1}) is None
    assert _judge(kleene.as_truth(kleene.attribute("x")), attributes={"x": False}) is False


def test_a_value_of_a_former_kind_does_not_stop_the_engine() -> None:
    assert _judge(kleene.field_comparison(operator.lt, "x", 3), {"x": "closed"}) is None
    assert _judge(kleene.comparison(operator.lt, kleene.latest("x"), kleene.constant(3)), {"x": "closed"}) is None

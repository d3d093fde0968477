"""Three-valued terms as closures: True, False, or ``None`` for unknown. Pure; made once, called per reading.

A term takes ``(values, previous, attributes)``: the device's latest values, for the fields of the last reading the
values before it, and the device's attributes. A missing or null value makes what is computed from it unknown.
The types were checked when the rule was loaded; ``TypeError`` is caught all the same, since a window can outlive
a device's change of kind, and an old value must not stop the engine.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Protocol, TypeVar

from gridwarden.model import Value

T = TypeVar("T")
Term = Callable[[Mapping[str, Value], Mapping[str, Value], Mapping[str, Any]], Any]


class Algebra(Protocol[T]):
    """What terms are made of: these functions here, or others that mean the same over other values."""

    def constant(self, value: Value, /) -> T: ...  # noqa: D102
    def latest(self, name: str, /) -> T: ...  # noqa: D102
    def before(self, name: str, /) -> T: ...  # noqa: D102
    def rate(self, name: str, /) -> T: ...  # noqa: D102
    def attribute(self, name: str, /) -> T: ...  # noqa: D102
    def as_number(self, term: T, /) -> T: ...  # noqa: D102
    def as_text(self, term: T, /) -> T: ...  # noqa: D102
    def as_truth(self, term: T, /) -> T: ...  # noqa: D102
    def known(self, term: T, /) -> T: ...  # noqa: D102
    def negation(self, term: T, /) -> T: ...  # noqa: D102
    def conjunction(self, terms: tuple[T, ...], /) -> T: ...  # noqa: D102
    def disjunction(self, terms: tuple[T, ...], /) -> T: ...  # noqa: D102
    def comparison(self, compare: Callable[[Any, Any], bool], left: T, right: T, /) -> T: ...  # noqa: D102
    def field_comparison(self, compare: Callable[[Any, Any], bool], name: str, bound: Value, /) -> T: ...  # noqa: D102
    def membership(self, term: T, choices: frozenset[Value], /, *, inside: bool) -> T: ...  # noqa: D102
    def calculation(self, calculate: Callable[..., Any], terms: tuple[T, ...], /) -> T: ...  # noqa: D102


EQUALITY: dict[str, Callable[[Any, Any], bool]] = {"==": operator.eq, "!=": operator.ne}
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def constant(value: Value) -> Term:
    """``value``, always."""
    return lambda _values, _previous, _attributes: value


def latest(name: str) -> Term:
    """The latest value of a field."""
    return lambda values, _previous, _attributes: values.get(name)


def before(name: str) -> Term:
    """The value of a field before the last reading; a field that reading did not carry has not changed."""

    def term(values: Mapping[str, Value], previous: Mapping[str, Value], _attributes: Mapping[str, Any]) -> Value:
        return previous[name] if name in previous else values.get(name)

    return term


def rate(name: str) -> Term:
    """The change of a field per minute, between its last two known values; the window has it ready under this key."""
    key = f"{name}/min"
    return lambda _values, previous, _attributes: previous.get(key)


def attribute(name: str) -> Term:
    """An attribute of the device; its type is known only when it is read."""
    return lambda _values, _previous, attributes: attributes.get(name)


def as_number(term: Term) -> Term:
    """``term`` where it is a finite number, else unknown."""

    def number(*facts: Any) -> float | None:
        value = term(*facts)
        return value if type(value) is int or (type(value) is float and isfinite(value)) else None

    return number


def as_text(term: Term) -> Term:
    """``term`` where it is a text, else unknown."""

    def text(*facts: Any) -> str | None:
        value = term(*facts)
        return value if type(value) is str else None

    return text


def as_truth(term: Term) -> Term:
    """``term`` where it is true or false, else unknown."""

    def truth(*facts: Any) -> bool | None:
        value = term(*facts)
        return value if value is True or value is False else None

    return truth


def known(term: Term) -> Term:
    """Whether ``term`` has a value; never unknown itself."""
    return lambda values, previous, attributes: term(values, previous, attributes) is not None


def negation(term: Term) -> Term:
    """``not``: unknown stays unknown."""

    def negated(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
        truth = term(values, previous, attributes)
        return None if truth is None else not truth

    return negated


def instead_of_unknown(term: Term, truth: bool | None) -> Term:
    """``term``, with ``truth`` where it is unknown."""
    if truth is None:
        return term

    def decided(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
        known_truth = term(values, previous, attributes)
        return truth if known_truth is None else known_truth

    return decided


def conjunction(terms: tuple[Term, ...]) -> Term:
    """``and``: false if one is false, else unknown if one is unknown."""

    def all_of(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
        truth: bool | None = True
        for term in terms:
            one = term(values, previous, attributes)
            if one is False:
                return False
            if one is None:
                truth = None
        return truth

    return all_of


def disjunction(terms: tuple[Term, ...]) -> Term:
    """``or``: true if one is true, else unknown if one is unknown."""

    def any_of(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
        truth: bool | None = False
        for term in terms:
            one = term(values, previous, attributes)
            if one is True:
                return True
            if one is None:
                truth = None
        return truth

    return any_of


def comparison(compare: Callable[[Any, Any], bool], left: Term, right: Term) -> Term:
    """``left`` against ``right``; unknown where either is."""

    def compared(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
        a = left(values, previous, attributes)
        if a is None:
            return None
        b = right(values, previous, attributes)
        if b is None:
            return None
        try:
            return compare(a, b)
        except TypeError:
            return None

    return compared


def field_comparison(compare: Callable[[Any, Any], bool], name: str, bound: Value) -> Term:
    """The latest value of a field against a constant: most of all comparisons, so it has one call less."""

    def compared(values: Mapping[str, Value], _previous: Mapping[str, Value], _attributes: Mapping[str, Any]) -> Any:
        value = values.get(name)
        if value is None:
            return None
        try:
            return compare(value, bound)
        except TypeError:
            return None

    return compared


def membership(term: Term, choices: frozenset[Value], *, inside: bool) -> Term:
    """``in`` and ``not in``."""

    def member(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
        value = term(values, previous, attributes)
        return None if value is None else (value in choices) is inside

    return member


def calculation(calculate: Callable[..., Any], terms: tuple[Term, ...]) -> Term:
    """A number from numbers; unknown where one is unknown, and where there is no such number (division by zero)."""

    def calculated(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
        numbers = [term(values, previous, attributes) for term in terms]
        if None in numbers:
            return None
        try:
            number = calculate(*numbers)
            return number if isfinite(number) else None
        except (ZeroDivisionError, OverflowError, TypeError):
            return None

    return calculated

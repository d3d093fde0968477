"""The terms of conditions over columns: many rows at once, each row as :mod:`rules.kleene` judges it. Pure.

A column has one value a row and says itself where it is unknown: numbers are float64 with NaN, true/false is int8 with
-1, texts are int32 codes with -1. A term tells where it is true and where it is false, each only when it is asked:
what is neither is unknown, and ``when`` is mostly asked for the true ones alone.

Where a float cannot be trusted to say what Python's whole numbers would (beyond 2⁵³), and where a value is not of its
field's type, the rows are in doubt (:meth:`Rows.doubt`): only the scalar form can tell what is true of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, Literal, Protocol

import numpy as np

from gridwarden.model import Value
from rules.condition import MAX_NUMBER

Column = np.ndarray[Any, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
UNKNOWN = -1
"""In columns of truths and of text codes; unknown numbers are NaN."""

_INVERSE: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.lt: operator.ge, operator.le: operator.gt, operator.gt: operator.le, operator.ge: operator.lt,
    operator.eq: operator.ne, operator.ne: operator.eq,
}  # fmt: skip
_OVER_COLUMNS: dict[Callable[..., Any], Callable[..., Any]] = {
    min: lambda *numbers: reduce(np.minimum, numbers),
    max: lambda *numbers: reduce(np.maximum, numbers),
}


class Rows(Protocol):
    """What terms read."""

    size: int

    def latest(self, name: str) -> Column:
        """The latest value of a field."""
        ...

    def before(self, name: str) -> Column:
        """The value of a field before the row's reading."""
        ...

    def rate(self, name: str) -> Column:
        """The change of a field per minute."""
        ...

    def attribute(self, name: str, wanted: Literal["number", "text", "truth"]) -> Column:
        """An attribute of the row's device, unknown where it is of another type."""
        ...

    def has_attribute(self, name: str) -> Mask:
        """Where the row's device has an attribute, of whatever type."""
        ...

    def code(self, text: str) -> int:
        """What stands for ``text`` in columns of texts; never :data:`UNKNOWN`."""
        ...

    def doubt(self, where: Mask) -> None:
        """Hear of rows in which a number may not be what Python's would be."""
        ...


class Term:
    """What an expression is in each row."""

    def read(self, rows: Rows) -> Column:
        """Its values."""
        raise NotImplementedError

    def true(self, rows: Rows) -> Mask:
        """Where it is true."""
        mask: Mask = self.read(rows) == 1
        return mask

    def false(self, rows: Rows) -> Mask:
        """Where it is false."""
        mask: Mask = self.read(rows) == 0
        return mask

    def known(self, rows: Rows) -> Mask:
        """Where it has a value."""
        return is_known(self.read(rows))


class _Read(Term):
    """Values as they come."""

    def __init__(self, read: Callable[[Rows], Column]) -> None:
        self._read = read

    def read(self, rows: Rows) -> Column:
        return self._read(rows)


class _Attribute(Term):
    """An attribute of whatever type; it is read by one of the ``as_`` functions."""

    def __init__(self, name: str) -> None:
        self.name = name

    def known(self, rows: Rows) -> Mask:
        return rows.has_attribute(self.name)


class _Truth(Term):
    """What says by itself where it is true and where it is false."""

    def read(self, rows: Rows) -> Column:
        true, false = self.true(rows), self.false(rows)
        return np.where(true, np.int8(1), np.where(false, np.int8(0), np.int8(UNKNOWN)))

    def known(self, rows: Rows) -> Mask:
        return self.true(rows) | self.false(rows)


class _Known(_Truth):
    def __init__(self, term: Term) -> None:
        self._term = term

    def true(self, rows: Rows) -> Mask:
        return self._term.known(rows)

    def false(self, rows: Rows) -> Mask:
        return ~self._term.known(rows)


class _Negation(_Truth):
    def __init__(self, term: Term) -> None:
        self._term = term

    def true(self, rows: Rows) -> Mask:
        return self._term.false(rows)

    def false(self, rows: Rows) -> Mask:
        return self._term.true(rows)


class _Conjunction(_Truth):
    def __init__(self, terms: tuple[Term, ...]) -> None:
        self._terms = terms

    def true(self, rows: Rows) -> Mask:
        return reduce(operator.and_, (term.true(rows) for term in self._terms))

    def false(self, rows: Rows) -> Mask:
        return reduce(operator.or_, (term.false(rows) for term in self._terms))


class _Comparison(_Truth):
    def __init__(self, compare: Callable[[Any, Any], Any], left: Term, right: Term) -> None:
        self._compare = compare
        self._left, self._right = left, right

    def true(self, rows: Rows) -> Mask:
        return self._where(self._compare, rows)

    def false(self, rows: Rows) -> Mask:
        return self._where(_INVERSE[self._compare], rows)

    def _where(self, compare: Callable[[Any, Any], Any], rows: Rows) -> Mask:
        left, right = self._left.read(rows), self._right.read(rows)
        holds: Mask = compare(left, right)
        if left.dtype.kind == "f" and compare is not operator.ne:
            return holds  # with NaN nothing holds but !=
        return holds & is_known(left) & is_known(right)


class _Membership(_Truth):
    def __init__(self, term: Term, choices: frozenset[Value], *, inside: bool) -> None:
        self._term = term
        self._choices = tuple(constant(choice) for choice in choices)
        self._inside = inside

    def true(self, rows: Rows) -> Mask:
        return self._where(rows, inside=self._inside)

    def false(self, rows: Rows) -> Mask:
        return self._where(rows, inside=not self._inside)

    def _where(self, rows: Rows, *, inside: bool) -> Mask:
        values = self._term.read(rows)
        is_in: Mask = reduce(operator.or_, (values == choice.read(rows) for choice in self._choices))
        return is_in if inside else ~is_in & is_known(values)


class _Calculation(Term):
    def __init__(self, calculate: Callable[..., Any], terms: tuple[Term, ...]) -> None:
        self._calculate = _OVER_COLUMNS.get(calculate, calculate)
        self._terms = terms

    def read(self, rows: Rows) -> Column:
        with np.errstate(all="ignore"):
            numbers: Column = self._calculate(*(term.read(rows) for term in self._terms))
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        rows.doubt(np.abs(numbers) >= MAX_NUMBER)
        return numbers


def is_known(values: Column) -> Mask:
    """Where a column has a value."""
    known: Mask = values == values if values.dtype.kind == "f" else values >= 0  # noqa: PLR0124 - NaN is not itself
    return known


# ---- the algebra; what each function means stands in rules.kleene ------------------------------------------------


def constant(value: Value) -> Term:
    """See :func:`rules.kleene.constant`."""
    if isinstance(value, bool):
        truth = np.int8(value)
        return _Read(lambda _rows: truth)  # type: ignore[arg-type, return-value] # a number stands for a column of it
    if isinstance(value, str):
        return _Read(lambda rows: np.int32(rows.code(value)))  # type: ignore[arg-type, return-value]
    number = np.float64(value if value is not None else np.nan)
    return _Read(lambda _rows: number)  # type: ignore[arg-type, return-value]


def latest(name: str) -> Term:
    """See :func:`rules.kleene.latest`."""
    return _Read(lambda rows: rows.latest(name))


def before(name: str) -> Term:
    """See :func:`rules.kleene.before`."""
    return _Read(lambda rows: rows.before(name))


def rate(name: str) -> Term:
    """See :func:`rules.kleene.rate`."""
    return _Read(lambda rows: rows.rate(name))


def attribute(name: str) -> Term:
    """See :func:`rules.kleene.attribute`."""
    return _Attribute(name)


def _coerced(term: Term, wanted: Literal["number", "text", "truth"]) -> Term:
    if not isinstance(term, _Attribute):
        return term  # everything else has the type it was checked for
    name = term.name
    return _Read(lambda rows: rows.attribute(name, wanted))


def as_number(term: Term) -> Term:
    """See :func:`rules.kleene.as_number`."""
    return _coerced(term, "number")


def as_text(term: Term) -> Term:
    """See :func:`rules.kleene.as_text`."""
    return _coerced(term, "text")


def as_truth(term: Term) -> Term:
    """See :func:`rules.kleene.as_truth`."""
    return _coerced(term, "truth")


def known(term: Term) -> Term:
    """See :func:`rules.kleene.known`."""
    return _Known(term)


def negation(term: Term) -> Term:
    """See :func:`rules.kleene.negation`."""
    return _Negation(term)


def conjunction(terms: tuple[Term, ...]) -> Term:
    """See :func:`rules.kleene.conjunction`."""
    return _Conjunction(terms)


def disjunction(terms: tuple[Term, ...]) -> Term:
    """See :func:`rules.kleene.disjunction`."""
    return _Negation(_Conjunction(tuple(_Negation(term) for term in terms)))


def comparison(compare: Callable[[Any, Any], bool], left: Term, right: Term) -> Term:
    """See :func:`rules.kleene.comparison`."""
    return _Comparison(compare, left, right)


def field_comparison(compare: Callable[[Any, Any], bool], name: str, bound: Value) -> Term:
    """See :func:`rules.kleene.field_comparison`."""
    return _Comparison(compare, latest(name), constant(bound))


def membership(term: Term, choices: frozenset[Value], *, inside: bool) -> Term:
    """See :func:`rules.kleene.membership`."""
    return _Membership(term, choices, inside=inside)


def calculation(calculate: Callable[..., Any], terms: tuple[Term, ...]) -> Term:
    """See :func:`rules.kleene.calculation`."""
    return _Calculation(calculate, terms)

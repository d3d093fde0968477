"""The expression language of rules: a small part of Python's expression syntax, checked when it is loaded. Pure.

``pressure_mpa < 0.14 and (not known(device.mount) or device.mount != 'cap')``

- a field of the kind (its latest value), ``previous.<field>``, ``device.<attribute>``, numbers, strings, True, False
- comparisons and chains of them, ``in`` / ``not in`` a list of literals, ``and or not``, ``+ - * /``
- ``abs(x)  min(x, y)  max(x, y)``, ``known(field)``, ``changed(field)``
- ``change(field)``: the latest value minus the one before; ``rate_per_min(field)``: the change per minute between the
  last two known values

Kleene's logic: what is computed from a missing or null value is unknown, ``False and unknown`` is False,
``True or unknown`` is True. Only True breaches and only True clears. Nothing of the text is ever run as Python:
its syntax tree is read node by node and every node not named here is refused. One compiler reads the tree into terms
of an :class:`Algebra`: scalar closures (``kleene``) for one device at a time, columns (``columns``) for many rows at once.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic

from gridwarden.errors import ConfigError
from gridwarden.kinds import FieldType, Kind
from gridwarden.model import Value
from rules import kleene
from rules.kleene import Algebra, T, Term
from rules.syntax import MAX_DEPTH, MAX_LENGTH, parse, refused

MAX_NUMBER = 2**53
"""Largest number that may be written: beyond it a float no longer holds every integer."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression ready to be judged."""

    text: str
    fields: frozenset[str]
    """Every field it looks at, now or before."""
    evaluate: Term
    """``(values, previous, attributes)`` to True, False or ``None`` (unknown)."""
    rated: frozenset[str] = frozenset()
    """Fields whose change per minute it asks for: the window keeps it for these, see :func:`rules.kleene.rate`."""


class _Type(StrEnum):
    TRUTH = "true/false"
    NUMBER = "a number"
    TEXT = "a text"
    ANY = "a device attribute"


_OF_FIELD = {
    FieldType.BOOL: _Type.TRUTH,
    FieldType.INT: _Type.NUMBER,
    FieldType.FLOAT: _Type.NUMBER,
    FieldType.ENUM: _Type.TEXT,
    FieldType.TEXT: _Type.TEXT,
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_CALCULATE: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_CALLS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}
_OF_ONE_FIELD = ("known", "changed", "change", "rate_per_min")


@dataclass(frozen=True, slots=True)
class _Typed(Generic[T]):
    """A term, and what is known of it before any reading."""

    type: _Type
    term: T
    choices: tuple[str, ...] = ()
    """What a text can be, where that is a closed list."""
    field: str = ""
    """The field whose latest value it is, where it is just that."""
    literal: Value = None
    """The constant, where it is one."""


def compile_condition(text: str, kind: Kind) -> Condition:
    """The condition written in ``text`` for devices of ``kind``.

    Raises:
        ConfigError: not in the language, a field the kind does not have, types that cannot be compared; the place is
            the column.
    """
    if len(text) > MAX_LENGTH:
        raise ConfigError(f"{len(text)} characters; at most {MAX_LENGTH} are read")
    compiler = _Compiler(kind, kleene)
    term = compiler.truth(parse(text))
    return Condition(text, frozenset(compiler.fields), term, frozenset(compiler.rated))


def compile_with(algebra: Algebra[T], condition: Condition, kind: Kind) -> T:
    """The terms of another algebra for a condition that has been compiled for devices of ``kind``."""
    return _Compiler(kind, algebra).truth(parse(condition.text, 2 * MAX_DEPTH))


class _Compiler(Generic[T]):
    """Reads one syntax tree; remembers the fields it met."""

    def __init__(self, kind: Kind, algebra: Algebra[T]) -> None:
        self._kind = kind
        self._algebra = algebra
        self._coerce = {
            _Type.TRUTH: algebra.as_truth, _Type.NUMBER: algebra.as_number, _Type.TEXT: algebra.as_text,
        }  # fmt: skip
        self.fields: set[str] = set()
        self.rated: set[str] = set()

    def truth(self, node: ast.expr) -> T:
        """The term of ``node``, which must be true or false."""
        return self._expect(node, _Type.TRUTH).term

    def _number(self, node: ast.expr) -> T:
        return self._expect(node, _Type.NUMBER).term

    def _expect(self, node: ast.expr, wanted: _Type) -> _Typed[T]:
        typed = self._typed(node)
        if typed.type is _Type.ANY:
            return _Typed(wanted, self._coerce[wanted](typed.term))
        if typed.type is not wanted:
            raise refused(node, f"{ast.unparse(node)} is {typed.type.value}, {wanted.value} is expected here")
        return typed

    def _typed(self, node: ast.expr) -> _Typed[T]:
        match node:
            case ast.Constant():
                return self._literal(node)
            case ast.Name():
                return self._field(node, node.id, self._algebra.latest, is_latest=True)
            case ast.Attribute(value=ast.Name(id="previous")):
                return self._field(node, node.attr, self._algebra.before)
            case ast.Attribute(value=ast.Name(id="device")):
                return _Typed(_Type.ANY, self._algebra.attribute(node.attr))
        return self._operation(node)

    def _operation(self, node: ast.expr) -> _Typed[T]:
        match node:
            case ast.BoolOp():
                terms = tuple(self.truth(value) for value in node.values)
                join = self._algebra.conjunction if isinstance(node.op, ast.And) else self._algebra.disjunction
                return _Typed(_Type.TRUTH, join(terms))
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp() if type(node.op) in _CALCULATE:
                calculate = kleene.ARITHMETIC[_CALCULATE[type(node.op)]]
                terms = (self._number(node.left), self._number(node.right))
                return _Typed(_Type.NUMBER, self._algebra.calculation(calculate, terms))
            case ast.Compare():
                return self._chain(node)
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                return self._call(node, name)
        raise refused(node, f"{type(node).__name__} is not part of the rule language")

    def _literal(self, node: ast.Constant) -> _Typed[T]:
        value = node.value
        if isinstance(value, bool):
            return _Typed(_Type.TRUTH, self._algebra.constant(value), literal=value)
        if isinstance(value, str):
            return _Typed(_Type.TEXT, self._algebra.constant(value), literal=value)
        if isinstance(value, int | float):
            if abs(value) > MAX_NUMBER:  # infinity too; other than isfinite this takes any whole number
                raise refused(node, f"a number beyond {MAX_NUMBER}")
            return _Typed(_Type.NUMBER, self._algebra.constant(value), literal=value)
        if value is None:
            raise refused(node, "None is no value; ask known(field)")
        raise refused(node, "only numbers, texts, True and False can be written")

    def _field(self, node: ast.expr, name: str, read: Callable[[str], T], *, is_latest: bool = False) -> _Typed[T]:
        field = self._kind.fields.get(name)
        if field is None:
            raise refused(node, f"a {self._kind.name} has no field {name!r}")
        self.fields.add(name)
        return _Typed(_OF_FIELD[field.type], read(name), field.choices, name if is_latest else "")

    def _unary(self, node: ast.UnaryOp) -> _Typed[T]:
        if isinstance(node.op, ast.Not):
            return _Typed(_Type.TRUTH, self._algebra.negation(self.truth(node.operand)))
        if not isinstance(node.op, ast.USub | ast.UAdd):
            raise refused(node, f"{type(node.op).__name__} is not part of the rule language")
        operand = self._expect(node.operand, _Type.NUMBER)
        sign = operator.neg if isinstance(node.op, ast.USub) else operator.pos
        if isinstance(operand.literal, int | float):
            value = sign(operand.literal)
            return _Typed(_Type.NUMBER, self._algebra.constant(value), literal=value)
        return _Typed(_Type.NUMBER, self._algebra.calculation(sign, (operand.term,)))

    def _chain(self, node: ast.Compare) -> _Typed[T]:
        operands = [node.left, *node.comparators]
        links = tuple(
            self._link(op, left, right) for op, left, right in zip(node.ops, operands, operands[1:], strict=False)
        )
        return _Typed(_Type.TRUTH, links[0] if len(links) == 1 else self._algebra.conjunction(links))

    def _link(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> T:
        if isinstance(op, ast.In | ast.NotIn):
            return self._membership(left, right, inside=isinstance(op, ast.In))
        sign = _COMPARE.get(type(op))
        if sign is None:
            raise refused(left, f"{type(op).__name__} is not part of the rule language; compare with == or !=")
        if sign in kleene.ORDER:
            return self._compared(
                kleene.ORDER[sign], self._expect(left, _Type.NUMBER), self._expect(right, _Type.NUMBER)
            )
        a, b = self._alike(left, right)
        return self._compared(kleene.EQUALITY[sign], a, b)

    def _alike(self, left: ast.expr, right: ast.expr) -> tuple[_Typed[T], _Typed[T]]:
        """Both sides of ``==``, of one type."""
        a, b = self._typed(left), self._typed(right)
        if a.type is _Type.ANY and b.type is _Type.ANY:
            raise refused(left, "two device attributes: compare an attribute with a field or a literal")
        if a.type is _Type.ANY:
            return _Typed(b.type, self._coerce[b.type](a.term)), b
        if b.type is _Type.ANY:
            return a, _Typed(a.type, self._coerce[a.type](b.term))
        _check_equal(left, a, b)
        return a, b

    def _membership(self, left: ast.expr, right: ast.expr, *, inside: bool) -> T:
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
            raise refused(right, "after 'in' a list of literals is expected, such as ('test', 'muted')")
        value = self._typed(left)
        choices = [self._typed(element) for element in right.elts]
        if value.type is _Type.ANY:
            value = _Typed(choices[0].type, self._coerce.get(choices[0].type, self._algebra.as_text)(value.term))
        for element, choice in zip(right.elts, choices, strict=True):
            if choice.literal is None:
                raise refused(element, "after 'in' only literals are expected")
            _check_equal(element, value, choice)
        return self._algebra.membership(value.term, frozenset(choice.literal for choice in choices), inside=inside)

    def _compared(self, compare: Callable[[Any, Any], bool], left: _Typed[T], right: _Typed[T]) -> T:
        if left.field and right.literal is not None:
            return self._algebra.field_comparison(compare, left.field, right.literal)
        return self._algebra.comparison(compare, left.term, right.term)

    def _call(self, node: ast.Call, name: str) -> _Typed[T]:
        if name in _CALLS:
            if (len(node.args) != 1) if name == "abs" else (len(node.args) < 2):  # noqa: PLR2004
                raise refused(node, f"{name}() takes {'one number' if name == 'abs' else 'two numbers or more'}")
            terms = tuple(self._number(argument) for argument in node.args)
            return _Typed(_Type.NUMBER, self._algebra.calculation(_CALLS[name], terms))
        if name not in _OF_ONE_FIELD:
            raise refused(node, f"no function {name!r}; there are {', '.join((*_CALLS, *_OF_ONE_FIELD))}")
        if len(node.args) != 1 or not isinstance(node.args[0], ast.Name | ast.Attribute):
            raise refused(node, f"{name}() takes one field")
        subject = self._typed(node.args[0])
        if name == "known":
            return _Typed(_Type.TRUTH, self._algebra.known(subject.term))
        if not subject.field:
            raise refused(node, f"{name}() takes one field")
        return self._of_field(node, name, subject)

    def _of_field(self, node: ast.Call, name: str, subject: _Typed[T]) -> _Typed[T]:
        """What is asked of how a field has come to its latest value."""
        if name == "changed":
            terms = (subject.term, self._algebra.before(subject.field))
            return _Typed(_Type.TRUTH, self._algebra.comparison(operator.ne, *terms))
        if subject.type is not _Type.NUMBER:
            raise refused(node, f"{subject.field} is {subject.type.value}, {name}() takes a field of numbers")
        if name == "change":
            terms = (subject.term, self._algebra.before(subject.field))
            return _Typed(_Type.NUMBER, self._algebra.calculation(operator.sub, terms))
        self.rated.add(subject.field)
        return _Typed(_Type.NUMBER, self._algebra.rate(subject.field))


def _check_equal(node: ast.expr, a: _Typed[Any], b: _Typed[Any]) -> None:
    """Refuse what can never be equal: another type, or a choice that does not exist."""
    if a.type is not b.type:
        raise refused(node, f"{a.type.value} cannot equal {b.type.value}")
    for one, other in ((a, b), (b, a)):
        if one.choices and isinstance(other.literal, str) and other.literal not in one.choices:
            raise refused(node, f"{other.literal!r} is not one of {', '.join(one.choices)}")
    if a.choices and b.choices and not set(a.choices) & set(b.choices):
        raise refused(node, "these two fields have no value in common")

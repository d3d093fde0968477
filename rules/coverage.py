"""Which rules, and which branches of their conditions, the tests have touched. Pure but for what it counts.

A branch is one outcome (true, false) of one part of a condition: a comparison, a call, a bare field, and each whole
``and`` or ``or``. A part that was never reached because another one decided has neither. Of a ``clear`` that was not
written only its coming true counts, since it is the opposite of ``when``.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from gridwarden.kinds import KINDS, Kind
from gridwarden.model import Value
from rules import kleene
from rules.condition import Condition, compile_condition
from rules.kleene import Term
from rules.rule import Head, Level, Rule, RuleSet, judging
from rules.syntax import MAX_DEPTH, parse

FIRED, OVER = "fires", "is over"


class Branch(NamedTuple):
    """One outcome of one part of one condition, or one turn of an alarm's life."""

    rule_id: str
    place: str
    """The key in the rule file; empty for what an alarm does."""
    text: str
    outcome: bool

    def __str__(self) -> str:
        if not self.place:
            return f"never {self.text}"
        return f"{self.place}: {self.text} is never {str(self.outcome).lower()}"


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """What the tests have touched of one rule."""

    rule_id: str
    branches: int
    untouched: tuple[Branch, ...]

    @property
    def touched(self) -> int:
        """How many of the branches."""
        return self.branches - len(self.untouched)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the tests have touched of all rules under test."""

    rules: tuple[RuleCoverage, ...] = ()

    @property
    def branches(self) -> int:
        """How many there are."""
        return sum(rule.branches for rule in self.rules)

    @property
    def touched(self) -> int:
        """How many of them were touched."""
        return sum(rule.touched for rule in self.rules)

    @property
    def percent(self) -> float:
        """Share of the branches that were touched, rounded down to a tenth: 100 is all of them."""
        return 1000 * self.touched // self.branches / 10 if self.branches else 100.0

    @property
    def never_fired(self) -> tuple[str, ...]:
        """Rules that no case made fire."""
        return tuple(rule.rule_id for rule in self.rules if Branch(rule.rule_id, "", FIRED, True) in rule.untouched)


@dataclass
class Watch:
    """Counts, while tests run, what is touched."""

    _branches: dict[str, dict[Branch, None]] = field(default_factory=dict)
    _touched: defaultdict[str, set[Branch]] = field(default_factory=lambda: defaultdict(set))

    def watched(self, rules: RuleSet) -> RuleSet:
        """The same rules, whose conditions tell how they come out."""
        return RuleSet(tuple(self._watched(rule) for rule in rules.all))

    def fired(self, rule_id: str) -> None:
        """A case has made this rule fire."""
        self._touched[rule_id].add(Branch(rule_id, "", FIRED, True))

    def over(self, rule_id: str) -> None:
        """An alarm of this rule was over."""
        self._touched[rule_id].add(Branch(rule_id, "", OVER, True))

    def coverage(self) -> Coverage:
        """What was touched so far."""
        return Coverage(
            tuple(
                RuleCoverage(rule_id, len(all_), tuple(one for one in all_ if one not in self._touched[rule_id]))
                for rule_id, all_ in sorted(self._branches.items())
            )
        )

    def _watched(self, rule: Head) -> Head:
        if not rule.enabled:
            return rule
        life = (Branch(rule.id, "", FIRED, True), Branch(rule.id, "", OVER, True))
        self._branches.setdefault(rule.id, {}).update(dict.fromkeys(life))
        if not isinstance(rule, Rule):
            return rule
        opposite = rule.clear.text == _opposite(rule.when)
        levels = tuple(self._level(rule, number, level) for number, level in enumerate(rule.levels, start=1))
        return judging(
            rule,
            when=self._condition(rule, "when", rule.when),
            clear=rule.clear if opposite else self._condition(rule, "clear", rule.clear),
            first=rule.first and self._condition(rule, "first", rule.first),
            suppressed=rule.suppressed and self._condition(rule, "suppressed_when", rule.suppressed),
            levels=levels,
        )

    def _level(self, rule: Rule, number: int, level: Level) -> Level:
        place = f"levels.{number}"
        reset = level.reset
        if reset.text != _opposite(level.when):
            reset = self._condition(rule, f"{place}.reset", reset)
        return replace(level, when=self._condition(rule, f"{place}.when", level.when), reset=reset)

    def _condition(self, rule: Rule, place: str, condition: Condition) -> Condition:
        term = self._term(parse(condition.text, 2 * MAX_DEPTH), rule.id, place, KINDS[rule.kind])
        return replace(condition, evaluate=term)

    def _term(self, node: ast.expr, rule_id: str, place: str, kind: Kind) -> Term:
        match node:
            case ast.UnaryOp(op=ast.Not()):
                return kleene.negation(self._term(node.operand, rule_id, place, kind))
            case ast.BoolOp():
                join = kleene.conjunction if isinstance(node.op, ast.And) else kleene.disjunction
                term = join(tuple(self._term(part, rule_id, place, kind) for part in node.values))
            case _:
                term = compile_condition(ast.unparse(node), kind).evaluate
        return self._telling(term, rule_id, place, ast.unparse(node))

    def _telling(self, term: Term, rule_id: str, place: str, text: str) -> Term:
        outcomes = {outcome: Branch(rule_id, place, text, outcome) for outcome in (True, False)}
        self._branches[rule_id].update(dict.fromkeys(outcomes.values()))
        touched = self._touched[rule_id]

        def told(values: Mapping[str, Value], previous: Mapping[str, Value], attributes: Mapping[str, Any]) -> Any:
            truth = term(values, previous, attributes)
            if truth is not None:
                touched.add(outcomes[truth])
            return truth

        return told


def _opposite(when: Condition) -> str:
    return f"not ({when.text})"


def as_rows(coverage: Coverage) -> list[tuple[str, int, int, str]]:
    """Rule, branches touched, branches, percent; the last row is the sum."""
    rows = [(rule.rule_id, rule.touched, rule.branches) for rule in coverage.rules]
    rows.append(("all", coverage.touched, coverage.branches))
    return [(name, touched, of, f"{1000 * touched // of / 10 if of else 100:g} %") for name, touched, of in rows]


def untouched(coverage: Coverage) -> Iterator[Branch]:
    """All that no test has touched."""
    return (branch for rule in coverage.rules for branch in rule.untouched)

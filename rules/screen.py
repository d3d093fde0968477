"""Which rows of a chunk can change anything for a device of which no alarm is pending or firing. Pure.

While nothing is active a reading changes something only where it begins an alarm, and that only where a starter of a
rule is true. All other rows need not be shown to the engine.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gridwarden.kinds import KINDS
from rules import columns
from rules.columns import Mask, Term
from rules.condition import Condition, compile_with
from rules.device_rows import Alone, DeviceRows
from rules.filled import Filled
from rules.rule import Rule
from rules.written import Late


class Screen:
    """The screen of the enabled rules of one kind."""

    def __init__(self, rules: Iterable[Rule], kind: str) -> None:
        self._kind = KINDS[kind]
        starters: dict[tuple[str, bool], Term] = {}
        alone: dict[tuple[str, bool], Term] = {}
        for rule in rules:
            for condition in rule.starters:
                starters[condition.text, rule.unknown_begins] = self._term(condition)
            if rule.late is Late.EVALUATE or rule.life_safety:
                alone[rule.when.text, False] = self._term(rule.when)
        self._starters = tuple((term, unknown) for (_, unknown), term in starters.items())
        self._alone = tuple((term, unknown) for (_, unknown), term in alone.items())

    def stirs(self, rows: Filled) -> Mask:
        """The rows that may begin an alarm."""
        return _any_of(self._starters, rows)

    def stirs_alone(self, rows: Alone) -> Mask:
        """The same for rows that are judged by themselves."""
        return _any_of(self._alone, rows)

    def _term(self, condition: Condition) -> Term:
        return compile_with(columns, condition, self._kind)


def _any_of(terms: Iterable[tuple[Term, bool]], rows: DeviceRows) -> Mask:
    stirs = np.zeros(rows.size, bool)
    for term, unknown in terms:
        stirs |= ~term.false(rows) if unknown else term.true(rows)  # type: ignore[arg-type] # one of its two subclasses
    return stirs if rows.doubtful is None else stirs | rows.doubtful

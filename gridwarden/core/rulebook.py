"""Which rules are in force, in the records' own words: every version is kept, every change of them is in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from gridwarden.model import Change, Operation
from gridwarden.records.transaction import RuleText, Transaction
from rules.rule import RuleSet

REMEMBERED = "rules"
"""Name under which the records remember the rules in force: rule id to version."""


def announce(
    rules: RuleSet, transaction: Transaction, changes: Iterable[Mapping[str, Any]], actor: str | None = None
) -> None:
    """Write into ``transaction`` that ``rules`` are in force from now on, and what that changes."""
    versions = {rule.id: rule.version for rule in rules.all}
    detail = {"version": rules.version, "rules": len(rules), "changes": [dict(change) for change in changes]}
    transaction.changes.append(Change(Operation.RULES_LOADED, transaction.at_ms, actor=actor, detail=detail))
    transaction.remembered[REMEMBERED] = to_json(versions).decode()
    transaction.rule_texts += [RuleText(rule.id, rule.version, rule.kind, dict(rule.content)) for rule in rules.all]


def announce_start(rules: RuleSet, remembered: Mapping[str, str], transaction: Transaction) -> bool:
    """Like :func:`announce`, if these are not the rules of the last time; whether they are others."""
    before: dict[str, str] = from_json(remembered.get(REMEMBERED, "{}"))
    after = {rule.id: rule.version for rule in rules.all}
    if before == after:
        return False
    changes = [{"rule": rule_id, "what": _what(before.get(rule_id), after.get(rule_id))}
               for rule_id in sorted(before.keys() | after.keys())
               if before.get(rule_id) != after.get(rule_id)]  # fmt: skip
    announce(rules, transaction, changes)
    return True


def _what(before: str | None, after: str | None) -> str:
    if before is None:
        return "added"
    return "changed" if after else "removed"

"""Which rules are in force is told once, kept in full, and told again only when they are others."""

from __future__ import annotations

from typing import Any

from gridwarden.core.rulebook import announce_start
from gridwarden.records.transaction import Transaction
from rules.load import read_rules
from rules.rule import RuleSet

PLAIN: dict[str, Any] = {
    "name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "medium", "category": "fault", "when": "floor > 3",
}  # fmt: skip


def rules(*names: str, **keys: Any) -> RuleSet:
    written = [{**PLAIN, **keys, "id": f"lift.{name}"} for name in names]
    return RuleSet(tuple(read_rules({"kind": "lift", "rules": written})))


def test_a_first_start_tells_every_rule_and_a_second_one_nothing(site: Any) -> None:
    first = Transaction(1)
    assert announce_start(rules("a", "b"), {}, first)
    assert first.changes[0].detail["changes"] == [
        {"rule": "lift.a", "what": "added"},
        {"rule": "lift.b", "what": "added"},
    ]
    site.commit(first)
    assert not announce_start(rules("a", "b"), site.writer.start().remembered, Transaction(2))


def test_a_later_start_tells_what_is_new_gone_and_changed(site: Any) -> None:
    first, later = Transaction(1), Transaction(2)
    announce_start(rules("a", "b"), {}, first)
    site.commit(first)
    assert announce_start(rules("b", "c", severity="low"), site.writer.start().remembered, later)
    assert later.changes[0].detail["changes"] == [
        {"rule": "lift.a", "what": "removed"}, {"rule": "lift.b", "what": "changed"}, {"rule": "lift.c", "what": "added"},
    ]  # fmt: skip


def test_every_version_is_kept_as_it_stood(site: Any) -> None:
    old, new = rules("a"), rules("a", severity="low")
    for at_ms, one in enumerate((old, new, old)):
        transaction = Transaction(at_ms)
        announce_start(one, site.writer.start().remembered, transaction)
        site.commit(transaction)
    reader = site.reader()
    texts = [reader.rule_text("lift.a", one.by_id["lift.a"].version) for one in (old, new)]
    reader.close()
    assert [(text.kind, text.content["severity"], text.content["when"]) for text in texts if text] == [
        ("lift", "medium", "floor > 3"), ("lift", "low", "floor > 3"),
    ]  # fmt: skip
    assert reader.rule_text("lift.a", "none") is None

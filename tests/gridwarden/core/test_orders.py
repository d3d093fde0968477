"""Rules are taken anew by a command: all of them or none, and what that changes is answered and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gridwarden.core import orders as module
from gridwarden.core.orders import Orders
from gridwarden.errors import NotFound, Refused, Unavailable
from gridwarden.office.snapshot import Registry
from gridwarden.records.transaction import Transaction
from rules.load import load

RULES = """
kind: lift
rules:
  - {id: lift.high, name: {zh: a, en: a}, source: ours, severity: low, category: fault, when: floor > 3}
"""


class Records:
    """The records as orders know them, in this loop."""

    failing = False

    def __init__(self, site: Any) -> None:
        self.site = site

    async def read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def pending(self) -> list[Transaction]:
        return []


@asynccontextmanager
async def working(site: Any, path: Path) -> AsyncIterator[Orders]:
    """Orders at work over a site; what is submitted is durable at once."""

    def submit(transaction: Transaction) -> None:
        site.commit(transaction)
        for answer in transaction.answers:
            orders.reply(answer.command_id, answer.body)

    async def read_registry() -> Registry:
        return Registry()

    orders = Orders(Records(site), site.writer, submit, read_registry, lambda: load([path]))  # type: ignore[arg-type]
    task = asyncio.create_task(orders.carry_out(site.judge), name="orders")
    yield orders
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    path = tmp_path / "lift.yaml"
    path.write_text(RULES)
    return path


async def test_other_rules_come_into_force_and_the_same_ones_change_nothing(
    make_site: Callable[..., Any], rule_file: Path
) -> None:
    site = make_site(rules=load([rule_file]))
    async with working(site, rule_file) as orders:
        site.hear({"device": "LIFT-1", "at": 1_800_000_000_000, "values": {"floor": 5}})
        assert (await orders.ask("c1", "rules", {"actor": "me"}))["applied"] is False
        rule_file.write_text(RULES.replace("floor > 3", "floor > 4"))
        tried = await orders.ask("c2", "rules", {"actor": "me", "dry_run": True})
        assert (tried["applied"], [change["what"] for change in tried["changes"]]) == (False, ["changed"])
        assert site.judge.rules.by_id["lift.high"].content["when"] == "floor > 3"
        applied = await orders.ask("c3", "rules", {"actor": "me"})
        assert (applied["applied"], applied["changes"]) == (True, tried["changes"])
        assert await orders.ask("c3", "rules", {"actor": "me"}) == applied
    (alarm,) = site.writer.start().alarms
    assert (alarm.state, alarm.rule_version) == ("firing", site.judge.rules.by_id["lift.high"].version)
    reader = site.reader()
    loaded = [(entry.operation, entry.actor) for entry in reader.journal(0) if entry.operation == "rules.loaded"]
    reader.close()
    assert loaded == [("rules.loaded", "me")]


async def test_a_file_that_cannot_be_used_leaves_the_rules_as_they_are(
    make_site: Callable[..., Any], rule_file: Path
) -> None:
    site = make_site(rules=load([rule_file]))
    before = site.judge.rules
    rule_file.write_text(RULES.replace("floor > 3", "flor > 3"))
    async with working(site, rule_file) as orders:
        with pytest.raises(Refused, match="no field 'flor'"):
            await orders.ask("c1", "rules", {"actor": "me"})
        with pytest.raises(NotFound):
            await orders.ask("c2", "dance", {})
    assert site.judge.rules is before


async def test_too_many_commands_are_refused_at_once_and_none_is_half_done(
    make_site: Callable[..., Any], rule_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_LIMIT", 2)
    async with working(make_site(), rule_file) as orders:
        asked = [asyncio.create_task(orders.ask(f"k{number}", "registry", {"version": 1})) for number in range(4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [dict, dict, Unavailable, Unavailable]

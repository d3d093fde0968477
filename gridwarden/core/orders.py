"""Commands on their way through core: each waits its turn, is carried out once, and answered after its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gridwarden.core.commands import COMMANDS, Desk, look_up
from gridwarden.core.committer import Committer
from gridwarden.core.judge import Judge
from gridwarden.errors import ConfigError, NotFound, RecordsUnavailable, Refused, Unavailable
from gridwarden.model import Change, Operation
from gridwarden.office.snapshot import Registry
from gridwarden.records.transaction import Answer, Transaction
from gridwarden.records.writer import Writer
from rules.difference import difference
from rules.groups import Population
from rules.rule import RuleSet

WAITING_LIMIT = 1_000
"""Commands that may wait."""
Reply = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """A command that waits, and who waits for its answer."""

    command_id: str
    name: str
    params: dict[str, Any]
    answer: asyncio.Future[Reply]


class Orders:
    """One command after the other, beside the work: one that waits for the disk holds up no alarm.

    Args:
        committer: what runs in the records' thread, and what is not yet durable.
        writer: the records.
        submit: takes a transaction that a command has become.
        read_registry: takes over what web has written.
        read_rules: reads the rule files anew; called in a thread; raises ConfigError.
    """

    def __init__(
        self,
        committer: Committer,
        writer: Writer,
        submit: Callable[[Transaction], None],
        read_registry: Callable[[], Awaitable[Registry]],
        read_rules: Callable[[], RuleSet],
    ) -> None:
        self._committer = committer
        self._writer = writer
        self._submit = submit
        self._read_registry = read_registry
        self._read_rules = read_rules
        self._asked: asyncio.Queue[Asked] = asyncio.Queue(WAITING_LIMIT)
        self._answering: dict[str, asyncio.Future[Reply]] = {}

    @property
    def answering(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._answering)

    async def ask(self, command_id: str, name: str, params: dict[str, Any]) -> Reply:
        """The answer to a command, once what it does is durable.

        Raises:
            NotFound: there is no such command, or not what it is about.
            Refused: it cannot be done as things stand.
            Unavailable: nothing was done; it may be asked again.
        """
        if name not in COMMANDS and name not in {"registry", "rules"}:
            raise NotFound("no_such_command", name)
        if self._committer.failing:
            raise RecordsUnavailable("the records cannot commit; nothing was done")
        answer = self._answering.get(command_id)
        if answer is None:
            if self._asked.full():
                raise Unavailable("too many commands wait; nothing was done")
            answer = asyncio.get_running_loop().create_future()
            self._answering[command_id] = answer
            self._asked.put_nowait(Asked(command_id, name, params, answer))
        return await asyncio.shield(answer)

    def reply(self, command_id: str, reply: Reply | Refused | Unavailable) -> None:
        """Answer whoever waits for this command, if anybody does."""
        answer = self._answering.pop(command_id, None)
        if answer is None:
            return
        if isinstance(reply, dict):
            answer.set_result(reply)
        else:
            answer.set_exception(reply)
            answer.exception()  # it was looked at, even if the one who asked is gone

    async def carry_out(self, judge: Judge) -> None:
        """Carry out commands until cancelled."""
        while True:
            asked = await self._asked.get()
            try:
                await self._carry_out(asked, judge)
            except (Refused, Unavailable) as error:
                self.reply(asked.command_id, error)

    async def _carry_out(self, asked: Asked, judge: Judge) -> None:
        family = _family(asked, judge)
        found = await self._committer.read(look_up, self._writer, asked.command_id, asked.params, family)
        # Something was committed, or one case adopted another, between the look and now.
        while found.offset < self._writer.offset or family != _family(asked, judge):
            family = _family(asked, judge)
            found = await self._committer.read(look_up, self._writer, asked.command_id, asked.params, family)
        if found.answer is not None:
            self.reply(asked.command_id, found.answer)
        elif asked.name == "rules":
            await self._reload_rules(asked, judge)
        elif asked.name == "registry":
            await self._take_registry(asked, judge)
        else:
            desk = Desk(judge, found, self._committer.pending())
            try:
                transaction, answer = COMMANDS[asked.name](desk, asked.params)
            except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
                raise Refused("bad_parameters", str(error)) from error
            if transaction is None:
                self.reply(asked.command_id, answer)
            else:
                self._answer(asked, transaction, answer)

    def _answer(self, asked: Asked, transaction: Transaction, answer: Reply) -> None:
        """With the transaction, so that it is given when that is durable, and again if the command is repeated."""
        transaction.answers.append(Answer(asked.command_id, answer))
        self._submit(transaction)

    async def _take_registry(self, asked: Asked, judge: Judge) -> None:
        registry = await self._read_registry()
        detail = {"version": registry.version, "devices": registry.registered}
        transaction = Transaction(judge.clock.now_ms())
        transaction.changes.append(Change(Operation.REGISTRY_CHANGED, transaction.at_ms, detail=detail))
        self._answer(asked, transaction, detail)

    async def _reload_rules(self, asked: Asked, judge: Judge) -> None:
        """All or nothing: a file that cannot be used leaves the rules as they are."""
        try:
            rules = await asyncio.to_thread(self._read_rules)
        except ConfigError as error:
            raise Refused("bad_rules", str(error)) from error
        changes = [change.facts() for change in difference(judge.rules, rules)]
        answer = {"version": rules.version, "before": judge.rules.version, "changes": changes}
        if asked.params.get("dry_run") or not changes:
            self.reply(asked.command_id, {**answer, "applied": False})
        else:
            population = await asyncio.to_thread(Population, rules, judge.devices)
            transaction = judge.reload(rules, changes, str(asked.params.get("actor", "")), population)
            self._answer(asked, transaction, {**answer, "applied": True})


def _family(asked: Asked, judge: Judge) -> tuple[str, ...]:
    """The event a command is about, and those that it has adopted."""
    event_id = asked.params.get("event_id")
    return judge.cases.family(event_id) if isinstance(event_id, str) else ()

"""Core at work: sessions in, judgement, commits, the link. One loop, no lock on the way of an alarm."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from gridwarden.cases.book import CaseBook
from gridwarden.clock import Clock, ReplayClock, SystemClock
from gridwarden.config import Broker, Config
from gridwarden.core.commands import COMMANDS, Desk
from gridwarden.core.committer import Committer, add_up
from gridwarden.core.judge import Judge
from gridwarden.core.windows import Windows
from gridwarden.errors import NotFound, RecordsUnavailable, Refused
from gridwarden.link import LinkServer, socket_path
from gridwarden.model import Change, Operation
from gridwarden.office.snapshot import Registry, read_registry
from gridwarden.records.transaction import Answer, Tally, Transaction
from gridwarden.records.writer import Committed, Start, Writer
from ingest.intake import Bounds
from ingest.mqtt import sessions
from ingest.session import Lane, Message, Session
from rules.engine import Engine
from rules.rule import RuleSet

OFFICE_FILE = "office.db"
SNAPSHOT_EVERY_S = 0.5
BLOCKS_KEPT_MS = 3_600_000
"""Blocks stay this long even when everybody has followed them: for recounts and rebuilt followers."""
ALARM_RESERVE = 0.9
"""Share of the spool's quota that telemetry may fill; the rest is kept for alarms."""
FOLLOWERS = ("history",)
"""Who must have followed a block before it may go."""
_COMMANDS_WAITING = 1_000
_log = structlog.get_logger("core")


class Core:
    """Everything of the core process; ``run`` is its life."""

    def __init__(self, config: Config, brokers: Sequence[Broker], rules: RuleSet) -> None:
        self._config = config
        self._rules = rules
        self._clock: Clock = ReplayClock() if config.clock == "replay" else SystemClock()
        self._writer = Writer(config.data)
        self._arrived = asyncio.Event()
        self._committer = Committer(self._writer, self._announce, self._committed)
        self._link = LinkServer(self._answer, self._hear)
        self._asked: asyncio.Queue[tuple[str, str, dict[str, Any], asyncio.Future[dict[str, Any]]]] = asyncio.Queue(
            _COMMANDS_WAITING
        )
        self._answering: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._totals: dict[tuple[str, str], Tally] = {}
        self._followed: dict[str, int] = dict.fromkeys(FOLLOWERS, 0)
        self._registry = Registry()
        self._spool_bytes = 0
        self._spool_full = False
        self._snapshot_due_s = 0.0
        self._sessions: list[Session] = [one for broker in brokers for one in sessions(broker, self._arrived)]
        self._judge: Judge

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Start where the records stop, then work until cancelled."""
        async with AsyncExitStack() as stack:
            stack.callback(self._writer.close)
            stack.callback(self._committer.close)
            await self._start()
            await stack.enter_async_context(self._link.serve(socket_path(self._config.data, "core")))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._committer.run(), name="core-commit")
                tasks.create_task(self._work(), name="core-work")
                for session in self._sessions:
                    tasks.create_task(session.run(), name=f"session-{session.name}")
                if ready:
                    ready.set()

    async def _start(self) -> None:
        start: Start = await self._committer.read(self._writer.start)
        self._totals = start.ledger
        self._followed |= start.followers
        self._spool_bytes = start.spool_bytes
        windows = Windows()
        observed = await self._committer.read(_restore_windows, windows, self._writer)
        ingest = self._config.ingest
        bounds = Bounds(
            ingest.max_payload_bytes, ingest.max_ahead_s * 1000,
            ingest.max_leap_s * 1000 if self._config.clock == "replay" else None, ingest.unbound_devices,
        )  # fmt: skip
        engine = Engine(self._rules)
        engine.restore(start.alarms)
        cases = CaseBook(self._config.site.time_zone, start.events, start.counters)
        self._judge = Judge(self._rules, engine, cases, windows, self._clock, bounds)
        self._clock.observe(windows.latest_at_ms())
        await self._read_registry()
        _log.info(
            "core starts", offset=start.offset, active_alarms=len(start.alarms), open_events=len(start.events),
            windows=len(windows), observed_again=observed, devices=len(self._registry.devices), rules=len(self._rules),
        )  # fmt: skip

    # --- work ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Commands, timers, alarms, telemetry: in this order, again and again."""
        while True:
            await self._wait()
            self._arrived.clear()
            await self._carry_out_commands()
            self._advance()
            self._take(Lane.ALARM)
            if self._waiting(Lane.TELEMETRY) and self._telemetry_welcome():
                await asyncio.sleep(self._config.ingest.tick_ms / 1000)
                self._take(Lane.ALARM)
                self._take(Lane.TELEMETRY)
                self._advance()
            if self._waiting(Lane.ALARM) or (self._waiting(Lane.TELEMETRY) and self._telemetry_welcome()):
                self._arrived.set()

    async def _wait(self) -> None:
        """Until a message, a command, a timer, or a commit that makes room."""
        wake_ms = self._judge.engine.next_wake_ms()
        timeout_s = 1.0
        if wake_ms is not None and isinstance(self._clock, SystemClock):
            timeout_s = min(timeout_s, max(0.0, (wake_ms - self._clock.now_ms()) / 1000))
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            pass

    def _waiting(self, lane: Lane) -> int:
        return sum(session.waiting for session in self._sessions if session.lane is lane)

    def _telemetry_welcome(self) -> bool:
        """Not while commits lag (the next batch only grows) or the spool is down to the alarms' reserve."""
        return self._committer.waiting < 2 and not self._committer.failing and not self._spool_full  # noqa: PLR2004

    def _take(self, lane: Lane) -> None:
        messages: list[Message] = []
        for session in self._sessions:
            if session.lane is lane:
                messages += session.take(self._config.ingest.batch_messages - len(messages))
        if messages:
            self._submit(self._judge.batch(messages))

    def _advance(self) -> None:
        transaction = self._judge.advance()
        if transaction:
            self._submit(transaction)

    def _submit(self, transaction: Transaction) -> None:
        now_s = asyncio.get_running_loop().time()
        if transaction.rows and now_s >= self._snapshot_due_s:
            self._snapshot_due_s = now_s + SNAPSHOT_EVERY_S
            transaction.snapshot = self._judge.windows.snapshot()
            transaction.followers = dict(self._followed)
            transaction.trim_through = min(*self._judge.windows.offsets, *self._followed.values())
            transaction.trim_before_ms = SystemClock().now_ms() - BLOCKS_KEPT_MS
        self._committer.submit(transaction)

    def _committed(self, transaction: Transaction, committed: Committed) -> None:
        add_up(self._totals, transaction)
        if transaction.snapshot:
            self._judge.windows.offsets[transaction.snapshot.shard] = committed.offset
        self._count_spool(committed.spool_bytes)
        for answer in transaction.answers:
            waiting = self._answering.pop(answer.command_id, None)
            if waiting and not waiting.done():
                waiting.set_result(answer.body)
        self._link.wake(committed.offset, committed.first_seq + len(transaction.changes) - 1)
        self._arrived.set()

    def _count_spool(self, added: int) -> None:
        self._spool_bytes += added
        full = self._spool_bytes >= self._config.spool.quota_bytes * ALARM_RESERVE
        if full != self._spool_full:
            self._spool_full = full
            _log.error("spool is full: telemetry is not acknowledged" if full else "spool has room again",
                       spool_bytes=self._spool_bytes, followed=self._followed)  # fmt: skip

    # --- link ---------------------------------------------------------------------------------------------------

    def _announce(self, changes: list[dict[str, Any]]) -> None:
        self._link.push({"provisional": changes})

    def _hear(self, frame: dict[str, Any]) -> None:
        for name, offset in frame.get("followed", {}).items():
            if name in FOLLOWERS and isinstance(offset, int):
                self._followed[name] = max(self._followed[name], offset)

    async def _answer(self, command_id: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        if name == "status":
            return self.status()
        if name != "registry" and name not in COMMANDS:
            raise NotFound("no_such_command", name)
        if self._committer.failing or self._asked.full():
            raise RecordsUnavailable("the records cannot commit; nothing was done")
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait((command_id, name, params, waiting))
        self._arrived.set()
        return await waiting

    async def _carry_out_commands(self) -> None:
        while not self._asked.empty():
            command_id, name, params, waiting = self._asked.get_nowait()
            try:
                await self._committer.drained()
                answer = await self._committer.read(self._writer.answer, command_id)
                if answer is not None:
                    waiting.set_result(answer)
                elif name == "registry":
                    await self._registry_changed(command_id, waiting)
                else:
                    self._carry_out(command_id, name, params, waiting)
            except (Refused, RecordsUnavailable) as error:
                waiting.set_exception(error)

    def _carry_out(
        self, command_id: str, name: str, params: dict[str, Any], waiting: asyncio.Future[dict[str, Any]]
    ) -> None:
        try:
            transaction, answer = COMMANDS[name](Desk(self._judge, self._writer), params)
        except (KeyError, ValueError, TypeError) as error:
            raise Refused("bad_parameters", str(error)) from error
        transaction.answers.append(Answer(command_id, answer))
        self._answering[command_id] = waiting
        self._submit(transaction)

    async def _registry_changed(self, command_id: str, waiting: asyncio.Future[dict[str, Any]]) -> None:
        await self._read_registry()
        transaction = Transaction(self._clock.now_ms())
        detail = {"version": self._registry.version, "devices": len(self._registry.devices)}
        transaction.changes.append(Change(Operation.REGISTRY_CHANGED, transaction.at_ms, detail=detail))
        transaction.answers.append(Answer(command_id, detail))
        self._answering[command_id] = waiting
        self._submit(transaction)

    async def _read_registry(self) -> None:
        path = self._config.data / OFFICE_FILE
        newer: Registry | None = await asyncio.to_thread(read_registry, path, self._registry.version)
        self._registry = newer or self._registry
        self._judge.devices = self._registry.devices

    def status(self) -> dict[str, Any]:
        """The ledger and the state of the intake, live."""
        lanes = [
            {"broker": broker, "lane": lane, "received": tally.received, **asdict(tally)}
            for (broker, lane), tally in sorted(self._totals.items())
        ]
        in_flight = self._committer.in_flight()
        sessions = [
            {"name": session.name, "broker": session.broker, "lane": session.lane, "connected": session.connected,
             "waiting": session.waiting, "redelivered": session.redelivered, "not_covered": session.not_covered}
            for session in self._sessions
        ]  # fmt: skip
        return {
            "received": sum(tally.received for tally in self._totals.values()) + in_flight,
            **{name: sum(getattr(tally, name) for tally in self._totals.values()) for name in
               ("stored", "duplicate", "dead_lettered", "quarantined", "unchecked")},
            "in_flight": in_flight,
            "redelivered": sum(session.redelivered for session in self._sessions),
            "waiting_messages": sum(session.waiting for session in self._sessions),
            "lanes": lanes,
            "sessions": sessions,
            "spool": {"bytes": self._spool_bytes, "quota_bytes": self._config.spool.quota_bytes, "full": self._spool_full},
            "records": "failing" if self._committer.failing else "ok",
            "clock_at_ms": self._clock.now_ms(),
            "evaluations": self._judge.engine.evaluations,
            "unverified_suppressed": self._judge.engine.unverified_suppressed,
            "registry_version": self._registry.version,
        }  # fmt: skip


def _restore_windows(windows: Windows, writer: Writer) -> int:
    for shard, offset, body in writer.shards():
        windows.load(shard, offset, body)
    return windows.replay(writer.blocks_after(min(windows.offsets)))


def office_file(data: Path) -> Path:
    """Where web keeps its registry."""
    return data / OFFICE_FILE

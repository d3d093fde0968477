"""Core at work: sessions in, judgement, commits, the link. One loop, no lock on the way of an alarm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
from pydantic_core import to_json

from gridwarden import failpoints
from gridwarden.cases.book import CaseBook
from gridwarden.clock import Clock, ReplayClock, SystemClock
from gridwarden.config import Broker, Config
from gridwarden.core.committer import Committer
from gridwarden.core.copies import copy_records
from gridwarden.core.health import Health
from gridwarden.core.judge import Judge
from gridwarden.core.ledger import Totals
from gridwarden.core.logbook import Logbook
from gridwarden.core.losses import restore_windows, state_damage
from gridwarden.core.measures import Measures
from gridwarden.core.newcomers import Newcomers
from gridwarden.core.notices import Notices
from gridwarden.core.orders import Orders
from gridwarden.core.quieter import restored
from gridwarden.core.rulebook import announce_start
from gridwarden.core.shelf import Shelf, limits_of
from gridwarden.core.sources import Sources
from gridwarden.core.timekeeper import Timekeeper, boot_id
from gridwarden.core.windows import Windows
from gridwarden.errors import RecordsUnavailable
from gridwarden.link import LinkServer, socket_path
from gridwarden.office.snapshot import Registry, read_registry
from gridwarden.platform import own_devices, speaks
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Committed, Start, Writer
from gridwarden.resident import processor_s, resident_mb
from ingest.intake import Bounds
from ingest.mqtt import sessions
from ingest.outbox import Outbox
from ingest.session import Lane, Message
from ingest.stale import forget_stale
from rules.engine import Engine
from rules.groups import Population
from rules.load import load as load_rules
from rules.rule import RuleSet

OFFICE_FILE = "office.db"
SESSIONS_FILE = "sessions.json"
"""The client ids in use: a filter taken out of the configuration takes its session at the broker along."""
SNAPSHOT_EVERY_S = 0.5
HURRY_S = 0.05
"""The same while the spool is full: blocks may go only when every shard has passed them."""
BLOCKS_KEPT_MS = 3_600_000
"""Blocks stay this long even when everybody has followed them, unless room gets scarce: for rebuilt followers."""
SCARCE = 0.5
"""Share of the spool's quota beyond which blocks that everybody has followed go at once."""
ALARM_RESERVE = 0.9
"""Share of the spool's quota that telemetry may fill; the rest is kept for alarms."""
FOLLOWERS = ("history",)
"""Who must have followed a block before it may go."""
COMMITS_WAITING = 2
"""Transactions that may wait for the disk before no more telemetry is taken: the next batch only grows."""
NOTICES_EVERY_S = 1.0
"""A gateway is told so often at most what was wrong with its messages."""
ALARMS_WAITING_LIMIT = 100_000
"""Messages that may wait for records that cannot commit. What a broker keeps comes again with each connection."""
PROVISIONAL_STEP = 100
"""Provisional changes in one line of the link, which is bounded."""
_log = structlog.get_logger("core")


class Core:
    """Everything of the core process; ``run`` is its life."""

    def __init__(self, config: Config, brokers: Sequence[Broker], rules: RuleSet) -> None:
        self._config = config
        self._rules = rules
        self._clock: Clock = ReplayClock() if config.clock == "replay" else SystemClock()
        self._writer = Writer(config.data, limits_of(config))
        self._shelf = Shelf(config.aside)
        self._arrived = asyncio.Event()
        self._committer = Committer(self._writer, self._announce, self._committed)
        self._link = LinkServer(self._answer, self._hear, self._greet)
        self._orders = Orders(self._committer, self._writer, self._submit, self._read_registry, self._read_rules)
        self._newcomers = Newcomers(self._committer, self._writer, self._submit)
        self._timekeeper = Timekeeper(boot_id())
        self._offset = 0
        self._trimmed = 0
        self._totals = Totals()
        self._followed: dict[str, int] = dict.fromkeys(FOLLOWERS, 0)
        self._own = own_devices(config, (broker.name for broker in brokers))
        self._registry = Registry(0, self._own, len(self._own))
        self._told = False
        """Whether the followers have told where they stand: one that was reset needs blocks that it had before."""
        self._spool_bytes = 0
        self._spool_full = False
        self._snapshot_due_s = 0.0
        self._brokers = brokers
        self._sources = Sources(
            [one for broker in brokers for one in sessions(broker, self._arrived)],
            (broker.name for broker in brokers if broker.hold_after_connect_s > 0),
            config.ingest.batch_messages,
        )
        self._outboxes = {broker.name: Outbox(broker) for broker in brokers if broker.errors}
        self._notices = Notices(self._outboxes)
        self._measures = Measures()
        self._logbook = Logbook()
        self._started_at_ms = 0
        self._health = Health(
            config.health.every_s, config.data, [broker.name for broker in brokers], self.status, self._worst, self._spool_at_ms, self._clock.now_ms, self._arrived.set
        )  # fmt: skip
        self._judge: Judge

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Start where the records stop, then work until cancelled."""
        async with AsyncExitStack() as stack:
            stack.callback(self._writer.close)
            stack.callback(self._committer.close)
            await self._start()
            await forget_stale(self._config.data / SESSIONS_FILE, self._brokers)
            self._advance()  # before any command: an alarm whose rule is gone ends first
            await stack.enter_async_context(self._link.serve(socket_path(self._config.data, "core")))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._committer.run(), name="core-commit")
                tasks.create_task(self._work(), name="core-work")
                tasks.create_task(self._orders.carry_out(self._judge), name="core-commands")
                tasks.create_task(self._newcomers.run(self._judge), name="core-newcomers")
                tasks.create_task(self._tell_gateways(), name="core-notices")
                for name, outbox in self._outboxes.items():
                    tasks.create_task(outbox.run(), name=f"outbox-{name}")
                if speaks(self._config):
                    tasks.create_task(self._health.run(), name="core-health")
                for session in self._sources.sessions:
                    tasks.create_task(session.run(), name=f"session-{session.name}")
                if ready:
                    ready.set()

    async def _start(self) -> None:
        start: Start = await self._committer.read(self._writer.start)
        self._offset = start.offset
        self._trimmed = start.trimmed
        self._totals = Totals(start.ledger)
        self._followed |= start.followers  # shown until they speak for themselves; nothing goes on the word of then
        self._spool_bytes = start.spool_bytes
        self._shelf.take(start.aside)
        windows = Windows()
        windows.use(self._rules)
        observed = await self._committer.read(restore_windows, windows, self._writer)
        ingest = self._config.ingest
        bounds = Bounds(
            ingest.max_payload_bytes, ingest.max_ahead_s * 1000,
            ingest.max_leap_s * 1000 if self._config.clock == "replay" else None, ingest.unbound_devices,
        )  # fmt: skip
        engine = Engine(self._rules)
        cases = CaseBook(self._config.site.time_zone, start.events, start.counters)
        self._clock.observe(windows.latest_at_ms())
        now_ms = self._started_at_ms = self._clock.now_ms()
        quiet = await self._committer.read(restored, self._rules, start, self._writer, now_ms)
        self._judge = Judge(self._rules, engine, cases, windows, self._clock, bounds, self._had_alarm, quiet)
        self._judge.restore([*start.alarms, *start.resolved], start.remembered)
        self._judge.sources = self._sources
        self._timekeeper.restore(start.remembered)
        self._judge.leapt_ms = self._timekeeper.leapt_ms
        self._notice_step()  # it may have been set while we were away
        self._judge.gateways.restore(start.ledger)
        self._judge.known_letters = self._known_letters
        self._judge.past_ms = ingest.past_after_s * 1000
        await self._read_registry()
        self._judge.parents.correlator.restore(start.alarms, self._registry.devices)
        loaded = Transaction(self._clock.now_ms())
        self._judge.losses.restore(start.remembered)
        await self._committer.read(state_damage, windows, self._writer, start, self._judge.losses, loaded)
        if announce_start(self._rules, start.remembered, loaded) or loaded.changes:
            self._submit(loaded)
        _log.info(
            "core starts", offset=start.offset, active_alarms=len(start.alarms), open_events=cases.open_count,
            windows=len(windows), observed_again=observed, devices=self._registry.registered, rules=len(self._rules),
        )  # fmt: skip

    def _had_alarm(self, alarm_id: str) -> bool:
        return self._writer.alarm(alarm_id) is not None

    def _known_letters(self, keys: Collection[str]) -> set[str]:
        """Those of ``keys`` that are kept, or will be."""
        # In this order, for what is committed in between.
        waiting = {letter.key for one in self._committer.pending() for letter in one.dead_letters} & set(keys)
        try:
            return waiting | self._writer.known_letters(keys)
        except RecordsUnavailable:
            return waiting  # those that are kept count once more, and are not kept twice

    # --- work ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Timers, alarms, telemetry: in this order, again and again."""
        while True:
            await self._wait()
            self._arrived.clear()
            self._notice_step()
            self._advance()
            more = self._take_alarms()
            self._judge_batch(self._health.door.take(1))
            if self._sources.waiting(Lane.TELEMETRY) and self._telemetry_welcome():
                await asyncio.sleep(self._config.ingest.tick_ms / 1000)
                more |= self._take_alarms()
                more |= self._take(Lane.TELEMETRY)
                self._advance()
            self._make_room()
            if more:
                self._arrived.set()
            await asyncio.sleep(0)  # the commit and the sockets get their turn between two batches

    def _notice_step(self) -> None:
        """What waits goes on waiting as long as it would have, when the clock of this machine is set."""
        if not isinstance(self._clock, SystemClock):
            return
        step_ms = self._timekeeper.look(self._clock.now_ms(), time.monotonic_ns() // 1_000_000)
        if step_ms:
            _log.warning("the clock was set", step_ms=step_ms)
            self._judge.engine.clock_stepped(step_ms)
            self._health.stepped(step_ms)

    async def _wait(self) -> None:
        """Until a message, a timer, or a commit that makes room."""
        timeout_s = HURRY_S if self._can_make_room() else 1.0
        if self._judge.listener.busy:
            timeout_s = 0.0
        wake_ms = self._judge.next_wake_ms()
        if wake_ms is not None and isinstance(self._clock, SystemClock):
            timeout_s = min(timeout_s, max(0.0, (wake_ms - self._clock.now_ms()) / 1000))
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            pass

    def _telemetry_welcome(self) -> bool:
        """Not while commits lag (the next batch only grows) or the spool is down to the alarms' reserve."""
        lagging = self._committer.waiting >= COMMITS_WAITING
        return not (lagging or self._committer.failing or self._spool_full)

    def _take_alarms(self) -> bool:
        return self._committer.messages_waiting < ALARMS_WAITING_LIMIT and self._take(Lane.ALARM)

    def _take(self, lane: Lane) -> bool:
        """Judge one batch of a lane; whether there was one, so that there may be more."""
        messages = self._sources.take(lane)
        if messages:
            failpoints.reach("receive.after")
        return self._judge_batch(messages)

    def _judge_batch(self, messages: list[Message]) -> bool:
        if not messages:
            return False
        began_s = time.perf_counter()
        transaction = self._judge.batch(messages)
        transaction.judged_s = time.perf_counter() - began_s
        if messages[0].session is not self._health.door:
            self._measures.judged(messages, transaction.at_ms, transaction.judged_s)
        self._submit(transaction)
        return True

    def _advance(self) -> None:
        transaction = self._judge.advance()
        if transaction:
            self._submit(transaction)

    def _submit(self, transaction: Transaction) -> None:
        now_s = asyncio.get_running_loop().time()
        if (transaction.rows or self._spool_full) and now_s >= self._snapshot_due_s:
            self._snapshot_due_s = now_s + (HURRY_S if self._spool_full else SNAPSHOT_EVERY_S)
            self._keep_house(transaction)
        self._sources.count_redelivered(transaction)
        self._judge.remember(transaction)
        self._timekeeper.remember(transaction)
        self._committer.submit(transaction)

    def _keep_house(self, transaction: Transaction) -> None:
        """With ``transaction``: the snapshot of one shard, and an end to blocks that nobody needs any more."""
        transaction.snapshot = self._judge.windows.snapshot()
        transaction.followers = dict(self._followed)
        if self._told:
            transaction.trim_through = min(*self._judge.windows.offsets, *self._followed.values())
        now_ms = self._clock.now_ms()
        transaction.keeps_house = self._shelf.is_due(now_ms)
        scarce = self._spool_bytes >= self._config.spool.quota_bytes * SCARCE
        transaction.trim_before_ms = now_ms + 1 if scarce else now_ms - BLOCKS_KEPT_MS

    def _can_make_room(self) -> bool:
        """Whether the spool is full and housekeeping would help: its followers have passed blocks that are there."""
        idle = not self._committer.waiting and not self._committer.failing
        return self._spool_full and idle and min(self._followed.values()) > self._trimmed

    def _make_room(self) -> None:
        """While a full spool keeps telemetry out there may be no transaction that could trim it."""
        if self._can_make_room() and asyncio.get_running_loop().time() >= self._snapshot_due_s:
            self._submit(Transaction(self._clock.now_ms()))

    def _committed(self, transaction: Transaction, committed: Committed) -> None:
        self._offset = committed.offset
        self._trimmed = max(self._trimmed, committed.trimmed)
        self._totals.add(transaction)
        self._notices.take(transaction.faults)
        self._measures.committed(transaction, self._clock.now_ms(), self._committer.took_s)
        self._logbook.committed(transaction, committed, self._committer.took_s)
        if transaction.snapshot:
            self._judge.windows.offsets[transaction.snapshot.shard] = committed.offset
        self._count_spool(committed.spool_bytes)
        self._shelf.take(committed.aside)
        for answer in transaction.answers:
            self._orders.reply(answer.command_id, answer.body)
        self._link.wake(committed.offset, committed.first_seq + len(transaction.changes) - 1)
        self._arrived.set()

    async def _tell_gateways(self) -> None:
        """Tell each gateway what was wrong with its messages, once a second at most."""
        while True:
            await asyncio.sleep(NOTICES_EVERY_S)
            for faults in self._notices.due():
                self._outboxes[faults.broker].put(faults.topic, to_json(faults.body()))

    def _count_spool(self, added: int) -> None:
        self._spool_bytes += added
        full = self._spool_bytes >= self._config.spool.quota_bytes * ALARM_RESERVE
        if full != self._spool_full:
            self._spool_full = full
            _log.error("spool is full: telemetry is not acknowledged" if full else "spool has room again",
                       spool_bytes=self._spool_bytes, followed=self._followed)  # fmt: skip

    # --- link ---------------------------------------------------------------------------------------------------

    def _announce(self, changes: list[dict[str, Any]]) -> None:
        self._logbook.provisional(changes)
        for frame in _provisional_frames(changes):
            self._link.push(frame)

    def _greet(self) -> list[dict[str, Any]]:
        """What a web that comes (again) must know and cannot read in the records."""
        return _provisional_frames(self._committer.announced())

    def _hear(self, frame: dict[str, Any]) -> None:
        self._health.hear(frame.get("health"))
        followed = frame.get("followed")
        for name, offset in followed.items() if isinstance(followed, dict) else ():
            if name in FOLLOWERS and type(offset) is int:
                # Its word counts, also when it goes back: a rebuilt follower needs its blocks again.
                self._followed[name] = min(max(0, offset), self._offset)
                self._told = True

    async def _answer(self, command_id: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        if name == "copy":
            return await copy_records(self._committer, self._writer, params)
        return self.status() if name == "status" else await self._orders.ask(command_id, name, params)

    def _read_rules(self) -> RuleSet:
        return load_rules(self._config.rules, shipped_packs=self._config.shipped_packs)

    async def _read_registry(self) -> Registry:
        path = self._config.data / OFFICE_FILE
        newer: Registry | None = await asyncio.to_thread(read_registry, path, self._registry.version, self._own)
        if newer is not None:
            population = await asyncio.to_thread(Population, self._judge.rules, newer.devices)
            before = self._registry.devices
            new = await asyncio.to_thread(lambda: [name for name in newer.devices if name not in before])
            self._registry = newer
            self._judge.devices = newer.devices
            self._newcomers.registered(new)
            self._judge.parents.correlator.population = population
        self._judge.devices = self._registry.devices
        return self._registry

    def _worst(self) -> dict[str, float]:
        """The worst of the interval that is over; what waits now counts as much as what was taken."""
        worst = self._measures.interval()
        worst["commit_slowest_s"] = max(worst["commit_slowest_s"], self._committer.under_way_s)
        now_ms = self._clock.now_ms()
        for lane in Lane:
            through_ms = max(self._started_at_ms, self._sources.taken_through_ms(now_ms, lane))
            waits_s = max(0, now_ms - through_ms) / 1000
            worst[f"{lane}_delay_s"] = max(worst[f"{lane}_delay_s"], waits_s)
        return worst

    async def _spool_at_ms(self) -> int | None:
        """When the oldest block was committed that not everybody has followed."""
        followed = min(self._followed.values())
        at_ms: int | None = await self._committer.read(self._writer.committed_after_ms, followed)
        return at_ms

    def status(self) -> dict[str, Any]:
        """The ledger and the state of the intake, live. What we say of ourselves stands among the lanes alone."""
        total, in_flight = self._totals.total(), self._committer.in_flight()
        return {
            **total.counts(),
            "received": total.received + in_flight.received,
            "in_flight": in_flight.received,
            "redelivered": total.redelivered + in_flight.redelivered + self._sources.uncounted(),
            "waiting_messages": self._sources.waiting(),
            "lanes": self._totals.lanes(),
            "ledger_imbalance": self._totals.imbalance,
            "notices": {
                "told": sum(outbox.told for outbox in self._outboxes.values()),
                "lost": self._notices.untold + sum(outbox.lost for outbox in self._outboxes.values()),
            },
            "sessions": self._sources.status(),
            "spool": {"bytes": self._spool_bytes, "quota_bytes": self._config.spool.quota_bytes, "full": self._spool_full},
            "aside": self._shelf.status(),
            "records": "failing" if self._committer.failing else "ok",
            "lost": self._judge.losses.told(),
            "clock_at_ms": self._clock.now_ms(),
            "evaluations": self._judge.engine.evaluations,
            "unverified_suppressed": self._judge.engine.unverified_suppressed,
            "registry_version": self._registry.version,
            "newly_registered": self._newcomers.left,
            "strangers": self._judge.windows.strangers,
            "webs": self._link.connected,
            "provisional": self._committer.provisional,
            "measures": self._measures.state(),
            "health": self._health.said,
            "resident_mb": resident_mb(),
            "processor_s": processor_s(),
        }  # fmt: skip


def _provisional_frames(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In lines that the link can carry."""
    return [
        {"provisional": changes[first : first + PROVISIONAL_STEP]} for first in range(0, len(changes), PROVISIONAL_STEP)
    ]


def office_file(data: Path) -> Path:
    """Where web keeps its registry."""
    return data / OFFICE_FILE

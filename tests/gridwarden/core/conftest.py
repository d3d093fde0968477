"""Core's parts on a real records file: messages in, judged and committed; stopped and started again at will."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gridwarden.cases.book import CaseBook
from gridwarden.clock import Clock, ReplayClock, SystemClock
from gridwarden.core.judge import Judge
from gridwarden.core.quieter import restored
from gridwarden.core.windows import Windows
from gridwarden.model import Device
from gridwarden.records import database
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Committed, Writer
from ingest.intake import Bounds
from ingest.session import Lane, Message
from rules.engine import Engine
from rules.groups import Population
from rules.load import load
from rules.rule import RuleSet

NOW_MS = 1_800_000_000_000
BOUNDS = Bounds(64 * 1024, 300_000, None)
DEVICES = {
    "SMK-1": Device("SMK-1", "smoke", "330106001", gateway="gw1", building="B1"),
    "SMK-2": Device("SMK-2", "smoke", "330106001", gateway="gw1", building="B1"),
    "LIFT-1": Device("LIFT-1", "lift", "330106002", gateway="gw1"),
    "LIFT-2": Device("LIFT-2", "lift", "330106002", gateway="gw2"),
    "HYD-1": Device("HYD-1", "hydrant", "330106003"),
}


class Source:
    """A session in memory: what is put in comes out, what is acknowledged is kept."""

    def __init__(self, lane: Lane = Lane.TELEMETRY, broker: str = "b", name: str = "") -> None:
        self.lane, self.broker = lane, broker
        self.name = name or f"{broker}/{lane}"
        self.connected, self.connection, self.redelivered, self.received, self.not_covered = True, 1, 0, 0, 0
        self.inbox: deque[Message] = deque()
        self.acknowledged: list[Message] = []
        self.holding = False
        self.takes = 0

    @property
    def waiting(self) -> int:
        return len(self.inbox)

    def take(self, limit: int) -> list[Message]:
        self.takes += 1
        if self.holding:
            return []
        return [self.inbox.popleft() for _ in range(min(limit, len(self.inbox)))]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged += messages

    async def run(self) -> None:
        return None

    def message(self, body: Any, gateway: str = "gw1", at_ms: int = NOW_MS, topic: str = "") -> Message:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        topic = topic or f"gridwarden/v1/{gateway}/up"
        return Message(topic, payload, at_ms, 1, 1, 1, self)

    def put(self, *bodies: Any, **options: Any) -> None:
        self.inbox.extend(self.message(body, **options) for body in bodies)


class Still(SystemClock):
    """The system clock for judging, at a time the test sets."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms


class Site:
    """Writer and judge over one records file; :meth:`restart` is a kill and a new start."""

    def __init__(self, data: Path, rules: RuleSet, clock: Clock | None = None, bounds: Bounds = BOUNDS) -> None:
        data.mkdir(exist_ok=True, parents=True)
        database.migrate(data)
        self.data, self.rules, self.bounds = data, rules, bounds
        self.clock = clock or Still()
        self.source = Source()
        self.alarms = Source(Lane.ALARM)
        self.devices = dict(DEVICES)
        self.writer: Writer
        self.judge: Judge
        self._open()

    def _open(self) -> None:
        self.writer = Writer(self.data)
        start = self.start = self.writer.start()
        windows = Windows()
        windows.use(self.rules)
        for shard, offset, body in self.writer.shards():
            windows.load(shard, offset, body)
        windows.replay(self.writer.blocks_after(min(windows.offsets)))
        engine = Engine(self.rules)
        book = CaseBook("Asia/Shanghai", start.events, start.counters)
        quiet = restored(self.rules, start, self.writer, self.clock.now_ms())
        self.judge = Judge(
            self.rules, engine, book, windows, self.clock, self.bounds, lambda one: self.writer.alarm(one) is not None,
            quiet,
        )  # fmt: skip
        self.judge.restore([*start.alarms, *start.resolved], start.remembered)
        self.judge.devices = self.devices
        self.judge.known_letters = self.writer.known_letters
        self.judge.parents.restore(start.alarms, self.devices, Population(self.rules, self.devices))

    def restart(self) -> None:
        self.writer.close()
        self._open()

    def close(self) -> None:
        self.writer.close()

    def judged(self, *bodies: Any, **options: Any) -> Transaction:
        return self.judge.batch([self.source.message(body, **options) for body in bodies])

    def commit(self, transaction: Transaction, *, snapshot: bool = False) -> Committed:
        if snapshot:
            transaction.snapshot = self.judge.windows.snapshot()
        committed = self.writer.commit(transaction)
        if transaction.snapshot:
            self.judge.windows.offsets[transaction.snapshot.shard] = committed.offset
        return committed

    def hear(self, *bodies: Any, **options: Any) -> Transaction:
        transaction = self.judged(*bodies, **options)
        self.commit(transaction)
        return transaction

    def reader(self) -> Reader:
        return Reader(self.data)


def balanced(ledger: dict[str, Any]) -> bool:
    """Whether the ledger's sum is what was counted at the door."""
    parts = ("stored", "duplicate", "dead_lettered", "quarantined", "in_flight")
    return bool(ledger["received"] == sum(ledger[part] for part in parts))


@pytest.fixture(scope="session")
def rules() -> RuleSet:
    return load((), shipped_packs=True)


@pytest.fixture
def make_site(tmp_path: Path, rules: RuleSet) -> Iterator[Callable[..., Site]]:
    """Sites in folders of their own, closed at the end."""
    made: list[Site] = []

    def make(name: str = "data", rules: RuleSet = rules, **options: Any) -> Site:
        made.append(Site(tmp_path / name, rules, **options))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def replay(make_site: Callable[..., Site]) -> Site:
    """A site whose time is the input's."""
    bounds = Bounds(64 * 1024, 300_000, 3_600_000)
    return make_site(clock=ReplayClock(), bounds=bounds)


@pytest.fixture
def source() -> type[Source]:
    return Source


@pytest.fixture
def is_balanced() -> Callable[[dict[str, Any]], bool]:
    return balanced

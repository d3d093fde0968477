"""What core judged live is what the back-test of its history says: the same episodes, to the millisecond."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from gridwarden.cases.book import CaseBook
from gridwarden.clock import ReplayClock
from gridwarden.core.judge import Judge
from gridwarden.core.windows import Windows
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.past import Past
from gridwarden.model import Alarm, AlarmState, Device, Reading
from gridwarden.records import block
from gridwarden.records.transaction import Transaction
from ingest.intake import Bounds
from ingest.session import Lane, Message
from rules.afterwards import Afterwards
from rules.backtest import Backtest, fields_of
from rules.correlation import Correlation
from rules.engine import Engine
from rules.episodes import Collector
from rules.load import load
from rules.readings import Texts
from rules.rule import Rule, RuleSet
from simulators.world import programme, registry, scenario, stage
from simulators.world.stream import Sent

START_MS = 1_773_608_400_000
"""2026-03-16T05:00+08:00."""
HOUR_MS = 3_600_000
BOUNDS = Bounds(64 * 1024, 300_000, None)
EXTRA = """
kind: {kind}
rules:
{rules}
"""
MORE = {
    "hydrant": [
        ("sag", "pressure_mpa < 0.26", "for: 20m, clear: pressure_mpa > 0.27, clear_for: 15m"),
        ("falls", "rate_per_min(pressure_mpa) < -0.001", "count: 2"),
    ],
    "lift": [
        ("busy", "changed(floor)", "count: 5, within: 30m"),
        ("up_then_open", "door == 'open'", "first: motion == 'running', within: 2m, clear: door == 'closed'"),
        ("door", "door == 'open'", "flapping: {count: 4, within: 2h, quiet: 20m}"),
    ],
    "smoke": [("warm", "change(temperature_c) > 0.5", "late: evaluate, clear: change(temperature_c) < 0")],
}
"""Rules that fire often, of every type that looks at one device."""

Times = tuple[str, str, int, int | None, int | None, int | None]


@dataclass(slots=True)
class Source:
    """As much of a session as a message needs."""

    name: str = "b/telemetry"
    broker: str = "b"
    lane: Lane = Lane.TELEMETRY


@dataclass(slots=True)
class Core:
    """The judge alone, on the time of its input, and what its records would hold."""

    rules: RuleSet
    devices: dict[str, Device]
    clock: ReplayClock = field(default_factory=ReplayClock)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    stored: list[Reading] = field(default_factory=list)

    def run(self, batches: Iterator[list[Sent]], end_ms: int) -> set[Times]:
        windows = Windows()
        windows.rated = self.rules.rated
        engine = Engine(self.rules, unverified_limit=10**6)
        book = CaseBook("Asia/Shanghai")
        judge = Judge(self.rules, engine, book, windows, self.clock, BOUNDS, self.alarms.__contains__)
        judge.devices = self.devices
        for sent in batches:
            for wake_ms in iter(lambda first=sent[0].sent_at_ms: _due(engine, first), None):
                self.clock.observe(wake_ms)
                self._keep(judge.advance())
            self.clock.observe(sent[-1].sent_at_ms)
            self._keep(judge.batch([self._message(one) for one in sent]))
        for wake_ms in iter(lambda: _due(engine, end_ms), None):
            self.clock.observe(wake_ms)
            self._keep(judge.advance())
        fired = (alarm for alarm in self.alarms.values() if alarm.state is not AlarmState.PENDING)
        return {_times(alarm) for alarm in fired}

    def _keep(self, transaction: Transaction | None) -> None:
        if transaction is None:
            return
        self.alarms |= transaction.alarms
        for alarm_id in transaction.forgotten:
            self.alarms.pop(alarm_id, None)
        if transaction.rows:
            self.stored += block.decode(block.seal(transaction.rows))

    def _message(self, sent: Sent) -> Message:
        payload = json.dumps(sent.body()).encode()
        return Message(sent.topic, payload, sent.sent_at_ms, 1, 1, 1, Source())  # type: ignore[arg-type]


def _due(engine: Engine, until_ms: int) -> int | None:
    wake_ms = engine.next_wake_ms()
    return wake_ms if wake_ms is not None and wake_ms <= until_ms else None


def _times(alarm: Alarm) -> Times:
    return (
        alarm.rule_id, alarm.scope, alarm.pending_at_ms, alarm.fired_at_ms, alarm.cleared_at_ms, alarm.resolved_at_ms
    )  # fmt: skip


def batches(stream: Sequence[Sent], size_ms: int) -> Iterator[list[Sent]]:
    """What arrives within so long is judged together."""
    batch: list[Sent] = []
    for sent in stream:
        if batch and sent.sent_at_ms // size_ms != batch[0].sent_at_ms // size_ms:
            yield batch
            batch = []
        batch.append(sent)
    if batch:
        yield batch


def disturbed(stream: list[Sent], rng: Random) -> list[Sent]:
    """One in a hundred comes twice, one in fifty minutes or hours late, some from a gateway that is not entitled.

    What a device says whose clock is not believed comes once: its repeat, if it is too late to be recognised, is news
    to a history, which keeps no dedup keys, while live the alarm it would begin again is known by its id.
    """
    found = []
    for sent in stream:
        chance = rng.random()
        late_ms = 0 if chance > 0.02 else rng.choice([40_000, 20 * 60_000, 5 * HOUR_MS])
        gateway = "GW-OTHER" if rng.random() < 0.002 else sent.gateway
        found.append(replace(sent, sent_at_ms=sent.sent_at_ms + late_ms, gateway=gateway))
        if rng.random() < 0.01 and abs(sent.at_ms - sent.sent_at_ms) < HOUR_MS:
            found.append(replace(sent, sent_at_ms=sent.sent_at_ms + rng.randrange(1, HOUR_MS)))
    return sorted(found, key=lambda sent: sent.sent_at_ms)


def backtested(
    rules: RuleSet, devices: dict[str, Device], readings: list[Reading], folder: Path, end_ms: int
) -> set[Times]:
    """Over a history of these readings: the older ones sealed, the newer ones hot."""
    history = DuckDBHistory(folder)
    history.append(readings, 1, end_ms)
    history.seal(START_MS + 7 * HOUR_MS)
    fields = fields_of([rules])
    snapshot = history.snapshot(fields, START_MS - HOUR_MS, end_ms)
    history.close()
    past, told = Past(snapshot, fields), Collector()
    afterwards = Afterwards(rules, devices, told.hear)
    backtest = Backtest(rules, devices, Texts(past.codes, past.gateways), afterwards.hear)
    seen = 0
    for chunk in past.chunks():
        seen += len(chunk.occurred_at_ms)
        backtest.take(chunk)
    backtest.finish(end_ms)
    afterwards.finish(end_ms)
    past.close()
    assert seen == len(readings)
    assert backtest.shown < seen
    return {
        (one.rule_id, one.scope, one.pending_at_ms, one.fired_at_ms, one.cleared_at_ms, one.resolved_at_ms)
        for one in told.episodes()
    }


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    """The shipped rules, and some that fire often; none about silence."""
    folder = tmp_path_factory.mktemp("rules")
    for kind, written in MORE.items():
        lines = [
            f"  - {{id: more.{name}, name: {{zh: 名, en: Name}}, source: ours, severity: low, category: fault,"
            f' when: "{when}", {rest}}}'
            for name, when, rest in written
        ]
        (folder / f"{kind}.yaml").write_text(EXTRA.format(kind=kind, rules="\n".join(lines)), "utf-8")
    loaded = load([folder], shipped_packs=True)
    return RuleSet(tuple(rule for rule in loaded.all if isinstance(rule, Rule | Correlation)))


@pytest.mark.parametrize(("seed", "batch_ms"), [(1, 1), (2, 20)])
def test_the_backtest_of_a_history_says_what_was_judged_live(
    rules: RuleSet, tmp_path: Path, seed: int, batch_ms: int
) -> None:
    devices = {device.device_id: device for device in registry.devices()}
    acts = programme.unfold(scenario.shipped(), list(devices.values()), seed, START_MS)
    happened = stage.perform(acts, devices.values(), seed, START_MS, START_MS + 8 * HOUR_MS)
    stream = disturbed(list(happened), Random(seed))
    end_ms = START_MS + 24 * HOUR_MS
    live = Core(rules, devices)
    judged = live.run(batches(stream, batch_ms), end_ms)
    assert backtested(rules, devices, live.stored, tmp_path / "history", end_ms) == judged
    fired = {rule_id for rule_id, *_ in judged}
    assert len(fired) > 10
    assert any(rule.id in fired for rule in rules.of(Correlation))
    assert sum(one.late for one in live.stored) > 100
    assert any(not one.entitled for one in live.stored)

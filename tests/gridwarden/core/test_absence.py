"""Absence from message to record: the judge and core on a real records file, with rules of absence of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gridwarden.clock import ReplayClock
from gridwarden.config import Config
from gridwarden.core.commands import Desk, Found, acknowledge
from gridwarden.core.service import Core
from gridwarden.model import Device, Operation
from gridwarden.records import database
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from ingest.intake import Bounds
from rules.load import load
from rules.rule import RuleSet
from simulators.world import ordinary, registry
from simulators.world.faults import Outage

NOW_MS = 1_800_000_000_000
MIN, H = 60_000, 3_600_000
RULES = """
kind: {kind}
absences:
  - {{id: {kind}.silent, name: {{zh: 静默, en: Silent}}, source: ours, severity: low, category: maintenance,
     of: device, after: 3 intervals, interval: 20m}}
  - {{id: {kind}.unseen, name: {{zh: 未见, en: Unseen}}, source: ours, severity: low, category: maintenance,
     of: never_seen, after: 12h, incident: none}}
"""
PLATFORM = """
kind: platform
absences:
  - {id: platform.gateway, name: {zh: 网关, en: Gateway}, source: ours, severity: medium, category: outage,
     of: gateway, after: 1 interval + 5m}
  - {id: platform.blind, name: {zh: 平台, en: Platform}, source: ours, severity: high, category: outage,
     of: broker, after: 2m}
"""


@pytest.fixture(scope="session")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    folder = tmp_path_factory.mktemp("absence")
    for kind in ("smoke", "lift"):
        (folder / f"{kind}.yaml").write_text(RULES.format(kind=kind))
    (folder / "platform.yaml").write_text(PLATFORM)
    return load([folder])


def normal(device: str, seq: int) -> dict[str, Any]:
    return {"device": device, "seq": seq, "values": {"battery_pct": 80}}


def wait(site: Any, ms: int) -> list[tuple[str, str, float]]:
    """Time passes, looked at every half minute; what was told, with minutes from the start."""
    told: list[tuple[str, str, float]] = []
    until = site.clock.at_ms + ms
    while site.clock.at_ms < until:
        site.clock.at_ms = min(until, site.clock.at_ms + 30_000)
        transaction = site.judge.advance()
        if transaction:
            site.commit(transaction)
            told += heard_of(transaction)
    return told


def remembered_in(data: Path) -> dict[str, str]:
    """What core would know at its next start."""
    writer = Writer(data)
    remembered = writer.start().remembered
    writer.close()
    return remembered


def heard_of(transaction: Transaction) -> list[tuple[str, str, float]]:
    return [
        (change.operation.removeprefix("alarm."), change.alarm.device_id,
         ((change.alarm.resolved_at_ms or change.alarm.fired_at_ms) - NOW_MS) / MIN)
        for change in transaction.changes
    ]  # fmt: skip


def say(site: Any, *devices: str, **options: Any) -> list[tuple[str, str, float]]:
    site.seq = getattr(site, "seq", 0) + 1
    return heard_of(site.hear(*(normal(name, site.seq) for name in devices), at_ms=site.clock.at_ms, **options))


@pytest.fixture
def lone(site: Any) -> Any:
    """A site with one device, just heard."""
    site.devices = site.judge.devices = {"SMK-1": Device("SMK-1", "smoke", "330106001", gateway="gw1")}
    wait(site, 1)
    say(site, "SMK-1")
    return site


def test_a_silent_device_has_an_alarm_and_a_case_that_end_with_its_next_reading(lone: Any) -> None:
    assert wait(lone, 2 * H) == [("fired", "SMK-1", pytest.approx(60))]
    (alarm,) = lone.writer.start().alarms
    assert alarm.event_id
    desk = Desk(lone.judge, Found(0, None, (alarm,)), ())
    acknowledge(desk, {"actor": "op", "alarm_id": alarm.alarm_id})
    ((what, who, _),) = say(lone, "SMK-1")
    assert (what, who) == ("resolved", "SMK-1")
    ended = lone.writer.alarm(alarm.alarm_id)
    assert (ended.resolved_at_ms, ended.acknowledged_by, ended.event_id) == (lone.clock.at_ms, "op", alarm.event_id)


@pytest.mark.parametrize(("minutes", "fired"), [(10, 60.5), (59, 74), (61, 60), (200, 60)])
def test_a_restart_at_any_time_changes_nothing_but_what_was_not_watched(lone: Any, minutes: int, fired: float) -> None:
    before = wait(lone, minutes * MIN)
    lone.restart()
    after = wait(lone, 4 * H)
    ((_, who, at),) = [told for told in before + after if told[0] == "fired"]
    assert who == "SMK-1"
    assert at == pytest.approx(fired, abs=1)  # the minute in which nothing was written down, and the grace after it
    say(lone, "SMK-1")
    assert lone.writer.start().alarms == []


def test_an_absence_that_only_the_reading_after_it_betrays_is_told(lone: Any) -> None:
    lone.clock.at_ms += 59_999
    wait(lone, 1)
    lone.judge.listener.ourselves._looked_at_ms += 3 * H
    lone.clock.at_ms += 3 * H
    assert [what for what, _, _ in say(lone, "SMK-1")] == ["fired", "resolved"]
    assert len(lone.writer.start().events) == 1


def test_repeats_and_strangers_are_no_sign_of_life_and_what_is_late_is(lone: Any) -> None:
    first = normal("SMK-1", 1)
    told = []
    for _ in range(3):
        told += wait(lone, 25 * MIN)
        lone.hear(first, at_ms=lone.clock.at_ms)
        say(lone, "SMK-1", gateway="gw9")
    assert [(what, who) for what, who, _ in told] == [("fired", "SMK-1")]
    late = {"device": "SMK-1", "at": NOW_MS - H, "seq": 0, "values": {"battery_pct": 70}}
    told = heard_of(lone.hear(late, at_ms=lone.clock.at_ms))
    assert [what for what, _, _ in told] == ["resolved"]


def test_an_outage_of_a_gateway_is_one_alarm_for_its_500_devices(site: Any) -> None:
    site.devices = {f"SMK-{n}": Device(f"SMK-{n}", "smoke", "330106001", gateway="gw1") for n in range(500)}
    site.judge.devices = site.devices
    wait(site, 1)
    say(site, *site.devices)
    told = wait(site, 3 * H)
    site.restart()
    told += wait(site, 3 * H)
    told += say(site, *site.devices)
    assert [(what, who) for what, who, _ in told] == [("fired", "gw1"), ("resolved", "gw1")]
    assert wait(site, 59 * MIN) == [("fired", "gw1", pytest.approx(385, abs=1))]


def test_with_the_clock_of_the_input_absence_is_what_the_input_left_out(make_site: Callable[..., Any]) -> None:
    site = make_site(clock=ReplayClock(), bounds=Bounds(64 * 1024, 300_000, 30 * 24 * H))
    site.devices = site.judge.devices = {f"SMK-{n}": Device(f"SMK-{n}", "smoke", gateway="gw1") for n in (1, 2)}
    site.judge.advance()
    told = []
    for minute in range(0, 200, 10):
        names = ["SMK-1"] if 40 <= minute <= 150 else ["SMK-1", "SMK-2"]
        body = [{"device": name, "at": NOW_MS + minute * MIN, "values": {"battery_pct": 80}} for name in names]
        told += heard_of(site.hear(*body, at_ms=NOW_MS + 30 * 24 * H))
    assert told == [("fired", "SMK-2", 90), ("resolved", "SMK-2", 160)]


def test_a_simulated_outage_of_a_gateway_is_found_and_nothing_else(make_site: Callable[..., Any]) -> None:
    """Eight gateways of fifty detectors each; one has no network for two hours, keeps everything, and sends it then."""
    devices = [device for device in registry.devices() if device.kind == "smoke"]
    away = devices[0].gateway
    site = make_site(clock=ReplayClock(), bounds=Bounds(64 * 1024, 300_000, 30 * 24 * H))
    site.devices = site.judge.devices = {device.device_id: device for device in devices}
    site.judge.advance()
    begin = ordinary.midnight_ms(NOW_MS)
    life = ordinary.life(ordinary.players(devices, 7).values(), begin, begin + 6 * H)
    outage = Outage(what="outage", to=("away",), at="1h", lasts="2h")
    told, batch = [], []
    for sent in outage.wrap(life, lambda sent: sent.gateway == away, Random(1), begin):
        batch.append(site.source.message(sent.body(), gateway=sent.gateway, at_ms=NOW_MS + 30 * 24 * H))
        if len(batch) == 50:
            transaction = site.judge.batch(batch)
            site.commit(transaction)
            told += [(change.operation, change.alarm.rule_id, change.alarm.device_id) for change in transaction.changes]
            batch = []
    assert told == [
        (Operation.ALARM_FIRED, "platform.gateway", away), (Operation.ALARM_RESOLVED, "platform.gateway", away)
    ]  # fmt: skip


def test_a_device_that_is_taken_out_of_the_registry_takes_its_alarm_along(lone: Any) -> None:
    wait(lone, 2 * H)
    lone.judge.devices = {}
    assert [(what, who) for what, who, _ in wait(lone, 1000)] == [("resolved", "SMK-1")]
    assert lone.writer.start().alarms == []


def test_that_core_lives_is_written_down_now_and_then_and_never_alone_all_the_time(site: Any) -> None:
    assert site.judge.advance() is None
    site.clock.at_ms += 49_000
    assert site.judge.advance() is None
    site.clock.at_ms += 1_000
    transaction = site.judge.advance()
    assert set(transaction.remembered) == {"listening.alive_at_ms", "listening.blind", "listening.unseen"}
    site.commit(transaction)
    site.clock.at_ms += 10_000
    assert set(say(site, "SMK-1")) == set()
    assert site.writer.start().remembered["listening.alive_at_ms"] == f"{site.clock.at_ms}"


async def test_core_tells_of_a_broker_that_is_away(
    tmp_path: Path, rules: RuleSet, source: Any, until: Callable[..., Awaitable[None]]
) -> None:
    database.migrate(tmp_path)
    core = Core(Config.model_validate({"data": tmp_path}), (), rules)
    session = source()
    session.connected = False
    core._sources.sessions.append(session)
    ready = asyncio.Event()
    task = asyncio.create_task(core.run(ready))
    await ready.wait()
    ours = core._judge.listener.ourselves
    ours.blindness.end("broker:b", 0)
    ours.blindness.begin("broker:b", 1_700_000_000_000)  # as if it had been away for long
    reader = Reader(tmp_path)
    await until(lambda: [alarm.scope for alarm in reader.alarms()] == ["broker:b"])
    session.connected = True
    await until(lambda: not [alarm for alarm in reader.alarms() if alarm.resolved_at_ms is None])
    reader.close()
    task.cancel()
    await asyncio.wait([task])
    assert "listening.alive_at_ms" in remembered_in(tmp_path)  # with the very first transaction

"""The metrics, scraped from real parts: a core that judges and commits, an office, a history, a link."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import METRICS
from gridwarden.clock import SystemClock
from gridwarden.core.service import Core
from gridwarden.supervised import FILE, Supervised
from ingest.session import Lane
from tests.api.conftest import RULES, Site
from tests.conftest import Until
from tests.gridwarden.core.conftest import Source


@dataclass
class Real:
    """A real core in the place of the one that only answers, with two sessions in memory."""

    core: Core
    up: Source
    alarm: Source


@asynccontextmanager
async def real_core(site: Site, until: Until) -> AsyncIterator[Real]:
    await site.link.aclose()
    site.book.writer.close()
    config = site.services.config.model_copy(
        update={"health": site.services.config.health.model_copy(update={"every_s": 1})}
    )
    real = Real(Core(config, (), RULES), Source(Lane.TELEMETRY), Source(Lane.ALARM))
    real.core._sources.sessions += [real.up, real.alarm]
    task = asyncio.create_task(real.core.run())
    await until(lambda: site.services.link.connected)
    yield real
    task.cancel()
    await asyncio.wait([task])


async def scraped(site: Site) -> dict[str, Metric]:
    async with site.client("operator") as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    return {f"{name}_total" if family.type == "counter" else name: family for name, family in families.items()}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    (found,) = [one.value for one in families[name].samples if labels.items() <= one.labels.items()]
    return float(found)


async def test_every_metric_is_exposed_and_nothing_else(site: Site, until: Until) -> None:
    async with real_core(site, until) as real:
        now_ms = SystemClock().now_ms()
        fire = {"device": "SMK-1", "values": {"state": "alarm"}}
        real.alarm.put(fire, at_ms=now_ms)
        real.up.put({"device": "SMK-2", "values": {"state": "normal"}}, b"garbage", at_ms=now_ms)
        real.core._arrived.set()
        await until(lambda: real.up.acknowledged and real.alarm.acknowledged)
        await until(lambda: real.core._health.said)
        (site.data / FILE).write_text(json.dumps(asdict(Supervised(SystemClock().now_ms(), {"core": 2}))))
        site.services.counts.heartbeat_failing = False
        families = await scraped(site)
        assert set(families) == set(METRICS)
        for name, family in families.items():
            assert (family.type, family.documentation) == (METRICS[name].kind, METRICS[name].meaning)
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(METRICS[name].labels)
        assert value(families, "gridwarden_readings_total", broker="b", lane="alarm", fate="stored") == 1
        assert value(families, "gridwarden_readings_total", broker="b", lane="telemetry", fate="dead_lettered") == 1
        assert value(families, "gridwarden_alarms_total", what="fired", severity="critical") == 1
        assert value(families, "gridwarden_open_events", severity="critical") == 1
        assert value(families, "gridwarden_open_events", severity="low") == 0
        assert value(families, "gridwarden_batches_total", lane="alarm") == 1
        assert value(families, "gridwarden_dead_letters") == 1
        assert value(families, "gridwarden_restarts_total", part="core") == 2
        assert value(families, "gridwarden_health", part="gridwarden:core", field="records_failing") == 0
        assert value(families, "gridwarden_core_up") == 1
        assert value(families, "gridwarden_ledger_imbalance") == 0


async def test_a_histogram_is_cumulative(site: Site, until: Until) -> None:
    async with real_core(site, until) as real:
        real.alarm.put(*({"device": f"N{n}", "values": {"floor": 1}} for n in range(3)), at_ms=SystemClock().now_ms())
        real.core._arrived.set()
        await until(lambda: real.alarm.acknowledged)
        delays = (await scraped(site))["gridwarden_alarm_delay_seconds"]
        buckets = [one.value for one in delays.samples if one.name.endswith("_bucket")]
        assert buckets == sorted(buckets)
        assert buckets[-1] == 3
        assert [one.value for one in delays.samples if one.name.endswith("_count")] == [3]
        assert all(one.value > 0 for one in delays.samples if one.name.endswith("_sum"))


async def test_while_core_is_down_what_the_records_know_is_told(site: Site, until: Until) -> None:
    async with real_core(site, until) as real:
        real.up.put({"device": "SMK-2", "values": {"state": "normal"}}, at_ms=SystemClock().now_ms())
        real.core._arrived.set()
        await until(lambda: real.up.acknowledged)
    await until(lambda: not site.services.link.connected)
    families = await scraped(site)
    assert value(families, "gridwarden_core_up") == 0
    assert value(families, "gridwarden_link_up") == 0
    assert value(families, "gridwarden_readings_total", broker="b", fate="stored") == 1
    assert value(families, "gridwarden_history_up") == 1
    assert "gridwarden_commit_seconds" not in families


async def test_the_number_of_series_does_not_grow_with_devices_and_gateways(site: Site, until: Until) -> None:
    async with real_core(site, until) as real:
        counts = []
        for round_ in range(2):
            for number in range(round_ * 50, round_ * 50 + 50):
                body = {"device": f"D{number}", "values": {"state": "alarm"}}
                real.alarm.put(body, gateway=f"gw{number}", at_ms=SystemClock().now_ms())
            real.core._arrived.set()
            await until(lambda wanted=round_ * 50 + 50: len(real.alarm.acknowledged) == wanted)  # type: ignore[misc]
            families = await scraped(site)
            counts.append(sum(len(family.samples) for name, family in families.items() if name != "gridwarden_health"))
        assert counts[0] == counts[1]


@pytest.mark.parametrize("named", METRICS.items(), ids=lambda named: named[0])
def test_names_follow_the_customs(named: tuple[str, object]) -> None:
    name, kind = named[0], METRICS[named[0]].kind
    assert name.startswith("gridwarden_")
    assert name.endswith("_total") == (kind == "counter")
    assert kind in {"counter", "gauge", "histogram"}
    assert "gateway" not in METRICS[name].labels
    assert "device" not in METRICS[name].labels

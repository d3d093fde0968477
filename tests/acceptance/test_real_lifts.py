"""Sixteen days of real lifts through the whole chain, to the unit. The figures are defined where the data lies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.brokers import PASSWORD, Site, arrived, each_site
from tests.faults.evidence import check_ledger
from tests.faults.harness import Instance

pytestmark = [pytest.mark.process, pytest.mark.real_data]


@pytest.fixture
def lifts() -> Path:
    """The folder of the lifts."""
    named = os.environ.get("GRIDWARDEN_REAL_DATA")
    if not named:
        pytest.skip("GRIDWARDEN_REAL_DATA names no folder of real data")
    folder = Path(named).resolve() / "lifts"
    assert (folder / "status.csv.gz").is_file(), f"GRIDWARDEN_REAL_DATA is set, but {folder}/status.csv.gz is missing"
    return folder


TRANSITIONS, BRIDGED, LOSSES = 1_419, 27, 272
"""Counted in the source: changes to INACTIVE, those among them that only end a gap in monitoring, changes to UNKNOWN."""

OUTAGE_ALARMS, EVENTS = 1_218, 542
"""What is left of the episodes where a lift that goes on and off is one alarm, and of the alarms as cases of people."""


@each_site("embedded", "mosquitto-tls")
async def test_outages_and_losses_of_monitoring_are_counted_to_the_unit(
    lifts: Path, site: Site, tmp_path: Path
) -> None:
    async with site.instance(tmp_path, "--clock", "replay").running() as instance:
        await instance.import_devices(lifts / "registry.csv.gz", "db_lifts")
        command = [sys.executable, "-m", "gridwarden", "replay", str(lifts / "status.csv.gz"), "--mapping", "db_lifts",
                   *site.replay_options(instance), "--json"]  # fmt: skip
        environment = instance.environment() | {"GRIDWARDEN_PASSWORD": PASSWORD}
        replay = await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert replay.returncode == 0, replay.stderr
        account = json.loads(replay.stdout)
        ledger = await arrived(instance, account["readings"])
        alarms = [alarm async for alarm in _pages(instance, "alarms")]
        events = [event async for event in _pages(instance, "events")]

        assert account["readings"] == account["readings_acknowledged"] == ledger["received"] == ledger["stored"]
        assert account["devices"] == 2_461
        check_ledger(ledger, instance.data)
        _check(alarms, events)


def _check(alarms: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    assert len({alarm["alarm_id"] for alarm in alarms}) == len(alarms)
    losses = [alarm for alarm in alarms if alarm["rule_id"] == "public_lift.monitoring_lost"]
    outages = [alarm for alarm in alarms if alarm["rule_id"] == "public_lift.outage"]
    assert (len(losses), len(alarms)) == (LOSSES, LOSSES + len(outages))

    episodes: Counter[str] = Counter()
    for alarm in outages:
        episodes[alarm["device_id"]] += alarm["occurrences"]
    assert episodes.total() == TRANSITIONS - BRIDGED
    nightly = [device_id for device_id, count in episodes.most_common(10) if count == 16]
    assert len(nightly) == 10, "switched off each of sixteen nights"
    for device_id in nightly:
        of_lift = sorted(
            (alarm for alarm in outages if alarm["device_id"] == device_id), key=lambda one: one["fired_at"]
        )
        assert [(alarm["flapping"], alarm["occurrences"]) for alarm in of_lift] == [(False, 1), (False, 1), (True, 14)]

    told = {alarm["device_id"] for alarm in outages if alarm["event_id"]}
    planned_only = {alarm["device_id"] for alarm in outages} - told
    outage_events = {event["device_id"] for event in events if event["rule_id"] == "public_lift.outage"}
    assert planned_only
    assert not planned_only & outage_events, "planned work opens no grid event"
    assert len(outages) == OUTAGE_ALARMS
    assert len(events) == EVENTS


async def _pages(instance: Instance, what: str) -> AsyncIterator[dict[str, Any]]:
    after = ""
    while after is not None:
        page = await instance.get(f"/{what}?limit=1000{after}")
        for one in page[what]:
            yield one
        after = f"&after={page['next']}" if page["next"] else None

"""Sixteen days of real lifts through the whole chain, to the unit. The figures are defined where the data lies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.brokers import PASSWORD, Site, arrived, each_site
from tests.faults.evidence import check_ledger

pytestmark = [pytest.mark.process, pytest.mark.real_data]


@pytest.fixture
def lifts() -> Path:
    """The folder of the lifts."""
    named = os.environ.get("GRIDWARDEN_REAL_DATA")
    if not named:
        pytest.skip("GRIDWARDEN_REAL_DATA names no folder of real data")
    folder = Path(named) / "lifts"
    assert (folder / "status.csv.gz").is_file(), f"GRIDWARDEN_REAL_DATA is set, but {folder}/status.csv.gz is missing"
    return folder


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
        fired = [entry["alarm"] async for entry in instance.journal() if entry["op"] == "alarm.fired"]

        assert account["readings"] == account["readings_acknowledged"] == ledger["received"] == ledger["stored"]
        assert account["devices"] == 2_461
        check_ledger(ledger, instance.data)
        by_rule = Counter(alarm["rule_id"] for alarm in fired)
        assert by_rule == {"public_lift.outage": 922, "public_lift.planned": 497, "public_lift.monitoring_lost": 272}
        outages = Counter(alarm["device_id"] for alarm in fired if alarm["rule_id"] != "public_lift.monitoring_lost")
        assert outages.total() == 1_419
        assert round(100 * sum(count for _, count in outages.most_common(10)) / 1_419, 1) == 11.3
        assert len({alarm["alarm_id"] for alarm in fired}) == len(fired)

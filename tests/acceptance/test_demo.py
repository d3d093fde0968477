"""``gridwarden demo`` from beginning to end: what it says in the end is true, and what it stored is still there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import evidence
from tests.faults.harness import Instance

pytestmark = pytest.mark.process
SECONDS = 15
"""Half an hour that has been, in which two things have happened, and a little of what comes."""


async def test_the_demo_accounts_for_every_reading_it_published(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    command = [sys.executable, "-m", "gridwarden", "demo", "--for", str(SECONDS), "--scale", "0.1", "--json", "--port", "0",
               "-d", str(instance.data)]  # fmt: skip
    began = time.monotonic()
    demo = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, env=instance.environment(), capture_output=True, text=True, timeout=180,
        check=False,
    )  # fmt: skip
    print(f"demo --for {SECONDS}: {time.monotonic() - began:.1f} s")  # noqa: T201 - shown with -rP

    assert demo.returncode == 0, demo.stderr
    assert "Traceback" not in demo.stderr
    facts = json.loads(demo.stdout.splitlines()[-1])
    ledger = facts["ledger"]
    assert facts["address"].startswith("http://127.0.0.1:")
    assert facts["address"] in demo.stderr
    assert facts["events"] > 0
    assert facts["published"]["readings"] > 100
    assert ledger["balanced"]
    assert ledger["received"] == facts["published"]["readings"]
    assert ledger["stored"] + ledger["duplicate"] == ledger["received"]  # one scenario repeats itself on purpose
    assert ledger["in_flight"] == ledger["dead_lettered"] == ledger["quarantined"] == 0

    began = time.monotonic()
    async with instance.running():
        print(f"second start: {time.monotonic() - began:.1f} s")  # noqa: T201
        again = await instance.drained()
        evidence.check_ledger(again, instance.data)
        assert {name: again[name] for name in evidence.FATES} == {name: ledger[name] for name in evidence.FATES}
        assert len((await instance.get("/events?limit=1000"))["events"]) == facts["events"]

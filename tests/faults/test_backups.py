"""Backups of an instance under load: whole ones, killed ones, and what stands again elsewhere afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulators.publisher import Publisher
from tests.faults import evidence
from tests.faults.harness import Instance, until
from tests.faults.lanes import PAUSE_S, play, publish, register
from tests.faults.watcher import Watcher
from tests.faults.workload import ROUNDS, Workload

pytestmark = pytest.mark.process


async def gridwarden(instance: Instance, *words: object) -> tuple[int, str]:
    """A command as a person types it; exit code and standard output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gridwarden", *map(str, words), env=instance.environment(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def base_ms() -> int:
    return (int(time.time()) - 3_600) * 1000


async def test_what_was_acknowledged_before_is_there_once_and_goes_on(tmp_path: Path) -> None:
    workload = Workload("a", base_ms())
    live, other = Instance(tmp_path / "live"), Instance(tmp_path / "other")
    folder = tmp_path / "backup"
    async with live.running():
        await register(live, [workload])
        async with Publisher(live.mqtt("a")) as publisher:
            await play(publisher, workload, range(ROUNDS // 2), PAUSE_S)
            before = await live.drained()
            rest = asyncio.create_task(play(publisher, workload, range(ROUNDS // 2, ROUNDS), PAUSE_S))
            code, out = await gridwarden(live, "backup", folder, "-d", live.data, "--json")
            assert code == 0
            await rest
        await live.drained()
        assert (await live.ledger())["history_lag"]["transactions"] == 0, "the pin is let go of"
    facts = json.loads(out)
    assert (await gridwarden(other, "verify", folder))[0] == 0
    assert (await gridwarden(other, "restore", folder, "-d", other.data))[0] == 0

    async with other.running():
        after = await other.drained()
        assert after["received"] >= before["received"], "what was acknowledged before the backup is in it"
        assert after["balanced"]
        journal = [entry async for entry in other.journal()]
        (restored,) = [entry for entry in journal if entry["op"] == "records.restored"]
        assert restored["seq"] == facts["records"]["seq"] + 1
        async with Publisher(other.mqtt("b")) as publisher:  # the whole script again: what is known is a duplicate
            await play(publisher, workload, range(ROUNDS), PAUSE_S)
        await other.drained()
        assert (await gridwarden(other, "verify", "-d", other.data))[0] == 0
    evidence.check_readings(workload, evidence.records(other.data)[workload.tag])
    evidence.check_history(workload, evidence.history(other.data)[workload.tag])
    assert (await gridwarden(other, "verify", "-d", other.data))[0] == 0


async def test_a_dashboard_from_before_is_told_to_begin_anew(tmp_path: Path) -> None:
    workload = Workload("a", base_ms())
    live, folder = Instance(tmp_path / "live"), tmp_path / "backup"
    async with live.running():
        await register(live, [workload])
        async with Publisher(live.mqtt("a")) as publisher:
            await play(publisher, workload, range(ROUNDS // 2), PAUSE_S)
        await live.drained()
        assert (await gridwarden(live, "backup", folder, "-d", live.data))[0] == 0
        async with Publisher(live.mqtt("a")) as publisher:
            await play(publisher, workload, range(ROUNDS // 2, ROUNDS), PAUSE_S)
        await live.drained()
        async with Watcher(live.socket).watching() as watcher:
            await until("it has a picture", lambda: watcher.epoch)
            before, seq, pictures = watcher.epoch, watcher.seq, watcher.snapshots
            await live.stop()
            await live.end()
            code, out = await gridwarden(live, "restore", folder, "-d", live.data, "--replace", "--json")
            assert code == 0
            await live.start()
            await until("it has a new picture", lambda: watcher.snapshots > pictures)
            assert watcher.epoch == json.loads(out)["epoch"] != before
            assert watcher.seq < seq, "what came after the backup is not there any more"


@pytest.mark.parametrize("victim", ["command", "core", "web"])
async def test_one_that_is_killed_is_taken_for_nothing_and_holds_nothing_up(tmp_path: Path, victim: str) -> None:
    workload = Workload("a", base_ms())
    live, folder = Instance(tmp_path / "live"), tmp_path / "backup"
    part = tmp_path / "backup.part"
    async with live.running():
        await register(live, [workload])
        _swell(live.data)
        async with Publisher(live.mqtt("a")) as publisher:
            for number in range(3):
                await publish(publisher, workload, number)
            await publisher.drain()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gridwarden", "backup", str(folder), "-d", str(live.data), env=live.environment()
            )
            await until("the records are being copied", lambda: (part / "records.db").exists() or process.returncode)
            assert process.returncode is None, "it was over too soon to be killed"
            if victim == "command":
                os.kill(process.pid, signal.SIGKILL)
            else:
                await live.kill(victim)
            assert await process.wait() != 0
            await live.ready()
            assert not folder.exists()
            if victim != "web":
                await until("nothing is left of it", lambda: not part.exists())
            await play(publisher, workload, range(3, ROUNDS), PAUSE_S)
        assert (await gridwarden(live, "backup", folder, "-d", live.data))[0] == 0
        assert not part.exists()
        await live.drained()
        pinned = await live.ledger()
        assert pinned["history_lag"]["transactions"] == 0
    assert (await gridwarden(live, "verify", folder))[0] == 0
    evidence.check_readings(workload, evidence.records(live.data)[workload.tag])


def _swell(data: Path, mib: int = 192) -> None:
    """Make the records large, so that their copy takes a while."""
    with closing(sqlite3.connect(data / "records.db", timeout=30)) as records:
        records.execute("CREATE TABLE swollen (body BLOB)")
        for _ in range(mib // 8):
            records.execute("INSERT INTO swollen VALUES (randomblob(?))", (8 * 2**20,))
            records.commit()


def test_the_evidence_would_be_seen(tmp_path: Path) -> None:
    """A workload that lacks a reading is told, so that the tests above mean something."""
    workload = Workload("a", base_ms())
    found: Any = evidence.Evidence()
    for key in list(workload.stored)[1:]:
        found.stored[key] += 1
    with pytest.raises(AssertionError):
        evidence.check_readings(workload, found)

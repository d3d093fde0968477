"""The supervisor itself: killed, asked to end, started twice. What it leaves behind is nothing but the data."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from simulators.publisher import Account, Publisher
from tests.faults import evidence
from tests.faults.book import Draft, entering
from tests.faults.harness import VICTIMS, Instance, free_port, until
from tests.faults.lanes import register
from tests.faults.toll import toll
from tests.faults.workload import ROUNDS, Workload

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]


async def play(publisher: Publisher, workload: Workload, rounds: range) -> None:
    for number in rounds:
        for sent in workload.rounds[number]:
            await publisher.publish(sent.topic, sent.payload, sent.readings)
        await asyncio.sleep(0.02)


async def test_killed_in_the_middle_it_takes_all_along_and_the_next_start_loses_nothing(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    workload = Workload("supervisor", (int(time.time()) - 3_600) * 1000)
    account = Account()
    with entering("supervisor killed, everything started again") as draft:
        await play_across_a_kill(instance, workload, account)
        judge(draft, instance, workload, account)


async def play_across_a_kill(instance: Instance, workload: Workload, account: Account) -> None:
    async with instance.running():
        await register(instance, [workload])
        # The port is chosen anew at each start; a gateway knows one port for ever, and so does this publisher.
        address = instance.mqtt("gateways")
        async with Publisher(address, account=account) as publisher:
            await play(publisher, workload, range(ROUNDS // 2))
            assert instance.children().keys() == VICTIMS.keys()

            await instance.kill_supervisor()
            await until("its children are gone", lambda: not instance.survivors(), 15.0)

            rest = asyncio.create_task(play(publisher, workload, range(ROUNDS // 2, ROUNDS)))
            instance.set(GRIDWARDEN_EMBEDDED__MQTT_PORT=str(address.port))
            await instance.start()
            await rest
        ledger = await instance.drained()
        evidence.check_ledger(ledger, instance.data)
        assert await instance.stop() == 0


def start_second(instance: Instance) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gridwarden", "run", "-d", instance.data, "--port", "0"],
        cwd=instance.folder, env=instance.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def refused(instance: Instance, reason: str) -> None:
    """Start a second one, which must be refused and told why."""
    second = await asyncio.to_thread(start_second, instance)
    assert second.returncode == 1
    assert reason in second.stderr
    assert "Traceback" not in second.stderr


async def test_a_second_one_on_the_same_data_is_refused_and_the_first_unharmed(tmp_path: Path) -> None:
    instance = Instance(tmp_path, GRIDWARDEN_EMBEDDED__MQTT_PORT=str(free_port()))

    async def again() -> None:
        await refused(instance, f"in use by process {instance.pid}")

    with entering("second instance on one data directory") as draft:
        await play_meanwhile(instance, draft, again)


async def test_so_is_one_beside_what_a_killed_one_left_until_that_has_ended(tmp_path: Path) -> None:
    instance = Instance(tmp_path, GRIDWARDEN_EMBEDDED__MQTT_PORT=str(free_port()))

    async def again() -> None:
        core = await instance.child("core")
        os.kill(core, signal.SIGSTOP)  # it cannot see that its supervisor is gone
        try:
            await instance.kill_supervisor()
            await until("the others are gone", lambda: instance.survivors() == [core])
            await refused(instance, f"in use by core (process {core}), left over from an instance that was killed")
        finally:
            os.kill(core, signal.SIGCONT)
        await instance.start()

    with entering("second instance while core of a killed one still lives") as draft:
        await play_meanwhile(instance, draft, again)


async def play_meanwhile(instance: Instance, draft: Draft, happening: Callable[[], Awaitable[None]]) -> None:
    """Publish while it happens, and judge what came of it."""
    workload = Workload("second", (int(time.time()) - 3_600) * 1000)
    account = Account()
    async with instance.running():
        await register(instance, [workload])
        async with Publisher(instance.mqtt("gateways"), account=account) as publisher:
            await play(publisher, workload, range(ROUNDS // 2))
            rest = asyncio.create_task(play(publisher, workload, range(ROUNDS // 2, ROUNDS)))
            await happening()
            await rest
        evidence.check_ledger(await instance.drained(), instance.data)
        assert await instance.stop() == 0
    judge(draft, instance, workload, account)


def judge(draft: Draft, instance: Instance, workload: Workload, account: Account) -> None:
    """Count what is there, then hold it to the promise."""
    found = evidence.records(instance.data)[workload.tag]
    rows = evidence.history(instance.data)[workload.tag]
    draft.run = toll(draft.run.fault, workload, account, found, rows=rows)
    assert account.readings == account.readings_acknowledged == workload.readings
    evidence.check_readings(workload, found)
    evidence.check_history(workload, rows)
    evidence.forgive_redelivery(workload, found)
    evidence.check_truth(workload, found)
    assert "Traceback" not in instance.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_end_it_ends_with_all_its_own_and_without_a_fuss(tmp_path: Path, number: signal.Signals) -> None:
    async with Instance(tmp_path).running() as instance:
        children = instance.children()
        assert children.keys() == VICTIMS.keys()

        assert await instance.stop(number) == 0  # within 15 s

        assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]
        log = instance.log.read_text()
        assert "Traceback" not in log
        assert '"level": "error"' not in log


async def test_asked_to_end_while_it_starts_it_ends(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    try:
        instance.launch()
        await until("its first child runs", instance.children)
        assert await instance.stop() == 0
        assert "Traceback" not in instance.log.read_text()
    except BaseException as error:
        error.add_note(instance.last_words())
        raise
    finally:
        await instance.end()

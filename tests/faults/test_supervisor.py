"""The supervisor itself: killed, asked to end, started twice. What it leaves behind is nothing but the data."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulators.publisher import Account, Publisher
from tests.faults import evidence
from tests.faults.book import entering
from tests.faults.harness import VICTIMS, Instance, until
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
        await play_across_a_kill(instance, workload, account, tmp_path)
        found = evidence.records(instance.data)[workload.tag]
        rows = evidence.history(instance.data)[workload.tag]
        draft.run = toll(draft.run.fault, workload, account, found, rows=rows)
        assert account.readings == account.readings_acknowledged == workload.readings
        evidence.check_readings(workload, found)
        evidence.check_history(workload, rows)
        evidence.forgive_redelivery(workload, found)
        evidence.check_truth(workload, found)
        assert "Traceback" not in instance.log.read_text()


async def play_across_a_kill(instance: Instance, workload: Workload, account: Account, tmp_path: Path) -> None:
    async with instance.running():
        workload.register([workload], tmp_path / "devices.csv")
        await instance.import_devices(tmp_path / "devices.csv")
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


async def test_a_second_one_on_the_same_data_is_refused_and_told_why(tmp_path: Path) -> None:
    async with Instance(tmp_path).running() as instance:
        second = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "gridwarden", "run", "-d", instance.data, "--port", "0"],
            cwd=tmp_path, env=instance.environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

        assert second.returncode == 1
        assert f"in use by process {instance.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert (await instance.ledger())["balanced"]


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

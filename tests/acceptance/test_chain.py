"""The whole way of a reading, over MQTT into records, history, alarms and events, in each way it can be set up."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.publisher import Address, Publisher
from tests.faults import evidence
from tests.faults.harness import Instance, until
from tests.faults.workload import ROUNDS, Workload

pytestmark = pytest.mark.process


async def play(instance: Instance, workload: Workload, address: Address) -> None:
    """Register, publish everything, wait for it, and hold it against the script."""
    file = instance.folder / "devices.csv"
    workload.register([workload], file)
    await instance.import_devices(file)
    async with Publisher(address) as publisher:
        for number in range(ROUNDS):
            for sent in workload.rounds[number]:
                await publisher.publish(sent.topic, sent.payload, sent.readings)
            await publisher.drain()
            await asyncio.sleep(0.02)
    ledger = await arrived(instance, workload.readings)
    assert ledger["received"] == workload.readings
    evidence.check_ledger(ledger, instance.data)
    assert await instance.stop() == 0

    found = evidence.records(instance.data)[workload.tag]
    evidence.check_readings(workload, found)
    evidence.check_truth(workload, found)
    evidence.check_history(workload, evidence.history(instance.data)[workload.tag])
    assert "Traceback" not in instance.log.read_text()


async def arrived(instance: Instance, readings: int) -> dict[str, Any]:
    """Wait for so many readings; a broker that is not ours does not tell what it still holds."""

    async def all_of_them() -> dict[str, Any] | None:
        ledger = await instance.drained()
        return ledger if ledger["received"] >= readings else None

    return dict(await until(f"{readings} readings have arrived", all_of_them))


def workload() -> Workload:
    return Workload("chain", (int(time.time()) - 3_600) * 1000)


async def test_core_and_web_in_one_process_do_the_same(tmp_path: Path) -> None:
    async with Instance(tmp_path, "--single").running() as instance:
        assert instance.children().keys() == {"broker"}
        await play(instance, workload(), instance.mqtt("gateways"))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_another_broker_with_a_password_does_the_same(tmp_path: Path, mosquitto: Any, version: str) -> None:
    passwd = shutil.which("mosquitto_passwd")
    if not passwd:
        pytest.skip("no mosquitto_passwd on this machine")
    users = mosquitto.directory / "users"
    subprocess.run([passwd, "-b", "-c", str(users), "district", "correct horse"], check=True)  # noqa: ASYNC221
    users.chmod(0o644)
    mosquitto.stop()
    mosquitto.lines = ["allow_anonymous false", f"password_file {users}"]
    mosquitto.start()
    config = tmp_path / "site.toml"
    config.write_text(
        f"""
        [embedded]
        enabled = false
        [[broker]]
        name = "district"
        host = "{mosquitto.host}"
        port = {mosquitto.port}
        version = "{version}"
        username = "district"
        password = "correct horse"
        """
    )
    async with Instance(tmp_path, "--config", str(config)).running() as instance:
        assert instance.children().keys() == {"core", "web"}
        address = Address(mosquitto.host, mosquitto.port, "gateways", "district", "correct horse")
        await play(instance, workload(), address)


async def test_a_broker_that_refuses_the_password_is_told_of_and_nothing_is_ready(
    tmp_path: Path, mosquitto: Any
) -> None:
    mosquitto.stop()
    mosquitto.lines = ["allow_anonymous false"]
    mosquitto.start()
    broker = f'[{{"name": "district", "host": "{mosquitto.host}", "port": {mosquitto.port}, "username": "nobody"}}]'
    instance = Instance(tmp_path, GRIDWARDEN_EMBEDDED__ENABLED="false", GRIDWARDEN_BROKER=broker)
    try:
        instance.launch()

        async def health() -> dict[str, str] | None:
            with contextlib.suppress(httpx.HTTPError):
                response = await instance.client.get("/readyz")
                assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE
                return dict(response.json()) if "connection refused" in instance.last_words() else None
            return None

        async def broker_is_missed() -> bool:
            return await health() == {"status": "broker_unavailable"}

        await until("it says what is missing", broker_is_missed)
        assert await instance.stop() == 0
    finally:
        await instance.end()

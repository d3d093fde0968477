"""The whole way of a reading, over MQTT into records, history, alarms and events, in each way it can be set up."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.make_secrets import make_certificates
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


@dataclass(frozen=True)
class Secured:
    """Mosquitto with one account; over TLS on a second port, under a certificate authority of its own."""

    plain: Address
    tls_port: int
    ca_file: Path
    password_file: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.crt``, and ``server.crt`` and ``server.key`` for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, ["127.0.0.1"])
    return folder


@pytest.fixture
def secured(mosquitto: Any, certificates: Path) -> Secured:
    passwd = shutil.which("mosquitto_passwd")
    if not passwd:
        pytest.skip("no mosquitto_passwd on this machine")
    users = mosquitto.directory / "users"
    subprocess.run([passwd, "-b", "-c", str(users), "district", "correct horse"], check=True)
    users.chmod(0o644)
    secret = mosquitto.directory / "password"
    secret.write_text("correct horse\n")
    with socket.create_server((mosquitto.host, 0)) as free:
        tls_port = free.getsockname()[1]
    mosquitto.stop()
    mosquitto.lines = [
        "allow_anonymous false", f"password_file {users}", f"listener {tls_port} {mosquitto.host}",
        f"certfile {certificates / 'server.crt'}", f"keyfile {certificates / 'server.key'}",
    ]  # fmt: skip
    mosquitto.start()
    address = Address(mosquitto.host, mosquitto.port, "gateways", "district", "correct horse")
    return Secured(address, tls_port, certificates / "ca.crt", secret)


def site(folder: Path, secured: Secured, version: str, port: int, *more: str) -> Path:
    """A configuration with Mosquitto instead of the embedded broker."""
    path = folder / "site.toml"
    broker = [
        "[embedded]", "enabled = false", "[[broker]]", 'name = "district"', f'host = "{secured.plain.host}"',
        f"port = {port}", f'version = "{version}"', 'username = "district"',
    ]  # fmt: skip
    path.write_text("\n".join([*broker, *more]))
    return path


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_another_broker_with_a_password_does_the_same(tmp_path: Path, secured: Secured, version: str) -> None:
    config = site(tmp_path, secured, version, secured.plain.port, 'password = "correct horse"')
    async with Instance(tmp_path, "--config", str(config)).running() as instance:
        assert instance.children().keys() == {"core", "web"}
        await play(instance, workload(), secured.plain)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_another_broker_over_tls_with_the_password_in_a_file_does_the_same(
    tmp_path: Path, secured: Secured, version: str
) -> None:
    tls = ("[broker.tls]", f'ca_file = "{secured.ca_file}"')
    config = site(tmp_path, secured, version, secured.tls_port, f'password_file = "{secured.password_file}"', *tls)
    async with Instance(tmp_path, "--config", str(config)).running() as instance:
        await play(instance, workload(), secured.plain)


async def test_a_broker_with_a_certificate_of_somebody_unknown_gets_no_connection(
    tmp_path: Path, secured: Secured
) -> None:
    stranger = tmp_path / "stranger"
    make_certificates(stranger, ["127.0.0.1"])
    tls = ("[broker.tls]", f'ca_file = "{stranger / "ca.crt"}"')
    config = site(tmp_path, secured, "5", secured.tls_port, 'password = "correct horse"', *tls)
    instance = Instance(tmp_path, "--config", str(config))
    try:
        instance.launch()
        await until("it says why", lambda: "CERTIFICATE_VERIFY_FAILED" in instance.last_words())

        async def broker_is_missed() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return bool((await instance.client.get("/readyz")).json() == {"status": "broker_unavailable"})
            return False

        await until("it is not ready", broker_is_missed)
        assert await instance.stop() == 0
    finally:
        await instance.end()


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

"""The embedded broker with a real nats-server; an independent client judges it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiomqtt
import nats
import pytest

from gridwarden.broker import EmbeddedBroker, child, credentials, embedded, stream
from gridwarden.config import Embedded
from gridwarden.errors import BrokerUnavailable, NotFound

pytestmark = pytest.mark.process
SETTINGS = Embedded(mqtt_port=0, gateways=("gw1", "gw2"), store_bytes=64 * 2**20, messages_per_topic=1000)


def client(broker: EmbeddedBroker, user: str, **options: Any) -> aiomqtt.Client:
    name, password = broker.credentials(user)
    settings = {"identifier": f"{user}-client", "timeout": 5} | options
    return aiomqtt.Client(broker.host, broker.mqtt_port, username=name, password=password, **settings)


async def stream_config(broker: EmbeddedBroker) -> dict[str, Any]:
    user, password = broker.credentials("supervisor")
    connection = await nats.connect(f"nats://127.0.0.1:{broker.client_port}", user=user, password=password)
    try:
        return (await stream._ask(connection, "INFO", None))["config"]
    finally:
        await connection.close()


async def next_payload(listener: aiomqtt.Client) -> bytes:
    async with asyncio.timeout(10):
        message = await anext(aiter(listener.messages))
    return bytes(message.payload)


# -- the bound -----------------------------------------------------------------------------------------------------


async def test_the_message_stream_refuses_at_its_limit_instead_of_deleting(broker: EmbeddedBroker) -> None:
    config = await stream_config(broker)

    assert config["discard"] == "new"
    assert config["discard_new_per_subject"] is True
    assert config["max_msgs_per_subject"] == 1_000_000
    assert config["max_bytes"] == 48 * 2**20
    assert config["retention"] == "interest"
    assert config["subjects"] == ["$MQTT.msgs.>"]


async def test_at_the_limit_telemetry_is_refused_an_alarm_passes_and_nothing_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        async with client(broker, "ingester", clean_session=False) as absent:
            await absent.subscribe("gridwarden/v1/+/up", qos=1)
            await absent.subscribe("gridwarden/v1/+/alarm", qos=1)
        acknowledged = []
        with contextlib.suppress(aiomqtt.MqttError):
            async with client(broker, "gw1", timeout=2) as gateway:
                for number in range(1100):
                    await gateway.publish("gridwarden/v1/gw1/up", str(number), qos=1)
                    acknowledged.append(str(number).encode())
        assert len(acknowledged) == 1000
        async with client(broker, "gw1", identifier="gw1-alarms") as gateway:
            await gateway.publish("gridwarden/v1/gw1/alarm", "fire", qos=1)

        async with client(broker, "ingester", clean_session=False) as back:
            came = {await next_payload(back) for _ in range(1001)}
        assert came == {*acknowledged, b"fire"}


async def test_it_does_not_start_without_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the server took the update and did not keep it."""
    real = stream._ask

    async def forgetful(connection: Any, verb: str, config: dict[str, Any] | None) -> dict[str, Any]:
        return {} if verb == "UPDATE" else await real(connection, verb, config)

    monkeypatch.setattr(stream, "_ask", forgetful)
    broker = EmbeddedBroker(SETTINGS, tmp_path)
    with pytest.raises(BrokerUnavailable, match="does not keep the bound"):
        await broker.__aenter__()
    assert broker.pid is None


@pytest.mark.parametrize(("sync_s", "wanted"), [(1.0, (10**9, None)), (0.25, (25 * 10**7, None)), (0.0, (None, True))])
async def test_how_much_a_power_loss_may_cost_is_set(
    tmp_path: Path, sync_s: float, wanted: tuple[int | None, bool | None]
) -> None:
    async with EmbeddedBroker(SETTINGS.model_copy(update={"sync_s": sync_s}), tmp_path) as broker:
        told = await broker.store()
        assert told is not None
        config = told["config"]
        interval = None if config.get("sync_always") else config["sync_interval"]
        assert (interval, config.get("sync_always")) == wanted


async def test_its_disk_may_be_made_smaller_and_larger(tmp_path: Path) -> None:
    for mebibytes in (1024, 64, 2048):
        settings = SETTINGS.model_copy(update={"store_bytes": mebibytes * 2**20})
        async with EmbeddedBroker(settings, tmp_path) as broker:
            assert (await stream_config(broker))["max_bytes"] == mebibytes * 2**20 * 3 // 4
            assert f"max_file: {mebibytes * 2**20}," in (tmp_path / "broker" / "nats.conf").read_text()


# -- who may do what -----------------------------------------------------------------------------------------------


async def test_a_gateway_cannot_speak_for_another_one_nor_to_the_store(broker: EmbeddedBroker) -> None:
    async with client(broker, "ingester") as listener, client(broker, "gw1") as gateway:
        await listener.subscribe("gridwarden/v1/#", qos=1)
        for topic in ("gridwarden/v1/gw2/up", "gridwarden/v1/gw10/up", "$JS/API/STREAM/DELETE/$MQTT_msgs"):
            await gateway.publish(topic, "forged", qos=1)
        await gateway.publish("gridwarden/v1/gw1/up", "own", qos=1)

        assert await next_payload(listener) == b"own"
    assert (await stream_config(broker))["discard"] == "new"


async def test_a_gateway_hears_what_is_addressed_to_it_alone(broker: EmbeddedBroker) -> None:
    async with client(broker, "gw1") as gateway:
        assert (await gateway.subscribe("gridwarden/v1/gw1/down", qos=1))[0].is_failure is False
        assert (await gateway.subscribe("gridwarden/v1/gw1/errors", qos=1))[0].is_failure is False
        for topic in ("gridwarden/v1/gw2/down", "gridwarden/v1/+/up", "#"):
            assert (await gateway.subscribe(topic, qos=1))[0].is_failure


async def test_the_ingester_publishes_no_telemetry(broker: EmbeddedBroker) -> None:
    async with client(broker, "ingester") as listener, client(broker, "gw1") as gateway:
        await listener.subscribe("gridwarden/v1/#", qos=1)
        await listener.publish("gridwarden/v1/gw1/up", "forged", qos=1)
        await gateway.publish("gridwarden/v1/gw1/up", "own", qos=1)
        assert await next_payload(listener) == b"own"


@pytest.mark.parametrize(("user", "password"), [(None, None), ("gw1", "wrong"), ("supervisor", None)])
async def test_nobody_comes_in_without_a_password(
    broker: EmbeddedBroker, user: str | None, password: str | None
) -> None:
    """The supervisor's own password does not open the MQTT port either."""
    if user == "supervisor":
        password = broker.credentials("supervisor")[1]
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client(broker.host, broker.mqtt_port, username=user, password=password, timeout=5):
            pass


async def test_gateways_come_and_go_while_it_runs(broker: EmbeddedBroker, tmp_path: Path, until: Any) -> None:
    directory = tmp_path / "broker"
    async with client(broker, "gw1") as stays:
        pid = broker.pid
        credentials.add_gateway(directory, "gw3")
        credentials.remove_gateway(directory, "gw2")
        await until(lambda: "gw3" in broker._credentials.gateways)
        await broker.reload()

        async with client(broker, "gw3") as new:
            await new.publish("gridwarden/v1/gw3/up", "1", qos=1)
        with pytest.raises(NotFound):
            broker.credentials("gw2")
        await stays.publish("gridwarden/v1/gw1/up", "1", qos=1)
        assert broker.pid == pid


# -- its life ------------------------------------------------------------------------------------------------------


async def test_killed_it_comes_back_on_the_same_port_bounded(broker: EmbeddedBroker, until: Any) -> None:
    port, pid = broker.mqtt_port, broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: broker.restarts == 1 and broker.running)

    assert broker.pid not in (None, pid)
    assert broker.mqtt_port == port
    assert (await stream_config(broker))["discard"] == "new"


async def test_the_bound_is_verified_after_every_restart(
    broker: EmbeddedBroker, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = stream.enforce

    async def counted(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise BrokerUnavailable("does not hold")
        await real(*arguments)

    monkeypatch.setattr(embedded.stream, "enforce", counted)
    os.kill(broker.pid or 0, signal.SIGKILL)
    await until(lambda: broker.restarts == 1 and broker.running)
    assert len(calls) == 2


async def test_it_ends_with_its_context(tmp_path: Path) -> None:
    async with EmbeddedBroker(SETTINGS, tmp_path) as broker:
        pid = broker.pid
        assert pid is not None
    assert not alive(pid)
    async with EmbeddedBroker(SETTINGS, tmp_path) as again:
        assert again.running


async def test_a_second_one_on_the_same_directory_is_refused(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="another broker runs on"):
        await EmbeddedBroker(SETTINGS, tmp_path).__aenter__()
    assert broker.running


async def test_a_port_in_use_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = SETTINGS.model_copy(update={"mqtt_port": port})
        with pytest.raises(BrokerUnavailable, match=rf"port {port} on 127\.0\.0\.1 .*embedded\.mqtt_port"):
            await EmbeddedBroker(settings, tmp_path).__aenter__()


async def test_a_child_that_ends_at_once_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded.config_file, "render", lambda *_: "jetstream: nonsense {")
    with pytest.raises(BrokerUnavailable, match=r"ended with 1: .*Parse error"):
        await EmbeddedBroker(SETTINGS, tmp_path).__aenter__()


async def test_its_files_are_closed_to_others_and_an_overlong_log_is_put_aside(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    directory.mkdir()
    (directory / "nats.log").write_bytes(b"x" * (10 * 2**20 + 1))
    async with EmbeddedBroker(SETTINGS, tmp_path):
        assert directory.stat().st_mode & 0o077 == 0
        assert (directory / "nats.conf").stat().st_mode & 0o077 == 0
        assert (directory / "nats.log").stat().st_size < 2**20
        assert (directory / "nats.log.1").exists()


PARENT = """
import asyncio, sys
from pathlib import Path
from gridwarden.broker import EmbeddedBroker
from gridwarden.config import Embedded

async def main():
    async with EmbeddedBroker(Embedded(mqtt_port=0), Path(sys.argv[1])) as broker:
        print("pid", broker.pid, flush=True)
        await asyncio.sleep(600)

{run}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("run", ["asyncio.run(main())", "import uvloop; uvloop.run(main())"], ids=["asyncio", "uvloop"])
async def test_it_ends_with_a_killed_parent_and_the_directory_is_free(tmp_path: Path, run: str, until: Any) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT.format(run=run), str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    said = b""
    async with asyncio.timeout(30):
        while not (found := re.search(rb"^pid (\d+)$", said, re.MULTILINE)):
            line = await parent.stdout.readline()
            assert line, said
            said += line
    child = int(found[1])
    assert alive(child)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(child))
    async with EmbeddedBroker(SETTINGS, tmp_path) as again:
        assert again.running


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_complaint_of_the_store_is_found_where_it_was_not_looked_for_yet(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    assert child.complaint(log, 0) == ("", 0)
    log.write_bytes(b"[1] [ERR] Filestore Critical write error: an earlier child's\n")
    began = child.rotate(log)
    with log.open("ab") as more:
        more.write(b"[2] [INF] Server is ready\n")
    assert child.complaint(log, began) == ("", log.stat().st_size)
    with log.open("ab") as more:
        more.write(b"[2] [ERR] Filestore [$MQTT_msgs] Critical write error: sync 11.blk\n")
    found, position = child.complaint(log, began)
    assert (found, position) == (
        "[2] [ERR] Filestore [$MQTT_msgs] Critical write error: sync 11.blk",
        log.stat().st_size,
    )
    assert child.complaint(log, position) == ("", position)

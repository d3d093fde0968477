"""Dockerfile, docker-compose.yml and deploy/: what they promise, and that what they start works, without an engine."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.make_secrets import make
from gridwarden.config import load
from tests.acceptance import containers
from tests.acceptance.containers import ROOT, Pod, compose, image, instructions
from tests.faults import evidence
from tests.faults.harness import Instance, until
from tests.faults.workload import ROUNDS, Workload

SERVICES = compose()["services"]
OURS = ("gridwarden", "embedded")
RESTARTED_IN = 5
"""The round in the middle of which Mosquitto is restarted."""
AWAY_IN = 12
"""The round that Mosquitto has to keep over a restart, because Gridwarden is away."""
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


# --- what the files promise -----------------------------------------------------------------------------------------


@each_service
def test_a_service_can_do_nothing_but_its_work(service: dict[str, Any]) -> None:
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "env_file"} & service.keys()
    assert all("size=" in one for one in service["tmpfs"])


@each_service
def test_a_service_is_bounded_and_watched(service: dict[str, Any]) -> None:
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["healthcheck"].keys() == {"test", "interval", "timeout", "start_period", "retries"}
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@each_service
def test_a_service_is_reached_from_this_machine_alone_and_keeps_its_data_in_a_volume(service: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    (volume,) = service["volumes"]
    assert volume.partition(":")[0] in compose()["volumes"]


def test_only_services_that_somebody_speaks_to_have_a_port() -> None:
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {
        "gridwarden",
        "mosquitto",
        "embedded",
    }


@each_service
def test_no_secret_stands_in_the_environment(service: dict[str, Any]) -> None:
    names = re.compile("pass|token|secret|key", re.IGNORECASE)
    secret = {name: value for name, value in service.get("environment", {}).items() if names.search(name)}
    files = [f"/run/secrets/{name}" for name in service.get("secrets", [])]
    assert all(name.endswith("_FILE") and value in files for name, value in secret.items()), secret
    assert names.search(" ".join(service["command"])) is None


def test_what_a_service_names_is_there() -> None:
    told = compose()
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= told["secrets"].keys()
        assert {one["source"] for one in service.get("configs", [])} <= told["configs"].keys()
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
    assert all((ROOT / one["file"]).is_file() for one in told["configs"].values())
    assert all(Path(one["file"]).parent == Path("deploy/secrets") for one in told["secrets"].values())


def test_everything_in_one_container_is_a_profile_that_needs_no_other_service() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["embedded"]
    assert not {"depends_on", "secrets", "configs"} & SERVICES["embedded"].keys()


def test_images_are_pinned_and_come_from_no_particular_host() -> None:
    bases = [rest.partition(" AS ")[0] for word, rest in instructions() if word == "FROM"]
    assert len(set(bases)) == 1
    for name in [*bases, *(service["image"] for service in SERVICES.values())]:
        assert re.fullmatch(r"[a-z-]+:\d+\.\d+[a-z0-9.-]*", name), name


def test_the_image_runs_as_nobody_and_installs_only_what_is_locked() -> None:
    last = image()
    assert (last["USER"], last["WORKDIR"], last["VOLUME"]) == ("10001:10001", "/data", ["/data"])
    assert (last["ENTRYPOINT"], last["STOPSIGNAL"]) == (["gridwarden"], "SIGTERM")
    assert last["ENV"]["PYTHONDONTWRITEBYTECODE"] == "1"
    installs = [
        rest for word, rest in instructions() if word == "RUN" and re.search(r"\bpip(?: --python \S+)? install ", rest)
    ]
    assert installs
    assert all("--require-hashes" in rest or "--no-deps --no-index" in rest for rest in installs)


@pytest.mark.parametrize("name", OURS)
def test_the_image_and_the_file_say_the_same(name: str) -> None:
    assert json.loads(re.sub(r"^.*?CMD ", "", image()["HEALTHCHECK"])) == SERVICES[name]["healthcheck"]["test"][1:]
    assert image()["CMD"] == SERVICES[name]["command"]
    assert image()["USER"] == SERVICES[name]["user"]


def test_the_image_gets_all_the_wheel_is_made_of_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in let_in)
    project = (ROOT / "pyproject.toml").read_text()
    (packages,) = re.findall(r"^packages = (\[.*dashboards.*\])$", project, re.MULTILINE)
    assert set(json.loads(packages)) < let_in


def test_the_file_is_what_compose_expects() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode:
        pytest.skip("no docker compose on this machine")
    command = [docker, "compose", "--profile", "embedded", "config", "--format", "json"]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert found["services"].keys() == SERVICES.keys()


def test_the_configuration_is_one(tmp_path: Path) -> None:
    make(tmp_path, [], [])
    text = (ROOT / "deploy" / "gridwarden.toml").read_text()
    path = tmp_path / "gridwarden.toml"
    path.write_text(text.replace("/run/secrets", str(tmp_path)))
    config = load(path, image()["ENV"] | SERVICES["gridwarden"]["environment"])
    (broker,) = config.broker
    assert broker.password is not None
    assert broker.password.get_secret_value() == (tmp_path / "mqtt_password").read_text().strip()
    assert config.history.token.get_secret_value() == (tmp_path / "influxdb_token").read_text().strip()
    made = {
        name.removeprefix("DOCKER_INFLUXDB_INIT_"): value for name, value in SERVICES["influxdb"]["environment"].items()
    }
    assert (config.history.kind, config.history.url) == ("influxdb", "http://influxdb:8086")
    assert (config.history.org, config.history.bucket) == (made["ORG"], made["BUCKET"])
    assert int(made["RETENTION"].removesuffix("d")) > config.history.retention_days
    # What its image asks for before it sets anything up.
    assert {"MODE", "USERNAME", "PASSWORD_FILE", "ORG", "BUCKET", "ADMIN_TOKEN_FILE"} <= made.keys()
    assert "influxdb" in SERVICES["gridwarden"]["depends_on"]


def test_alarms_wait_for_no_history() -> None:
    assert SERVICES["gridwarden"]["depends_on"]["influxdb"] == {"condition": "service_started"}


# --- secrets --------------------------------------------------------------------------------------------------------


def test_secrets_are_made_once_and_gateways_are_added(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = make(folder, ["mqtt.example"], ["gw-1"])
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    second = make(folder, ["other.example"], ["gw-1", "gw-2"])
    assert (first.keys(), second.keys()) == ({"gw-1"}, {"gw-2"})
    assert {name for name, content in kept.items() if (folder / name).read_bytes() != content} == {"mqtt_users"}
    assert (folder / "mqtt_users").read_bytes().startswith(kept["mqtt_users"])
    assert not any(password in path.read_text() for path in folder.iterdir() for password in (first | second).values())


def test_secrets_are_out_of_reach_of_others_here_and_legible_in_the_containers(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make(folder, [], [])
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes.pop("ca.key") == 0o600
    assert modes == {Path(one["file"]).name: 0o444 for one in compose()["secrets"].values()}


@pytest.mark.parametrize("name", ["gridwarden", "", "a:b", "a/b", "a\nb"])
def test_a_name_that_no_gateway_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a gateway"):
        make(tmp_path / "secrets", [], [name])
    assert not (tmp_path / "secrets").exists()


def test_certificates_hold_under_the_strictest_check(tmp_path: Path) -> None:
    make(tmp_path, ["mqtt.example", "192.0.2.7"], [])
    for names in (["-verify_hostname", "mqtt.example"], ["-verify_hostname", "mosquitto"], ["-verify_ip", "192.0.2.7"]):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.crt", *names, "server.crt"]
        assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.endswith("OK\n")


# --- what they start ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path, since sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="pod") as name:
        yield Path(name)


@pytest.fixture
def isolated() -> None:
    if reason := containers.why_not():
        pytest.skip(reason)


@pytest.mark.usefixtures("isolated")
def test_the_containers_of_these_tests_are_as_narrow_as_the_real_ones(folder: Path) -> None:
    look = (
        "id -u; id -G; umask; pwd; echo ${HOME-none}; grep -E 'CapEff|NoNewPrivs' /proc/self/status;"
        "for place in / /etc /opt/gridwarden /run/secrets; do touch $place/x 2>/dev/null && echo $place; done;"
        "touch /tmp/x /data/x && echo written; ip -o link | wc -l"
    )
    make(folder / "secrets", [], [])
    with Pod(folder, folder / "secrets") as pod:
        told = pod.run("gridwarden", "sh", "-c", look).stdout.splitlines()
    narrow = ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    assert told == ["10001", "10001", "0077", "/data", "none", *narrow, "written", "1"]
    assert [path.name for path in pod.volume("gridwarden").iterdir()] == ["x"]


class Contained(Instance):
    """An instance in a container, seen from outside through its volume."""

    def __init__(self, pod: Pod, service: str) -> None:
        super().__init__(pod.folder)
        self.data = pod.volume(service)
        self.log = pod.folder / f"{service}.log"
        self._pod, self._service = pod, service

    def launch(self) -> None:
        self._process = self._pod.start(self._service)


def tell(gateway: subprocess.Popen[bytes], messages: list[tuple[str, bytes]]) -> None:
    assert gateway.stdin is not None
    gateway.stdin.write(json.dumps([(topic, payload.hex()) for topic, payload in messages]).encode() + b"\n")
    gateway.stdin.flush()


async def acknowledged(gateway: subprocess.Popen[bytes]) -> None:
    assert gateway.stdout is not None
    assert await asyncio.to_thread(gateway.stdout.readline) == b"done\n"


def kept(influxdb: subprocess.Popen[bytes]) -> Counter[tuple[str, int, int | None, bool]]:
    """End it, and what it had, besides what the platform says of itself."""
    rows = map(tuple, json.loads(influxdb.communicate(b"end\n", timeout=30)[0]))
    return Counter(row for row in rows if not row[0].startswith("gridwarden:"))


async def mosquitto_listens(pod: Pod) -> None:
    probe = ["python", "-c", "import socket; socket.create_connection(('mosquitto', 8883), 1)"]
    await until("mosquitto listens", lambda: pod.run("gridwarden", *probe, ok=False).returncode == 0)


async def restarted(pod: Pod, broker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    broker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(broker.wait, 20) == 0
    return pod.start("mosquitto")


@pytest.mark.process
@pytest.mark.usefixtures("isolated")
async def test_gridwarden_beside_mosquitto_loses_nothing_when_mosquitto_is_restarted(folder: Path) -> None:
    if not shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
        pytest.skip("no mosquitto on this machine")
    workload = Workload("pod", (int(time.time()) - 3_600) * 1000)
    secrets = folder / "secrets"
    passwords = make(secrets, [], [workload.gateway, workload.rogue])
    with Pod(folder, secrets) as pod:
        broker, influxdb = pod.start("mosquitto"), pod.influxdb()
        await mosquitto_listens(pod)
        async with Contained(pod, "gridwarden").running() as instance:
            pod.run("gridwarden", *SERVICES["gridwarden"]["healthcheck"]["test"][1:])
            workload.register([workload], instance.data / "devices.csv")
            (instance.data / "devices.csv").chmod(0o644)
            pod.run("gridwarden", "gridwarden", "import", "devices", "/data/devices.csv")
            await until("core has the registry", instance._registry_in_core)
            tls = ["localhost", "8883", str(secrets / "ca.crt")]
            gateways = {name: pod.gateway(*tls, name, password) for name, password in passwords.items()}
            for number in range(ROUNDS):
                if number == AWAY_IN:
                    assert await instance.stop() == 0
                for name, gateway in gateways.items():
                    tell(gateway, [(one.topic, one.payload) for one in workload.rounds[number]
                                         if one.topic.split("/")[2] == name])  # fmt: skip
                if number == RESTARTED_IN:
                    broker = await restarted(pod, broker)
                for gateway in gateways.values():
                    await acknowledged(gateway)
                if number == AWAY_IN:
                    broker = await restarted(pod, broker)
                    await instance.start()

            async def all_is_there() -> dict[str, Any] | None:
                ledger = await instance.drained()
                there = (ledger["stored"], ledger["quarantined"]) == (len(workload.stored), len(workload.quarantined))
                return ledger if there and ledger["dead_lettered"] >= len(workload.dead) else None

            ledger = await until("everything has arrived", all_is_there)
            evidence.check_ledger(ledger, instance.data)
            events = await instance.get("/events?limit=1000")
            assert len(events["events"]) > len(SERVICES)
            assert await instance.stop() == 0
        found = evidence.records(instance.data)[workload.tag]
        evidence.check_readings(workload, found)
        evidence.forgive_redelivery(workload, found)
        evidence.check_truth(workload, found)
        evidence.check_history(workload, kept(influxdb))
        assert "Traceback" not in instance.log.read_text()


@pytest.mark.process
@pytest.mark.usefixtures("isolated")
async def test_a_gateway_of_mosquitto_speaks_for_itself_alone(folder: Path) -> None:
    if not shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
        pytest.skip("no mosquitto on this machine")
    secrets = folder / "secrets"
    passwords = make(secrets, [], ["gw-1"])
    body = json.dumps({"device": "LIFT-1", "at": int(time.time() * 1000), "seq": 1, "values": {"floor": 3}}).encode()
    with Pod(folder, secrets) as pod:
        pod.start("mosquitto")
        pod.influxdb()
        await mosquitto_listens(pod)
        async with Contained(pod, "gridwarden").running() as instance:
            gateway = pod.gateway("localhost", "8883", str(secrets / "ca.crt"), "gw-1", passwords["gw-1"])
            pod.run("mosquitto", "python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 1883), 5)")
            tell(gateway, [("gridwarden/v1/gw-2/up", body), ("gridwarden/v1/gw-1/up", body)])
            await acknowledged(gateway)

            async def arrived() -> bool:
                return bool((await instance.ledger())["received"])

            await until("its own arrived", arrived)
            assert (await instance.drained())["received"] == 1


@pytest.mark.process
@pytest.mark.usefixtures("isolated")
async def test_everything_in_one_container_starts_with_no_network(folder: Path) -> None:
    with Pod(folder, folder) as pod:
        async with Contained(pod, "embedded").running() as instance:
            pod.run("embedded", *SERVICES["embedded"]["healthcheck"]["test"][1:])
            made = json.loads(pod.run("embedded", "gridwarden", "gateway", "add", "gw-1", "--json").stdout)
            page = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/').read().decode())"
            assert "<script" in pod.run("embedded", "python", "-c", page).stdout
            body = {"device": "SMOKE-1", "at": int(time.time() * 1000), "seq": 1, "values": {"state": "alarm"}}
            gateway = pod.gateway("127.0.0.1", "1883", "", "gw-1", made["password"])
            tell(gateway, [("gridwarden/v1/gw-1/alarm", json.dumps(body).encode())])
            await acknowledged(gateway)

            async def event() -> bool:
                return bool((await instance.get("/events?limit=10"))["events"])

            await until("the event is there", event)


def test_the_file_uses_no_words_of_its_own() -> None:
    known = {"name", "services", "volumes", "configs", "secrets"}
    told = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert {name for name in told if not name.startswith("x-")} == known

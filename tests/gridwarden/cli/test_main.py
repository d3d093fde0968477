"""The program as a process: starts and ends, its exit codes, what goes where, with a terminal and without."""

from __future__ import annotations

import gzip
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gridwarden import __version__
from tests.gridwarden.cli.conftest import DEADLINE_S, Command, Instance, end, start, wait_for

pytestmark = pytest.mark.process
READINGS = 50
COMMANDS = ("run", "demo", "check", "import", "user", "gateway", "replay", "ledger", "deadletter", "rules", "bench")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_version_and_help(command: Command) -> None:
    assert command("--version").out == f"gridwarden {__version__}\n"
    text = command("--help").out
    assert [name for name in COMMANDS if name not in text] == []
    for name in COMMANDS:
        assert command(name, "--help").code == 0


@pytest.mark.parametrize("words", [("nonsense",), ("run", "--nope"), ("ledger", "surplus"), ("run", "--port", "70000")])
def test_wrong_words(command: Command, words: tuple[str, ...]) -> None:
    answer = command(*words)
    assert (answer.code, answer.out) == (2, "")


def failed_start(tmp_path: Path, *words: str, **environ: str) -> tuple[int, list[str]]:
    """Exit code, and the lines that are for people."""
    said = tmp_path / "said"
    process = start(tmp_path / "data", said, *words, environ=environ)
    process.communicate(timeout=DEADLINE_S)
    return process.returncode, [line for line in said.read_text().splitlines() if not line.startswith("{")]


def test_the_pages_port_is_taken(tmp_path: Path, taken: int) -> None:
    code, lines = failed_start(tmp_path, "run", "--port", str(taken))
    assert code == 1
    assert len(lines) == 1
    assert f"port {taken} " in lines[0]
    assert "http.port" in lines[0]


def test_the_brokers_port_is_taken(tmp_path: Path, taken: int) -> None:
    code, lines = failed_start(tmp_path, "run", "--port", "0", GRIDWARDEN_EMBEDDED__MQTT_PORT=str(taken))
    assert (code, len(lines)) == (1, 1)
    assert "embedded.mqtt_port" in lines[0]


def test_a_part_that_cannot_start_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "data" / "web.sock").mkdir(parents=True)
    code, lines = failed_start(tmp_path, "run", "--port", "0")
    assert (code, len(lines)) == (1, 1)
    assert "web cannot start" in lines[0]
    assert "web.sock" in lines[0]


@pytest.mark.parametrize("words", [("run",), ("demo",), ("import", "areas", __file__)])
def test_a_data_directory_that_cannot_be_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "data").write_text("a file")
    code, lines = failed_start(tmp_path, *words)
    assert (code, len(lines)) == (2, 1)
    assert f"{tmp_path / 'data'}: the data directory cannot be used" in lines[0]


def test_a_second_instance_is_refused(tmp_path: Path, instance: Instance) -> None:
    said = tmp_path / "said"
    process = start(instance.data, said, "run", "--port", "0")
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert f"in use by process {instance.process.pid}" in said.read_text()


def test_logs_are_json_lines_and_hold_no_secret(instance: Instance) -> None:
    lines = instance.said.read_text().splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    assert {line["part"] for line in logged} >= {"run", "core"}
    people = [line for line in lines if not line.startswith("{")]
    assert [line.split()[0] for line in people] == ["Gridwarden", "Gateways", "First"]
    kept = json.loads((instance.data / "broker" / "secrets.json").read_text())
    for name in ("supervisor", "ingester", "replayer"):
        assert kept[name] not in instance.said.read_text()


def test_the_page_is_where_it_says(instance: Instance) -> None:
    assert httpx.get(f"{instance.address}/healthz").status_code == 200


def test_replay_into_a_running_instance(command: Command, instance: Instance, tmp_path: Path) -> None:
    file = tmp_path / "readings.jsonl.gz"
    with gzip.open(file, "wt") as lines:
        for number in range(READINGS):
            at_ms = 1_767_225_600_000 + number * 1000
            reading = {"device": "HYD-9", "at": at_ms, "seq": number, "values": {"pressure_mpa": 0.3}}
            lines.write(json.dumps({**reading, "gateway": "gw-9"}) + "\n")
        lines.write("no json\n")
    answer = command("replay", file, "--batch", "10", "-d", instance.data, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["readings_acknowledged"] == READINGS
    assert (answer.json["messages"], answer.json["unmapped"]) == (5, 1)
    assert f"{file}:{READINGS + 1}" in answer.err
    wait_for(instance.process, lambda: in_the_ledger(command, instance) == READINGS, instance.said)
    assert command("ledger", "-d", instance.data).code == 0


def in_the_ledger(command: Command, instance: Instance) -> int:
    ledger = command("ledger", "-d", instance.data, "--json").json
    return int(ledger["stored"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--speed", "fast"), "--speed: 'fast'"),
        (("--from", "yesterday"), "--from: 'yesterday'"),
        (("--mapping", "none"), "no shipped mapping"),
    ],
)
def test_replay_used_wrongly(command: Command, tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    (tmp_path / "x.jsonl").write_text("")
    answer = command("replay", tmp_path / "x.jsonl", *words, "-d", tmp_path)
    assert answer.code == 2
    assert reason in answer.err


def test_replay_without_an_instance(command: Command, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("")
    answer = command("replay", tmp_path / "x.jsonl", "-d", tmp_path)
    assert answer.code == 1
    assert "no instance runs on" in answer.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked_without_a_complaint(tmp_path: Path, number: signal.Signals) -> None:
    said = tmp_path / "said"
    process = start(tmp_path / "data", said, "run", "--port", "0")
    wait_for(process, lambda: "First sign-in" in said.read_text(), said)
    # The whole group hears it, as on a terminal; broker and parts must still end in their order.
    assert end(process, number) == 0
    text = said.read_text()
    assert "Traceback" not in text
    assert '"level": "error"' not in text
    assert not (tmp_path / "data" / "running.json").exists()


def test_the_demo_interrupted_still_adds_up(tmp_path: Path) -> None:
    said = tmp_path / "said"
    process = start(tmp_path / "data", said, "demo", "--port", "0", "--json")
    wait_for(process, lambda: "sign in as" in said.read_text(), said)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C: web must live on to be asked for the figures
    out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said.read_text()
    facts = json.loads(out)
    assert facts["ledger"]["balanced"]
    assert facts["ledger"]["stored"] == facts["published"]["readings"]


def test_interrupted_while_it_starts(tmp_path: Path) -> None:
    said = tmp_path / "said"
    process = start(tmp_path / "data", said, "run", "--port", "0")
    wait_for(process, lambda: "broker.started" in said.read_text(), said)
    assert end(process, signal.SIGINT) in {0, 130}
    assert "Traceback" not in said.read_text()


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "gridwarden"]
    for words in (["check"], ["check", "--json"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as closed:
            done = subprocess.run(
                [*program, *words], cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False
            )
        assert done.stderr == b"", done.stderr.decode()


def test_a_log_line_never_reaches_standard_output(command: Command, files: Path) -> None:
    data = files / "data"
    command("import", "areas", files / "areas.csv", "-d", data)
    history = data / "history"
    for path in history.rglob("*"):
        if path.is_file():
            path.write_bytes(b"no database")
    answer = command("user", "list", "-d", data, "--json")
    assert answer.json == {"users": []}
    assert "history" in answer.err


def on_a_terminal(tmp_path: Path, *words: str) -> str:
    """What a person sees."""
    terminal, side = os.openpty()
    program = [sys.executable, "-m", "gridwarden", *words]
    environ = os.environ | {"TERM": "xterm"}
    process = subprocess.Popen(program, cwd=tmp_path, env=environ, stdin=side, stdout=side, stderr=side)
    os.close(side)
    seen = b""
    while select.select([terminal], [], [], DEADLINE_S)[0]:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:  # Linux: the other side is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(terminal)
    process.wait(DEADLINE_S)
    return seen.decode("utf-8", "replace")


def test_bars_on_a_terminal_only(command: Command, files: Path) -> None:
    words = ("import", "areas", str(files / "areas.csv"), "-d", str(files / "data"))
    assert "importing areas" in on_a_terminal(files, *words)
    assert "importing areas" not in command(*words).err

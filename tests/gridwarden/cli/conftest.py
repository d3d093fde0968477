"""The command line in this process, and an instance that runs in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from gridwarden.cli.main import cli

DEADLINE_S = 60.0
AREAS = "code,name\n3301,杭州\n330106,西湖\n"
DEVICES = "device_id,kind,area,gateway\nSMK-1,smoke,330106,gw-1\nHYD-1,hydrant,330106,\n"
RESOURCES = "resource_id,kind,area,lon,lat\nSTA-1,micro_station,330106,120.1,30.2\n"


@dataclass(slots=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON object and nothing else."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        return json.loads(self.out)


Command = Callable[..., Answer]


@pytest.fixture
def command() -> Iterator[Command]:
    """Types a command; what it set up for the process is taken back afterwards."""
    hook = sys.excepthook

    def run(*words: object) -> Answer:
        result = CliRunner().invoke(cli, [str(word) for word in words], env={"COLUMNS": "200"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    yield run
    sys.excepthook = hook
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@dataclass(slots=True)
class Instance:
    """``gridwarden run`` as a person starts it."""

    data: Path
    process: subprocess.Popen[bytes]
    said: Path
    """Its standard error."""

    @property
    def address(self) -> str:
        """What it told the person to open."""
        return next(line for line in self.said.read_text().splitlines() if "is at http" in line).rpartition(" ")[2]


def start(data: Path, said: Path, *words: str, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """The program as a process, with a broker port of its own."""
    environ = {"GRIDWARDEN_EMBEDDED__MQTT_PORT": "0"} | (environ or {})
    with said.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "gridwarden", *words, "--data", str(data)],
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], object], said: Path) -> None:
    """Until ``condition`` holds; the process must live and not take for ever."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    """Ask it to end, the whole group as a terminal does it; its exit code."""
    os.killpg(process.pid, number)
    process.communicate(timeout=DEADLINE_S)
    return process.returncode


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance for the tests of one file."""
    folder = tmp_path_factory.mktemp("instance")
    said = folder / "said"
    process = start(folder / "data", said, "run", "--port", "0")
    try:
        wait_for(process, lambda: "First sign-in" in said.read_text(), said)
        yield Instance(folder / "data", process, said)
    finally:
        end(process)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with good and bad registry files."""
    for name, text in (("areas", AREAS), ("devices", DEVICES), ("resources", RESOURCES)):
        (tmp_path / f"{name}.csv").write_text(text, "utf-8")
    (tmp_path / "bad.csv").write_text("code,name\n3301,杭州\n33x,西湖\n330107,\n", "utf-8")
    return tmp_path

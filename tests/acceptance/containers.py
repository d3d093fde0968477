"""Containers without an engine: what docker-compose.yml says of a service, done with the kernel's own means.

A service gets a root of its own, read-only, with its volumes, secrets, configuration files and tmpfs at their places;
the user, no capabilities, no new privileges; exactly the environment and the command that an engine would give it;
and a network that has nothing but loopback, shared by the services as if it were theirs. What is missing against a
real container is the image: programs are those of this machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

ROOT = Path(__file__).parents[2]
_ETC = ("ld.so.cache", "nsswitch.conf", "localtime", "ssl")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ["unshare", "--net", "--mount", "--propagation", "private"]


def compose() -> dict[str, Any]:
    """docker-compose.yml, with what the environment may change as it is by default."""
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    return dict(yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)))


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, in order, each on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(words[0], words[1].strip()) for line in text.splitlines() if (words := line.split(None, 1))]


def image() -> dict[str, Any]:
    """Of the last stage: environment, entry point, command, user and so on."""
    stages = instructions()
    last = max(number for number, (word, _) in enumerate(stages) if word == "FROM")
    found: dict[str, Any] = {"ENV": {}}
    for word, rest in stages[last:]:
        if word == "ENV":
            found["ENV"] |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        else:
            found[word] = json.loads(rest) if rest.startswith("[") else rest
    return found


def why_not() -> str:
    """Why there can be no such container here; empty if there can."""
    if os.getuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "setpriv", "ip"))):
        return "namespaces need root, util-linux and iproute2"
    probe = [*_NAMESPACES, "sh", "-c", 'ip link set lo up && mount -t tmpfs none "$0"', "/mnt"]
    return "" if subprocess.run(probe, check=False, capture_output=True).returncode == 0 else "no namespaces here"


@dataclass
class Pod:
    """One network without a way out, and the services in it; use it with ``with``.

    Args:
        folder: for volumes, logs and roots; its path is short, since sockets lie below it.
        secrets: the folder of the files that are secrets.
    """

    folder: Path
    secrets: Path
    services: dict[str, Any] = field(default_factory=compose)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _network: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [*_NAMESPACES, "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
        self._network = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._network.stdout is not None
        assert self._network.stdout.readline() == b"up\n"
        (self.folder / "hosts").write_text("127.0.0.1 localhost mosquitto influxdb gridwarden\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in [*self._running, self._network]:
            if process is not None and process.poll() is None:
                process.kill()
            if process is not None:
                process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        stream.close()

    def volume(self, service: str) -> Path:
        """Where the one volume of ``service`` lies on this machine."""
        name = self.services["services"][service]["volumes"][0].partition(":")[0]
        path = self.folder / name
        if not path.exists():
            path.mkdir(mode=0o700)
            user, group = self.services["services"][service]["user"].split(":")
            os.chown(path, int(user), int(group))
        return path

    def start(self, service: str) -> subprocess.Popen[bytes]:
        """Start ``service`` with its own command; what it says is added to ``folder/service.log``."""
        with (self.folder / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command(service, self._own_command(service)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": _DEFAULT_PATH},
            )  # fmt: skip
        self._running.append(process)
        return process

    def run(self, service: str, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """What ``docker compose exec`` does: a command in surroundings like those of ``service``."""
        return subprocess.run(
            self._command(service, list(command)), check=ok, capture_output=True, text=True, env={"PATH": _DEFAULT_PATH}
        )

    def gateway(self, *arguments: str) -> subprocess.Popen[bytes]:
        """``gateway.py`` in this network."""
        return self._beside("tests.acceptance.gateway", *arguments)

    def influxdb(self) -> subprocess.Popen[bytes]:
        """``influxdb.py`` in this network, with the port and the token of the service ``influxdb``."""
        return self._beside("tests.acceptance.influxdb", str(self.secrets / "influxdb_token"))

    def _beside(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [*self._inside(), sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._running.append(process)
        return process

    def log(self, service: str) -> str:
        """What it has said."""
        return (self.folder / f"{service}.log").read_text(errors="replace")

    def _inside(self) -> list[str]:
        assert self._network is not None
        return ["nsenter", f"--net=/proc/{self._network.pid}/ns/net"]

    def _own_command(self, service: str) -> list[str]:
        told = self.services["services"][service]
        return [*(image()["ENTRYPOINT"] if "build" in told else []), *told["command"]]

    def _environment(self, service: str) -> dict[str, str]:
        """That of the image and that of the file: no HOME, nothing of ours."""
        told = self.services["services"][service]
        base = image()["ENV"] if "build" in told else {"PATH": _DEFAULT_PATH}
        # What is published lies an hour in the past, so as to be over soon: it is to be told all the same.
        own = {"GRIDWARDEN_INGEST__PAST_AFTER_S": "0"} if service == "gridwarden" else {}
        return base | told.get("environment", {}) | own

    def _command(self, service: str, command: list[str]) -> list[str]:
        told = self.services["services"][service]
        user, group = told["user"].split(":")
        workdir = image()["WORKDIR"] if "build" in told else "/"
        script = "\n".join(["set -eu", 'root="$1"; shift', *self._mounts(service), 'exec chroot "$root" "$@"'])
        private = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "root",
            str(self._root(service)),
        ]
        rights = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs",
                  "--bounding-set=-all", "--inh-caps=-all"]  # fmt: skip
        environment = ["env", "-i", *(f"{name}={value}" for name, value in self._environment(service).items())]
        shell = ["sh", "-c", f'umask 077; cd {workdir}; exec "$@"', "sh"]
        return [*self._inside(), *private, *rights, *environment, *shell, *command]

    def _root(self, service: str) -> Path:
        path = self.folder / f"{service}.root"
        path.mkdir(exist_ok=True)
        return path

    def _mounts(self, service: str) -> list[str]:
        """Lines of shell that build the root of ``service`` in the folder ``$root``."""
        told = self.services["services"][service]
        lines = ['mount -t tmpfs -o mode=755 none "$root"', 'mkdir "$root/etc"']
        lines += [f"mkdir -p $root{place}; mount -t tmpfs -o noexec,nosuid,nodev,{options} none $root{place}"
                  for place, options in (one.split(":", 1) for one in told["tmpfs"])]  # fmt: skip
        for path in sorted(Path("/").iterdir()):
            if path.is_symlink():
                lines.append(f"cp -P {path} $root{path}")
            elif path.name in {"usr", "bin", "sbin", "proc", "dev"} or path.name.startswith("lib"):
                lines.append(_bound(path, path))
        lines += [f"cp -rP /etc/{name} $root/etc/" for name in _ETC if Path("/etc", name).exists()]
        lines.append(_bound(self.folder / "hosts", Path("/etc/hosts")))
        if "build" in told:  # the image: the interpreter, its environment, and this checkout for what is editable
            lines += [_bound(Path(sys.base_prefix), Path(sys.base_prefix)), _bound(ROOT, ROOT),
                      _bound(Path(sys.prefix), Path(sys.prefix)), _bound(Path(sys.prefix), Path("/opt/gridwarden"))]  # fmt: skip
        lines += [_bound(self.secrets / name, Path("/run/secrets", name)) for name in told.get("secrets", [])]
        lines += [_bound(ROOT / self.services["configs"][one["source"]]["file"], Path(one["target"]))
                  for one in told.get("configs", [])]  # fmt: skip
        place = Path(told["volumes"][0].partition(":")[2])
        lines += [f"mkdir -p $root{place}; mount --bind {shlex.quote(str(self.volume(service)))} $root{place}"]
        return [*lines, 'mount -o remount,ro "$root"'] if told["read_only"] else lines


def _bound(source: Path, place: Path) -> str:
    """``source`` at ``place`` below ``$root``, read-only where that is a file system of files."""
    quoted = shlex.quote(str(source))
    made = f"$root{shlex.quote(str(place))}"
    folder = made if source.is_dir() else f"$root{shlex.quote(str(place.parent))}"
    create = f"mkdir -p {folder}" if source.is_dir() else f"mkdir -p {folder}; : >{made}"
    if place.name in {"proc", "dev"}:
        return f"{create}; mount --rbind {quoted} {made}"
    return f"{create}; mount --bind {quoted} {made}; mount -o remount,bind,ro {made}"

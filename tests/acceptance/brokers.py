"""The ways to set Gridwarden up that must all do the same: its own broker, or Mosquitto, open, with accounts, over TLS.

Between two of them nothing differs but the configuration file.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulators.publisher import Address
from tests.faults.harness import Instance, until

USER, PASSWORD = "district", "correct horse"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Which Mosquitto there is instead of the embedded broker."""

    version: str
    """MQTT, as Gridwarden speaks it."""
    password: bool = False
    """Nobody gets in without one."""
    tls: bool = False
    """Gridwarden comes in over TLS; the certificate is of an authority that nobody else knows."""


SITES: dict[str, Elsewhere | None] = {
    "embedded": None,
    "mosquitto": Elsewhere("3.1.1"),
    "mosquitto-password": Elsewhere("5", password=True),
    "mosquitto-tls": Elsewhere("5", password=True, tls=True),
    "mosquitto-5": Elsewhere("5"),
    "mosquitto-password-3.1.1": Elsewhere("3.1.1", password=True),
    "mosquitto-tls-3.1.1": Elsewhere("3.1.1", password=True, tls=True),
}
LONG = frozenset({"mosquitto-5", "mosquitto-password-3.1.1", "mosquitto-tls-3.1.1"})
"""These are the others with the other version of MQTT."""


def each_site(*short: str) -> pytest.MarkDecorator:
    """A test at each site: always at ``short`` (or else at all but :data:`LONG`), at the others in the long form."""
    in_long_form = {name for name in SITES if name not in short} if short else LONG
    cases = [pytest.param(name, marks=pytest.mark.long if name in in_long_form else ()) for name in SITES]
    return pytest.mark.parametrize("site", cases, indirect=True)


class Site:
    """One of them: the embedded broker."""

    parts = frozenset({"broker", "core", "web"})
    """The processes of an instance here."""
    outlives_us = False
    """Whether the broker goes on while Gridwarden is away."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "site.toml"
        self._configure("[embedded]", "enabled = true")

    def _configure(self, *lines: str) -> None:
        self.config.write_text("\n".join([*lines, ""]))

    def instance(self, folder: Path, *arguments: str) -> Instance:
        """An instance that is set up so."""
        return Instance(folder, "--config", str(self.config), *arguments)

    def gateways(self, instance: Instance) -> Address:
        """Where and as whom one may publish for any gateway."""
        return instance.mqtt("gateways")

    def replay_options(self, instance: Instance) -> list[str]:
        """What ``gridwarden replay`` must be told to find the broker; it is told :data:`PASSWORD` besides."""
        return ["-d", str(instance.data)]

    async def restart_broker(self, instance: Instance) -> None:
        """End the broker as badly as it must stand, and have it back."""
        await instance.kill("broker")


class MosquittoSite(Site):
    """Mosquitto instead.

    Args:
        folder: where the files of this site go.
        mosquitto: running; it gets its accounts, and a second listener for TLS, here.
        wanted: how.
        certificates: a folder with ``ca.crt``, and ``server.crt`` and ``server.key`` for the address of ``mosquitto``.
    """

    parts = frozenset({"core", "web"})
    outlives_us = True

    def __init__(self, folder: Path, mosquitto: Any, wanted: Elsewhere, certificates: Path) -> None:
        self.certificates = certificates
        self.config = folder / "site.toml"
        self._mosquitto = mosquitto
        self._wanted = wanted
        self.port = _free_port(mosquitto.host) if wanted.tls else mosquitto.port
        """The one that Gridwarden is to use; gateways use the other one where there are two."""
        if wanted.password:
            mosquitto.stop()
            mosquitto.lines = [*self._accounts(), *(self._tls_listener() if wanted.tls else ())]
            mosquitto.start()
        self.lead_to(certificates / "ca.crt")

    def lead_to(self, ca_file: Path) -> None:
        """Write the configuration, with the authority in ``ca_file`` for TLS."""
        told = [
            "errors = true",
            f'host = "{self._mosquitto.host}"',
            f"port = {self.port}",
            f'version = "{self._wanted.version}"',
        ]
        if self._wanted.tls:
            secret = self._mosquitto.directory / "password"
            secret.write_text(f"{PASSWORD}\n")
            told += [f'username = "{USER}"', f'password_file = "{secret}"', "[broker.tls]", f'ca_file = "{ca_file}"']
        elif self._wanted.password:
            told += [f'username = "{USER}"', f'password = "{PASSWORD}"']
        self._configure("[embedded]", "enabled = false", "[[broker]]", 'name = "district"', *told)

    def _accounts(self) -> list[str]:
        passwd = shutil.which("mosquitto_passwd")
        if not passwd:
            pytest.skip("no mosquitto_passwd on this machine")
        users = self._mosquitto.directory / "users"
        subprocess.run([passwd, "-b", "-c", str(users), USER, PASSWORD], check=True)
        users.chmod(0o644)
        return ["allow_anonymous false", f"password_file {users}"]

    def _tls_listener(self) -> list[str]:
        return [
            f"listener {self.port} {self._mosquitto.host}", f"certfile {self.certificates / 'server.crt'}",
            f"keyfile {self.certificates / 'server.key'}",
        ]  # fmt: skip

    def gateways(self, instance: Instance) -> Address:
        """Any gateway: there are no rights here, only accounts."""
        user = (USER, PASSWORD) if self._wanted.password else (None, None)
        return Address(self._mosquitto.host, self._mosquitto.port, "gateways", *user)

    def replay_options(self, instance: Instance) -> list[str]:
        user = ["--username", USER] if self._wanted.password else []
        return ["--host", self._mosquitto.host, "--broker-port", str(self._mosquitto.port), *user]

    async def restart_broker(self, instance: Instance) -> None:
        """In order: killed, it forgets (see docs/guide/deployment.md)."""
        await asyncio.to_thread(self._mosquitto.stop)
        await asyncio.to_thread(self._mosquitto.start)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as free:
        return int(free.getsockname()[1])


async def arrived(instance: Instance, readings: int) -> dict[str, Any]:
    """Wait for so many readings; a broker that is not ours does not tell what it still holds."""

    async def all_of_them() -> dict[str, Any] | None:
        ledger = await instance.drained()
        return ledger if ledger["received"] >= readings else None

    return dict(await until(f"{readings} readings have arrived", all_of_them))

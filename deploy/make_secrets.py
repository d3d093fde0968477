#!/usr/bin/env python3
"""Make what docker-compose.yml hands to the containers as secrets: passwords, and certificates of an authority of ours.

    python3 deploy/make_secrets.py --host mqtt.example --gateway gw-1 --gateway gw-2

Everything lies in ``deploy/secrets``, a folder for its owner alone. What is there is kept: called again, it only adds
gateways, and what a later version asks for. A gateway's password is printed once and kept as a hash. Needs Python and openssl, nothing else.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import ipaddress
import re
import secrets
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"
OURS = "gridwarden"
SERVER_NAMES = ("mosquitto", "localhost", "127.0.0.1")
"""As what the broker is reached by Gridwarden and on the machine itself."""
INFLUXDB = ("influxdb_password", "influxdb_token")
"""Of InfluxDB's account ``gridwarden``, for people, and of what Gridwarden sends with each request."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DAYS = 3650
_ITERATIONS = 10_000
"""Mosquitto takes 101; passwords made here have 144 random bits, so this is no weak point in any case."""
_OPENSSL_CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {alternatives}
"""


def make_certificates(folder: Path, hosts: Iterable[str]) -> None:
    """Write ``ca.crt``, ``ca.key``, and ``server.crt`` and ``server.key`` for ``hosts`` (names or addresses).

    Raises:
        subprocess.CalledProcessError: openssl failed; it has said why on stderr.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256")
    config = folder / "openssl.cnf"
    try:
        config.write_text(_OPENSSL_CONFIG.format(name="Gridwarden site CA", alternatives="DNS:localhost"))
        _openssl(folder, "req", "-x509", *key, "-config", config.name, "-extensions", "ca", "-days", str(_DAYS),
                 "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
        config.write_text(_OPENSSL_CONFIG.format(name="mosquitto", alternatives=",".join(map(_alternative, hosts))))
        _openssl(folder, "req", *key, "-config", config.name, "-keyout", "server.key", "-out", "server.csr")
        _openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial",
                 str(secrets.randbits(120)), "-sha256", "-days", str(_DAYS), "-extfile", config.name,
                 "-extensions", "server", "-out", "server.crt")  # fmt: skip
    finally:
        for name in ("openssl.cnf", "server.csr"):
            (folder / name).unlink(missing_ok=True)


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()


def hashed(password: str) -> str:
    """``password`` as Mosquitto keeps it in its password file: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS, 64)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def make(folder: Path, hosts: Iterable[str], gateways: Iterable[str]) -> dict[str, str]:
    """Make what is not there yet; the passwords of the gateways that are new.

    Raises:
        ValueError: a gateway's name cannot be one.
    """
    for name in (gateways := list(gateways)):
        if not _NAME.fullmatch(name) or name == OURS:
            raise ValueError(f"{name!r} cannot be a gateway: letters, digits, - and _ are, {OURS} is not")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not (folder / "server.crt").exists():
        make_certificates(folder, [*SERVER_NAMES, *hosts])
    for path in (folder / name for name in INFLUXDB):
        if not path.exists():
            _replace(path, secrets.token_hex(32) + "\n")
    users = _users(folder / "mqtt_users")
    if OURS not in users:
        password = secrets.token_urlsafe(18)
        _replace(folder / "mqtt_password", password + "\n")
        users[OURS] = hashed(password)
    fresh = {name: secrets.token_urlsafe(18) for name in gateways if name not in users}
    users |= {name: hashed(password) for name, password in fresh.items()}
    _replace(folder / "mqtt_users", "".join(f"{name}:{value}\n" for name, value in users.items()))
    for path in folder.iterdir():
        # Mounted into containers with users of their own; on this machine the folder keeps everybody else out.
        if not path.name.startswith("."):
            path.chmod(0o600 if path.name == "ca.key" else 0o444)
    return fresh


def _users(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split(":", 1) for line in lines if line)


def _replace(path: Path, text: str) -> None:
    """In place: a container that has the file mounted goes on seeing it."""
    if path.exists():
        path.chmod(0o600)
    path.write_text(text)


def main() -> None:
    """Take what is asked for from the command line."""
    parser = argparse.ArgumentParser(description="Make passwords and certificates for docker-compose.yml.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go (deploy/secrets)")
    parser.add_argument("--host", action="append", default=[], help="a name or address gateways reach the broker by")
    parser.add_argument("--gateway", action="append", default=[], help="a gateway that may publish; again for more")
    wanted = parser.parse_args()
    try:
        fresh = make(wanted.folder, wanted.host, wanted.gateway)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"make_secrets: {error}") from error
    for name, password in fresh.items():
        sys.stdout.write(f"gateway {name}, shown this once: {password}\n")


if __name__ == "__main__":
    main()

"""The users of the embedded broker and their generated passwords, in ``secrets.json`` (0600) of its directory.

Every gateway has a user of its own; nobody chooses a password. The file is replaced as a whole, under a lock of its
own, so that a command may add a gateway while the broker runs.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gridwarden.errors import ConfigError, NotFound
from gridwarden.files import replace_durably

FILE = "secrets.json"
SUPERVISOR = "supervisor"
"""Sets and verifies the bound of the message stream; never speaks MQTT."""
INGESTER = "ingester"
"""Takes telemetry in; may publish nothing."""
REPLAYER = "replayer"
"""Speaks for any gateway: ``gridwarden replay`` and ``demo`` on this machine, for who may read this directory."""
_GATEWAY = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(slots=True)
class Credentials:
    """Passwords by user."""

    supervisor: str = field(default_factory=_password)
    ingester: str = field(default_factory=_password)
    gateways: dict[str, str] = field(default_factory=dict)
    replayer: str = field(default_factory=_password)

    def of(self, user: str) -> tuple[str, str]:
        """User and password of ``user``.

        Raises:
            NotFound: no such user.
        """
        ours = {SUPERVISOR: self.supervisor, INGESTER: self.ingester, REPLAYER: self.replayer}
        password = ours.get(user) or self.gateways.get(user)
        if password is None:
            raise NotFound("no_such_gateway", user)
        return user, password


def load(directory: Path) -> Credentials:
    """What is on file in ``directory`` (the broker's); fresh passwords, not yet kept, where nothing is.

    Raises:
        ConfigError: the file cannot be read as what we wrote.
    """
    path = directory / FILE
    try:
        stored = json.loads(path.read_text("utf-8"))
        known = Credentials(
            stored["supervisor"], stored["ingester"], dict(stored["gateways"].items()), stored["replayer"]
        )
        passwords = (known.supervisor, known.ingester, known.replayer, *known.gateways.values())
        if not all(map(_is_password, passwords)) or not all(map(_GATEWAY.fullmatch, known.gateways)):
            raise ValueError("a password or a gateway is none")  # noqa: TRY301 - as other garbage
    except FileNotFoundError:
        return Credentials()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError("not a file of ours; remove it to have new passwords made", path=path) from error
    return known


def _is_password(found: object) -> bool:
    return isinstance(found, str) and found.isascii() and bool(found)


def ensure(directory: Path, gateways: Iterable[str]) -> Credentials:
    """Make what is missing: the directory, the file, users for ``gateways``. Those on file are kept.

    Raises:
        ConfigError: a gateway's id cannot be used.
    """
    with _exclusive(directory):
        known = load(directory)
        for gateway in gateways:
            known.gateways.setdefault(_checked(gateway), _password())
        _save(directory, known)
        return known


def add_gateway(directory: Path, gateway: str) -> str:
    """The password of ``gateway``, made now unless it has one. A running broker takes it up by itself."""
    return ensure(directory, [gateway]).gateways[gateway]


def remove_gateway(directory: Path, gateway: str) -> None:
    """Forget ``gateway``; a running broker cuts it off. One named in the configuration comes back at the next start.

    Raises:
        NotFound: it has no user.
    """
    with _exclusive(directory):
        known = load(directory)
        if known.gateways.pop(gateway, None) is None:
            raise NotFound("no_such_gateway", gateway)
        _save(directory, known)


def gateways(directory: Path) -> list[str]:
    """Ids of the gateways that have a user, sorted."""
    return sorted(load(directory).gateways)


def version(directory: Path) -> int:
    """Changes whenever the file does (0: none yet)."""
    try:
        return (directory / FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _checked(gateway: str) -> str:
    if not _GATEWAY.fullmatch(gateway):
        raise ConfigError("letters, digits, - and _ are expected, 64 at most", place=f"gateway {gateway!r}")
    if gateway in (SUPERVISOR, INGESTER, REPLAYER):
        raise ConfigError("is the name of one of our own users", place=f"gateway {gateway!r}")
    return gateway


def _save(directory: Path, known: Credentials) -> None:
    text = json.dumps(asdict(known), indent=1)
    path = directory / FILE
    if not path.exists() or path.read_text("utf-8") != text:
        write_private(path, text)


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` as a whole by ``text``, readable by us alone from its first byte on."""
    replace_durably(path, text.encode())


def private_directory(directory: Path) -> None:
    """Make ``directory`` (and what is above it) and close it to everybody else."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)


@contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    private_directory(directory)
    with (directory / "secrets.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""What the routes work with, handed in by the one who wires; no globals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from api.auditor import Auditor
from api.counts import Counts
from api.hub import Hub
from api.packed import Shelf
from api.snapshot import Snapshots
from api.states import States
from api.whereabouts import Whereabouts
from gridwarden.clock import Clock
from gridwarden.config import Config
from gridwarden.history import History
from gridwarden.link import LinkClient
from gridwarden.model import Device
from gridwarden.office.accounts import Accounts
from gridwarden.office.registry import Office
from gridwarden.platform import own_devices
from gridwarden.records.reader import Reader
from rules.rule import RuleSet


class TakesBackups(Protocol):
    """Who makes backups."""

    def take(self, folder: Path) -> AsyncIterator[dict[str, Any]]:
        """Steps of progress (``what``, ``share``), then ``{"backup"}`` or ``{"error", "code"}``."""
        ...


class Checked(Protocol):
    """An open websocket, as far as the doors know it."""

    def recheck(self) -> None:
        """Look again whether its client is still signed in. From the event loop."""
        ...


@dataclass(slots=True)
class Services:
    """Everything web has."""

    config: Config
    clock: Clock
    reader: Reader
    office: Office
    accounts: Accounts
    history: History
    link: LinkClient
    hub: Hub
    states: States
    rules: RuleSet
    epoch: str
    origins: frozenset[str] = frozenset()
    """Origins a browser may come from."""
    on_registry_change: Callable[[], None] = field(default=lambda: None)
    auditor: Auditor = field(init=False)
    backups: TakesBackups | None = None
    connections: set[Checked] = field(default_factory=set)
    """Open websockets of those who are signed in."""
    strangers: set[Checked] = field(default_factory=set)
    """Open websockets of those who are not, or not yet."""
    counts: Counts = field(init=False, default_factory=Counts)
    own_devices: Mapping[str, Device] = field(init=False)
    """This system's own parts: they are in no registry."""
    whereabouts: Whereabouts = field(init=False)
    snapshots: Snapshots = field(init=False)
    shelf: Shelf = field(init=False, default_factory=Shelf)
    """Outlines and the base map, packed."""

    def __post_init__(self) -> None:
        self.own_devices = own_devices(self.config)
        self.whereabouts = Whereabouts(self.office, self.own_devices)
        self.snapshots = Snapshots(self.office)
        self.auditor = Auditor(self.reader, self.history, self.clock)

    def recheck(self) -> None:
        """Have every open websocket look at once whether its client is still signed in. From the event loop."""
        for connection in tuple(self.connections):
            connection.recheck()


def services(connection: HTTPConnection) -> Services:
    """The services of the running application."""
    return cast("Services", connection.app.state.services)


Given = Annotated[Services, Depends(services)]

"""What the routes work with, handed in by the one who wires; no globals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from api.hub import Hub
from api.states import States
from gridwarden.clock import Clock
from gridwarden.config import Config
from gridwarden.history import History
from gridwarden.link import LinkClient
from gridwarden.office.accounts import Accounts
from gridwarden.office.registry import Office
from gridwarden.records.reader import Reader
from rules.rule import RuleSet


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
    connections: set[object] = field(default_factory=set)
    """Open websockets."""


def services(connection: HTTPConnection) -> Services:
    """The services of the running application."""
    return cast("Services", connection.app.state.services)


Given = Annotated[Services, Depends(services)]

"""A scenario as people write it: who takes part, what happens to them and when, and the faults on the way.

::

    name: {zh: 楼内火灾蔓延, en: Fire climbing through a building}
    about: What a reader should know of it.
    lasts: 40m
    cast:                      # roles; no device plays two
      house: {kind: smoke, together: building, count: 6}
    happenings:
      - {what: fire, to: house, at: 5m, with: {seconds_a_floor: 90}}
    faults:
      - {what: loss, to: [house], share: 0.2}
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gridwarden.errors import ConfigError
from rules.load import read_yaml
from simulators.world.faults import AnyFault, Duration
from simulators.world.happenings import HAPPENINGS

SHIPPED = Path(__file__).parent.parent / "scenarios"
"""The scenarios that come with the program."""
Kind = Literal["smoke", "lift", "hydrant"]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Name(_Written):
    """In both languages."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Role(_Written):
    """Which devices, drawn by lot from a registry."""

    kind: Kind
    count: int = Field(1, ge=1, le=1000)
    together: Literal["building", "water_main", "power_feeder", "gateway"] | None = None
    """All of them share this."""
    at: str | None = None
    """And it is this one: a code of the registry."""


class Happens(_Written):
    """Something that happens."""

    what: str
    to: str
    """The role it happens to."""
    at: Duration
    """From the start of the scenario."""
    options: dict[str, int | float] = Field({}, alias="with")

    @model_validator(mode="after")
    def _known(self) -> Happens:
        if self.what not in HAPPENINGS:
            raise ValueError(f"{self.what!r} is none of {', '.join(HAPPENINGS)}")
        arguments = inspect.signature(HAPPENINGS[self.what]).parameters.values()
        known = [argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY]
        for name in self.options:
            if name not in known:
                raise ValueError(f"{self.what} takes no {name!r}, only {', '.join(known) or 'nothing'}")
        return self


class Scenario(_Written):
    """One scenario."""

    id: str
    """The name of its file."""
    name: Name
    about: str = ""
    lasts: Duration
    cast: dict[str, Role] = Field(min_length=1)
    happenings: tuple[Happens, ...] = ()
    faults: tuple[AnyFault, ...] = ()

    @model_validator(mode="after")
    def _roles_exist(self) -> Scenario:
        asked = {happens.to for happens in self.happenings} | {role for fault in self.faults for role in fault.to}
        for role in sorted(asked - self.cast.keys()):
            raise ValueError(f"nobody is cast as {role!r}")
        return self


def load(path: Path) -> Scenario:
    """One scenario file.

    Raises:
        ConfigError: it cannot be read or used; with place and reason.
    """
    written = read_yaml(path)
    if not isinstance(written, dict):
        raise ConfigError("a mapping is expected", path=path)
    try:
        return Scenario.model_validate({**written, "id": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(first["msg"].removeprefix("Value error, "), path=path, place=place) from error


def shipped() -> list[Scenario]:
    """The scenarios that come with the program, by name."""
    return [load(path) for path in sorted(SHIPPED.glob("*.yaml"))]

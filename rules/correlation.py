"""A correlation: a rule over the alarms of other rules. So many devices of one building, one main, one area: one matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from gridwarden.errors import ConfigError
from rules.alarm import Terms
from rules.rule import Head, head_of
from rules.written import Duration, Incident, Lax, WrittenHead

MAX_OF = 50
"""Most rules whose alarms a correlation counts."""
MAX_DEVICES = 10_000
MAX_RADIUS_M = 10_000


class By(StrEnum):
    """What the devices that are counted together have in common."""

    BUILDING = "building"
    GRID = "grid"
    COMMUNITY = "community"
    STREET = "street"
    WATER_MAIN = "water_main"
    POWER_FEEDER = "power_feeder"
    GATEWAY = "gateway"
    RADIUS = "radius"
    """None lies further than ``radius_m`` from the one whose alarm fired first."""


class WrittenCorrelation(WrittenHead):
    """A correlation as it stands in a rule file."""

    of: list[str] = Field(min_length=1, max_length=MAX_OF)
    """Ids of the rules whose firing alarms count."""
    by: Annotated[By, Lax]
    radius_m: float | None = Field(None, gt=0, le=MAX_RADIUS_M)
    at_least: int = Field(ge=2, le=MAX_DEVICES)
    """So many different devices."""
    share: float | None = Field(None, gt=0, le=1)
    """And at least this share of the registered devices of their kinds in the group."""
    within_ms: Duration = Field(alias="within")
    """The longest time between the first and the last of them firing."""
    clear_below: int | None = Field(None, ge=1)
    """It is over when fewer devices than this still fire; default: ``at_least``."""
    clear_hold_ms: Duration = Field(0, alias="clear_for")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for wrong, reason in _contradictions(self):
            if wrong:
                raise ValueError(reason)
        return self


def _contradictions(rule: WrittenCorrelation) -> list[tuple[bool, str]]:
    return [
        (len(set(rule.of)) < len(rule.of), "of: a rule stands twice"),
        (rule.by is By.RADIUS and rule.radius_m is None, "by: radius needs radius_m"),
        (rule.by is not By.RADIUS and rule.radius_m is not None, "radius_m: stands with by: radius only"),
        (rule.within_ms == 0, "within: a time above 0 is expected"),
        (rule.clear_below is not None and rule.clear_below > rule.at_least, "clear_below: more than at_least"),
        (rule.incident is Incident.BUILDING, "incident: its case is that of its group (by); leave it out, or none"),
        (rule.life_safety and rule.incident is Incident.NONE, "incident: fire and entrapment are always somebody's case"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Correlation(Head):
    """A rule over the alarms of other rules, ready to be judged."""

    of: tuple[str, ...]
    by: By
    radius_m: float
    """0 where it does not go by radius."""
    at_least: int
    share: float
    """0 where the number of devices says it all."""
    within_ms: int
    clear_below: int
    terms: Terms
    """Its clear hold."""


def check(rules: Iterable[Head]) -> None:
    """Whether every correlation counts rules that exist.

    Raises:
        ConfigError: it names one that does not, or another correlation.
    """
    by_id = {rule.id: rule for rule in rules}
    for rule in by_id.values():
        for name in rule.of if isinstance(rule, Correlation) else ():
            if name not in by_id:
                raise ConfigError(f"there is no rule {name}", place=f"rule {rule.id}: of")
            if isinstance(by_id[name], Correlation):
                raise ConfigError(
                    f"{name} is a correlation itself; name the rules it counts", place=f"rule {rule.id}: of"
                )


def make_correlation(kind: str, written: WrittenCorrelation) -> Correlation:
    """The correlation written in a rule file for devices of ``kind``.

    That the rules it counts exist is for the whole rule set to say: see :func:`rules.load.load`.
    """
    head = head_of(kind, written, [sorted(written.of), written.by])
    return Correlation(
        **{name: getattr(head, name) for name in Head.__dataclass_fields__},
        of=tuple(written.of),
        by=written.by,
        radius_m=written.radius_m or 0,
        at_least=written.at_least,
        share=written.share or 0,
        within_ms=written.within_ms,
        clear_below=written.clear_below or written.at_least,
        terms=Terms(clear_ms=written.clear_hold_ms),
    )

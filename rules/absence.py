"""A rule about what is not said: a device that was never heard, a silent device, a silent gateway, a lost broker.

What has been heard of whom, and when, is in :mod:`rules.listening`; times in which nobody could be heard do not count
(:mod:`rules.blind`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gridwarden.errors import ConfigError
from gridwarden.kinds import PLATFORM
from gridwarden.model import Device
from rules.rule import Head, head_of
from rules.written import Duration, Lax, WrittenHead, parse_duration

INTERVAL_ATTRIBUTE = "interval_s"
"""The attribute of a device that says how often it reports, in seconds."""
MAX_INTERVALS = 100
_MAX_INTERVAL_S = 30 * 86_400
_AFTER = re.compile(r"([0-9]{1,3}) intervals?(?: \+ ([0-9]+[a-z]+))?")


class Of(StrEnum):
    """Whose absence it is."""

    DEVICE = "device"
    """It has been heard before."""
    NEVER_SEEN = "never_seen"
    """It is registered and was never heard."""
    GATEWAY = "gateway"
    """None of its devices is heard."""
    BROKER = "broker"
    """We have no session there, or did not run: nobody behind it can be heard."""


@dataclass(frozen=True, slots=True)
class After:
    """How long a gap is still ordinary: so many intervals and some more."""

    intervals: int
    more_ms: int

    def limit_ms(self, interval_ms: int | None) -> int | None:
        """In milliseconds; ``None`` where the interval is needed and not known."""
        if not self.intervals:
            return self.more_ms
        return None if interval_ms is None else self.intervals * interval_ms + self.more_ms


def parse_after(text: object) -> After:
    """``90m``, ``3 intervals``, ``2 intervals + 1h``.

    Raises:
        ValueError: it is none of these, or nothing at all.
    """
    match = _AFTER.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        after = After(0, parse_duration(text))
    else:
        after = After(int(match[1]), parse_duration(match[2]) if match[2] else 0)
    if not after.intervals and not after.more_ms:
        raise ValueError("a time above 0 is expected")
    if after.intervals > MAX_INTERVALS:
        raise ValueError(f"at most {MAX_INTERVALS} intervals")
    return after


class WrittenAbsence(WrittenHead):
    """A rule about absence as it stands in a file."""

    of: Annotated[Of, Lax]
    after: Annotated[After, BeforeValidator(parse_after)]
    interval_ms: Duration | None = Field(None, alias="interval")
    """How often devices report that do not say so themselves, by their attribute or profile."""
    profiles: dict[str, Duration] = Field({})
    """Profile to the interval of its devices."""

    @model_validator(mode="after")
    def _fits_together(self) -> WrittenAbsence:
        for wrong, reason in _contradictions(self):
            if wrong:
                raise ValueError(reason)
        return self


def _contradictions(rule: WrittenAbsence) -> Iterator[tuple[bool, str]]:
    of_devices = rule.of in {Of.DEVICE, Of.NEVER_SEEN}
    yield rule.latched, "latched: an absence is over when something is heard"
    yield rule.life_safety, "life_safety: absence is neither fire nor entrapment"
    yield rule.of is Of.BROKER and rule.after.intervals > 0, "after: a broker has no interval; a time is expected"
    yield not of_devices and rule.interval_ms is not None, "interval: stands with of: device or never_seen only"
    yield not of_devices and bool(rule.profiles), "profiles: stands with of: device or never_seen only"
    yield 0 in (rule.interval_ms, *rule.profiles.values()), "interval: a time above 0 is expected"


@dataclass(frozen=True, slots=True)
class Absence(Head):
    """A rule about absence, ready to be judged."""

    of: Of
    after: After
    interval_ms: int | None
    profiles: dict[str, int]

    def interval_of_ms(self, device: Device) -> int | None:
        """How often ``device`` reports: as it says itself, as its profile does, as this rule says; else unknown."""
        own = device.attributes.get(INTERVAL_ATTRIBUTE)
        own_ms = None if own is None else _interval_ms(own)
        return own_ms or self.profiles.get(device.profile) or self.interval_ms

    def limit_of_ms(self, device: Device) -> int | None:
        """How long ``device`` may be silent; ``None``: this rule cannot tell."""
        return self.after.limit_ms(self.interval_of_ms(device) if self.after.intervals else None)


def make_absence(kind: str, written: WrittenAbsence) -> Absence:
    """The rule written for devices of ``kind``, or for the platform.

    Raises:
        ConfigError: it is about gateways or brokers in the file of a kind of sensor.
    """
    if written.of in {Of.GATEWAY, Of.BROKER} and kind != PLATFORM:
        raise ConfigError(f"{written.of} stands in a file with kind: {PLATFORM}", place="of")
    head = head_of(kind, written, [written.of])
    return Absence(
        **{name: getattr(head, name) for name in Head.__dataclass_fields__},
        of=written.of,
        after=written.after,
        interval_ms=written.interval_ms,
        profiles=dict(written.profiles),
    )


def _interval_ms(attribute: Any) -> int | None:
    """Of what stands in the registry, where anything may stand."""
    if isinstance(attribute, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", attribute):
        attribute = float(attribute)
    if isinstance(attribute, bool) or not isinstance(attribute, int | float):
        return None
    return round(attribute * 1000) if 1 <= attribute <= _MAX_INTERVAL_S else None

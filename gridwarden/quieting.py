"""What people decide about which alarms are to be told to nobody, and for how long: values only.

Four kinds, in the words of ISA-18.2 and of Alertmanager. What they mean for an alarm is in :mod:`rules.quiet`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class QuietingKind(StrEnum):
    """Why alarms are quieted."""

    SILENCE = "silence"
    """A person quiets chosen alarms for a time; what has been told stays told."""
    SHELVED = "shelved"
    """A person takes one alarm off the list for a time, also when it has been told."""
    OUT_OF_SERVICE = "out_of_service"
    """Devices that are being worked on, until further notice; takes their alarms off the list."""
    MAINTENANCE = "maintenance"
    """A window, once or every week, in which work goes on; what has been told stays told."""

    @property
    def takes_off_the_list(self) -> bool:
        """Whether it also quiets alarms that were told before it began."""
        return self in {QuietingKind.SHELVED, QuietingKind.OUT_OF_SERVICE}


@dataclass(frozen=True, slots=True)
class Matchers:
    """Which alarms: every list that is not empty must hold the alarm's value."""

    rules: tuple[str, ...] = ()
    """Ids of rules; ``*`` stands for any characters."""
    categories: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    buildings: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    """What an alarm stands for; only a shelved one is named by it."""


@dataclass(frozen=True, slots=True)
class Weekly:
    """The hours of the week at which a maintenance window is open."""

    days: tuple[int, ...]
    """0 is Monday; the day on which a range begins. None at all: every day."""
    start: str
    """``HH:MM`` on the wall clock."""
    end: str
    """Not after ``start``: over midnight; equal: the whole day."""
    zone: str
    """IANA name."""


@dataclass(frozen=True, slots=True)
class Quieting:
    """One decision to quiet alarms: who, why, which, from when until when."""

    quieting_id: int
    kind: QuietingKind
    area: str
    """Code prefix; nothing outside it is ever quieted. ``""`` is everywhere."""
    matchers: Matchers
    protected: bool
    """Also quiets fire, entrapment and latched alarms: in force only once a second person has approved it."""
    from_at_ms: int
    until_at_ms: int | None
    """``None``: until further notice."""
    author: str
    author_id: str
    comment: str
    created_at_ms: int
    weekly: Weekly | None = None
    approved_at_ms: int | None = None
    approved_by: str | None = None
    approved_by_id: str | None = None
    ended_at_ms: int | None = None
    ended_by: str | None = None
    """``None`` where it ran out."""

    @property
    def reason(self) -> str:
        """What a quieted alarm's ``quieted_by`` says."""
        return f"{self.kind}:{self.quieting_id}"

    @property
    def awaits_approval(self) -> bool:
        """Whether a second person has still to agree."""
        return self.protected and self.approved_at_ms is None

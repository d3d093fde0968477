"""The words of the domain as frozen values. Imports nobody; no clock, socket, disk or log.

Times are UTC milliseconds since the epoch in fields ending ``_at_ms``. See docs/glossary.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any

FOREIGN = "\x1f"
"""Begins the scope of readings whose gateway is not entitled; device ids are printable, so none can begin like it."""

Value = bool | int | float | str | None
"""One field of a reading. ``None`` is a value that was sent but could not be used; ``quality`` says why."""


class Severity(StrEnum):
    """How bad it is, worst first (the palette and the shapes of the control room follow it)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """1 (worst) to 4."""
        return _SEVERITY_RANK[self]


_SEVERITY_RANK = {severity: rank for rank, severity in enumerate(Severity, start=1)}


class Quality(StrEnum):
    """Why a value, or the time, of a reading is not what was sent."""

    OUT_OF_RANGE = "out_of_range"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    CLOCK = "clock"


@dataclass(slots=True, eq=True)
class Reading:
    """One device at one time with typed values.

    Not frozen only because a frozen dataclass costs three times as much to make, on the hottest path there
    is; nobody changes a reading after the decoder made it, except the pipeline that sets ``late``.
    """

    device_id: str
    kind: str
    """One of ``gridwarden.kinds.KINDS``, or ``""`` where an unregistered device gives no hint."""
    gateway: str
    occurred_at_ms: int
    """The device's clock, or ``received_at_ms`` where that clock cannot be true (quality ``clock``)."""
    received_at_ms: int
    seq: int | None
    key: int
    """Dedup key, 64 bits: device, ``at`` and ``seq`` as sent, hash of this reading."""
    keyed: bool
    """Whether the source sent ``at`` or ``seq``; without either a repeat cannot be told from news."""
    values: dict[str, Value]
    quality: dict[str, str] = field(default_factory=dict)
    """Field name (or ``at``) to :class:`Quality`; only what is wrong is listed."""
    registered: bool = True
    entitled: bool = True
    """False: the gateway may not speak for the device (quarantine)."""
    late: bool = False
    """Older than the last evaluated reading of its device."""

    @property
    def scope(self) -> str:
        """Whose state it belongs to: its device's, or one apart where the gateway may not speak for the device."""
        return self.device_id if self.entitled else f"{FOREIGN}{self.gateway}/{self.device_id}"

    @property
    def verified(self) -> bool:
        """Whether an alarm from it may stand without the mark ``unverified``."""
        return self.registered and self.entitled


@dataclass(frozen=True, slots=True)
class Device:
    """A sensor of the registry."""

    device_id: str
    kind: str
    area: str = ""
    """Code of the lowest area it lies in; ``""`` is not yet placed."""
    name: str = ""
    profile: str = ""
    gateway: str | None = None
    """The only gateway that may speak for it; ``None``: any gateway may."""
    building: str = ""
    water_main: str = ""
    power_feeder: str = ""
    lon: float | None = None
    """WGS-84 degrees."""
    lat: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Area:
    """A node of the seven-level tree; its code begins with its parent's code."""

    code: str
    name: str
    name_en: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """What helps in an incident: micro station, hydrant, maintenance team."""

    resource_id: str
    kind: str
    name: str = ""
    area: str = ""
    lon: float | None = None
    lat: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class AlarmState(StrEnum):
    """The life of one alarm. Inactive is the absence of an alarm, so it is never stored."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """What a person found out about an alarm."""

    TRUE = "true"
    FALSE = "false"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One rule's life on one scope, from pending to resolved."""

    alarm_id: str
    """Hash of rule, scope and dedup key of the first reading; given when pending starts."""
    rule_id: str
    rule_version: str
    scope: str
    """What it stands for: a device id, or what a rule of another type groups by, such as ``building:B-17``."""
    device_id: str
    kind: str
    area: str
    severity: Severity
    state: AlarmState
    pending_at_ms: int
    wake_at_ms: int | None = None
    """When the hold (or the clear hold) runs out on our own clock if nothing newer is heard."""
    fired_at_ms: int | None = None
    clear_since_ms: int | None = None
    """Since when the clear condition has held without a break while firing."""
    cleared_at_ms: int | None = None
    """When the condition was over; a latched alarm still fires after that until it is confirmed."""
    resolved_at_ms: int | None = None
    latched: bool = False
    life_safety: bool = False
    """Fire or entrapment: opens an event even from an unknown or unentitled device."""
    unverified: bool = False
    acknowledged_at_ms: int | None = None
    acknowledged_by: str | None = None
    confirmed_at_ms: int | None = None
    confirmed_by: str | None = None
    outcome: Outcome | None = None
    note: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The values, previous values and quality that made it pending (and, from then on, fire)."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What its rule keeps between readings: times counted, the stage of a sequence. For the rule's eyes only."""
    rule_shape: str = ""
    """Short hash of the rule without its thresholds: while it stays, a changed rule goes on with this alarm."""
    flapping: bool = False
    """It fired so often that it now stands as one alarm until it has been quiet for long enough."""
    occurrences: int = 1
    """How often its condition began: more than once where it flaps."""
    suppressed: bool = False
    """Its rule says that nobody needs to be told as things are (planned work, for one): suppressed by design."""
    shadow: bool = False
    """Of a rule on trial: recorded, told to nobody."""
    quieted_by: str = ""
    """Why it is told to nobody at the moment (``silence:…``, ``inhibited:…``, ``shelved`` …); empty: it is told."""
    event_id: str | None = None
    revision: int = 1


class EventState(StrEnum):
    """The case that people handle. Provisional: the full case life cycle comes with its own issue."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"
    """A later case has adopted it: see ``merged_into``."""


@dataclass(frozen=True, slots=True)
class GridEvent:
    """A grid event (网格事件): the case that people handle; alarms join it by incident key."""

    event_id: str
    case_no: str
    """For people and papers: category letter, date and a number of that day."""
    incident_key: str
    category: str
    rule_id: str
    """The rule of the alarm that opened it; its bilingual name is the event's title."""
    severity: Severity
    state: EventState
    area: str
    device_id: str
    kind: str
    opened_at_ms: int
    """Fired time of the alarm that opened it."""
    updated_at_ms: int
    alarm_count: int = 1
    firing_count: int = 1
    unacknowledged_count: int = 1
    unverified: bool = False
    drill: bool = False
    closed_at_ms: int | None = None
    closed_by: str | None = None
    closing_note: str = ""
    merged_into: str | None = None
    """The event that adopted this one; its number is kept, its clocks stand still."""
    revision: int = 1


class Operation(StrEnum):
    """What a change did."""

    ALARM_FIRED = "alarm.fired"
    ALARM_CLEARED = "alarm.cleared"
    ALARM_RESOLVED = "alarm.resolved"
    ALARM_ACKNOWLEDGED = "alarm.acknowledged"
    ALARM_CONFIRMED = "alarm.confirmed"
    ALARM_SEVERITY = "alarm.severity"
    ALARM_VERIFIED = "alarm.verified"
    """Its device is registered by now: it lies where that does, in a case there. Without an alarm: a case it has left."""
    ALARM_QUIETED = "alarm.quieted"
    ALARM_UNQUIETED = "alarm.unquieted"
    EVENT_CLOSED = "event.closed"
    EVENT_MERGED = "event.merged"
    QUIETING_ADDED = "quieting.added"
    QUIETING_APPROVED = "quieting.approved"
    QUIETING_ENDED = "quieting.ended"
    DEAD_LETTERS_RETRIED = "deadletter.retried"
    QUARANTINE_RETRIED = "quarantine.retried"
    REGISTRY_CHANGED = "registry.changed"
    RULES_LOADED = "rules.loaded"
    DATA_LOST = "data.lost"
    RECORDS_RESTORED = "records.restored"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the journal before it has its ``seq``: what happened, and how things stand after it."""

    operation: Operation
    at_ms: int
    area: str = ""
    alarm: Alarm | None = None
    event: GridEvent | None = None
    actor: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Bytes that could not be decoded, with the reason."""

    received_at_ms: int
    broker: str
    topic: str
    code: str
    detail: str
    payload: bytes
    lane: str = ""
    gateway: str = ""
    """As the topic names it; empty where it names none."""
    key: str = field(init=False)
    """The same for the same bytes with the same fault on the same topic of the same broker: they are kept once."""

    def __post_init__(self) -> None:
        digest = blake2b(digest_size=16)
        for text in (self.broker, self.topic, self.code, self.detail):
            part = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%b" % (len(part), part))
        digest.update(self.payload)
        object.__setattr__(self, "key", digest.hexdigest())


class Retried(StrEnum):
    """What became of a dead letter or a quarantined reading that was retried; anything else: it is still open."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"

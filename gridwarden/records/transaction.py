"""What one batch, timer or command changes: everything that must be durable together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from gridwarden.model import Alarm, Change, DeadLetter, GridEvent, Reading
from gridwarden.quieting import Quieting

Key = tuple[str, str, str]
"""A line of the ledger: broker, lane, gateway; no gateway (``""``) where a message names none."""
LEDGER_COLUMNS = ("stored", "duplicate", "dead_lettered", "quarantined", "unchecked", "redelivered", "received")
LINE_COLUMNS = (*LEDGER_COLUMNS, "last_received_at_ms")


@dataclass(slots=True)
class Tally:
    """Readings of one line of the ledger, counted by what became of them.

    ``received`` is counted where payloads are decoded, an undecodable one as one; the others where it is decided what
    becomes of each reading. So ``received == stored + duplicate + dead_lettered + quarantined`` is a check, not a sum.
    ``unchecked`` are among the stored and quarantined. ``redelivered`` counts messages, not readings.
    """

    stored: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    quarantined: int = 0
    unchecked: int = 0
    redelivered: int = 0
    received: int = 0
    last_received_at_ms: int = 0
    """When the newest message was received; 0: not known."""

    @property
    def accounted(self) -> int:
        """What became of readings, added up: equal to ``received`` unless one was lost on the way."""
        return self.stored + self.duplicate + self.dead_lettered + self.quarantined

    def add(self, other: Tally) -> None:
        """Add ``other`` into this one."""
        for name in LEDGER_COLUMNS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.last_received_at_ms = max(self.last_received_at_ms, other.last_received_at_ms)

    def values(self) -> tuple[int, ...]:
        """The counts and the time, in the order of the ledger's columns."""
        return _values(self)

    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in LEDGER_COLUMNS}


_values: Callable[[Tally], tuple[int, ...]] = attrgetter(*LINE_COLUMNS)


@dataclass(slots=True)
class SeenUnregistered:
    """An unregistered device as one batch saw it."""

    kind: str
    gateway: str
    seen_at_ms: int
    count: int = 0


@dataclass(slots=True)
class Snapshot:
    """One shard of device windows, true after this transaction."""

    shard: int
    body: bytes


@dataclass(slots=True)
class Answer:
    """The answer to a command, kept under its id."""

    command_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleText:
    """A version of a rule as it stood in its file."""

    rule_id: str
    version: str
    kind: str
    content: Mapping[str, Any]


@dataclass(slots=True)
class Transaction:
    """Everything that commits together and takes one offset."""

    at_ms: int
    """Our clock when the batch was judged; becomes ``committed_at_ms`` of the block."""
    rows: bytes = b""
    """Readings to store (the quarantined among them marked), as :func:`gridwarden.records.block.rows_json` made them."""
    reading_count: int = 0
    alarms: dict[str, Alarm] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    """Pending alarms that never fired."""
    events: dict[str, GridEvent] = field(default_factory=dict)
    quietings: dict[int, Quieting] = field(default_factory=dict)
    remembered: dict[str, str] = field(default_factory=dict)
    """What core must know at its next start, by name."""
    changes: list[Change] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    quarantined: list[Reading] = field(default_factory=list)
    retried: dict[int, str] = field(default_factory=dict)
    """What became of dead letters that were retried, by number."""
    released: dict[int, str] = field(default_factory=dict)
    """The same of quarantined readings."""
    keeps_house: bool = False
    """Whether what lies aside for too long, and the oldest of the journal, goes with it: a few rows of each."""
    unregistered: dict[str, SeenUnregistered] = field(default_factory=dict)
    registered: set[str] = field(default_factory=set)
    """Devices that are unregistered no longer."""
    counters: dict[str, int] = field(default_factory=dict)
    tallies: dict[Key, Tally] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    followers: dict[str, int] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    rule_texts: list[RuleText] = field(default_factory=list)
    """Versions of rules that come into force; those the records know already are passed over."""
    trim_through: int = 0
    """Blocks up to this offset may go …"""
    trim_before_ms: int = 0
    """… if they were committed before this."""
    messages: Sequence[Any] = ()
    """What to acknowledge to the broker once this is durable; opaque here."""
    faults: Sequence[Any] = ()
    """What gateways are to be told of their messages once this is durable; opaque here."""
    judged_s: float = 0.0
    """How long it took to judge its messages."""
    announced: bool = False
    """Whether its alarms were pushed as provisional while the records could not commit."""

    def tally(self, broker: str, lane: str, gateway: str = "") -> Tally:
        """One line of the ledger, made at first use."""
        key = (broker, lane, gateway)
        tally = self.tallies.get(key)
        if tally is None:
            tally = self.tallies[key] = Tally()
        return tally

    @property
    def empty(self) -> bool:
        """Whether nothing at all would be written."""
        return not (
            self.rows or self.alarms or self.forgotten or self.events or self.changes or self.dead_letters
            or self.quarantined or self.quietings or self.remembered or self.tallies or self.snapshot or self.followers
            or self.answers or self.rule_texts or self.trim_through or self.retried or self.released or self.registered or self.keeps_house
        )  # fmt: skip

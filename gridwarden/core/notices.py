"""What gateways are told of their payloads: faults added up, at most one message a gateway at a time. Pure and bounded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from gridwarden.clock import rfc3339
from gridwarden.core.ledger import NAME_LIMIT
from ingest.intake import Intake
from ingest.session import Lane, Message

LISTED = 20
"""Different faults of either kind that one message lists; what is beyond is counted only."""
WAITING_LIMIT = 1_000
"""Gateways and lanes of which faults may wait to be told; those of others meanwhile are dropped and counted."""
HASH_DIGITS = 16
_PLACE = re.compile(r"(readings\[\d+\]): (.*)", re.DOTALL)
Key = tuple[str, str, str]


@dataclass(slots=True)
class Faults:
    """What was wrong with messages of one gateway on one lane of one broker."""

    broker: str
    gateway: str
    lane: Lane
    at_ms: int
    """Received so."""
    rejected: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """Code, detail, place in the payload, digits of the payload's hash."""
    replaced: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Device, field (or ``at``, ``seq``), quality."""
    quarantined: int = 0
    more: int = 0
    """Faults that are not listed."""

    @property
    def key(self) -> Key:
        """Whose they are; the alarm lane comes first."""
        return self.broker, self.gateway, self.lane

    @property
    def topic(self) -> str:
        """Where the gateway listens."""
        return f"gridwarden/v1/{self.gateway}/errors"

    def add(self, other: Faults) -> None:
        """Add those of a later message."""
        for mine, theirs in ((self.rejected, other.rejected), (self.replaced, other.replaced)):
            for fault, count in theirs.items():
                self._count(mine, fault, count)
        self.quarantined += other.quarantined
        self.more += other.more

    def _count(self, counter: Counter[Any], fault: tuple[str, ...], count: int = 1) -> None:
        if fault in counter or len(counter) < LISTED:
            counter[fault] += count
        else:
            self.more += count

    def note(self, message: Message, taking: Intake) -> None:
        """Count what is wrong with one message."""
        if taking.dead_letters:
            digits = sha256(message.payload).hexdigest()[:HASH_DIGITS]
            for letter in taking.dead_letters:
                found = _PLACE.fullmatch(letter.detail)
                place, detail = found.groups() if found else ("", letter.detail)
                self._count(self.rejected, (letter.code, detail, place, digits))
        for reading in taking.readings:
            for name, quality in reading.quality.items():
                self._count(self.replaced, (reading.device_id, name, quality))
            self.quarantined += not reading.entitled

    def body(self) -> dict[str, Any]:
        """As the gateway gets it."""
        return {
            "at": rfc3339(self.at_ms),
            "lane": self.lane,
            "rejected": [
                {"code": code, "detail": detail, "place": place, "payload_sha256_16": digits, "count": count}
                for (code, detail, place, digits), count in self.rejected.items()
            ],
            "replaced": [
                {"device": device, "field": name, "quality": quality, "count": count}
                for (device, name, quality), count in self.replaced.items()
            ],
            "quarantined": self.quarantined,
            "more": self.more,
        }


def faults_of(message: Message, taking: Intake) -> Faults | None:
    """What is wrong with a message; ``None``: nothing, or nobody can be told."""
    if not taking.dead_letters and not any(reading.quality or not reading.entitled for reading in taking.readings):
        return None
    if not _can_be_told(taking.gateway) or message.topic.endswith("/errors"):  # what we say ourselves gets no answer
        return None
    faults = Faults(message.session.broker, taking.gateway, message.session.lane, message.received_at_ms)
    faults.note(message, taking)
    return faults


def _can_be_told(gateway: str) -> bool:
    return 0 < len(gateway) <= NAME_LIMIT and gateway.isprintable() and not {"+", "#"} & set(gateway)


class Notices:
    """Faults that are durable and wait to be told.

    Args:
        brokers: those where gateways are told.
        limit: gateways and lanes that may wait.
    """

    def __init__(self, brokers: Collection[str], limit: int = WAITING_LIMIT) -> None:
        self._brokers = frozenset(brokers)
        self._limit = limit
        self._waiting: dict[Key, Faults] = {}
        self.untold = 0
        """Faulty messages of which nobody was told, because too much was waiting."""

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, faults: Iterable[Faults]) -> None:
        """These are durable."""
        for one in faults:
            if one.broker not in self._brokers:
                continue
            waiting = self._waiting.get(one.key)
            if waiting is not None:
                waiting.add(one)
            elif len(self._waiting) < self._limit:
                self._waiting[one.key] = one
            else:
                self.untold += 1

    def due(self) -> list[Faults]:
        """What is to be told now, one message for each gateway: of its alarm lane first, the rest the next time."""
        found: dict[tuple[str, str], Faults] = {}
        for key in sorted(self._waiting):  # "alarm" sorts before "telemetry"
            if key[:2] not in found:
                found[key[:2]] = self._waiting.pop(key)
        return list(found.values())

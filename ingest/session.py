"""What the rest of ingest knows of a broker: batches of messages out, acknowledgements in. Implemented in ``mqtt``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Lane(StrEnum):
    """Alarms are drained first and never hold."""

    ALARM = "alarm"
    TELEMETRY = "telemetry"


@dataclass(slots=True, eq=False)
class Message:
    """One PUBLISH as it came."""

    topic: str
    """Bytes that are no UTF-8 stand as ``\\xff``."""
    payload: bytes
    received_at_ms: int
    packet_id: int
    """0 at QoS 0."""
    qos: int
    connection: int
    """Number of the connection it came on."""
    session: Session
    dup: bool = False
    """The broker says that it has sent this one before."""


class Session(Protocol):
    """Where messages come from and acknowledgements go to."""

    name: str
    """``broker/filter``."""
    broker: str
    lane: Lane
    connected: bool
    """Subscribed, with the broker's consent."""
    connection: int
    """Number of the connection that is open; another one while there is none."""
    redelivered: int
    """Came again on the same connection while held: ignored and counted."""
    received: int
    """Messages handed over by :meth:`take`."""
    not_covered: int
    """Messages at QoS 0: nobody keeps them but us."""

    @property
    def waiting(self) -> int:
        """Messages not yet taken."""
        ...

    @property
    def holding(self) -> bool:
        """Whether nothing is given yet, since what comes again after a connect is waited for."""
        ...

    def take(self, limit: int) -> list[Message]:
        """Up to ``limit`` messages, oldest first, without waiting."""
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that ``messages`` are safe. Those of an earlier connection are ignored: they come again."""
        ...

    async def run(self) -> None:
        """Connect, subscribe, reconnect, until cancelled."""
        ...

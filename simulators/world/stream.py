"""What gateways send, in the order they send it. Virtual time; pure."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from gridwarden.model import Value

Lane = Literal["up", "alarm"]
_ALARMS = {"state": "alarm", "entrapment": True, "alarm_button": True}
"""Fields by which a device tells of danger to life, and what they are then."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One reading as its gateway sends it."""

    sent_at_ms: int
    """True time at which the gateway sends it: what the order of a stream goes by. Not on the wire."""
    gateway: str
    device_id: str
    at_ms: int
    """The device's clock."""
    seq: int
    """The device's own counter: what is lost on the way to the gateway leaves a gap."""
    values: dict[str, Value]
    lane: Lane = "up"

    @property
    def topic(self) -> str:
        """The native topic."""
        return f"gridwarden/v1/{self.gateway}/{self.lane}"

    def body(self) -> dict[str, Any]:
        """The native body."""
        return {"device": self.device_id, "at": self.at_ms, "seq": self.seq, "values": self.values}


def by_lane(stream: Iterable[Sent]) -> Iterator[Sent]:
    """The stream as gateways put it on their two lanes.

    The reading with which a device begins to alarm goes by the fast one; what follows while it alarms is telemetry.
    """
    alarming: set[str] = set()
    for sent in stream:
        told = [sent.values[name] == alarm for name, alarm in _ALARMS.items() if name in sent.values]
        begins = any(told) and sent.device_id not in alarming
        if any(told):
            alarming.add(sent.device_id)
        elif told:
            alarming.discard(sent.device_id)
        yield replace(sent, lane="alarm") if begins else sent


class Merging:
    """Streams in order of sending as one such stream; further ones may join it while it is read."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._waiting: list[tuple[int, int, Sent | None, Iterator[Sent]]] = []

    def join(self, stream: Iterator[Sent], from_ms: int) -> None:
        """Let it come in; nothing of it is made before ``from_ms``."""
        heapq.heappush(self._waiting, (from_ms, next(self._numbers), None, stream))

    def until(self, end_ms: float) -> Iterator[Sent]:
        """What is sent until then."""
        while self._waiting and self._waiting[0][0] <= end_ms:
            _, number, sent, stream = heapq.heappop(self._waiting)
            if sent is not None:
                yield sent
            for following in stream:
                heapq.heappush(self._waiting, (following.sent_at_ms, number, following, stream))
                break

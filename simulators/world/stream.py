"""What gateways send, in the order they send it. Virtual time; pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gridwarden.model import Device, Value
from simulators.behaviour import Spell

QUIET_MS = 60_000
"""Nothing ordinary is said from so long before something happens to a device."""


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

    @property
    def topic(self) -> str:
        """The native topic."""
        return f"gridwarden/v1/{self.gateway}/up"

    def body(self) -> dict[str, Any]:
        """The native body."""
        return {"device": self.device_id, "at": self.at_ms, "seq": self.seq, "values": self.values}


def merge(streams: Iterable[Iterable[Sent]]) -> Iterator[Sent]:
    """Streams in order of sending into one such stream."""
    return heapq.merge(*streams, key=lambda sent: sent.sent_at_ms)


def numbered(device: Device, steps: Spell) -> Iterator[Sent]:
    """What a device says, in order of time, counted from 1, sent at once."""
    gateway = device.gateway or "GW-SIM"
    for seq, (at_ms, values) in enumerate(sorted(steps, key=lambda step: step[0]), 1):
        yield Sent(at_ms, gateway, device.device_id, at_ms, seq, values)


def without(ordinary: Iterable[Spell], happening: Spell) -> Iterator[Spell]:
    """The ordinary spells that do not fall into what happens."""
    begin_ms, end_ms = happening[0][0] - QUIET_MS, happening[-1][0]
    return (spell for spell in ordinary if spell[-1][0] < begin_ms or spell[0][0] > end_ms)

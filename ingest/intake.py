"""Messages to readings that can be judged: topic, body, registry, clock, values. No socket, no disk.

Everything that is not a reading comes out as a dead letter with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from gridwarden.clock import Clock
from gridwarden.errors import DecodeError
from gridwarden.kinds import KINDS, PLATFORM, guess_kind
from gridwarden.model import DeadLetter, Device, Quality, Reading
from gridwarden.platform import OURSELVES
from ingest import values as field_values
from ingest.decode import Sent, decode_native, gateway_of

FROM_OUTSIDE = ""
"""No broker in particular, and not ourselves: what was set aside came over none of our own ways."""


class Payload(Protocol):
    """What is needed of an MQTT message."""

    topic: str
    payload: bytes
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of what is believed."""

    max_payload_bytes: int
    max_ahead_ms: int
    max_leap_ms: int | None
    """With the replay clock: the furthest the input may leap; ``None``: the system clock rules."""
    unbound_devices: Literal["accept", "quarantine"] = "accept"


@dataclass(frozen=True, slots=True)
class Intake:
    """What one message was."""

    readings: list[Reading]
    dead_letters: list[DeadLetter]
    received: int
    """Readings it was meant to be, counted in its body: what the ledger holds the other two against."""
    gateway: str = ""
    """Who sent it, as the topic says; ``""`` where it does not."""


def read(message: Payload, broker: str, devices: Mapping[str, Device], clock: Clock, bounds: Bounds) -> Intake:
    """The readings of one message, and what of it could not be read."""
    try:
        gateway = gateway_of(message.topic)
    except DecodeError as error:
        letter = DeadLetter(message.received_at_ms, broker, message.topic, error.code, error.detail, message.payload)
        return Intake([], [letter], 1)
    decoded = decode_native(message.payload, bounds.max_payload_bytes)
    readings = [_reading(sent, gateway, broker, message, devices, clock, bounds) for sent in decoded.readings]
    if not decoded.rejected:
        return Intake(readings, [], decoded.received, gateway)
    where = message.received_at_ms, broker, message.topic
    letters = [
        DeadLetter(*where, rejected.code, rejected.detail, rejected.payload, gateway=gateway)
        for rejected in decoded.rejected
    ]
    return Intake(readings, letters, decoded.received, gateway)


def anew(reading: Reading, devices: Mapping[str, Device], bounds: Bounds) -> Reading:
    """A reading of before as the registry has its device by now: its kind with its bounds, registered, entitled."""
    device = devices.get(reading.device_id)
    kind = _kind_of(device, reading.values)
    values, quality = reading.values, reading.quality
    if kind != reading.kind:
        values, faults = field_values.check(kind, values)
        quality = {**quality, **faults}
    return replace(
        reading, kind=kind, values=values, quality=quality, registered=device is not None,
        entitled=device is None or entitled(device, reading.gateway, bounds), late=False,
    )  # fmt: skip


def _reading(
    sent: Sent,
    gateway: str,
    broker: str,
    message: Payload,
    devices: Mapping[str, Device],
    clock: Clock,
    bounds: Bounds,
) -> Reading:
    device = devices.get(sent.device_id)
    kind = _kind_of(device, sent.values)
    values, quality = field_values.check(kind, sent.values)
    received_at_ms, occurred_at_ms = _times(sent, message, clock, bounds)
    if sent.bad_clock or (sent.at_ms is not None and occurred_at_ms != sent.at_ms):
        quality["at"] = Quality.CLOCK
    if sent.bad_seq:
        quality["seq"] = Quality.WRONG_TYPE
    return Reading(
        sent.device_id, kind, gateway, occurred_at_ms, received_at_ms, sent.seq, sent.key, sent.keyed, values, quality,
        registered=device is not None, entitled=device is None or entitled(device, gateway, bounds, broker),
    )  # fmt: skip


def _kind_of(device: Device | None, values: Mapping[str, Any]) -> str:
    if device is not None:
        return device.kind if device.kind in KINDS else ""
    return guess_kind(set(values))


def entitled(device: Device, gateway: str, bounds: Bounds, broker: str = FROM_OUTSIDE) -> bool:
    """Whether ``gateway`` may speak for ``device``."""
    if device.kind == PLATFORM and device.gateway == OURSELVES and broker != OURSELVES:
        return False  # whoever calls itself so out there does not speak for us
    if device.gateway is None:
        return bounds.unbound_devices == "accept"
    return device.gateway == gateway


def _times(sent: Sent, message: Payload, clock: Clock, bounds: Bounds) -> tuple[int, int]:
    """Received and occurred time. A clock that cannot be true gives way to ours."""
    if bounds.max_leap_ms is None:
        received_at_ms = message.received_at_ms
        believable = sent.at_ms is not None and sent.at_ms <= received_at_ms + bounds.max_ahead_ms
        return received_at_ms, sent.at_ms if believable and sent.at_ms is not None else received_at_ms
    now_ms = clock.now_ms()
    ahead = sent.at_ms is not None and now_ms > 0 and sent.at_ms > now_ms + bounds.max_leap_ms
    if sent.at_ms is None or ahead or sent.at_ms > message.received_at_ms + bounds.max_ahead_ms:
        return now_ms or message.received_at_ms, now_ms or message.received_at_ms
    clock.observe(sent.at_ms)
    return clock.now_ms(), sent.at_ms

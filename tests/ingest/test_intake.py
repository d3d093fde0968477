"""Messages to readings: whose device, which kind, which clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.clock import Clock, ReplayClock, SystemClock
from gridwarden.model import Device, Quality, Reading
from ingest.intake import Bounds, read

NOW_MS = 1_800_000_000_000
BOUNDS = Bounds(10_000, 300_000, None)
REPLAY = replace(BOUNDS, max_leap_ms=60_000)
DEVICES = {
    "OWN": Device("OWN", "smoke", gateway="gw1"),
    "FREE": Device("FREE", "lift"),
    "ODD": Device("ODD", "teapot", gateway="gw1"),
    "US": Device("US", "platform", gateway="gridwarden"),
}


@dataclass
class Payload:
    topic: str
    payload: bytes
    received_at_ms: int = NOW_MS


def one(
    body: dict[str, Any],
    gateway: str = "gw1",
    bounds: Bounds = BOUNDS,
    clock: Clock | None = None,
    broker: str = "b",
) -> Reading:
    message = Payload(f"gridwarden/v1/{gateway}/up", json.dumps({"values": {}, **body}).encode())
    taken = read(message, broker, DEVICES, clock or SystemClock(), bounds)
    (reading,) = taken.readings
    assert (taken.dead_letters, taken.received) == ([], 1)
    return reading


@pytest.mark.parametrize(
    ("device", "gateway", "unbound", "registered", "entitled", "kind"),
    [
        ("OWN", "gw1", "accept", True, True, "smoke"),
        ("OWN", "gw2", "accept", True, False, "smoke"),
        ("FREE", "gw2", "accept", True, True, "lift"),
        ("FREE", "gw2", "quarantine", True, False, "lift"),
        ("ODD", "gw1", "accept", True, True, ""),
        ("NEW", "gw1", "accept", False, True, ""),
        ("NEW", "gw1", "quarantine", False, True, ""),
    ],
)
def test_who_may_speak_for_whom(
    device: str, gateway: str, unbound: Any, registered: bool, entitled: bool, kind: str
) -> None:
    reading = one({"device": device}, gateway, replace(BOUNDS, unbound_devices=unbound))
    assert (reading.registered, reading.entitled, reading.kind) == (registered, entitled, kind)
    assert reading.verified is (registered and entitled)


def test_nobody_else_speaks_for_the_platform() -> None:
    assert one({"device": "US"}, "gridwarden", broker="gridwarden").entitled
    assert not one({"device": "US"}, "gridwarden").entitled
    assert not one({"device": "US"}, "gw1", broker="gridwarden").entitled


def test_the_kind_of_an_unknown_device_is_guessed_from_its_fields() -> None:
    assert one({"device": "NEW", "values": {"state": "alarm", "battery_pct": 3}}).kind == "smoke"
    assert one({"device": "NEW", "values": {"battery_pct": 3}}).kind == ""


@pytest.mark.parametrize(
    ("at", "occurred_at_ms", "quality"),
    [
        (NOW_MS, NOW_MS, {}), (NOW_MS + 300_000, NOW_MS + 300_000, {}), (NOW_MS - 10**9, NOW_MS - 10**9, {}),
        (NOW_MS + 300_001, NOW_MS, {"at": Quality.CLOCK}), (0, NOW_MS, {"at": Quality.CLOCK}), (None, NOW_MS, {}),
    ],
)  # fmt: skip
def test_a_device_s_clock_is_believed_within_bounds(
    at: int | None, occurred_at_ms: int, quality: dict[str, str]
) -> None:
    reading = one({"device": "OWN", "at": at})
    assert (reading.occurred_at_ms, reading.received_at_ms, reading.quality) == (occurred_at_ms, NOW_MS, quality)


@pytest.mark.parametrize(
    ("now_ms", "at", "occurred_at_ms", "clock_at_ms"),
    [
        (0, 1_600_000_000_000, 1_600_000_000_000, 1_600_000_000_000),
        (1_600_000_000_000, 1_600_000_060_000, 1_600_000_060_000, 1_600_000_060_000),
        (1_600_000_000_000, 1_600_000_060_001, 1_600_000_000_000, 1_600_000_000_000),
        (1_600_000_000_000, 1_500_000_000_000, 1_500_000_000_000, 1_600_000_000_000),
        (1_600_000_000_000, None, 1_600_000_000_000, 1_600_000_000_000),
        (0, None, NOW_MS, 0),
        (0, NOW_MS + 400_000, NOW_MS, 0),
    ],
)
def test_a_replay_follows_the_input_in_bounded_leaps(
    now_ms: int, at: int | None, occurred_at_ms: int, clock_at_ms: int
) -> None:
    clock = ReplayClock(now_ms)
    reading = one({"device": "OWN", "at": at}, bounds=REPLAY, clock=clock)
    assert (reading.occurred_at_ms, clock.now_ms()) == (occurred_at_ms, clock_at_ms)
    assert ("at" in reading.quality) == (at is not None and at != occurred_at_ms)


@given(st.text(max_size=40), st.binary(max_size=80))
def test_every_message_is_accounted_for(topic: str, payload: bytes) -> None:
    for name in (topic, "gridwarden/v1/gw1/up"):
        taken = read(Payload(name, payload), "b", DEVICES, SystemClock(), BOUNDS)
        assert taken.received == len(taken.readings) + len(taken.dead_letters) >= 1
        assert all(letter.topic == name and letter.broker == "b" for letter in taken.dead_letters)

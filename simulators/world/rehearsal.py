"""A stream through the rules engine alone, on virtual time: no broker, no process, thousands of readings a second.

Does what core does with a reading (duplicates, lateness, clocks that cannot be true), one reading at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from gridwarden.model import Device, Operation, Reading
from gridwarden.window import Window
from rules.alarm import Transition
from rules.engine import Engine
from rules.rule import RuleSet
from simulators.world.faults import BELIEVED_AHEAD_MS
from simulators.world.stream import Sent
from simulators.world.truth import Fired

_EARLIEST_AT_MS = 946_684_800_000
"""2000-01-01: an earlier clock was never set."""


def rehearse(stream: Iterable[Sent], devices: Iterable[Device], rules: RuleSet, end_ms: int) -> list[Fired]:
    """The alarms that fire until ``end_ms``, judged as the readings are sent."""
    return list(_fired(stream, {device.device_id: device for device in devices}, Engine(rules), end_ms))


def _fired(stream: Iterable[Sent], registry: dict[str, Device], engine: Engine, end_ms: int) -> Iterator[Fired]:
    windows: dict[str, Window] = {}
    for sent in stream:
        yield from _pass_time(engine, sent.sent_at_ms)
        device = registry[sent.device_id]
        reading = _reading(sent, device)
        window = windows.setdefault(sent.device_id, Window())
        if window.knows(reading):
            continue
        reading.late = window.is_late(reading)
        window.observe(reading)
        yield from _told(engine.decide(reading, window, device))
    yield from _pass_time(engine, end_ms)


def _pass_time(engine: Engine, now_ms: int) -> Iterator[Fired]:
    while (wake_ms := engine.next_wake_ms()) is not None and wake_ms <= now_ms:
        yield from _told(engine.advance(wake_ms))


def _told(transitions: Iterable[Transition]) -> Iterator[Fired]:
    for transition in transitions:
        alarm = transition.alarm
        if transition.operation is Operation.ALARM_FIRED and alarm.fired_at_ms is not None:
            yield Fired(alarm.rule_id, alarm.device_id, alarm.fired_at_ms)


def _reading(sent: Sent, device: Device) -> Reading:
    key = blake2b(repr((sent.device_id, sent.at_ms, sent.seq, sent.values)).encode(), digest_size=8)
    believable = _EARLIEST_AT_MS <= sent.at_ms <= sent.sent_at_ms + BELIEVED_AHEAD_MS
    return Reading(
        sent.device_id, device.kind, sent.gateway, sent.at_ms if believable else sent.sent_at_ms, sent.sent_at_ms,
        sent.seq, int.from_bytes(key.digest(), "little"), keyed=True, values=sent.values,
    )  # fmt: skip

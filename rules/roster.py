"""Who is to be heard, and by when: the registry and the rules of absence in one plan. Pure.

A plan is made in steps, beside the work: a registry of a hundred thousand devices takes longer than an alarm may wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gridwarden.areas import common
from gridwarden.model import Device
from rules.absence import Absence, Of
from rules.wheel import Wheel

NEVER = -1
"""When somebody was heard who never was."""
GATEWAY_DEVICES = 2
"""From so many devices on, a gateway's absence is more than that of its device."""
STEP = 2_000
"""Devices planned in one step: about 10 ms."""

HeardAt = Callable[[str], int]
"""When a device was last heard on our own clock; :data:`NEVER`."""
IsActive = Callable[[Absence, str], bool]
"""Whether an alarm of this rule fires for this device already."""


@dataclass(slots=True)
class Gateway:
    """A gateway of devices that report in known intervals."""

    interval_ms: int
    """Of the fastest of them."""
    heard_at_ms: int = NEVER
    """When one of them was last heard, at the time of planning."""
    device_count: int = 0
    areas: set[str] = field(default_factory=set)
    area: str = ""
    """The smallest that all its devices lie in."""


class Plan:
    """Whom to look at when, for one state of the registry and of the rules."""

    def __init__(self, devices: Mapping[str, Device], rules: Iterable[Absence], unseen: Mapping[str, int]) -> None:
        self.devices = devices
        self.wheels = {rule.id: Wheel() for rule in rules if rule.of is not Of.BROKER}
        self.unseen: dict[str, int] = {}
        """Devices never heard: since when they have been registered, as far as we know."""
        self.gateways: dict[str, Gateway] = {}
        self.shortest_ms = 2**62
        """The shortest limit of anybody: who is heard sooner than this after the last time ends no gap."""
        self._unseen_before = unseen
        self._of_kind: dict[str, list[Absence]] = {}
        self._of_gateways: list[Absence] = []
        for rule in rules:
            if rule.of in {Of.DEVICE, Of.NEVER_SEEN}:
                self._of_kind.setdefault(rule.kind, []).append(rule)
            elif rule.of is Of.GATEWAY:
                self._of_gateways.append(rule)

    def rules_of(self, device: Device) -> Iterable[Absence]:
        """The rules about devices of its kind."""
        return self._of_kind.get(device.kind, ())

    def steps(self, heard_at_ms: HeardAt, is_active: IsActive, now_ms: int) -> Iterator[None]:
        """Make it; a step is over at each ``yield``, and the plan at the end."""
        for number, device in enumerate(self.devices.values(), start=1):
            if self._of_kind.get(device.kind):
                self._take_up(device, heard_at_ms(device.device_id), is_active, now_ms)
            if number % STEP == 0:
                yield
        self.gateways = {
            name: gateway for name, gateway in self.gateways.items() if gateway.device_count >= GATEWAY_DEVICES
        }
        for gateway in self.gateways.values():
            gateway.area = common(gateway.areas)
            for rule in self._of_gateways:
                self.shortest_ms = min(self.shortest_ms, rule.after.limit_ms(gateway.interval_ms) or self.shortest_ms)

    def _take_up(self, device: Device, heard_ms: int, is_active: IsActive, now_ms: int) -> None:
        name, is_unseen = device.device_id, heard_ms == NEVER
        counts = device.gateway and self._of_gateways
        if is_unseen:
            self.unseen[name] = self._unseen_before.get(name, now_ms)
        interval_ms: int | None = None
        for rule in self._of_kind[device.kind]:
            limit_ms = rule.limit_of_ms(device)
            if limit_ms is None:
                continue
            if interval_ms is None and counts:
                interval_ms = rule.interval_of_ms(device)
            self.shortest_ms = min(self.shortest_ms, limit_ms)
            if is_unseen == (rule.of is Of.NEVER_SEEN) and not is_active(rule, name):
                # Not before; whether somebody was blind meanwhile is seen then.
                self.wheels[rule.id].put((self.unseen[name] if is_unseen else heard_ms) + limit_ms, name)
        if device.gateway and interval_ms:
            self._count_in(device, device.gateway, interval_ms, heard_ms)

    def _count_in(self, device: Device, gateway_name: str, interval_ms: int, heard_ms: int) -> None:
        gateway = self.gateways.get(gateway_name)
        if gateway is None:
            gateway = self.gateways[gateway_name] = Gateway(interval_ms)
        gateway.interval_ms = min(gateway.interval_ms, interval_ms)
        gateway.heard_at_ms = max(gateway.heard_at_ms, heard_ms)
        gateway.device_count += 1
        gateway.areas.add(device.area)

    def arm(self, rule: Absence, name: str, at_ms: int) -> None:
        """Look at somebody, because of ``rule``, once ``at_ms`` is past."""
        if rule.id in self.wheels:
            self.wheels[rule.id].put(at_ms, name)

    def dump_unseen(self) -> list[list[Any]]:
        """Plain values: since when, and who all."""
        since: dict[int, list[str]] = {}
        for name, since_ms in self.unseen.items():
            since.setdefault(since_ms, []).append(name)
        return [[since_ms, names] for since_ms, names in since.items()]


def load_unseen(dumped: Iterable[Iterable[Any]]) -> dict[str, int]:
    """The inverse of :meth:`Plan.dump_unseen`."""
    return {name: since_ms for since_ms, names in dumped for name in names}

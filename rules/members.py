"""The firing alarms of one group in the order in which they fired, and which of them count. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridwarden.areas import common
from gridwarden.model import Alarm, Device
from rules.correlation import By, Correlation
from rules.groups import Point, group_of, point_of

LISTED = 50
"""Most members that the evidence lists; the others are in its counts."""


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A firing alarm that counts, or may, as it was when it was heard of."""

    fired_at_ms: int
    alarm_id: str
    alarm: Alarm = field(compare=False)
    device: Device = field(compare=False)
    returned: int = field(default=0, compare=False)
    """Its revision where it did not count for a while; else 0."""

    @classmethod
    def of(cls, alarm: Alarm, device: Device, returned: int = 0) -> Member:
        """From an alarm that fires."""
        fired_at_ms = alarm.pending_at_ms if alarm.fired_at_ms is None else alarm.fired_at_ms
        return cls(fired_at_ms, alarm.alarm_id, alarm, device, returned)

    @property
    def point(self) -> Point | None:
        """Where its device stands, if anybody knows."""
        return point_of(self.device)

    def group(self, by: By) -> str:
        """The id of the group it is in; empty where it is in none."""
        return group_of(by, self.device, str(self.alarm.evidence.get("gateway", "")))

    def listed(self) -> dict[str, Any]:
        """As it stands in the evidence."""
        return {"alarm_id": self.alarm_id, "device_id": self.device.device_id, "rule_id": self.alarm.rule_id,
                "fired_at_ms": self.fired_at_ms}  # fmt: skip


class Group:
    """The firing alarms of one building, main, circle …, and the alarm they have raised.

    Which of them count depends on when they fired alone, not on when they were heard of: the earliest that make the
    number full, all that fired later, and those before them of which none is further from the next than ``within``.
    """

    def __init__(self, rule: Correlation, name: str, centre: Point | None = None) -> None:
        self.rule = rule
        self.name = name
        self.centre = centre
        """Of a circle."""
        self.firing: list[Member] = []
        """All that fire, sorted."""
        self.alarm: Alarm | None = None
        self.since_ms = 0
        """Who fired before this does not count for ``alarm``."""
        self._counted: Counter[str] = Counter()

    @property
    def scope(self) -> str:
        """What its alarm stands for."""
        return f"{self.rule.by.value}:{self.name}"

    @property
    def count(self) -> int:
        """Devices that count."""
        return len(self._counted)

    def add(self, member: Member) -> list[Member]:
        """Take in a firing alarm; returns those that count for the group's alarm from now on."""
        insort(self.firing, member)
        if self.alarm is None:
            return []
        if member.fired_at_ms >= self.since_ms:
            return self._count([member])
        core = self.window(member, self.alarm.evidence["k"]) or ()
        return self._count(self._walk_back(core[0] if core else None))

    def remove(self, member: Member) -> None:
        """It fires no longer."""
        place = bisect_left(self.firing, member)
        del self.firing[place]
        if self.alarm is not None and member.fired_at_ms >= self.since_ms:
            self._counted[member.device.device_id] -= 1
            if not self._counted[member.device.device_id]:
                del self._counted[member.device.device_id]

    def count_from(self, since_ms: int) -> list[Member]:
        """Begin to count with those that fired at ``since_ms``; returns all that count."""
        self.since_ms = since_ms
        self._counted.clear()
        later = self.counting
        return self._count([*self._walk_back(), *later])

    def window(self, member: Member, need: int, first: Member | None = None) -> Sequence[Member] | None:
        """The earliest alarms of ``need`` devices that fired within the rule's time of each other, ``member`` in that time.

        ``first``: they must begin with this one.
        """
        within_ms, firing = self.rule.within_ms, self.firing
        low = self._place(member.fired_at_ms - within_ms) if first is None else bisect_left(firing, first)
        high = bisect_right(firing, member.fired_at_ms + within_ms, key=_fired_at_ms)
        if high - low < need:
            return None
        last = bisect_left(firing, member) if first is None else low
        seen: Counter[str] = Counter()
        end = low
        for start in range(low, last + 1):
            while end < high and firing[end].fired_at_ms <= firing[start].fired_at_ms + within_ms:
                seen[firing[end].device.device_id] += 1
                end += 1
                if len(seen) >= need:
                    return firing[start:end]
            seen[firing[start].device.device_id] -= 1
            seen += Counter()  # without those that are none any more
        return None

    def first_evidence(self, news: Iterable[Member], need: int, n: int) -> dict[str, Any]:
        """What its alarm stands on when it fires: ``need`` devices of ``n`` (0: nobody knows), and which."""
        group: dict[str, Any] = {"by": self.rule.by.value, "id": self.name}
        if self.rule.by is By.RADIUS:
            group["radius_m"] = self.rule.radius_m
        return {"group": group, "k": need, "n": n} | self._counts([], news)

    def evidence(self, alarm: Alarm, news: Iterable[Member]) -> dict[str, Any]:
        """That of ``alarm`` with those that count from now on."""
        return alarm.evidence | self._counts(alarm.evidence["members"], news)

    def _counts(self, before: list[dict[str, Any]], news: Iterable[Member]) -> dict[str, Any]:
        listed = sorted(
            [*before, *(member.listed() for member in news)], key=lambda one: (one["fired_at_ms"], one["alarm_id"])
        )
        return {"count": self.count, "members": listed[:LISTED]}

    @property
    def counting(self) -> list[Member]:
        """Those who count."""
        return self.firing[self._place(self.since_ms) :]

    def area(self) -> str:
        """The smallest area that holds all who count."""
        return common(member.device.area for member in self.counting)

    def _count(self, members: list[Member]) -> list[Member]:
        self._counted.update(member.device.device_id for member in members)
        return members

    def _walk_back(self, first: Member | None = None) -> list[Member]:
        """Those before :attr:`since_ms` that count as well: from ``first`` on, and who fired not long before."""
        last = self._place(self.since_ms)
        if first is not None:
            self.since_ms = min(self.since_ms, first.fired_at_ms)
        place = self._place(self.since_ms)
        while place and self.firing[place - 1].fired_at_ms >= self.since_ms - self.rule.within_ms:
            place -= 1
            self.since_ms = self.firing[place].fired_at_ms
        return self.firing[place:last]

    def _place(self, at_ms: int) -> int:
        return bisect_left(self.firing, at_ms, key=_fired_at_ms)


def _fired_at_ms(member: Member) -> int:
    return member.fired_at_ms

"""Groups that go by distance: a circle around the first alarm of those that are near enough to one another. Pure.

A firing alarm is in one circle at a time, the earliest that it is near to the centre of, or in none yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gridwarden.model import Alarm
from rules.correlation import Correlation
from rules.groups import Near, Point
from rules.members import Group, Member


class Circles:
    """Those of one rule."""

    def __init__(self, rule: Correlation) -> None:
        self._rule = rule
        self._loose: Near[Member] = Near(rule.radius_m)
        self._drawn: Near[Group] = Near(rule.radius_m)

    def find(self, point: Point) -> Group | None:
        """The circle that holds ``point``."""
        return min(self._drawn.around(point), key=_first_to_fire, default=None)

    def keep(self, member: Member) -> None:
        """It is in no circle."""
        self._loose.add(_place(member), member)

    def drop(self, member: Member) -> None:
        """It fires no longer, or is in a circle now."""
        self._loose.remove(_place(member), member)

    def completed(self, member: Member, need: Callable[[Group], int]) -> tuple[Group, Sequence[Member]] | None:
        """The circle of which ``member``, which is in none yet, makes enough, and those who do."""
        within_ms = self._rule.within_ms
        around = (
            one for one in self._loose.around(_place(member)) if abs(one.fired_at_ms - member.fired_at_ms) <= within_ms
        )
        near = sorted(around)
        if len({one.device.device_id for one in near}) < self._rule.at_least:
            return None
        for first in near[: near.index(member) + 1]:
            circle = Group(self._rule, first.device.device_id, first.point)
            circle.firing = sorted(self._loose.around(_place(first)))
            core = circle.window(member, need(circle), first)
            if core:
                return circle, core
        return None

    def draw(self, circle: Group) -> None:
        """It holds those who are near its centre from now on."""
        if circle.centre is not None:
            self._drawn.add(circle.centre, circle)
        for member in circle.firing:
            self.drop(member)

    def erase(self, circle: Group) -> None:
        """Its alarm is over; those in it are in no circle now."""
        if circle.centre is not None:
            self._drawn.remove(circle.centre, circle)
        for member in circle.firing:
            self.keep(member)


def _place(member: Member) -> Point:
    if member.point is None:
        raise ValueError(member.device.device_id)
    return member.point


def _first_to_fire(circle: Group) -> tuple[int, str]:
    alarm: Alarm | None = circle.alarm
    return (alarm.fired_at_ms or 0 if alarm else 0, circle.name)

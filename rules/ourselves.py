"""Whether we could have heard anybody: our own running, our clock, our sessions at the brokers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rules import blind
from rules.absence import Absence
from rules.blind import EVERYWHERE, Blindness
from rules.gaps import Gap, Gaps

JUMP_MS = 60_000
"""A clock that goes on by more than this between two looks was set, or we did not run. As long may readings wait to be
judged; beyond it we count as blind."""
INPUT_GAP_MS = 3_600_000
"""With a replay clock: so long nothing at all in the input is a gap in the recording, and nobody's absence."""
SOON_TOLD_MS = 10_000
"""As if it had been told so long before the first look that we live: so it soon is."""
FORGET_MS = 60 * 86_400_000
"""Spells of a gateway that ended so long ago concern nobody: twice the longest limit."""


class Ourselves:
    """Keeps the spells of blindness, and the alarms of brokers that are away.

    Args:
        gaps: where those alarms go.
        replaying: the clock is that of the input: no broker and no running of ours, only gaps in the input.
    """

    def __init__(self, gaps: Gaps, *, replaying: bool) -> None:
        self.rules: tuple[Absence, ...] = ()
        self.blindness = Blindness()
        self._gaps = gaps
        self._replaying = replaying
        self._brokers: tuple[str, ...] | None = None
        self._broker_of: dict[str, str] = {}
        self._looked_at_ms: int | None = None
        self._alive_at_ms: int | None = None
        """Until when we lived before the restart; ``None``: there was no before."""
        self._told_at_ms = 0
        self._input_at_ms = 0

    @property
    def known_until_ms(self) -> int:
        """Beyond this nothing can be judged before the next look, which may find that the clock was set."""
        return 2**62 if self._replaying else (self._looked_at_ms or 0) + JUMP_MS

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with what :meth:`news` has said of each name last."""
        if "alive_at_ms" in state:
            self._alive_at_ms = self._input_at_ms = state["alive_at_ms"]
        if "blind" in state:
            self.blindness = Blindness.load(state["blind"])

    def news(self, now_ms: int, every_ms: int) -> dict[str, Any]:
        """What the records must know, by name, as plain values; nothing if it was told less than ``every_ms`` ago."""
        if abs(now_ms - self._told_at_ms) < every_ms:
            return {}
        self._told_at_ms = now_ms
        if not self.blindness.changed:
            return {"alive_at_ms": now_ms}
        self.blindness.forget(blind.gateway(""), now_ms - FORGET_MS)
        return {"alive_at_ms": now_ms, "blind": self.blindness.dump()}

    def came(self, gateway: str, broker: str, at_ms: int) -> None:
        """A message has come: the broker behind which its gateway is, and how far the input has come."""
        self._broker_of[gateway] = broker
        if self._replaying and at_ms > self._input_at_ms:
            if at_ms - self._input_at_ms > INPUT_GAP_MS:
                self.blindness.add(EVERYWHERE, self._input_at_ms, at_ms)
            self._input_at_ms = at_ms

    def places(self, gateway: str | None) -> tuple[str, ...]:
        """Where we must not be blind to hear this gateway: everywhere, and at its broker (any, while it is not known)."""
        known = self._broker_of.get(gateway or "")
        brokers = (known,) if known else self._brokers or ()
        return (EVERYWHERE, *map(blind.broker, brokers))

    def look(self, now_ms: int, through_ms: int, connected: Mapping[str, bool]) -> None:
        """Notice the clock, how far the judging has come, and which brokers are connected."""
        if self._replaying:
            return
        before_ms = self._notice_time(now_ms)
        if now_ms - through_ms > JUMP_MS:
            self.blindness.begin(EVERYWHERE, through_ms)
        else:
            self.blindness.end(EVERYWHERE, now_ms)
        if self._brokers is None:
            self._brokers = tuple(connected)
            self._begin_with_brokers(before_ms, now_ms)
        for name, is_up in connected.items():
            self._look_at_broker(name, before_ms, now_ms, is_up=is_up)

    def _notice_time(self, now_ms: int) -> int:
        """When we looked last; what lies between is blindness where it is too long."""
        before_ms, self._looked_at_ms = self._looked_at_ms, now_ms
        if before_ms is None:  # we begin, or begin again
            self._told_at_ms = now_ms - SOON_TOLD_MS
            before_ms = now_ms if self._alive_at_ms is None else self._alive_at_ms
            self.blindness.add(EVERYWHERE, 0 if self._alive_at_ms is None else before_ms, now_ms)
        elif now_ms - before_ms > JUMP_MS:
            self.blindness.add(EVERYWHERE, before_ms, now_ms)
        if now_ms < before_ms:
            self.blindness.cut(now_ms)
        return min(before_ms, now_ms)

    def _begin_with_brokers(self, before_ms: int, now_ms: int) -> None:
        """While we did not run we had no session anywhere; what is no longer configured is no longer missed."""
        ours = [blind.broker(name) for name in self._brokers or ()]
        for place in ours:
            self.blindness.begin(place, before_ms)
        for alarm in self._gaps.of_places(blind.broker(""), ours):
            self._gaps.retire(alarm, now_ms, "broker_gone")
            self.blindness.end(alarm.scope, now_ms)

    def _look_at_broker(self, name: str, before_ms: int, now_ms: int, *, is_up: bool) -> None:
        place = blind.broker(name)
        if not is_up:
            self.blindness.begin(place, before_ms)
        since_ms = self.blindness.since_ms(place)
        if since_ms is None:
            return
        for rule in self.rules:
            gap = Gap(rule, place, name, since_ms, rule.after.more_ms)
            due_ms = since_ms + gap.limit_ms
            if is_up:
                self._gaps.span(gap, due_ms, now_ms)
            elif due_ms < now_ms and self._gaps.of(rule, place) is None:
                self._gaps.begin(gap, due_ms)
        if is_up:
            self.blindness.end(place, now_ms)

"""Times in which nobody could be heard: core did not run, a broker was away, a gateway had no network. Pure.

A gap is counted in *watched time*: a spell of blindness stops the count for everybody behind the place that was
blind, and after it nobody is called silent before a grace is over, in which gateways find their way back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

EVERYWHERE = ""
"""Core did not run or could not keep up, or the clock was set: nobody could be heard."""
GRACE_MS = 15 * 60_000
"""After a spell nobody is silent before this (or the limit, where that is shorter) has gone by."""
SPELLS_KEPT = 100
"""Spells remembered per place; beyond it the two oldest become one, with the time between them."""
Spell = tuple[int, int]


def broker(name: str) -> str:
    """The place of a broker."""
    return f"broker:{name}"


def gateway(name: str) -> str:
    """The place of a gateway."""
    return f"gateway:{name}"


class Blindness:
    """Spells by place: :data:`EVERYWHERE`, a broker, a gateway. Times on our own clock."""

    def __init__(self) -> None:
        self._over: dict[str, list[Spell]] = {}
        """In order of time; those of one place do not overlap."""
        self._open: dict[str, int] = {}
        self.changed = False
        """Whether anything is new since :meth:`dump`."""

    def since_ms(self, place: str) -> int | None:
        """Since when the place has been blind; ``None``: it is not."""
        return self._open.get(place)

    def begin(self, place: str, since_ms: int) -> None:
        """The place is blind; nothing new where it was already."""
        if place not in self._open:
            self._open[place] = since_ms
            self.changed = True

    def end(self, place: str, at_ms: int) -> None:
        """The place is no longer blind."""
        since_ms = self._open.pop(place, None)
        if since_ms is not None:
            self.add(place, since_ms, at_ms)

    def add(self, place: str, from_ms: int, to_ms: int) -> None:
        """A spell that is over."""
        self.changed = True
        spells = self._over.setdefault(place, [])
        while spells and spells[-1][1] >= from_ms:
            earlier = spells.pop()
            from_ms, to_ms = min(from_ms, earlier[0]), max(to_ms, earlier[1])
        if to_ms > from_ms:
            spells.append((from_ms, to_ms))
        if len(spells) > SPELLS_KEPT:
            spells[:2] = [(spells[0][0], spells[1][1])]

    def due_ms(self, heard_at_ms: int, limit_ms: int, places: Iterable[str], now_ms: int) -> int:
        """When somebody last heard at ``heard_at_ms`` has been silent for ``limit_ms`` of watched time.

        A spell that is not over yet counts as if it ended now: the true time can only be later.
        """
        due_ms = heard_at_ms + limit_ms
        spells = self._after(heard_at_ms, places, now_ms)
        if not spells:
            return due_ms
        spells.sort()
        seen_ms = heard_at_ms
        for from_ms, to_ms in spells:
            begin_ms = max(from_ms, seen_ms)
            if begin_ms >= due_ms:
                break
            if to_ms > begin_ms:
                due_ms = max(due_ms + to_ms - begin_ms, to_ms + min(limit_ms, GRACE_MS))
                seen_ms = to_ms
        return due_ms

    def _after(self, heard_at_ms: int, places: Iterable[str], now_ms: int) -> list[Spell]:
        """The spells of these places that had not ended by then."""
        found: list[Spell] = []
        for place in places:
            for spell in reversed(self._over.get(place, ())):
                if spell[1] <= heard_at_ms:
                    break
                found.append(spell)
            since_ms = self._open.get(place)
            if since_ms is not None and since_ms < now_ms:
                found.append((since_ms, now_ms))
        return found

    def cut(self, now_ms: int) -> None:
        """The clock was set back to ``now_ms``: what lay ahead of it has not been yet."""
        for place, spells in self._over.items():
            self._over[place] = [(from_ms, min(to_ms, now_ms)) for from_ms, to_ms in spells if from_ms < now_ms]
        self._open = {place: min(since_ms, now_ms) for place, since_ms in self._open.items()}
        self.changed = True

    def forget(self, prefix: str, before_ms: int) -> None:
        """Drop what ended before this at the places whose name begins so."""
        for place in [one for one in self._over if one.startswith(prefix)]:
            kept = [spell for spell in self._over[place] if spell[1] >= before_ms]
            if kept:
                self._over[place] = kept
            else:
                del self._over[place]

    def dump(self) -> dict[str, Any]:
        """Plain values, to be kept with the records."""
        self.changed = False
        return {"over": {place: list(spells) for place, spells in self._over.items()}, "open": dict(self._open)}

    @classmethod
    def load(cls, dumped: dict[str, Any]) -> Blindness:
        """The inverse of :meth:`dump`."""
        blindness = cls()
        blindness._over = {
            place: [(spell[0], spell[1]) for spell in spells] for place, spells in dumped["over"].items()
        }
        blindness._open = dict(dumped["open"])
        return blindness

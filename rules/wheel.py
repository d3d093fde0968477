"""When to look at whom again, for very many: a wheel of slots, a second each. Pure.

A hundred thousand waiting devices take a list entry each, where a heap of tuples would take ten times as much.
"""

from __future__ import annotations

import heapq

SLOT_MS = 1000
"""What is due in one slot is given out together, once all of the slot is past: at most so much later."""


class Wheel:
    """Keys, each with a time."""

    def __init__(self) -> None:
        self._slots: dict[int, list[str]] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def put(self, at_ms: int, key: str) -> None:
        """Give ``key`` out once ``at_ms`` is past."""
        slot = at_ms // SLOT_MS + 1
        keys = self._slots.get(slot)
        if keys is None:
            keys = self._slots[slot] = []
            heapq.heappush(self._order, slot)
        keys.append(key)

    def take(self, through_ms: int, limit: int) -> list[str]:
        """Up to ``limit`` keys whose time lies before ``through_ms``."""
        taken: list[str] = []
        while self._order and self._order[0] * SLOT_MS <= through_ms and len(taken) < limit:
            keys = self._slots[self._order[0]]
            room = limit - len(taken)
            taken += keys[:room]
            if len(keys) > room:
                del keys[:room]
            else:
                del self._slots[heapq.heappop(self._order)]
        return taken

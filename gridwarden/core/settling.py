"""Which readings wait for older ones, so that rules with ``late: correct`` see each device in the order of its clock.

Readings say themselves when they are settled, see :class:`gridwarden.window.Settled`. Where nothing more comes, our own
clock settles them: core remembers how far it got (:attr:`Settling.through_ms`), because no block tells of that.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from gridwarden.model import Reading
from gridwarden.window import Settled, Window


class Settling:
    """What waits, and until when on our own clock."""

    def __init__(self) -> None:
        self._lateness: Mapping[str, int] = {}
        self._rated: Mapping[str, frozenset[str]] = {}
        self._due_ms: dict[str, int] = {}
        self._timers: list[tuple[int, str]] = []
        self.through_ms = 0
        """What was received, and whose lateness was over, before this time of our own clock is settled."""

    def use(
        self, lateness: Mapping[str, int], rated: Mapping[str, frozenset[str]], windows: Iterable[tuple[str, Window]]
    ) -> None:
        """Go on with other rules.

        Args:
            lateness: kind to how long its readings wait; of others none does.
            rated: kind to the fields whose rate its rules ask for.
            windows: all there are, by scope.
        """
        self._lateness, self._rated = lateness, rated
        self._due_ms.clear()
        self._timers.clear()
        for scope, window in windows:
            if window.settled is not None:
                self._await(scope, window.settled)

    def resume(self, through_ms: int, windows: Iterable[tuple[str, Window]]) -> None:
        """After a restart: what our own clock had settled, up to ``through_ms``, is settled and not judged again."""
        self.through_ms = through_ms
        for scope, window in windows:
            if window.settled is not None:
                deque(self._settle(window.settled, through_ms), maxlen=0)
                self._await(scope, window.settled)

    def prepare(self, window: Window, kind: str) -> None:
        """Before ``window`` observes a reading of this kind: it has a settled form if, and only if, a rule asks for it."""
        if kind not in self._lateness:
            window.settled = None
        elif window.settled is None:
            window.settled = Settled.after(window)

    def take(self, settled: Settled, reading: Reading) -> Iterator[Reading]:
        """What ``reading`` settles, itself perhaps. All of it must be taken."""
        yield from self._settle(settled, reading.received_at_ms)
        if reading.verified and settled.put(reading):
            self._remind(reading.scope, reading.received_at_ms + self._lateness[reading.kind] + 1)
            yield from self._settle(settled, reading.received_at_ms)

    def due(self, now_ms: int) -> Iterator[str]:
        """The scopes of which something may be settled, since everything received before ``now_ms`` was observed."""
        while self._timers and self._timers[0][0] <= now_ms:
            due_ms, scope = heapq.heappop(self._timers)
            if self._due_ms.get(scope) == due_ms:
                del self._due_ms[scope]
                yield scope

    def pass_time(self, scope: str, settled: Settled, now_ms: int) -> Iterator[Reading]:
        """What is settled of a scope that is :meth:`due`. All of it must be taken."""
        for reading in self._settle(settled, now_ms):
            self.through_ms = now_ms
            yield reading
        self._await(scope, settled)

    def next_wake_ms(self) -> int | None:
        """When something is due; ``None``: nothing waits."""
        return self._timers[0][0] if self._timers else None

    def _settle(self, settled: Settled, now_ms: int) -> Iterator[Reading]:
        if settled.waiting:
            kind = settled.waiting[0].kind
            yield from settled.settle(self._lateness.get(kind, 0), now_ms, self._rated.get(kind, ()))

    def _await(self, scope: str, settled: Settled) -> None:
        if settled.waiting:
            lateness_ms = self._lateness.get(settled.waiting[0].kind, 0)
            self._remind(scope, settled.first_received_at_ms() + lateness_ms + 1)

    def _remind(self, scope: str, due_ms: int) -> None:
        if due_ms < self._due_ms.get(scope, due_ms + 1):
            self._due_ms[scope] = due_ms
            heapq.heappush(self._timers, (due_ms, scope))

"""Notices that the clock of this machine was set, while core ran or between two of its lives, and remembers it.

What waits goes on waiting as long as it would have, and an age across such a step is what truly passed: else a clock set a
day forward would make every dedup key too old, and each reading that comes again another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path

from pydantic_core import from_json, to_json

from gridwarden.clock import Steps
from gridwarden.records.transaction import Transaction

REMEMBERED = "timekeeper"
"""Name under which the records remember it."""
LEAPS_KEPT = 16
DRIFT_MS = 250
"""A clock that is kept in time moves against the monotonic one; so far it may before that is written down again."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names this run of the machine, in which the monotonic clock only ever runs on; empty where nothing tells."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Timekeeper:
    """The steps of our own clock.

    Args:
        boot: this run of the machine; what another one has remembered of its monotonic clock means nothing.
    """

    def __init__(self, boot: str = "") -> None:
        self._boot = boot
        self._steps = Steps()
        self._leaps: deque[tuple[int, int]] = deque(maxlen=LEAPS_KEPT)
        """When the clock was set forward (as it stood afterwards), and by how much."""
        self._looked_ms: int | None = None
        self._ahead_ms: int | None = None
        """The clock less the monotonic one, as it stands in the records."""

    def restore(self, remembered: Mapping[str, str]) -> None:
        """Go on from what was remembered."""
        if REMEMBERED not in remembered:
            return
        kept = from_json(remembered[REMEMBERED])
        self._leaps.extend((at_ms, step_ms) for at_ms, step_ms in kept["leaps"])
        if self._boot and kept["boot"] == self._boot:
            self._ahead_ms = kept["ahead_ms"]
            self._steps = Steps(self._ahead_ms)

    def look(self, now_ms: int, monotonic_ms: int) -> int:
        """By how much the clock was set since the last look, milliseconds; 0: it was not."""
        step_ms = self._steps.seen(now_ms, monotonic_ms)
        since_ms = 0 if self._looked_ms is None else monotonic_ms - self._looked_ms
        self._looked_ms = monotonic_ms
        if step_ms > 0:
            # It may have been right after the last look: what was received since then was received after it.
            self._leaps.append((now_ms - since_ms, step_ms))
        return step_ms

    def leapt_ms(self, since_ms: int, until_ms: int) -> int:
        """How much between two times of our clock never passed."""
        return sum(step_ms for at_ms, step_ms in self._leaps if since_ms < at_ms <= until_ms)

    def remember(self, transaction: Transaction) -> None:
        """With ``transaction``, if there is news."""
        ahead_ms = self._steps.ahead_ms
        if ahead_ms is None or (self._ahead_ms is not None and abs(ahead_ms - self._ahead_ms) < DRIFT_MS):
            return
        self._ahead_ms = ahead_ms
        kept = {"boot": self._boot, "ahead_ms": ahead_ms, "leaps": list(self._leaps)}
        transaction.remembered[REMEMBERED] = to_json(kept).decode()

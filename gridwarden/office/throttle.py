"""Brakes on guessing passwords, in memory. Time is an argument."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from gridwarden.errors import Refused

FREE_ATTEMPTS = 5
"""Failures in a row that cost nothing: people mistype."""
LONGEST_MS = 15 * 60_000
"""Longest wait; also how long after the last failure an entry is forgotten."""
ENTRIES = 10_000
"""Most pairs of name and address remembered; the one untouched for longest goes first."""


class TooManyAttempts(Refused):
    """Sign-in is held back; ``retry_after_s`` says for how long."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__("too_many_attempts", f"try again in {retry_after_s} s")


@dataclass(slots=True)
class _Entry:
    failures: int
    last_at_ms: int
    blocked_until_ms: int


class LoginThrottle:
    """Waits that double with every failure, per name and address. For any thread."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._limit = entries
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, name: str, address: str, now_ms: int) -> None:
        """Let one attempt pass and count it as failed until :meth:`succeeded`: so parallel guesses count too.

        Raises:
            TooManyAttempts: not now.
        """
        key = (name, address)
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None or now_ms - entry.last_at_ms >= LONGEST_MS:
                entry = _Entry(0, now_ms, 0)
            self._entries[key] = entry
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)
            if now_ms < entry.blocked_until_ms:
                raise TooManyAttempts(-(-(entry.blocked_until_ms - now_ms) // 1000))
            entry.failures += 1
            entry.last_at_ms = now_ms
            if entry.failures >= FREE_ATTEMPTS:
                wait_ms = 1000 << min(entry.failures - FREE_ATTEMPTS, 20)
                entry.blocked_until_ms = now_ms + min(wait_ms, LONGEST_MS)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of a pair whose password was right."""
        with self._lock:
            self._entries.pop((name, address), None)

    def __len__(self) -> int:
        return len(self._entries)

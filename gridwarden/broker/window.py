"""How many messages may be on their way to us without our acknowledgement. Pure.

Too many, and the last of them are not taken in within ``ACK_WAIT_S``: the broker sends them again, for nothing, and cuts
off a session to which it owes more than 64 MB. It counts messages, but what takes time is their bytes (a message may hold
one reading or a thousand), so the window follows the mean size of what waits. See docs/adr/0009-ack-window.md.
"""

from __future__ import annotations

from gridwarden.broker.config_file import MAX_ACK_PENDING

WINDOW_BYTES = 8 * 2**20
"""What the window may hold: about 46,000 readings, taken in within 1.6 s."""
LEAST_MESSAGES = 31
SURE_FROM = 100
"""With fewer messages waiting their mean size says nothing, and the window stays as it is."""
QUIET_LOOKS = 60
"""So many looks without a session cut off, and the window may grow again."""


class Window:
    """The window that should be in force: ``MAX_ACK_PENDING``, halved as often as it takes."""

    def __init__(self) -> None:
        self.messages = MAX_ACK_PENDING
        self._bytes = WINDOW_BYTES
        self._cuts = 0
        self._quiet = 0

    def look(self, waiting: int, waiting_bytes: int, cuts: int) -> int:
        """The window from now on.

        Args:
            waiting: messages in the broker's store.
            waiting_bytes: their size.
            cuts: how many sessions the broker has cut off because they did not read, since its start: where large
                messages lie in front of many small ones, the mean size does not tell.
        """
        self._count(cuts)
        if waiting >= SURE_FROM:
            self.messages = _halved(self._bytes * waiting // max(1, waiting_bytes))
        return self.messages

    def _count(self, cuts: int) -> None:
        if cuts > self._cuts:
            self._bytes, self._quiet = max(self._bytes // 2, 1), 0
        self._cuts = cuts  # less than before: the broker was started again
        self._quiet += 1
        if self._quiet > QUIET_LOOKS and self._bytes < WINDOW_BYTES:
            self._bytes, self._quiet = min(self._bytes * 2, WINDOW_BYTES), 0


def _halved(wanted: int) -> int:
    """In few steps, since each one is told to the broker."""
    messages = MAX_ACK_PENDING
    while messages > max(wanted, LEAST_MESSAGES):
        messages //= 2
    return messages

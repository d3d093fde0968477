"""The sessions as one source of batches: lanes apart, brokers in turn, bounded in messages and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from gridwarden.records.transaction import Transaction
from ingest.session import Lane, Message, Session

BATCH_BYTES = 2**20
"""Payload of one batch: about 60 ms of decoding and judging."""
RECONNECT_BYTES = 8 * BATCH_BYTES
"""The same for what waits after a connect to a broker that redelivers out of order: it is ordered as a whole."""
TAKE_STEP = 8
"""Messages taken from one session before the next one's turn."""


class Sources:
    """All sessions of all brokers.

    Args:
        sessions: one per broker and topic filter.
        unordered: names of the brokers that redeliver newer messages first.
        batch_messages: most messages of one batch.
    """

    def __init__(self, sessions: list[Session], unordered: Iterable[str], batch_messages: int) -> None:
        self.sessions = sessions
        self._unordered = frozenset(unordered)
        self._batch_messages = batch_messages
        self._connections: dict[str, int] = {}
        self._redelivered: dict[str, int] = {}
        self._through_ms: dict[str, int] = {}
        """By session: when the last message taken of it was received, or it was last seen empty."""

    def waiting(self, lane: Lane | None = None) -> int:
        """Messages of a lane (or of all) that were received and not taken."""
        return sum(session.waiting for session in self.sessions if lane is None or session.lane is lane)

    def take(self, lane: Lane) -> list[Message]:
        """A batch of a lane, the sessions taking turns.

        A session that gives nothing though something waits there holds it, and says when the hold is over.
        """
        messages: list[Message] = []
        room, size = self._batch_messages, 0
        giving = deque(session for session in self.sessions if session.lane is lane and session.waiting)
        while giving and len(messages) < room and size < BATCH_BYTES:
            session = giving.popleft()
            taken = session.take(min(TAKE_STEP, room - len(messages)))
            if not taken:
                continue
            if self._comes_unordered(session, taken[0]):
                taken += _take_bytes(session, RECONNECT_BYTES)
            messages += taken
            size += sum(len(message.payload) for message in taken)
            self._through_ms[session.name] = taken[-1].received_at_ms
            giving.append(session)
        return messages

    def taken_through_ms(self, now_ms: int, lane: Lane | None = None) -> int:
        """Whatever was received before this (by a lane, or by all) has been taken."""
        sessions = [session for session in self.sessions if lane is None or session.lane is lane]
        for session in sessions:
            if not session.waiting:
                self._through_ms[session.name] = now_ms
        return min((self._through_ms.get(session.name, 0) for session in sessions), default=now_ms)

    def connected(self) -> dict[str, bool]:
        """By broker, whether all its sessions are."""
        connected: dict[str, bool] = {}
        for session in self.sessions:
            connected[session.broker] = connected.get(session.broker, True) and session.connected
        return connected

    def _comes_unordered(self, session: Session, first: Message) -> bool:
        """Whether this is the first of what an unordered broker delivers on a new connection."""
        if session.broker not in self._unordered or session.lane is not Lane.TELEMETRY:
            return False
        known = self._connections.get(session.name)
        self._connections[session.name] = first.connection
        return known != first.connection

    def count_redelivered(self, transaction: Transaction) -> None:
        """Book the redeliveries that no transaction has booked yet."""
        for session in self.sessions:
            news = session.redelivered - self._redelivered.get(session.name, 0)
            if news:
                self._redelivered[session.name] = session.redelivered
                transaction.tally(session.broker, session.lane).redelivered += news

    def uncounted(self) -> int:
        """Redeliveries that no transaction has booked yet."""
        return sum(session.redelivered - self._redelivered.get(session.name, 0) for session in self.sessions)

    def status(self) -> list[dict[str, Any]]:
        """Each session as it stands."""
        return [
            {"name": session.name, "broker": session.broker, "lane": session.lane, "connected": session.connected,
             "waiting": session.waiting, "redelivered": session.redelivered, "not_covered": session.not_covered,
             "holding": session.holding}
            for session in self.sessions
        ]  # fmt: skip


def _take_bytes(session: Session, limit_bytes: int) -> list[Message]:
    messages: list[Message] = []
    size = 0
    while size < limit_bytes and (taken := session.take(TAKE_STEP)):
        messages += taken
        size += sum(len(message.payload) for message in taken)
    return messages

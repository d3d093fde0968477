"""The sessions as one source of batches: lanes apart, brokers in turn, bounded in messages and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from gridwarden.records.transaction import Transaction
from ingest.decode import sent_order
from ingest.session import Lane, Message, Session

BATCH_BYTES = 2**18
"""Payload of one batch: about 40 ms of decoding and judging, for which an alarm may have to wait."""
RECONNECT_BYTES = 2**23
"""Payload that is put in order at once after a connect to a broker that redelivers out of order: 50 ms of sorting. It
is judged in batches like all other, so that an alarm waits for one of them and not for all."""
TAKE_STEP = 8
"""Messages taken from one session before the next one's turn …"""
LARGE_BYTES = BATCH_BYTES // 16
"""… and one by one where the last ones were larger than this: eight of them could be many batches."""


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
        self._large: set[str] = set()
        """Sessions of which the last message was a large one."""
        self._ordered: dict[str, deque[Message]] = {}
        """By session: what came after a connect, in order, as far as it is not taken."""

    def waiting(self, lane: Lane | None = None) -> int:
        """Messages of a lane (or of all) that were received and not taken."""
        return sum(self._waiting(session) for session in self.sessions if lane is None or session.lane is lane)

    def take(self, lane: Lane) -> list[Message]:
        """A batch of a lane, the sessions taking turns.

        A session that gives nothing though something waits there holds it, and says when the hold is over.
        """
        messages: list[Message] = []
        room, size = self._batch_messages, 0
        giving = deque(session for session in self.sessions if session.lane is lane and self._waiting(session))
        while giving and len(messages) < room and size < BATCH_BYTES:
            session = giving.popleft()
            step = 1 if session.name in self._large else TAKE_STEP
            taken = self._take(session, min(step, room - len(messages)))
            if not taken:
                continue
            messages += taken
            size += sum(len(message.payload) for message in taken)
            (self._large.add if len(taken[-1].payload) > LARGE_BYTES else self._large.discard)(session.name)
            if not self._ordered[session.name]:
                self._through_ms[session.name] = taken[-1].received_at_ms
            giving.append(session)
        return messages

    def _take(self, session: Session, limit: int) -> list[Message]:
        """Up to ``limit`` messages of one session, those first that were put in order."""
        ordered = self._forget_old(session)
        if not ordered:
            taken = session.take(limit)
            if not taken or not self._comes_unordered(session, taken[0]):
                return taken
            taken += _take_bytes(session, RECONNECT_BYTES)
            ordered += sorted(taken, key=_order)
        return [ordered.popleft() for _ in range(min(limit, len(ordered)))]

    def _forget_old(self, session: Session) -> deque[Message]:
        """What is in order. Of a connection that is gone only what came at QoS 0: all else comes again."""
        ordered = self._ordered.setdefault(session.name, deque())
        if ordered and ordered[0].connection != session.connection:
            ordered = self._ordered[session.name] = deque(message for message in ordered if not message.qos)
        return ordered

    def _waiting(self, session: Session) -> int:
        return session.waiting + len(self._forget_old(session))

    def taken_through_ms(self, now_ms: int, lane: Lane | None = None) -> int:
        """Whatever was received before this (by a lane, or by all) has been taken."""
        sessions = [session for session in self.sessions if lane is None or session.lane is lane]
        for session in sessions:
            if not self._waiting(session):
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
             "waiting": self._waiting(session), "redelivered": session.redelivered, "not_covered": session.not_covered,
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


def _order(message: Message) -> tuple[int, int]:
    return sent_order(message.payload, message.received_at_ms)

"""Reading the records beside core: alarms, events, journal, dead letters, blocks. Never writes, never holds long.

No read transaction lasts beyond one bounded query: a long reader makes the write-ahead log grow without end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, func, or_, select, tuple_
from sqlalchemy.exc import DBAPIError

from gridwarden.errors import NotFound, RecordsUnavailable
from gridwarden.model import Alarm, GridEvent
from gridwarden.platform import OURSELVES
from gridwarden.quieting import Quieting
from gridwarden.records import lines, retention, rows, schema
from gridwarden.records.aside_reader import AsideReader
from gridwarden.records.block import Gone, StoredBlock
from gridwarden.records.damage import Losses
from gridwarden.records.database import ancestors, connect, epoch
from gridwarden.records.lines import By
from gridwarden.records.standing import losses_of
from gridwarden.records.transaction import LEDGER_COLUMNS, RuleText, Tally

PAGE_LIMIT = 1_000
COUNTED_AT_ONCE = 5_000
"""Blocks whose readings are added up in one read transaction."""
Scopes = Sequence[str]
"""Area prefixes; ``""`` is everywhere."""
EVERYWHERE: Scopes = ("",)


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal entry."""

    seq: int
    at_ms: int
    operation: str
    area: str
    actor: str | None
    body: dict[str, Any]


class Reader:
    """The records, read-only. Safe from several threads."""

    def __init__(self, data: Path) -> None:
        self._engine = connect(data, read_only=True)
        self.aside = AsideReader(self._read)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise RecordsUnavailable(str(error.orig)) from error

    # --- what followers read ------------------------------------------------------------------------------------

    def epoch(self) -> str:
        """The identity of this database."""
        with self._read() as connection:
            return epoch(connection)

    def ancestors(self) -> dict[str, int]:
        """The identities before, and up to which offset each of them still holds."""
        with self._read() as connection:
            return ancestors(connection)

    def gone(self, after: int) -> Gone | None:
        """What a follower that stands at ``after`` cannot read here any more; ``None``: every block since is there."""
        ledger, table = schema.ledger.c, schema.intake_block
        with self._read() as connection:
            trimmed = connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == "trimmed")).scalar()
            through = int(trimmed or 0)
            if through <= after:
                return None
            losses = losses_of(connection)
            counted = func.coalesce(func.sum(table.c.reading_count), 0)
            behind = select(counted).where(table.c.offset > through)
            damaged = behind.where(table.c.offset.in_(losses.blocks))
            counted_in_all = select(func.coalesce(func.sum(ledger.stored + ledger.quarantined), 0))
            queries = (counted_in_all, behind, damaged)
            total, there, unreadable = (int(connection.execute(one).scalar_one()) for one in queries)
        lost = losses.block_readings - unreadable + losses.history_readings
        return Gone(after + 1, through, total - there - lost)

    def head(self) -> int:
        """The newest offset."""
        with self._read() as connection:
            return connection.execute(select(func.max(schema.intake_block.c.offset))).scalar() or 0

    def blocks(self, after: int, limit_bytes: int) -> list[StoredBlock]:
        """Blocks after an offset, in order, until ``limit_bytes`` are passed (one at least)."""
        table = schema.intake_block
        query = select(table).where(table.c.offset > after).order_by(table.c.offset).limit(PAGE_LIMIT)
        found: list[StoredBlock] = []
        size = 0
        with self._read() as connection, connection.execution_options(yield_per=20).execute(query) as result:
            for row in result:
                found.append(StoredBlock(row.offset, row.committed_at_ms, row.body, row.reading_count))
                size += len(row.body)
                if size >= limit_bytes:
                    break
        return found

    def readings_through(self, offset: int) -> int:
        """Readings committed up to ``offset``, as the ledger and the blocks after it say.

        Where blocks after it are gone it is up to the last of those. Never holds long, however many blocks there are.
        """
        table = schema.intake_block.c
        with self._read() as connection:
            head = connection.execute(select(func.max(table.offset))).scalar() or 0
            through = lines.readings(connection)
        after = offset
        while after < head:
            step = select(func.coalesce(func.sum(table.reading_count), 0))
            with self._read() as connection:
                until = min(head, after + COUNTED_AT_ONCE)
                through -= int(connection.execute(step.where(table.offset > after, table.offset <= until)).scalar_one())
            after = until
        return through

    def trimmed(self) -> int:
        """The last offset whose block is gone; 0: none is."""
        with self._read() as connection:
            found = connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == "trimmed")).scalar()
        return int(found or 0)

    def journal_trimmed(self) -> int:
        """Up to which number journal entries may be gone; 0: none are."""
        with self._read() as connection:
            return retention.trimmed_through(connection)

    def imbalance(self) -> tuple[int, int]:
        """Readings by which lines of the ledger are off, and by which what was set aside is not what they say."""
        with self._read() as connection:
            return lines.imbalance(connection), lines.aside_imbalance(connection)

    def last_seq(self) -> int:
        """The newest journal number."""
        with self._read() as connection:
            return connection.execute(select(func.max(schema.journal.c.seq))).scalar() or 0

    def journal(self, since: int, limit: int = PAGE_LIMIT) -> list[Entry]:
        """Journal entries after ``since``, in order."""
        table = schema.journal
        query = select(table).where(table.c.seq > since).order_by(table.c.seq).limit(min(limit, PAGE_LIMIT))
        with self._read() as connection:
            return [
                Entry(row.seq, row.at_ms, row.operation, row.area, row.actor, row.body)
                for row in connection.execute(query)
            ]

    # --- what people ask ----------------------------------------------------------------------------------------

    def rule_text(self, rule_id: str, version: str) -> RuleText | None:
        """A version of a rule as it stood in its file; ``None`` if it was never in force here."""
        table = schema.rule_text
        query = select(table).where(table.c.rule_id == rule_id, table.c.version == version)
        with self._read() as connection:
            row = connection.execute(query).first()
        return RuleText(row.rule_id, row.version, row.kind, row.content) if row else None

    def alarms(
        self,
        *,
        scopes: Scopes = EVERYWHERE,
        state: str | None = None,
        rule: str | None = None,
        device: str | None = None,
        event: str | None = None,
        quieted: bool | None = None,
        span_ms: tuple[int | None, int | None] = (None, None),
        after: tuple[int, str] | None = None,
        limit: int = 100,
    ) -> list[Alarm]:
        """Alarms that fired, newest first; ``after`` is (fired_at_ms, alarm_id) of the last one already had.

        ``event``: its own alarms and those of the events it has adopted.
        ``quieted``: only those that are quieted (and for ended ones: were so to their end), or only the others.
        """
        table = schema.alarm
        query = select(table).where(table.c.fired_at_ms.is_not(None), _within(table, scopes))
        for column, wanted in (("state", state), ("rule_id", rule), ("device_id", device)):
            if wanted is not None:
                query = query.where(table.c[column] == wanted)
        if event is not None:
            query = query.where(or_(table.c.event_id == event, table.c.event_id.in_(_adopted_by(event))))
        if quieted is not None:
            query = query.where((table.c.quieted_by != "") == quieted)
        since_ms, until_ms = span_ms
        if since_ms is not None:
            query = query.where(or_(table.c.resolved_at_ms.is_(None), table.c.resolved_at_ms >= since_ms))
        if until_ms is not None:
            query = query.where(table.c.fired_at_ms < until_ms)
        query = _newest_first(query, table, "fired_at_ms", "alarm_id", after, limit)
        with self._read() as connection:
            return [rows.to_alarm(row) for row in connection.execute(query).mappings()]

    def alarm(self, alarm_id: str) -> Alarm:
        """One alarm; raises :class:`NotFound`."""
        return rows.to_alarm(self._one(schema.alarm, "alarm_id", alarm_id, "no_such_alarm"))

    def events(
        self,
        *,
        scopes: Scopes = EVERYWHERE,
        state: str | None = None,
        severity: str | None = None,
        merged_into: str | None = None,
        after: tuple[int, str] | None = None,
        limit: int = 100,
    ) -> list[GridEvent]:
        """Grid events, newest first; ``after`` is (opened_at_ms, event_id) of the last one already had.

        ``merged_into``: only those that this event has adopted.
        """
        table = schema.grid_event
        query = select(table).where(_within(table, scopes))
        for column, wanted in (("state", state), ("severity", severity), ("merged_into", merged_into)):
            if wanted is not None:
                query = query.where(table.c[column] == wanted)
        query = _newest_first(query, table, "opened_at_ms", "event_id", after, limit)
        with self._read() as connection:
            return [rows.to_event(row) for row in connection.execute(query).mappings()]

    def event(self, event_id: str) -> GridEvent:
        """One grid event; raises :class:`NotFound`."""
        return rows.to_event(self._one(schema.grid_event, "event_id", event_id, "no_such_event"))

    def quietings(
        self,
        *,
        scopes: Scopes = EVERYWHERE,
        kind: str | None = None,
        ended: bool | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Quieting]:
        """Silences and their like that quiet something in ``scopes``, newest first."""
        table = schema.quieting
        query = select(table).where(_touches(table, scopes)).order_by(table.c.quieting_id.desc())
        if kind is not None:
            query = query.where(table.c.kind == kind)
        if ended is not None:
            query = query.where(table.c.ended_at_ms.is_not(None) == ended)
        if before is not None:
            query = query.where(table.c.quieting_id < before)
        with self._read() as connection:
            found = connection.execute(query.limit(min(limit, PAGE_LIMIT))).mappings()
            return [rows.to_quieting(row) for row in found]

    def quieting(self, quieting_id: int) -> Quieting:
        """One of them; raises :class:`NotFound`."""
        return rows.to_quieting(self._one(schema.quieting, "quieting_id", quieting_id, "no_such_quieting"))

    def quieted_counts(self, scopes: Scopes = EVERYWHERE) -> dict[str, int]:
        """Firing alarms by what quiets them."""
        table = schema.alarm
        query = (
            select(table.c.quieted_by, func.count())
            .where(table.c.state == "firing", table.c.quieted_by != "", _within(table, scopes))
            .group_by(table.c.quieted_by)
        )
        with self._read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def open_situation(self, scopes: Scopes, limit: int) -> tuple[int, list[GridEvent], list[Alarm]]:
        """The open events and their alarms, with the journal number they are true at: one consistent snapshot.

        With the open ones come those that they have adopted, since alarms name the event that they joined first.
        """
        events, alarms = schema.grid_event, schema.alarm
        open_events = select(events).where(events.c.state == "open", _within(events, scopes))
        newest = open_events.order_by(events.c.opened_at_ms.desc()).limit(limit)
        of_open = events.c.merged_into.in_(select(newest.subquery().c.event_id))
        adopted = select(events).where(of_open, _within(events, scopes)).limit(limit)
        firing = (
            select(alarms)
            .where(alarms.c.state == "firing", alarms.c.fired_at_ms.is_not(None), _within(alarms, scopes))
            .order_by(alarms.c.fired_at_ms.desc())
            .limit(limit)
        )
        with self._read() as connection:
            seq = connection.execute(select(func.max(schema.journal.c.seq))).scalar() or 0
            return (
                seq,
                [rows.to_event(row) for query in (newest, adopted) for row in connection.execute(query).mappings()],
                [rows.to_alarm(row) for row in connection.execute(firing).mappings()],
            )

    def counts(self, scopes: Scopes) -> dict[str, Any]:
        """Open events by severity, firing alarms, and those among them that are quieted."""
        events, alarms = schema.grid_event, schema.alarm
        by_severity = (
            select(events.c.severity, func.count(), func.count().filter(events.c.unacknowledged_count > 0))
            .where(events.c.state == "open", _within(events, scopes))
            .group_by(events.c.severity)
        )
        quieted = func.count().filter(alarms.c.quieted_by != "")
        firing = select(func.count(), quieted).where(alarms.c.state == "firing", _within(alarms, scopes))
        with self._read() as connection:
            found = connection.execute(by_severity).all()
            firing_count, quieted_count = connection.execute(firing).one()
            return {
                "open_events": {row[0]: row[1] for row in found},
                "unacknowledged_events": sum(int(row[2]) for row in found),
                "firing_alarms": firing_count,
                "quieted_alarms": quieted_count,
            }

    def unregistered(self, device_id: str | None = None, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Devices that were heard and are not registered, by id."""
        table = schema.unregistered
        query = select(table).where(table.c.device_id > after).order_by(table.c.device_id).limit(min(limit, PAGE_LIMIT))
        if device_id is not None:
            query = select(table).where(table.c.device_id == device_id)
        with self._read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def ledger(self) -> dict[str, Any]:
        """The ledger as it is stored; core adds what is in flight."""
        with self._read() as connection:
            found = connection.execute(select(schema.ledger)).all()
        total = Tally()
        for row in found:
            if row.broker != OURSELVES:
                total.add(Tally(*(getattr(row, name) for name in LEDGER_COLUMNS)))
        return {**total.counts(), "in_flight": 0}

    def ledger_lines(self, by: By, after: Sequence[str] = (), limit: int = 100) -> list[dict[str, Any]]:
        """Its lines in order, after the one of the key ``after``."""
        with self._read() as connection:
            return lines.lines(connection, by, after, min(limit, PAGE_LIMIT))

    def gateways(self, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Gateways by name, each with its brokers, its counts and how many of its dead letters are open."""
        with self._read() as connection:
            return lines.gateways(connection, after, min(limit, PAGE_LIMIT))

    def gateway(self, name: str, limit: int) -> dict[str, Any]:
        """Lines, open dead letters, newest dead letters and newest quarantined readings of a gateway.

        Raises:
            NotFound: it has none of them.
        """
        with self._read() as connection:
            found = lines.lines_of(connection, name)
            if not found:
                raise NotFound("no_such_gateway", name)
            return {
                "lines": found,
                "dead_letters": lines.open_letters(connection, [name]).get(name, 0),
                "newest_dead_letters": lines.dead_letters_of(connection, name, limit),
                "newest_quarantined": lines.quarantine_of(connection, name, limit),
            }

    def losses(self) -> Losses:
        """What was ever stated as lost."""
        with self._read() as connection:
            return losses_of(connection)

    def _one(self, table: Table, column: str, value: str | int, code: str) -> Any:
        with self._read() as connection:
            row = connection.execute(select(table).where(table.c[column] == value)).mappings().first()
        if row is None:
            raise NotFound(code, str(value))
        return row


def _within(table: Table, scopes: Scopes) -> Any:
    if "" in scopes:
        return and_(True)
    return or_(False, *(table.c.area.startswith(scope, autoescape=True) for scope in scopes))


def _adopted_by(event_id: str) -> Select[Any]:
    """Ids of the events that an event has adopted."""
    return select(schema.grid_event.c.event_id).where(schema.grid_event.c.merged_into == event_id)


def _touches(table: Table, scopes: Scopes) -> Any:
    """Whether a row's area lies in one of the scopes or has one of them in it."""
    above = [scope[:length] for scope in scopes for length in range(len(scope))]
    return or_(_within(table, scopes), table.c.area.in_(above))


def _newest_first(
    query: Select[Any], table: Table, time: str, key: str, after: tuple[int, str] | None, limit: int
) -> Select[Any]:
    if after is not None:
        query = query.where(tuple_(table.c[time], table.c[key]) < after)
    return query.order_by(table.c[time].desc(), table.c[key].desc()).limit(min(limit, PAGE_LIMIT))

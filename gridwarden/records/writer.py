"""The one writer of ``records.db``: a transaction in, its offset and its journal numbers out.

Synchronous; core calls it from one worker thread. A commit that fails leaves nothing behind and is tried again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import DBAPIError

from gridwarden.clock import SystemClock
from gridwarden.errors import Damaged, RecordsCorrupt, RecordsUnavailable
from gridwarden.model import Alarm, AlarmState, DeadLetter, EventState, GridEvent, Reading
from gridwarden.quieting import Quieting
from gridwarden.records import aside, block, retention, rows, schema, standing, statements
from gridwarden.records.aside import Aside, Fill, Limits
from gridwarden.records.damage import RESTORE, Loss, is_there
from gridwarden.records.database import connect, epoch
from gridwarden.records.marker import Marker
from gridwarden.records.transaction import LINE_COLUMNS, Key, Tally, Transaction

COMMANDS_KEPT_MS = 7 * 86_400_000
"""How long a repeated command still gets its first answer."""
_TRIM_STEP = 200
"""Blocks deleted in one transaction at most: a bounded share of its time."""
MAX_COUNTED_MS = 30 * 86_400_000
"""No rule counts over a longer time than this."""
_LATEST_FIRED = select(func.max(schema.alarm.c.fired_at_ms)).scalar_subquery()
_RESOLVED_LATELY = select(schema.alarm).where(
    schema.alarm.c.fired_at_ms >= _LATEST_FIRED - MAX_COUNTED_MS,
    schema.alarm.c.state == AlarmState.RESOLVED,
    schema.alarm.c.memory["fires"].as_string().is_not(None),
)


@dataclass(frozen=True, slots=True)
class Committed:
    """Where a transaction came to lie."""

    offset: int
    first_seq: int
    """Journal number of its first change; the others follow."""
    spool_bytes: int
    """What this transaction added to the blocks, less what it trimmed."""
    trimmed: int = 0
    """The last offset whose block it trimmed; 0: none."""
    aside: Fill = field(default_factory=Fill)
    """How much lies aside by now."""


@dataclass(slots=True)
class Start:
    """What core needs to go on where it stopped."""

    epoch: str
    offset: int
    alarms: list[Alarm]
    """Pending and firing."""
    resolved: list[Alarm]
    """Of rules that know flapping: those whose firing may still count."""
    events: list[GridEvent]
    """The open ones, and those that one of them has adopted."""
    counters: dict[str, int]
    ledger: dict[Key, Tally]
    followers: dict[str, int]
    spool_bytes: int
    trimmed: int
    """The last offset whose block is gone; 0: none is."""
    quietings: list[Quieting]
    """Those that have not ended."""
    remembered: dict[str, str]
    """What transactions said was to be remembered, the last word of each name."""
    aside: Fill = field(default_factory=Fill)


class Writer:
    """Commits transactions. Not safe for two threads at once, and one process only (the data lock sees to it)."""

    def __init__(self, data: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - a frozen value
        self._engine = connect(data)
        self._offset = 0
        self._limits = limits
        self._aside = Aside(limits)
        self._marker = Marker(data)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()
        self._marker.close()

    @property
    def offset(self) -> int:
        """The newest offset committed."""
        return self._offset

    def connection(self) -> sqlite3.Connection:
        """The connection that commits, for a copy made beside the commits; see :mod:`gridwarden.records.copying`."""
        pooled = self._engine.raw_connection()
        try:
            return cast("sqlite3.Connection", pooled.driver_connection)
        finally:
            pooled.close()  # back to the pool, which holds this one alone: one thread works here, one thing at a time

    def settle(self) -> Loss | None:
        """Hold the records against what was last committed, and state what is gone; see :mod:`.damage`.

        After a loss the records have a new identity, and go on above the numbers that were given already.

        Raises:
            Damaged: the records cannot be trusted.
            RecordsUnavailable: they cannot be read or written.
        """
        is_there(self._marker.records)
        with self._read() as connection:
            held, losses = standing.read(connection)
        loss = self._marker.compare(held)
        if loss is not None:
            self._commit(standing.statement(loss, losses, SystemClock().now_ms()), loss)
            with self._read() as connection:
                held, _ = standing.read(connection)
        self._marker.begin(held)
        return loss

    def state_office(self, changes: int) -> None:
        """State that so many changes of the office are lost; to be called instead of :meth:`start`."""
        self.start()
        with self._read() as connection:
            losses = standing.losses_of(connection)
        self.commit(standing.office_statement(changes, losses, SystemClock().now_ms()))

    def start(self) -> Start:
        """Settle, and read where things stand. To be called once, before the first commit.

        Raises:
            Damaged: the records cannot be trusted, or not be read as what was written.
            RecordsUnavailable: they cannot be read or written now.
        """
        self.settle()
        try:
            return self._start()
        except (ValueError, TypeError, KeyError) as error:
            raise Damaged(self._marker.records, f"what it holds cannot be read: {error}", RESTORE) from error

    def _start(self) -> Start:
        with self._read() as connection:
            self._aside.load(connection)
            self._offset = connection.execute(select(func.max(schema.intake_block.c.offset))).scalar() or 0
            active = select(schema.alarm).where(schema.alarm.c.state.in_([AlarmState.PENDING, AlarmState.FIRING]))
            event = schema.grid_event.c
            is_open = select(event.event_id).where(event.state == EventState.OPEN).scalar_subquery()
            opened = select(schema.grid_event).where((event.state == EventState.OPEN) | event.merged_into.in_(is_open))
            size = select(func.coalesce(func.sum(func.length(schema.intake_block.c.body)), 0))
            trimmed = select(schema.meta.c.value).where(schema.meta.c.name == "trimmed")
            quietings = select(schema.quieting).where(schema.quieting.c.ended_at_ms.is_(None))
            return Start(
                epoch(connection),
                self._offset,
                [rows.to_alarm(row) for row in connection.execute(active).mappings()],
                [rows.to_alarm(row) for row in connection.execute(_RESOLVED_LATELY).mappings()],
                [rows.to_event(row) for row in connection.execute(opened).mappings()],
                {row.name: row.value for row in connection.execute(select(schema.counter))},
                {(row.broker, row.lane, row.gateway): _tally(row) for row in connection.execute(select(schema.ledger))},
                {row.name: row.offset for row in connection.execute(select(schema.follower))},
                int(connection.execute(size).scalar_one()),
                int(connection.execute(trimmed).scalar() or 0),
                [rows.to_quieting(row) for row in connection.execute(quietings).mappings()],
                {row.name: row.value for row in connection.execute(select(schema.meta))},
                self._aside.fill,
            )

    def shards(self) -> list[tuple[int, int, bytes]]:
        """The snapshot shards: number, offset, body."""
        with self._read() as connection:
            return [(row.shard, row.offset, row.body) for row in connection.execute(select(schema.shard))]

    def committed_after_ms(self, offset: int) -> int | None:
        """When the first block after ``offset`` was committed; ``None``: there is none."""
        table = schema.intake_block.c
        query = select(table.committed_at_ms).where(table.offset > offset).order_by(table.offset).limit(1)
        with self._read() as connection:
            found: int | None = connection.execute(query).scalar()
        return found

    def blocks_after(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Offsets and bodies of the blocks after ``offset``, a few at a time."""
        table = schema.intake_block
        while True:
            query = select(table.c.offset, table.c.body).where(table.c.offset > offset).order_by(table.c.offset)
            with self._read() as connection:
                found = connection.execute(query.limit(50)).all()
            if not found:
                return
            yield from ((row.offset, row.body) for row in found)
            offset = found[-1].offset

    def reading_count(self, offset: int) -> int:
        """How many readings lie in the block at ``offset``, as told beside it."""
        query = select(schema.intake_block.c.reading_count).where(schema.intake_block.c.offset == offset)
        with self._read() as connection:
            return connection.execute(query).scalar() or 0

    def alarms_of(self, event_id: str) -> list[Alarm]:
        """The alarms that joined an event."""
        query = select(schema.alarm).where(schema.alarm.c.event_id == event_id)
        return self._alarms(query)

    def alarm(self, alarm_id: str) -> Alarm | None:
        """One alarm, whatever its state."""
        return next(iter(self._alarms(select(schema.alarm).where(schema.alarm.c.alarm_id == alarm_id))), None)

    def over_since(self, rule_ids: Collection[str], since_ms: int) -> list[Alarm]:
        """Alarms of these rules that were over at some time after ``since_ms`` and have ended."""
        table = schema.alarm
        over = (table.c.rule_id.in_(rule_ids), table.c.state == AlarmState.RESOLVED, table.c.cleared_at_ms > since_ms)
        return self._alarms(select(table).where(*over)) if rule_ids else []

    def event(self, event_id: str) -> GridEvent | None:
        """One grid event, open or closed."""
        query = select(schema.grid_event).where(schema.grid_event.c.event_id == event_id)
        with self._read() as connection:
            row = connection.execute(query).mappings().first()
        return rows.to_event(row) if row else None

    def answer(self, command_id: str) -> dict[str, Any] | None:
        """The answer a command got when it was carried out; ``None`` when it is new."""
        query = select(schema.command.c.answer).where(schema.command.c.command_id == command_id)
        with self._read() as connection:
            found: dict[str, Any] | None = connection.execute(query).scalar()
        return found

    def letters(self, numbers: Collection[int], limit_bytes: int) -> list[tuple[int, DeadLetter, str]]:
        """Number, letter and retry outcome of those of these that are kept; see :func:`gridwarden.records.aside.letters`."""
        if not numbers:
            return []
        with self._read() as connection:
            return aside.letters(connection, numbers, limit_bytes)

    def quarantined(self, numbers: Collection[int]) -> list[tuple[int, Reading, str]]:
        """Number, reading and retry outcome of those of these that are on the quarantine's list."""
        if not numbers:
            return []
        with self._read() as connection:
            return aside.quarantined(connection, numbers)

    def unregistered_among(self, device_ids: Collection[str]) -> dict[str, str]:
        """Those of these devices that were heard while they were not registered, and the gateway that spoke for each last."""
        table = schema.unregistered.c
        with self._read() as connection:
            found = connection.execute(select(table.device_id, table.gateway).where(table.device_id.in_(device_ids)))
            return {row.device_id: row.gateway for row in found}

    def known_letters(self, keys: Collection[str]) -> set[str]:
        """Those of these keys of dead letters that are kept."""
        with self._read() as connection:
            return aside.known(connection, keys)

    def _alarms(self, query: Any) -> list[Alarm]:
        with self._read() as connection:
            return [rows.to_alarm(row) for row in connection.execute(query).mappings()]

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise _unavailable(error) from error

    def commit(self, transaction: Transaction) -> Committed:
        """Make ``transaction`` durable, all of it or nothing.

        Raises:
            RecordsUnavailable: disk full, I/O error; the same transaction may be tried again.
        RecordsCorrupt: the database is damaged; trying again will hardly help.
        """
        return self._commit(transaction)

    def _commit(self, transaction: Transaction, after: Loss | None = None) -> Committed:
        """``after``: go on above what was lost, under a new identity."""
        offset = standing.next_offset(after) if after else self._offset + 1
        body = block.seal(transaction.rows) if transaction.rows else b""
        try:
            with self._engine.begin() as connection:
                if after:
                    standing.leave_behind(connection, after)
                first_seq = _write(connection, transaction, offset, body)
                news = self._aside.write(connection, transaction, offset)
                if transaction.keeps_house:
                    retention.let_go(connection, transaction.at_ms - self._limits.journal_ms)
                freed, trimmed = _trim(connection, transaction) if transaction.trim_through else (0, 0)
        except DBAPIError as error:
            raise _unavailable(error) from error
        self._offset = offset
        self._aside.settle(news)
        self._marker.mark(offset, first_seq + len(transaction.changes) - 1, transaction.tallies.values())
        return Committed(offset, first_seq, len(body) - freed, trimmed, self._aside.fill)


def _unavailable(error: DBAPIError) -> RecordsUnavailable:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    kind = RecordsCorrupt if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else RecordsUnavailable
    return kind(str(error.orig))


def _write(connection: Connection, transaction: Transaction, offset: int, body: bytes) -> int:
    at_ms = transaction.at_ms
    connection.execute(
        statements.ADD_BLOCK,
        {"offset": offset, "committed_at_ms": at_ms, "reading_count": transaction.reading_count, "body": body},
    )
    _put(connection, schema.alarm, [rows.alarm_row(alarm) for alarm in transaction.alarms.values()])
    _put(connection, schema.grid_event, [rows.event_row(event) for event in transaction.events.values()])
    _put(connection, schema.quieting, [rows.quieting_row(one) for one in transaction.quietings.values()])
    _put(connection, schema.meta, [{"name": name, "value": value} for name, value in transaction.remembered.items()])
    if transaction.forgotten:
        connection.execute(statements.FORGET_ALARM, [{"id": alarm_id} for alarm_id in transaction.forgotten])
    first_seq = _write_journal(connection, transaction, offset)
    _write_unregistered(connection, transaction)
    _write_ledger(connection, transaction)
    _put(connection, schema.counter, [{"name": n, "value": v} for n, v in transaction.counters.items()])
    _put(connection, schema.follower, [{"name": n, "offset": o} for n, o in transaction.followers.items()])
    if transaction.snapshot:
        snapshot = transaction.snapshot
        _put(connection, schema.shard, [{"shard": snapshot.shard, "offset": offset, "body": snapshot.body}])
    if transaction.rule_texts:
        texts = [{**asdict(text), "first_at_ms": at_ms} for text in transaction.rule_texts]
        connection.execute(statements.KEEP_RULE_TEXT, texts)
    if transaction.answers:
        connection.execute(
            statements.KEEP_ANSWER,
            [
                {"command_id": answer.command_id, "offset": offset, "at_ms": at_ms, "answer": answer.body}
                for answer in transaction.answers
            ],
        )
        connection.execute(statements.DROP_ANSWERS, {"before_ms": at_ms - COMMANDS_KEPT_MS})
    return first_seq


def _put(connection: Connection, table: Table, values: list[dict[str, Any]]) -> None:
    """Insert the rows, or overwrite those whose primary key is there."""
    if values:
        connection.execute(statements.overwrite(table), values)


def _write_journal(connection: Connection, transaction: Transaction, offset: int) -> int:
    last = connection.execute(statements.LAST_SEQ).scalar_one()
    entries = [
        {
            "seq": last + number,
            "offset": offset,
            "at_ms": change.at_ms,
            "operation": change.operation,
            "area": change.area,
            "alarm_id": change.alarm and change.alarm.alarm_id,
            "event_id": change.event and change.event.event_id,
            "actor": change.actor,
            "body": rows.change_body(change),
        }
        for number, change in enumerate(transaction.changes, start=1)
    ]
    if entries:
        connection.execute(statements.ADD_JOURNAL, entries)
    return int(last) + 1


def _write_unregistered(connection: Connection, transaction: Transaction) -> None:
    if transaction.registered:
        gone = [{"id": device_id} for device_id in transaction.registered]
        connection.execute(statements.FORGET_UNREGISTERED, gone)
    if not transaction.unregistered:
        return
    connection.execute(
        statements.COUNT_UNREGISTERED,
        [
            {"device_id": device_id, "kind": seen.kind, "gateway": seen.gateway, "first_seen_at_ms": seen.seen_at_ms,
             "last_seen_at_ms": seen.seen_at_ms, "reading_count": seen.count}
            for device_id, seen in transaction.unregistered.items()
        ],
    )  # fmt: skip


def _write_ledger(connection: Connection, transaction: Transaction) -> None:
    if transaction.tallies:
        lines = [(*key, *tally.values()) for key, tally in transaction.tallies.items()]
        connection.exec_driver_sql(statements.add_to_ledger(connection.dialect), lines)


def _trim(connection: Connection, transaction: Transaction) -> tuple[int, int]:
    """Delete the oldest blocks that nobody needs any more; the bytes freed, and the last offset that went."""
    oldest = {"through": transaction.trim_through, "count": _TRIM_STEP}
    found = connection.execute(statements.OLDEST_BLOCKS, oldest).all()
    # A clock that was set back must not let a younger block go with an older one behind it.
    gone = list(takewhile(lambda row: row.committed_at_ms < transaction.trim_before_ms, found))
    if not gone:
        return 0, 0
    last: int = gone[-1].offset
    connection.execute(statements.DROP_BLOCKS, {"through": last})
    _put(connection, schema.meta, [{"name": "trimmed", "value": str(last)}])
    return sum(row.size for row in gone), last


def _tally(row: Any) -> Tally:
    return Tally(*(getattr(row, name) for name in LINE_COLUMNS))

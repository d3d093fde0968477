"""What was set aside, as the writer keeps it: dead letters and the list of the quarantine, both within their bounds.

The same bytes with the same fault are one row that counts. At the quota the oldest letters of the gateway that holds the
most go first, so that a noisy one pushes nobody else's out; before all others those that a retry has settled.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, delete, func, insert, select, text, update

from gridwarden.model import DeadLetter, Reading, Retried
from gridwarden.records import schema, statements
from gridwarden.records.transaction import Transaction

ROW_BYTES = 200
"""What a row takes besides its payload, topic and detail, index entries included."""
STEP = 200
"""Rows let go in one transaction, besides as many as it has added."""
RETRIED_AT_ONCE = 200
"""Most letters or readings that one command retries …"""
RETRIED_BYTES = 2**18
"""… and most payload of them, but for a single one that is larger: as much as one batch."""
KEYS_AT_ONCE = 500
_OF_GATEWAY_AT_ONCE = 50
COUNTERS = ("dead_letters_dropped", "dead_letters_expired", "dead_letters_cleared", "quarantine_dropped")
"""Names in ``meta``: letters that went at the quota, those that were too old, those that a retry had settled before
they went, and rows of the quarantine's list."""

_LETTER = schema.dead_letter.c
_QUARANTINE = schema.quarantine.c
SIZE = func.length(_LETTER.payload) + func.length(_LETTER.topic) + func.length(_LETTER.detail) + ROW_BYTES
IS_DONE = text("retry_outcome IN ('stored', 'duplicate', 'quarantined')")
"""As the partial index says it."""
IS_OPEN = text("retry_outcome NOT IN ('stored', 'duplicate', 'quarantined')")
_GONE_BY = select(
    _LETTER.dead_letter_id, _LETTER.gateway, _LETTER["count"].label("times"), _LETTER.retry_outcome, SIZE.label("size")
)
_DONE = _GONE_BY.where(IS_DONE).order_by(_LETTER.dead_letter_id)
_OF_GATEWAY = _GONE_BY.where(_LETTER.gateway == bindparam("gateway")).order_by(_LETTER.dead_letter_id)
_OLD = _GONE_BY.where(_LETTER.last_received_at_ms < bindparam("before_ms")).order_by(_LETTER.last_received_at_ms)
_DROP = delete(schema.dead_letter).where(_LETTER.dead_letter_id == bindparam("number"))
_ADD = insert(schema.dead_letter)
_COUNT = (
    update(schema.dead_letter)
    .where(_LETTER.key == bindparam("of"))
    .values(
        count=_LETTER["count"] + bindparam("times"),
        last_received_at_ms=case(
            (_LETTER.last_received_at_ms > bindparam("last_ms"), _LETTER.last_received_at_ms),
            else_=bindparam("last_ms"),
        ),
        # It came again: whatever a retry had made of it, it is open again.
        retried_at_ms=case((IS_DONE, None), else_=_LETTER.retried_at_ms),
        retry_outcome=case((IS_DONE, ""), else_=_LETTER.retry_outcome),
    )
)
_MARK_LETTER = (
    update(schema.dead_letter)
    .where(_LETTER.dead_letter_id == bindparam("number"))
    .values(retried_at_ms=bindparam("at_ms"), retry_outcome=bindparam("outcome"))
)
_MARK_QUARANTINED = (
    update(schema.quarantine)
    .where(_QUARANTINE.quarantine_id == bindparam("number"))
    .values(retried_at_ms=bindparam("at_ms"), retry_outcome=bindparam("outcome"))
)
_ADD_QUARANTINED = insert(schema.quarantine)
_OLDEST_QUARANTINED = select(_QUARANTINE.quarantine_id, _QUARANTINE.received_at_ms).order_by(_QUARANTINE.quarantine_id)
_DROP_QUARANTINED = delete(schema.quarantine).where(_QUARANTINE.quarantine_id <= bindparam("through"))
_SETTLED = frozenset(Retried)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept aside, and how long."""

    quota_bytes: int = 256 * 2**20
    """Of dead letters."""
    keep_ms: int = 90 * 86_400_000
    """Dead letters that did not come again for so long, and entries of the quarantine's list, may go."""
    quarantine_rows: int = 100_000
    journal_ms: int = 1_100 * 86_400_000
    """Entries of the journal, and the alarms and events that have been over for so long, may go."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How much lies aside, and how much is there no longer."""

    bytes: int = 0
    rows: int = 0
    dropped: int = 0
    """Letters (repeats counted) that went at the quota without having been retried with success."""
    expired: int = 0
    cleared: int = 0
    quarantine_rows: int = 0
    quarantine_dropped: int = 0


@dataclass(slots=True)
class News:
    """What one transaction changes in :class:`Fill`, true once it is durable."""

    bytes_of: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    added: int = 0
    dropped: int = 0
    expired: int = 0
    cleared: int = 0
    quarantine_rows: int = 0
    quarantine_dropped: int = 0


class Aside:
    """The two tables, and how full they are."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes_of: Counter[str] = Counter()
        self.fill = Fill()

    def load(self, connection: Connection) -> None:
        """Measure what lies there: once, at the start."""
        query = select(_LETTER.gateway, func.sum(SIZE), func.count()).group_by(_LETTER.gateway)
        found = connection.execute(query).all()
        self._bytes_of = Counter({gateway: int(size) for gateway, size, _ in found})
        gone = counters(connection)
        self.fill = Fill(
            self._bytes_of.total(), sum(rows for _, _, rows in found), gone["dead_letters_dropped"],
            gone["dead_letters_expired"], gone["dead_letters_cleared"],
            connection.execute(select(func.count()).select_from(schema.quarantine)).scalar_one(), gone["quarantine_dropped"],
        )  # fmt: skip

    def write(self, connection: Connection, transaction: Transaction, offset: int) -> News:
        """Write what ``transaction`` sets aside and what it has retried, and keep within the limits."""
        news = News()
        if transaction.dead_letters:
            _write_letters(connection, transaction.dead_letters, offset, news)
        if transaction.quarantined:
            connection.execute(_ADD_QUARANTINED, [_quarantined_row(one, offset) for one in transaction.quarantined])
            news.quarantine_rows += len(transaction.quarantined)
        for statement, outcomes in ((_MARK_LETTER, transaction.retried), (_MARK_QUARANTINED, transaction.released)):
            marks = [{"number": n, "at_ms": transaction.at_ms, "outcome": outcome} for n, outcome in outcomes.items()]
            if marks:
                connection.execute(statement, marks)
        self._make_room(connection, news)
        if transaction.keeps_house:
            self._let_go_of_old(connection, transaction.at_ms - self._limits.keep_ms, news)
        self._keep_counters(connection, news)
        return news

    def settle(self, news: News) -> None:
        """What was written is durable."""
        fill = self.fill
        if news.bytes_of:
            self._bytes_of.update(news.bytes_of)
            for gateway in news.bytes_of:
                if self._bytes_of[gateway] <= 0:
                    del self._bytes_of[gateway]
        self.fill = replace(
            fill, bytes=fill.bytes + news.bytes_of.total(), rows=fill.rows + news.rows, dropped=fill.dropped + news.dropped,
            expired=fill.expired + news.expired, cleared=fill.cleared + news.cleared,
            quarantine_rows=fill.quarantine_rows + news.quarantine_rows,
            quarantine_dropped=fill.quarantine_dropped + news.quarantine_dropped,
        )  # fmt: skip

    def _make_room(self, connection: Connection, news: News) -> None:
        excess = self.fill.bytes + news.bytes_of.total() - self._limits.quota_bytes
        if excess > 0:
            steps = STEP + news.added
            gone = _until(excess, connection.execute(_DONE.limit(steps)).all())
            excess -= sum(row.size for row in gone)
            gone += _until(excess, self._oldest_of_the_fullest(connection, news, gone), steps - len(gone))
            _drop(connection, gone, news)
        too_many = self.fill.quarantine_rows + news.quarantine_rows - self._limits.quarantine_rows
        if too_many > 0:
            steps = STEP + max(0, news.quarantine_rows)
            rows = connection.execute(_OLDEST_QUARANTINED.limit(min(too_many, steps))).all()
            _drop_quarantined(connection, rows, news)

    def _oldest_of_the_fullest(self, connection: Connection, news: News, gone: Collection[Any]) -> Iterator[Any]:
        """One letter after the other, each the oldest of the gateway that holds the most by then."""
        held = self._bytes_of + news.bytes_of
        held.subtract(Counter({row.gateway: row.size for row in gone}))
        passed = {row.dead_letter_id for row in gone}
        heap = [(-size, gateway) for gateway, size in held.items() if size > 0]
        heapq.heapify(heap)
        letters: dict[str, Iterator[Any]] = {}
        while heap:
            size, gateway = heapq.heappop(heap)
            letter = next(letters.setdefault(gateway, _letters_of(connection, gateway, passed)), None)
            if letter is not None:
                yield letter
                heapq.heappush(heap, (size + letter.size, gateway))

    def _let_go_of_old(self, connection: Connection, before_ms: int, news: News) -> None:
        old = connection.execute(_OLD.limit(STEP), {"before_ms": before_ms}).all()
        _drop(connection, old, news, expired=True)
        oldest = connection.execute(_OLDEST_QUARANTINED.limit(STEP)).all()
        count = next((n for n, row in enumerate(oldest) if row.received_at_ms >= before_ms), len(oldest))
        _drop_quarantined(connection, oldest[:count], news)

    def _keep_counters(self, connection: Connection, news: News) -> None:
        fill = self.fill
        sums = (
            (news.dropped, fill.dropped), (news.expired, fill.expired), (news.cleared, fill.cleared),
            (news.quarantine_dropped, fill.quarantine_dropped),
        )  # fmt: skip
        values = [{"name": name, "value": str(more + before)} for name, (more, before) in zip(COUNTERS, sums, strict=True)
                  if more]  # fmt: skip
        if values:
            connection.execute(statements.overwrite(schema.meta), values)


def counters(connection: Connection) -> dict[str, int]:
    """What is there no longer, by name."""
    query = select(schema.meta.c.name, schema.meta.c.value).where(schema.meta.c.name.in_(COUNTERS))
    return dict.fromkeys(COUNTERS, 0) | {name: int(value) for name, value in connection.execute(query)}


def recount(connection: Connection) -> dict[str, int]:
    """Dead letters and quarantine as they lie there, with what has gone since: to hold against the ledger."""
    letters = connection.execute(select(func.coalesce(func.sum(_LETTER["count"]), 0))).scalar_one()
    quarantined = connection.execute(select(func.count()).select_from(schema.quarantine)).scalar_one()
    gone = counters(connection)
    letters_gone = sum(count for name, count in gone.items() if name.startswith("dead_letters"))
    return {"dead_lettered": int(letters) + letters_gone, "quarantined": quarantined + gone["quarantine_dropped"]}


def known(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Those of these keys of dead letters that are kept."""
    wanted, found = list(keys), set[str]()
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        some = _LETTER.key.in_(wanted[start : start + KEYS_AT_ONCE])
        found |= set(connection.execute(select(_LETTER.key).where(some)).scalars())
    return found


def letters(connection: Connection, numbers: Collection[int], limit_bytes: int) -> list[tuple[int, DeadLetter, str]]:
    """Those of these dead letters that are kept, in order, until ``limit_bytes`` of payload (one at least)."""
    query = select(schema.dead_letter).where(_LETTER.dead_letter_id.in_(numbers)).order_by(_LETTER.dead_letter_id)
    found: list[tuple[int, DeadLetter, str]] = []
    size = 0
    with connection.execution_options(yield_per=10).execute(query) as rows:
        for row in rows:
            size += len(row.payload)
            if found and size > limit_bytes:
                break
            letter = DeadLetter(row.received_at_ms, row.broker, row.topic, row.code, row.detail, row.payload, row.lane,
                                row.gateway)  # fmt: skip
            found.append((row.dead_letter_id, letter, row.retry_outcome))
    return found


def quarantined(connection: Connection, numbers: Collection[int]) -> list[tuple[int, Reading, str]]:
    """Those of these quarantined readings that are on the list, in order."""
    query = select(schema.quarantine).where(_QUARANTINE.quarantine_id.in_(numbers)).order_by(_QUARANTINE.quarantine_id)
    return [(row.quarantine_id, _reading(row), row.retry_outcome) for row in connection.execute(query)]


def _reading(row: Any) -> Reading:
    body = row.body
    # An entry of an older version has no key: a repeat of it cannot be told from news.
    return Reading(
        row.device_id, body.get("kind", ""), row.gateway, body["occurred_at_ms"], row.received_at_ms, body["seq"],
        int(body.get("key", row.quarantine_id)), body.get("keyed", False), body["values"], body.get("quality", {}),
        entitled=False,
    )  # fmt: skip


def _write_letters(connection: Connection, letters: Iterable[DeadLetter], offset: int, news: News) -> None:
    by_key: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        by_key.setdefault(letter.key, []).append(letter)
    kept = known(connection, by_key)
    again = [{"of": key, "times": len(same), "last_ms": same[-1].received_at_ms}
             for key, same in by_key.items() if key in kept]  # fmt: skip
    if again:
        connection.execute(_COUNT, again)
    new = [_letter_row(same, offset) for key, same in by_key.items() if key not in kept]
    if new:
        connection.execute(_ADD, new)
    for row in new:
        news.bytes_of[row["gateway"]] += len(row["payload"]) + len(row["topic"]) + len(row["detail"]) + ROW_BYTES
    news.rows += len(new)
    news.added += len(new)


def _letter_row(same: list[DeadLetter], offset: int) -> dict[str, Any]:
    first = same[0]
    return {
        "offset": offset, "received_at_ms": first.received_at_ms, "broker": first.broker, "topic": first.topic,
        "code": first.code, "detail": first.detail, "payload": first.payload, "key": first.key, "lane": first.lane,
        "gateway": first.gateway, "count": len(same), "last_received_at_ms": same[-1].received_at_ms,
    }  # fmt: skip


def _quarantined_row(reading: Reading, offset: int) -> dict[str, Any]:
    body = {name: getattr(reading, name) for name in QUARANTINED_BODY}
    return {"offset": offset, "received_at_ms": reading.received_at_ms, "gateway": reading.gateway,
            "device_id": reading.device_id, "body": body}  # fmt: skip


QUARANTINED_BODY = ("occurred_at_ms", "seq", "values", "kind", "key", "keyed", "quality")
"""What is kept of a quarantined reading besides device, gateway and time; rows of older versions have the first three."""


def _letters_of(connection: Connection, gateway: str, passed: Collection[int]) -> Iterator[Any]:
    """A gateway's letters, oldest first, a few at a time, without those passed already."""
    after = 0
    while True:
        query: Select[Any] = _OF_GATEWAY.where(_LETTER.dead_letter_id > after).limit(_OF_GATEWAY_AT_ONCE)
        found = connection.execute(query, {"gateway": gateway}).all()
        if not found:
            return
        yield from (row for row in found if row.dead_letter_id not in passed)
        after = found[-1].dead_letter_id


def _until(excess: int, letters: Iterable[Any], limit: int = 2**62) -> list[Any]:
    """So many of ``letters`` that ``excess`` bytes go with them, at most ``limit``."""
    gone: list[Any] = []
    for letter in letters:
        if excess <= 0 or len(gone) >= limit:
            break
        gone.append(letter)
        excess -= letter.size
    return gone


def _drop(connection: Connection, gone: Collection[Any], news: News, *, expired: bool = False) -> None:
    for row in gone:
        news.bytes_of[row.gateway] -= row.size
        if row.retry_outcome in _SETTLED:
            news.cleared += row.times
        elif expired:
            news.expired += row.times
        else:
            news.dropped += row.times
    news.rows -= len(gone)
    if gone:
        connection.execute(_DROP, [{"number": row.dead_letter_id} for row in gone])


def _drop_quarantined(connection: Connection, rows: Collection[Any], news: News) -> None:
    if rows:
        connection.execute(_DROP_QUARANTINED, {"through": max(row.quarantine_id for row in rows)})
        news.quarantine_rows -= len(rows)
        news.quarantine_dropped += len(rows)

"""Reading what was set aside, page by page: dead letters and the list of the quarantine. Reads no payload it need not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, func, literal, select

from gridwarden.errors import NotFound
from gridwarden.records import schema
from gridwarden.records.aside import IS_OPEN, SIZE, Fill, counters, recount

PAYLOAD_SHOWN = 4096
"""Bytes of a payload that a list shows."""
GROUPED_AT_ONCE = 20_000
"""Rows counted in one read transaction."""
PAGE_LIMIT = 1_000
_LETTER = schema.dead_letter.c
_QUARANTINE = schema.quarantine.c
_UNSHOWN = {"payload"}
_LETTER_COLUMNS = [column for column in schema.dead_letter.columns if column.name not in _UNSHOWN]


@dataclass(frozen=True, slots=True)
class Which:
    """Which rows; ``None``: whatever they have there."""

    code: str | None = None
    gateway: str | None = None
    device_id: str | None = None
    numbers: tuple[int, ...] | None = None
    settled: bool = False
    """With those that a retry has settled."""


@dataclass(slots=True)
class Group:
    """Rows of one reason and gateway."""

    code: str
    gateway: str
    count: int = 0
    """Receptions: a letter that came again counts for each time."""
    rows: int = 0
    bytes: int = 0
    first_at_ms: int = 2**62
    last_at_ms: int = 0
    example: int = 0
    """Number of the newest."""

    def add(self, other: Group) -> None:
        """Take in another part of the same group."""
        self.count += other.count
        self.rows += other.rows
        self.bytes += other.bytes
        self.first_at_ms = min(self.first_at_ms, other.first_at_ms)
        self.last_at_ms = max(self.last_at_ms, other.last_at_ms)
        self.example = max(self.example, other.example)


class AsideReader:
    """What lies aside. Safe from several threads.

    Args:
        read: opens a short read transaction.
    """

    def __init__(self, read: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._read = read

    def letters(self, which: Which = Which(), before: int | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Dead letters, newest first, each with its ``bytes`` and as ``head`` the first of them."""
        query = select(*_LETTER_COLUMNS, *_head()).where(_letters(which)).order_by(_LETTER.dead_letter_id.desc())
        found = self._page(query, _LETTER.dead_letter_id, before, limit)
        return [{**row, "head": row["head"] or b""} for row in found]  # of nothing SQLite makes no bytes

    def letter(self, number: int) -> dict[str, Any]:
        """One of them with its whole ``payload``; raises :class:`NotFound`."""
        return self._one(schema.dead_letter, "dead_letter_id", number, "no_such_dead_letter")

    def quarantined(self, which: Which = Which(), before: int | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Quarantined readings, newest first."""
        query = select(schema.quarantine).where(_quarantined(which)).order_by(_QUARANTINE.quarantine_id.desc())
        return self._page(query, _QUARANTINE.quarantine_id, before, limit)

    def quarantined_one(self, number: int) -> dict[str, Any]:
        """One of them; raises :class:`NotFound`."""
        return self._one(schema.quarantine, "quarantine_id", number, "no_such_quarantined")

    def letters_to_retry(self, which: Which, after: int, limit: int, limit_bytes: int) -> tuple[list[int], bool]:
        """Numbers of the next dead letters in the order of arrival, and whether there are more.

        ``limit_bytes``: of their payload; one at least is given.
        """
        query = select(_LETTER.dead_letter_id, func.length(_LETTER.payload)).where(_letters(which))
        return self._next(query, _LETTER.dead_letter_id, after, limit, limit_bytes)

    def quarantined_to_retry(self, which: Which, after: int, limit: int, _limit_bytes: int) -> tuple[list[int], bool]:
        """The same of quarantined readings."""
        query = select(_QUARANTINE.quarantine_id, literal(0)).where(_quarantined(which))
        return self._next(query, _QUARANTINE.quarantine_id, after, limit, 0)

    def letter_groups(self, which: Which = Which()) -> list[Group]:
        """Dead letters by reason and gateway, the most frequent first."""
        some = select(
            _LETTER.dead_letter_id.label("number"), _LETTER.code, _LETTER.gateway, _LETTER["count"].label("times"),
            func.length(_LETTER.payload).label("size"), _LETTER.received_at_ms.label("first"),
            _LETTER.last_received_at_ms.label("last"),
        ).where(_letters(which))  # fmt: skip
        return self._groups(some, _LETTER.dead_letter_id)

    def quarantine_groups(self, which: Which = Which()) -> list[Group]:
        """Quarantined readings by gateway and, as ``code``, device; the most frequent first."""
        some = select(
            _QUARANTINE.quarantine_id.label("number"), _QUARANTINE.device_id.label("code"), _QUARANTINE.gateway,
            literal(1).label("times"), literal(0).label("size"), _QUARANTINE.received_at_ms.label("first"),
            _QUARANTINE.received_at_ms.label("last"),
        ).where(_quarantined(which))  # fmt: skip
        return self._groups(some, _QUARANTINE.quarantine_id)

    def fill(self) -> Fill:
        """How much lies aside, counted anew."""
        with self._read() as connection:
            size, rows = connection.execute(select(func.coalesce(func.sum(SIZE), 0), func.count())).one()
            quarantined = connection.execute(select(func.count()).select_from(schema.quarantine)).scalar_one()
            gone = counters(connection)
        return Fill(
            int(size), rows, gone["dead_letters_dropped"], gone["dead_letters_expired"], gone["dead_letters_cleared"],
            quarantined, gone["quarantine_dropped"],
        )  # fmt: skip

    def recount(self) -> dict[str, int]:
        """Dead letters and quarantine as they lie there, with what has gone since: to hold against the ledger."""
        with self._read() as connection:
            return recount(connection)

    def _page(self, query: Select[Any], key: Any, before: int | None, limit: int) -> list[dict[str, Any]]:
        if before is not None:
            query = query.where(key < before)
        with self._read() as connection:
            return [dict(row) for row in connection.execute(query.limit(min(limit, PAGE_LIMIT))).mappings()]

    def _one(self, table: Table, key: str, number: int, code: str) -> dict[str, Any]:
        with self._read() as connection:
            row = connection.execute(select(table).where(table.c[key] == number)).mappings().first()
        if row is None:
            raise NotFound(code, str(number))
        return dict(row)

    def _next(self, query: Select[Any], key: Any, after: int, limit: int, limit_bytes: int) -> tuple[list[int], bool]:
        with self._read() as connection:
            found = connection.execute(query.where(key > after).order_by(key).limit(limit + 1)).all()
        numbers: list[int] = []
        size = 0
        for number, its in found[:limit]:
            size += its
            if numbers and size > limit_bytes:
                break
            numbers.append(number)
        return numbers, len(numbers) < len(found)

    def _groups(self, some: Select[Any], key: Any) -> list[Group]:
        groups: dict[tuple[str, str], Group] = {}
        after = 0
        while True:
            part = some.where(key > after).order_by(key).limit(GROUPED_AT_ONCE).subquery()
            by = part.c.code, part.c.gateway
            sums = (func.sum(part.c.times), func.count(), func.sum(part.c.size), func.min(part.c.first),
                    func.max(part.c["last"]), func.max(part.c.number))  # fmt: skip
            with self._read() as connection:
                found = [Group(*row) for row in connection.execute(select(*by, *sums).group_by(*by))]
            if not found:
                return sorted(groups.values(), key=lambda group: (-group.count, group.code, group.gateway))
            for group in found:
                groups.setdefault((group.code, group.gateway), Group(group.code, group.gateway)).add(group)
            after = max(group.example for group in found)


def _head() -> tuple[Any, Any]:
    return func.length(_LETTER.payload).label("bytes"), func.substr(_LETTER.payload, 1, PAYLOAD_SHOWN).label("head")


def _letters(which: Which) -> Any:
    return _where(schema.dead_letter, which, {"code": which.code, "gateway": which.gateway}, _LETTER.dead_letter_id)


def _quarantined(which: Which) -> Any:
    wanted = {"gateway": which.gateway, "device_id": which.device_id}
    return _where(schema.quarantine, which, wanted, _QUARANTINE.quarantine_id)


def _where(table: Table, which: Which, wanted: Mapping[str, str | None], key: Any) -> Any:
    terms: list[Any] = [table.c[name] == value for name, value in wanted.items() if value is not None]
    if which.numbers is not None:
        terms.append(key.in_(which.numbers))
    if not which.settled:
        terms.append(IS_OPEN)
    return and_(True, *terms)

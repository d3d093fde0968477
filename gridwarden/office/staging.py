"""A file's good rows in a temporary table, and the one statement that moves them into the registry."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Integer, MetaData, Table, func, or_, select, true
from sqlalchemy.dialects.sqlite import insert

from gridwarden.office.database import Database
from gridwarden.office.registry import raise_version, registry_version
from gridwarden.office.rows import Entity

STEP_ROWS = 5_000
"""Rows of one ``executemany``, and of one read transaction of a comparison (about 20 ms of the 100 allowed)."""


class Tally(NamedTuple):
    """What a merge did, or would do."""

    added: int
    changed: int
    unchanged: int
    version: int | None
    """The registry's version afterwards; ``None`` where nothing was written."""


@cache
def _table_of(target: Table) -> Table:
    """One for all imports: SQLAlchemy keeps what it compiled for each table it has seen, some 6 kB an import."""
    columns = (Column(column.name, column.type) for column in target.c)
    return Table(
        "import_stage", MetaData(), Column("number", Integer, primary_key=True), *columns, prefixes=["TEMPORARY"]
    )


class Stage:
    """The temporary table for rows of ``entity``; it lives as long as the connection."""

    def __init__(self, connection: Connection, entity: Entity) -> None:
        self._target = entity.table
        self._key = entity.key
        self._table = _table_of(entity.table)
        self._defaults = {c.name: None if c.nullable else _DEFAULTS.get(c.name, "") for c in entity.table.c}
        self._rows = 0
        with connection.begin():
            self._table.create(connection)

    def add(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Put rows in. Touches the temporary table alone, so it neither locks nor waits."""
        with connection.begin():
            connection.execute(self._table.insert(), [{**self._defaults, **row} for row in rows])
        self._rows += len(rows)

    def merge(self, database: Database, connection: Connection, provided: list[str]) -> Tally:
        """Add and change what differs, in one transaction; raise the registry's version if anything does."""
        if not self._rows:
            return Tally(0, 0, 0, None)
        staged, names = self._table.c, list(self._defaults)
        rest = [name for name in provided if name != self._key]
        # WHERE true: without it SQLite reads ON CONFLICT as the ON of a join.
        statement = insert(self._target).from_select(names, select(*(staged[name] for name in names)).where(true()))
        upsert = statement.on_conflict_do_update(
            [self._key],
            set_={name: statement.excluded[name] for name in rest},
            where=or_(*(self._target.c[name].is_distinct_from(statement.excluded[name]) for name in rest)),
        )
        with database.write_on(connection):
            before = self._count(connection)
            touched = connection.execute(upsert).rowcount
            added = self._count(connection) - before
            version = raise_version(connection) if touched else registry_version(connection)
        return Tally(added, touched - added, self._rows - touched, version)

    def compare(self, connection: Connection, provided: list[str]) -> Tally:
        """Count what :meth:`merge` would do, in short read transactions."""
        known = changed = 0
        differs = self._differs(provided)
        for start in range(0, self._rows, STEP_ROWS):
            query = (
                select(func.count(), func.coalesce(func.sum(differs.cast(Integer)), 0))
                .select_from(self._table.join(self._target, self._target.c[self._key] == self._table.c[self._key]))
                .where(self._table.c.number > start, self._table.c.number <= start + STEP_ROWS)
            )
            with connection.begin():
                matched, different = connection.execute(query).one()
            known, changed = known + matched, changed + different
        return Tally(self._rows - known, changed, known - changed, None)

    def _differs(self, provided: list[str]) -> ColumnElement[bool]:
        return or_(*(self._target.c[name].is_distinct_from(self._table.c[name]) for name in provided))

    def _count(self, connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(self._target)).scalar_one())


_DEFAULTS = {"attributes": "{}"}

"""The connection to ``office.db``: SQLite in WAL mode, transactions that say what they are when they begin.

``sqlite3`` on its own begins late and deferred; a deferred transaction that reads and then writes fails with
"database is locked" whatever the timeout. So its own transaction control is off and SQLAlchemy emits the BEGIN
(SQLAlchemy, SQLite dialect: "Using SQLAlchemy to emit BEGIN in lieu of SQLite's transaction control"):
``BEGIN IMMEDIATE`` for whatever writes, plain ``BEGIN`` for what reads.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import OperationalError

from gridwarden.errors import Unavailable
from gridwarden.office import mark

BUSY_S = 60.0
"""How long a writer waits for another one. Longer than the longest transaction there is, the import of a file."""
WAL_LIMIT_BYTES = 64 * 2**20
"""What the write-ahead log is cut back to after a large transaction."""

_BEGIN = "gridwarden_begin"
_RETRYABLE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
     sqlite3.SQLITE_READONLY}
)  # fmt: skip


class OfficeUnavailable(Unavailable):
    """``office.db`` cannot be read or written now: busy for too long, disk full, I/O error."""


class Database:
    """``office.db``, opened. Its methods may be called from any thread.

    Args:
        path: the file; created if it is missing, readable by its owner alone (it holds password hashes).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # One lock in front of SQLite's own: SQLite's waiters poll and the unlucky starve, ours queue.
        self._writers = threading.Lock()
        self._engine = create_engine(
            URL.create("sqlite+pysqlite", database=str(path)), connect_args={"timeout": BUSY_S}, pool_timeout=BUSY_S
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        _create_private(path)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction. Keep it under 100 ms: a long reader lets the write-ahead log grow."""
        with _told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self, wait_s: float = BUSY_S) -> Iterator[Connection]:
        """A writing transaction, committed at the end of the block, rolled back by an exception.

        Raises:
            OfficeUnavailable: another writer was at work for all of ``wait_s``, or the disk refuses.
        """
        with _told(), self._engine.connect() as connection, self.write_on(connection, wait_s):
            yield connection

    @contextmanager
    def write_on(self, connection: Connection, wait_s: float = BUSY_S) -> Iterator[None]:
        """The same on a connection of one's own, which is in no transaction."""
        if not self._writers.acquire(timeout=wait_s):
            raise OfficeUnavailable(f"{self.path.name}: another writer was at work for {wait_s} s")
        try:
            with _told(), connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin():
                yield
                changes = _count_change(connection)
            mark.write(self.path, changes)
        finally:
            connection.execution_options(**{_BEGIN: "BEGIN"})
            self._writers.release()

    @contextmanager
    def own_connection(self) -> Iterator[Connection]:
        """A connection outside the pool, with room for temporary tables that vanish with it."""
        with _told(), self._engine.connect() as connection:
            connection.detach()
            yield connection


def _count_change(connection: Connection) -> int:
    """Count this transaction in the file itself: how many there were, with it."""
    changes = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one()) + 1
    connection.exec_driver_sql(f"PRAGMA user_version = {changes}")
    return changes


def _create_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise OfficeUnavailable(f"{path}: {error.strerror}") from error


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


@contextmanager
def _told() -> Iterator[None]:
    """Turn what SQLite says about its surroundings into an error that says "try again"."""
    try:
        yield
    except OperationalError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code not in _RETRYABLE:
            raise
        raise OfficeUnavailable(str(error.orig)) from error

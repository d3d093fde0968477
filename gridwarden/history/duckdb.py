"""The embedded history: hot DuckDB tables and sealed Parquet files in one directory, one process, no server.

Threads: one connection writes, under a lock, so that appending, sealing and retaining may come from different
threads and never overlap (a sealing step holds it for one day and bucket, some tenths of a second). Every read
takes a cursor of its own and one snapshot, in which hot rows and manifest agree; it waits for nobody.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from gridwarden.history import (
    NO_ANCESTORS,
    Buckets,
    Frozen,
    HistoryMismatch,
    HistoryUnavailable,
    Latest,
    SealReport,
    Series,
    counting,
    may_follow,
    sealing,
    snapshots,
)
from gridwarden.history.audit import Account
from gridwarden.history.columns import columns_of
from gridwarden.history.copying import freeze
from gridwarden.history.layout import Layout, hot, one
from gridwarden.history.names import Name, Names
from gridwarden.history.queries import Place, Queries
from gridwarden.history.snapshots import Snapshot
from gridwarden.kinds import KINDS, Kind
from gridwarden.model import Reading

_FILE = "history.duckdb"
_SEALED = "sealed"
_SNAPSHOTS = "snapshots"


class DuckDBHistory:
    """See :class:`gridwarden.history.History`. Opening creates what is missing and removes a crash's leftovers.

    Args:
        directory: where the files lie; made if missing. Only one process may have it open.
        memory_limit: DuckDB's, as it writes it.
        threads: DuckDB's worker threads; with one, an alarm beside a heavy query waits 5.0 ms (p99), with two 7.3.
        kinds: the kinds of devices; more fields than last time become new columns.

    Raises:
        HistoryMismatch: the files are of a later program.
        HistoryDamaged: sealed files are missing.
        HistoryUnavailable: the files cannot be opened.
    """

    step_bytes = 2 << 20
    """About 60,000 readings, which append best (1.5 M rows/s and more) and take ~60 MB."""

    def __init__(
        self, directory: Path, *, memory_limit: str = "1GB", threads: int = 1, kinds: Mapping[str, Kind] = KINDS
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / _FILE
        self._root = directory / _SEALED
        self._settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": str(threads),
            # DuckDB's own 16 MB stops appending every 120,000 rows for up to 0.7 s; 64 MB: a third more rows a second.
            "checkpoint_threshold": "64MB",
            "autoinstall_known_extensions": "false",  # no request leaves the machine
            "autoload_known_extensions": "false",
        }
        self._layout = Layout(kinds)
        self._devices = Names("devices", "device_key", ("device_id", "kind", "table_name"))
        self._gateways = Names("gateways", "gateway_key", ("gateway",))
        self._places: dict[str, list[Place]] = {}
        self._writing = threading.Lock()
        self._retired = sealing.Retired(self._root)
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        with self._writing:
            sealing.prepare_directories(self._root, list(self._layout.tables))
            sealing.sweep(self._open(), self._root)

    def offset(self) -> int:
        """See :class:`gridwarden.history.History`."""
        return int(self._state("followed_offset"))

    def epoch(self) -> str:
        """See :class:`gridwarden.history.History`."""
        return str(self._state("epoch"))

    def complete_until_ms(self) -> int:
        """See :class:`gridwarden.history.History`."""
        return int(self._state("complete_until_ms"))

    def begin(self, epoch: str, ancestors: Mapping[str, int] = NO_ANCESTORS) -> None:
        """See :class:`gridwarden.history.History`."""
        with self._transaction() as connection:
            stored, followed = one(connection, "SELECT epoch, followed_offset FROM state")
            if not may_follow(stored, followed, epoch, ancestors):
                msg = f"it follows the records {stored!r}, not {epoch!r}: restore the matching one, or move it away"
                raise HistoryMismatch(msg, path=self._path.parent)
            connection.execute("UPDATE state SET epoch = $epoch", {"epoch": epoch})

    def counts_itself(self) -> bool:
        """See :class:`gridwarden.history.History`."""
        with self._cursor() as cursor, _transaction(cursor):
            return counting.counts(cursor)

    def begin_account(self, before: int, at_ms: int) -> None:
        """See :class:`gridwarden.history.History`."""
        with self._transaction() as connection:
            counting.begin(connection, before, Queries(connection, self._layout, self._root).count(), at_ms)

    def account(self) -> Account | None:
        """See :class:`gridwarden.history.History`."""
        with self._retired.reading(), self._cursor() as cursor, _transaction(cursor):
            return counting.account(cursor, Queries(cursor, self._layout, self._root).count())

    def append(self, readings: Sequence[Reading], offset: int, complete_until_ms: int) -> None:
        """See :class:`gridwarden.history.History`."""
        with self._transaction() as connection:
            (followed,) = one(connection, "SELECT followed_offset FROM state")
            if offset < followed or (readings and offset == followed):
                msg = f"offset {offset}: already followed up to {followed}"
                raise ValueError(msg)
            by_table: dict[str, list[Reading]] = {}
            for reading in readings:
                by_table.setdefault(self._layout.table_of(reading.kind), []).append(reading)
            for table, rows in by_table.items():
                self._insert(connection, table, rows)
            self._devices.save(connection)
            self._gateways.save(connection)
            connection.execute(
                "UPDATE state SET followed_offset = $offset,"
                " complete_until_ms = greatest(complete_until_ms, $complete_until)",
                {"offset": offset, "complete_until": complete_until_ms},
            )
            if offset != followed:
                counting.wrote(connection, len(readings), offset)

    def _insert(self, connection: duckdb.DuckDBPyConnection, table: str, readings: list[Reading]) -> None:
        block = columns_of(
            readings, self._layout.tables[table],
            lambda r: self._devices.key_of((r.device_id, r.kind, table)),
            lambda r: self._gateways.key_of((r.gateway,)),
        )  # fmt: skip
        connection.register("block", block)
        connection.execute(f"INSERT INTO {hot(table)} BY NAME SELECT * FROM block")  # noqa: S608
        connection.unregister("block")

    def series(self, device_id: str, field: str, from_ms: int, to_ms: int, limit: int) -> Series:
        """See :class:`gridwarden.history.History`."""
        with self._snapshot() as queries:
            return queries.series(self._places.get(device_id, []), field, from_ms, to_ms, limit)

    def buckets(self, device_id: str, field: str, from_ms: int, to_ms: int, step_ms: int) -> Buckets:
        """See :class:`gridwarden.history.History`."""
        with self._snapshot() as queries:
            return queries.buckets(self._places.get(device_id, []), field, from_ms, to_ms, step_ms)

    def latest(self, device_id: str) -> Latest | None:
        """See :class:`gridwarden.history.History`."""
        with self._snapshot() as queries:
            found = queries.latest(self._places.get(device_id, []))
            if found is None:
                return None
            place, row = found
            values, quality = queries.values_of(place, row)
            at_ms, gateway = row["occurred_at"], queries.gateway(row["gateway_key"])
        return Latest(device_id, place.kind, gateway, at_ms, at_ms + row["rx_delay_ms"], row["seq"], values, quality)

    def count(self) -> int:
        """See :class:`gridwarden.history.History`."""
        with self._snapshot() as queries:
            return queries.count()

    def counts(self) -> dict[str, int]:
        """See :class:`gridwarden.history.History`."""
        with self._snapshot() as queries:
            return queries.counts()

    def seal(self, before_ms: int) -> SealReport:
        """See :class:`gridwarden.history.History`. Each day and bucket is a transaction of its own."""
        with self._transaction() as connection:
            todo = [due for table in self._layout.tables for due in sealing.due(connection, table, before_ms)]
        total = 0
        for due in todo:
            with self._transaction() as connection:
                rows, superseded = sealing.seal(connection, self._root, due)
            total += rows
            self._retired.add([] if superseded is None else [superseded])
        return SealReport(total, len(todo))

    def retain(self, from_ms: int) -> int:
        """See :class:`gridwarden.history.History`."""
        with self._transaction() as connection:
            dropped, files = sealing.retain(connection, list(self._layout.tables), from_ms)
            counting.dropped(connection, dropped)
        self._retired.add(files)
        return dropped

    def snapshot(self, kinds: Iterable[str], from_ms: int, to_ms: int) -> Snapshot:
        """Freeze the readings of ``kinds`` that occurred in the interval, for work in another process.

        Whoever asked removes it: see :meth:`gridwarden.history.snapshots.Snapshot.remove`.
        """
        directory = snapshots.new_directory(self._path.parent / _SNAPSHOTS)
        try:
            with self._retired.reading(), self._cursor() as cursor, _transaction(cursor):
                until_ms = int(one(cursor, "SELECT complete_until_ms FROM state")[0])
                tables = [self._layout.table_of(kind) for kind in kinds]
                return snapshots.take(cursor, self._root, directory, tables, (from_ms, to_ms), until_ms)
        except OSError as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise HistoryUnavailable(str(error)) from error
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @contextmanager
    def frozen(self, directory: Path) -> Iterator[Frozen]:
        """See :class:`gridwarden.history.History`. The hot tables are copied at once, the sealed files stay put."""
        directory.mkdir(mode=0o700)
        with self._retired.reading():
            with self._cursor() as cursor:
                tables = [hot(table) for table in self._layout.tables]
                taken = freeze(cursor, self._path.stem, self._root, directory / _FILE, tables)
            (directory / _FILE).chmod(0o600)
            yield taken

    def close(self) -> None:
        """See :class:`gridwarden.history.History`."""
        with self._writing:
            self._closed = True
            self._disconnect()

    def _state(self, column: str) -> Any:
        with self._cursor() as cursor:
            return one(cursor, f"SELECT {column} FROM state")[0]  # noqa: S608

    def _open(self) -> duckdb.DuckDBPyConnection:
        """The writing connection, opened anew after a failure: DuckDB refuses all work after a failed write."""
        if self._connection is not None:
            return self._connection
        if self._closed:
            raise HistoryUnavailable("closed")
        try:
            connection = duckdb.connect(str(self._path), config=self._settings)
        except duckdb.Error as error:
            raise HistoryUnavailable(str(error)) from error
        try:
            with _transaction(connection):
                self._layout.prepare(connection)
                counting.prepare(connection)
                self._devices.load(connection)
                self._gateways.load(connection)
        except duckdb.Error as error:
            connection.close()
            raise HistoryUnavailable(str(error)) from error
        except BaseException:
            connection.close()
            raise
        self._places = {}
        self._add_places(self._devices.known)
        self._connection = connection
        return connection

    def _add_places(self, devices: Mapping[Name, int]) -> None:
        """Tell readers where devices lie; a list they may hold is never changed."""
        for (device_id, kind, table), key in devices.items():
            self._places[device_id] = [*self._places.get(device_id, []), Place(table, kind, key)]

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(duckdb.Error):
                self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One writing transaction. Whatever fails, names and connection begin anew from what has committed."""
        with self._writing:
            connection = self._open()
            try:
                with _transaction(connection):
                    yield connection
                self._add_places(self._devices.settle())
                self._gateways.settle()
            except (duckdb.Error, OSError) as error:
                self._disconnect()
                raise HistoryUnavailable(str(error)) from error
            except BaseException:
                self._disconnect()
                raise

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one read, beside the writing one."""
        connection = self._connection
        if connection is None:  # a write has failed and nobody has written since
            with self._writing:
                connection = self._open()
        try:
            with connection.cursor() as cursor:
                yield cursor
        except duckdb.Error as error:
            raise HistoryUnavailable(str(error)) from error

    @contextmanager
    def _snapshot(self) -> Iterator[Queries]:
        with self._retired.reading(), self._cursor() as cursor, _transaction(cursor):
            yield Queries(cursor, self._layout, self._root)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        with suppress(duckdb.Error):
            connection.rollback()
        raise

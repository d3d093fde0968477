"""How ``records.db`` is opened, and how it comes to its schema."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.exc import OperationalError

from gridwarden.records import database, schema


def test_a_commit_is_durable_before_it_returns(data: Path) -> None:
    engine = database.connect(data)
    with engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "busy_timeout")
        }
    engine.dispose()
    full = 2
    assert pragma == {"journal_mode": "wal", "synchronous": full, "foreign_keys": 1, "wal_autocheckpoint": 1000,
                      "busy_timeout": 5000}  # fmt: skip


def test_a_writing_transaction_locks_at_its_beginning_and_a_reading_one_never(data: Path) -> None:
    engine, other = database.connect(data), sqlite3.connect(data / database.FILE, timeout=0, isolation_level=None)
    with closing(other):
        with engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        with engine.connect().execution_options(reads=True) as connection, connection.begin():
            connection.exec_driver_sql("SELECT count(*) FROM meta").scalar()
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
    engine.dispose()


def test_a_reader_cannot_write(data: Path) -> None:
    engine = database.connect(data, read_only=True)
    with engine.begin() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM meta")
    engine.dispose()


def test_the_migrations_lead_to_the_tables_of_the_schema(data: Path) -> None:
    engine = database.connect(data)
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_the_identity_stays_when_it_is_opened_again(data: Path) -> None:
    def identity() -> str:
        engine = database.connect(data)
        with engine.begin() as connection:
            found = database.epoch(connection)
        engine.dispose()
        return found

    first = identity()
    database.migrate(data)
    assert identity() == first
    assert len(first) == 16


def test_an_older_file_is_brought_up_and_its_ledger_balances(tmp_path: Path) -> None:
    engine = database.connect(tmp_path)
    settings = Config()
    settings.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        connection.exec_driver_sql("INSERT INTO ledger VALUES ('b', 'telemetry', 5, 3, 2, 1, 0, 0)")
    engine.dispose()
    database.migrate(tmp_path)
    with closing(sqlite3.connect(tmp_path / database.FILE)) as connection:
        assert connection.execute("SELECT received FROM ledger").fetchone() == (11,)


def test_the_newest_migration_is_the_one_that_a_start_looks_for() -> None:
    scripts = (Path(database.__file__).parent / "migrations/versions").glob("*.py")
    assert max(script.name[:4] for script in scripts) == database._HEAD


def test_a_path_with_signs_of_its_own_is_opened(tmp_path: Path) -> None:
    odd = tmp_path / "a?b#c %20 水"
    odd.mkdir()
    database.migrate(odd)
    assert (odd / database.FILE).stat().st_size > 0

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from gridwarden.office.database import Database, OfficeUnavailable


@pytest.fixture
def database(tmp_path: Path):  # noqa: ANN201
    with Database(tmp_path / "office.db") as opened:
        with opened.write() as connection:
            connection.execute(text("CREATE TABLE counter (n INTEGER CHECK (n < 1000))"))
            connection.execute(text("INSERT INTO counter VALUES (0)"))
        yield opened


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("SELECT n FROM counter")).scalar_one())


def test_settings_hold_on_every_connection(database: Database) -> None:
    with database.read() as one, database.read() as two:
        for connection in (one, two):
            assert connection.connection.dbapi_connection.isolation_level is None
            for name, value in [
                ("journal_mode", "wal"),
                ("synchronous", 2),
                ("foreign_keys", 1),
                ("busy_timeout", 60_000),
            ]:
                assert connection.execute(text(f"PRAGMA {name}")).scalar_one() == value


def test_read_then_write_from_many_threads_never_finds_it_locked(database: Database, tmp_path: Path) -> None:
    """What fails with deferred transactions: both read, then both want to write. Two objects are two processes' locks."""
    with Database(tmp_path / "office.db") as other:

        def raise_it(opened: Database) -> None:
            for _ in range(50):
                with opened.write() as connection:
                    n = connection.execute(text("SELECT n FROM counter")).scalar_one()
                    connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(raise_it, [database, other, database, other]))
    assert count(database) == 200


def test_an_exception_rolls_back_and_frees_the_lock(database: Database) -> None:
    with contextlib.suppress(ZeroDivisionError), database.write() as connection:
        connection.execute(text("UPDATE counter SET n = 7"))
        raise ZeroDivisionError
    assert count(database) == 0
    with database.write() as connection:
        connection.execute(text("UPDATE counter SET n = 8"))
    assert count(database) == 8


def test_a_write_begins_immediate_and_a_read_does_not(database: Database, tmp_path: Path) -> None:
    with Database(tmp_path / "office.db") as other, database.write() as writing:
        with other.read() as reading:  # a reader neither waits for the writer nor sees what it has not committed
            writing.execute(text("UPDATE counter SET n = 5"))
            assert reading.execute(text("SELECT n FROM counter")).scalar_one() == 0
            reading.execute(text("PRAGMA busy_timeout = 0"))
        assert count(other) == 0


def test_a_connection_that_wrote_reads_deferred_again(database: Database, tmp_path: Path) -> None:
    with database.own_connection() as connection:
        with database.write_on(connection):
            connection.execute(text("UPDATE counter SET n = 1"))
        with connection.begin(), database.write() as second:  # would wait for itself if the first began immediate
            second.execute(text("UPDATE counter SET n = 2"))
    assert count(database) == 2


def test_a_writer_that_waits_too_long_says_so(database: Database) -> None:
    with database.write(), pytest.raises(OfficeUnavailable, match="another writer"), database.write(wait_s=0):
        pytest.fail("two writers")


def test_a_full_disk_is_unavailable_not_a_crash(database: Database) -> None:
    def fill() -> None:
        with database.write() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            connection.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000) b"))

    with pytest.raises(OfficeUnavailable, match="full"):
        fill()
    assert count(database) == 0


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OfficeUnavailable, match="No such file"):
        Database(tmp_path / "none" / "office.db")


def test_a_queue_of_writers_loses_nobody(database: Database) -> None:
    done: list[int] = []
    inside, release = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            inside.set()
            assert release.wait(30)

    def one(number: int) -> None:
        with database.write() as connection:
            connection.execute(text("UPDATE counter SET n = n + 1"))
        done.append(number)

    with ThreadPoolExecutor(5) as pool:
        holding = pool.submit(hold)
        assert inside.wait(30)
        waiting = [pool.submit(one, number) for number in range(4)]
        assert done == []
        release.set()
        for future in [holding, *waiting]:
            future.result(30)
    assert sorted(done) == [0, 1, 2, 3]

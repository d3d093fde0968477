"""Looking through backups and data directories: whole ones are whole, and every kind of damage is found."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gridwarden.backup.faults import Report
from gridwarden.backup.restoring import restore
from gridwarden.backup.verifying import verify_backup, verify_data, verify_running
from gridwarden.records.transaction import Transaction
from tests.gridwarden.backup.conftest import NOW_MS, Site, batch


def quietly(_what: str, _share: float) -> None:
    """Progress that nobody looks at."""


def found(report: Report) -> set[tuple[str, str]]:
    return {(fault.file, fault.code) for fault in report.faults}


@pytest.fixture
def backup(site: Site, tmp_path: Path) -> Path:
    site.backup(tmp_path / "b")
    return tmp_path / "b"


def flip(path: Path, place: float = 0.5) -> None:
    """Change one bit somewhere."""
    content = bytearray(path.read_bytes())
    content[int((len(content) - 1) * place)] ^= 1
    path.unlink()  # it may be a link to the file it was made from
    path.write_bytes(content)


# --- of a backup --------------------------------------------------------------------------------------------------


def test_a_whole_one_is_whole_and_left_as_it_is(backup: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in backup.rglob("*")}
    report = verify_backup(backup, quietly)
    assert report.faults == []
    assert {path: path.stat().st_mtime_ns for path in backup.rglob("*")} == before
    assert report.counts["readings_in_blocks"] == 40
    assert report.counts["history_rows"] == 30
    assert any("embedded broker" in one for one in report.skipped)


def test_a_flipped_bit_is_found_in_every_file(backup: Path) -> None:
    chance = random.Random(7)
    for path in sorted(path for path in backup.rglob("*") if path.is_file() and path.name != "manifest.json"):
        whole = path.read_bytes()
        flip(path, chance.random())
        name = path.relative_to(backup).as_posix()
        assert (name, "hash") in found(verify_backup(backup, quietly)), name
        path.unlink()
        path.write_bytes(whole)
        path.chmod(0o600)
    flip(backup / "manifest.json", 0.3)
    assert found(verify_backup(backup, quietly)) == {("manifest.json", "manifest")}


def test_a_missing_file_is_found(backup: Path) -> None:
    (backup / "office.db").unlink()
    assert found(verify_backup(backup, quietly)) == {("office.db", "hash"), ("office.db", "missing")}


def test_each_fault_says_what_it_costs_and_what_to_do(backup: Path) -> None:
    (backup / "records.db").unlink()
    for fault in verify_backup(backup, quietly).faults:
        assert fault.costs
        assert fault.advice
        assert str(fault).startswith("records.db: ")


# --- of a data directory at rest ----------------------------------------------------------------------------------


@pytest.fixture
def data(backup: Path, tmp_path: Path) -> Path:
    restore(backup, tmp_path / "data", NOW_MS, quietly)
    return tmp_path / "data"


def test_one_that_was_restored_is_whole(data: Path) -> None:
    report = verify_data(data, quietly)
    assert report.faults == []
    assert (report.counts["history_offset"], report.counts["records_offset"]) == (3, 5)


def in_records(sql: str, *parameters: object) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        with closing(sqlite3.connect(data / "records.db")) as connection:
            connection.execute(sql, parameters)
            connection.commit()

    return damage


def in_history(sql: str) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        with duckdb.connect(str(data / "history" / "history.duckdb")) as connection:
            connection.execute(sql)

    return damage


def one_sealed(data: Path) -> Path:
    return min((data / "history" / "sealed").glob("*/*.parquet"))


DAMAGES = [
    (in_records('UPDATE intake_block SET body = substr(body, 1, 40) WHERE "offset" = 2'), "block_damaged"),
    (in_records('UPDATE intake_block SET reading_count = 9 WHERE "offset" = 2'), "block_count"),
    (in_records('DELETE FROM intake_block WHERE "offset" = 4'), "ledger"),
    (in_records("UPDATE ledger SET stored = stored + 1"), "ledger"),
    (in_records("DELETE FROM dead_letter WHERE dead_letter_id = 1"), "ledger"),
    (in_records("DELETE FROM quarantine WHERE quarantine_id = 1"), "ledger"),
    (lambda data: (data / "records.db").write_bytes(b"no database" * 999), "not_readable"),
    (lambda data: flip_page(data / "records.db"), "not_readable"),
    (lambda data: spoil_index(data / "records.db"), "not_whole"),
    (lambda data: (data / "office.db").unlink(), "missing"),
    (in_history("DELETE FROM hot_hydrant WHERE device_key = (SELECT min(device_key) FROM hot_hydrant)"), "account"),
    (in_history("UPDATE state SET followed_offset = 99"), "ahead"),
    (in_history("UPDATE sealed SET n = n + 1"), "rows"),
    (lambda data: one_sealed(data).unlink(), "missing"),
    (lambda data: one_sealed(data).write_bytes(b"PAR1" * 9), "not_readable"),
    (lambda data: (data / "history" / "history.duckdb").write_bytes(b"x" * 9_999), "not_readable"),
]


def flip_page(path: Path) -> None:
    """Overwrite the kind of a page in the middle."""
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\x99" * 12)


def spoil_index(path: Path) -> None:
    """Let an index point to rows of a table that are not there."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'quarantine_by_device'")
        connection.commit()


@pytest.mark.parametrize(("damage", "code"), DAMAGES, ids=[f"{n}-{code}" for n, (_, code) in enumerate(DAMAGES)])
def test_damage_is_found(data: Path, damage: Callable[[Path], None], code: str) -> None:
    damage(data)
    assert code in {fault.code for fault in verify_data(data, quietly).faults}


def test_a_loss_of_the_newest_transactions_is_found(site: Site, tmp_path: Path) -> None:
    site.writer.close()
    older = (site.data / "records.db").read_bytes()
    site.writer.start()
    site.writer.commit(batch(50))
    site.close()
    (site.data / "records.db").write_bytes(older)
    for name in ("records.db-wal", "records.db-shm"):
        (site.data / name).unlink(missing_ok=True)
    assert ("records.db", "lost") in found(verify_data(site.data, quietly))


# --- of a running one ---------------------------------------------------------------------------------------------


def test_a_running_one_is_looked_at_without_being_touched(site: Site) -> None:
    report = verify_running(site.data, quietly)
    assert report.faults == []
    assert report.counts["readings_in_blocks"] == 40
    assert report.counts["sealed_files"] > 0
    assert any("structure" in one for one in report.skipped)
    in_records('UPDATE intake_block SET body = substr(body, 1, 40) WHERE "offset" = 2')(site.data)
    one_sealed(site.data).write_bytes(b"PAR1" * 9)
    assert {fault.code for fault in verify_running(site.data, quietly).faults} == {"block_damaged", "not_readable"}
    site.writer.commit(Transaction(NOW_MS, remembered={"x": "y"}))

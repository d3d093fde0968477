"""Records of every schema there ever was are brought up with all that is in them; a later one is left alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig

from gridwarden import app
from gridwarden.config import Config
from gridwarden.core.service import Core
from gridwarden.errors import ConfigError
from gridwarden.model import Alarm, AlarmState, Change, EventState, GridEvent, Operation, Reading, Severity
from gridwarden.office.registry import Office
from gridwarden.quieting import Matchers, Quieting, QuietingKind
from gridwarden.records import block, database, rows, schema
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from rules.load import load as load_rules

MIGRATIONS = Path(database.__file__).parent / "migrations"
REVISIONS = sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
NOW_MS = 1_795_327_200_000
EPOCH = "0123456789abcdef"
READINGS = [Reading("SMK-1", "smoke", "gw", NOW_MS + n, NOW_MS + n, n, n, True, {"state": "alarm"}) for n in range(5)]
FIRING = Alarm("A1", "smoke.fire", "1", "SMK-1", "SMK-1", "smoke", "330106", Severity.CRITICAL, AlarmState.FIRING, NOW_MS,
               fired_at_ms=NOW_MS, event_id="E1", latched=True, life_safety=True)  # fmt: skip
PENDING = Alarm("A2", "hydrant.low_pressure", "1", "HYD-1", "HYD-1", "hydrant", "330106", Severity.MEDIUM,
                AlarmState.PENDING, NOW_MS, wake_at_ms=NOW_MS + 10**12)  # fmt: skip
CASE = GridEvent("E1", "F20261122-0001", "key", "fire", "smoke.fire", Severity.CRITICAL, EventState.OPEN, "330106",
                 "SMK-1", "smoke", NOW_MS, NOW_MS)  # fmt: skip
SILENCE = Quieting(1, QuietingKind.SILENCE, "330106", Matchers(kinds=("lift",)), protected=False, from_at_ms=NOW_MS,
                   until_at_ms=NOW_MS + 10**12, author="zhang", author_id="u1", comment="works", created_at_ms=NOW_MS)  # fmt: skip


def contents() -> dict[str, list[dict[str, Any]]]:
    """Rows as this program would write them, for every table; a revision takes those columns that it has."""
    fired = Change(Operation.ALARM_FIRED, NOW_MS, "330106", FIRING, CASE)
    counts = {"stored": 5, "duplicate": 2, "dead_lettered": 1, "quarantined": 1, "unchecked": 0, "redelivered": 0,
              "received": 9}  # fmt: skip
    return {
        "meta": [{"name": "epoch", "value": EPOCH}],
        "intake_block": [
            {"offset": 1, "committed_at_ms": NOW_MS, "reading_count": 5, "body": block.encode(READINGS)},
            {"offset": 2, "committed_at_ms": NOW_MS, "reading_count": 0, "body": b""},
        ],
        "alarm": [rows.alarm_row(alarm) for alarm in (FIRING, PENDING)],
        "grid_event": [rows.event_row(CASE)],
        "journal": [{"seq": 1, "offset": 1, "at_ms": NOW_MS, "operation": fired.operation, "area": fired.area,
                     "alarm_id": "A1", "event_id": "E1", "actor": None, "body": rows.change_body(fired)}],
        "dead_letter": [{"dead_letter_id": 1, "offset": 1, "received_at_ms": NOW_MS, "broker": "b", "topic": "t",
                         "code": "not_json", "detail": "", "payload": b"\xff", "count": 1}],
        "quarantine": [{"quarantine_id": 1, "offset": 1, "received_at_ms": NOW_MS, "gateway": "gw", "device_id": "LIFT-1",
                        "body": {"values": {}}}],
        "unregistered": [{"device_id": "SMK-1", "kind": "smoke", "gateway": "gw", "first_seen_at_ms": NOW_MS,
                          "last_seen_at_ms": NOW_MS, "reading_count": 5}],
        "ledger": [{"broker": "b", "lane": "telemetry"} | counts],
        "counter": [{"name": "case:F20261122", "value": 1}],
        "follower": [{"name": "history", "offset": 1}],
        "command": [{"command_id": "c1", "offset": 1, "at_ms": NOW_MS, "answer": {"done": True}}],
        "quieting": [rows.quieting_row(SILENCE)],
        "rule_text": [{"rule_id": "smoke.fire", "version": "1", "kind": "smoke", "content": {"id": "smoke.fire"},
                       "first_at_ms": NOW_MS}],
    }  # fmt: skip


def build(data: Path, revision: str) -> None:
    """Records as a program of that revision left them."""
    engine = database.connect(data)
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
    engine.dispose()
    with closing(sqlite3.connect(data / database.FILE)) as connection:
        for table, lines in contents().items():
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for line in lines if columns else ():
                _insert(connection, table, {name: value for name, value in line.items() if name in columns})
        connection.commit()


def _insert(connection: sqlite3.Connection, table: str, line: dict[str, Any]) -> None:
    values = [json.dumps(value) if isinstance(value, dict | list) else value for value in line.values()]
    names, marks = ", ".join(f'"{name}"' for name in line), ", ".join("?" * len(line))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608


def test_there_are_rows_for_every_table(tmp_path: Path) -> None:
    assert schema.metadata.tables.keys() - contents().keys() == {"shard"}  # whose bytes are core's own affair


@pytest.mark.parametrize("revision", REVISIONS)
def test_everything_is_still_there(tmp_path: Path, revision: str) -> None:
    build(tmp_path, revision)
    database.migrate(tmp_path)
    writer, reader = Writer(tmp_path), Reader(tmp_path)
    start = writer.start()
    assert (start.epoch, start.offset) == (EPOCH, 2)
    assert [alarm.alarm_id for alarm in start.alarms] == ["A1", "A2"]
    assert [event.case_no for event in start.events] == ["F20261122-0001"]
    assert start.counters == {"case:F20261122": 1}
    assert start.followers == {"history": 1}
    (tally,) = start.ledger.values()
    assert (tally.received, tally.accounted) == (9, 9)
    assert reader.alarm("A1").latched
    assert [entry.operation for entry in reader.journal(0)] == ["alarm.fired"]
    assert rows.to_alarm(reader.journal(0)[0].body["alarm"]).alarm_id == "A1"
    with closing(sqlite3.connect(tmp_path / database.FILE)) as connection:
        assert connection.execute("SELECT payload, count FROM dead_letter").fetchall() == [(b"\xff", 1)]
        assert connection.execute("SELECT device_id FROM quarantine").fetchall() == [("LIFT-1",)]
    assert [one["device_id"] for one in reader.unregistered()] == ["SMK-1"]
    assert block.decode(reader.blocks(0, 1_000_000)[0].body) == READINGS
    assert writer.answer("c1") == {"done": True}
    if revision >= "0004":
        assert start.quietings == [SILENCE]
    if revision >= "0005":
        text = reader.rule_text("smoke.fire", "1")
        assert text is not None
        assert text.content == {"id": "smoke.fire"}
    assert writer.commit(Transaction(NOW_MS, remembered={"x": "y"})).offset == 3
    reader.close()
    writer.close()


@pytest.mark.parametrize("revision", REVISIONS)
async def test_core_goes_on_with_it(tmp_path: Path, revision: str) -> None:
    build(tmp_path, revision)
    app.prepare(tmp_path, first_user=False)
    core, ready = Core(Config(data=tmp_path), (), load_rules((), shipped_packs=True)), asyncio.Event()
    running = asyncio.create_task(core.run(ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=60)
    assert ready.is_set(), running
    running.cancel()
    await asyncio.wait([running])
    reader = Reader(tmp_path)
    assert reader.epoch() == EPOCH
    assert reader.alarm("A1").state == AlarmState.FIRING
    assert reader.ledger()["received"] == 9
    reader.close()


# --- a later program's --------------------------------------------------------------------------------------------


def state(data: Path) -> dict[str, str]:
    """Every file with its hash, those aside that SQLite makes for readers."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(data.iterdir())
            if not path.name.endswith(("-shm", "-wal"))}  # fmt: skip


@pytest.mark.parametrize("file", ["records.db", "office.db"])
def test_what_a_later_program_made_is_refused_and_not_touched(tmp_path: Path, file: str) -> None:
    build(tmp_path, REVISIONS[0])
    Office.open(tmp_path / "office.db").close()
    with closing(sqlite3.connect(tmp_path / file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '4711'")
        connection.commit()
    before = state(tmp_path)
    with pytest.raises(ConfigError, match=rf"{file}: was made by a later version of Gridwarden \(schema 4711"):
        app.prepare(tmp_path)
    assert state(tmp_path) == before, "not even the other one was brought up"


# --- an upgrade that is broken off --------------------------------------------------------------------------------

BROKEN = """
import os, signal
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9999", "{head}"
def upgrade():
    op.execute("DELETE FROM journal")
    op.create_table("half", sa.Column("x", sa.Integer()))
    op.drop_table("counter")
    {end}
"""


def broken(folder: Path, end: str) -> Path:
    """The migrations, and one more that ends in the middle."""
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9999_broken.py").write_text(BROKEN.format(head=REVISIONS[-1], end=end))
    return folder


def tables(data: Path) -> dict[str, int]:
    with closing(sqlite3.connect(data / database.FILE)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}  # noqa: S608
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return found | {version: 0}


def fails(folder: Path, monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    monkeypatch.setattr(database, "_MIGRATIONS", broken(folder, "raise ZeroDivisionError"))
    monkeypatch.setattr(database, "_HEAD", "9999")
    with pytest.raises(ZeroDivisionError):
        database.migrate(data)
    monkeypatch.undo()


def is_killed(folder: Path, _monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    place = broken(folder, "os.kill(os.getpid(), signal.SIGKILL)")
    code = f"""
import pathlib
from gridwarden.records import database
database._MIGRATIONS, database._HEAD = pathlib.Path({str(place)!r}), "9999"
database.migrate(pathlib.Path({str(data)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("how", [fails, is_killed])
@pytest.mark.parametrize("revision", [REVISIONS[0], REVISIONS[-1]])
def test_an_upgrade_that_is_broken_off_leaves_the_old(
    tmp_path: Path, revision: str, how: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    build(data, revision)
    before = tables(data)
    how(tmp_path / "migrations", monkeypatch, data)
    assert tables(data) == before
    database.migrate(data)
    writer = Writer(data)
    assert writer.start().epoch == EPOCH
    writer.close()

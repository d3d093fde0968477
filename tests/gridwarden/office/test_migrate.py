import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from gridwarden.errors import ConfigError
from gridwarden.model import Area, Device
from gridwarden.office import migrate as module
from gridwarden.office import schema
from gridwarden.office.database import Database
from gridwarden.office.migrate import HEAD, migrate
from gridwarden.office.registry import Office


def test_head_is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(module._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_the_tables_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    migrate(path)
    with Database(path) as database, database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        migrated = {table: defaults(connection, table) for table in schema.metadata.tables}
    with Database(tmp_path / "created.db") as database, database.write() as connection:
        schema.metadata.create_all(connection)
        assert {table: defaults(connection, table) for table in schema.metadata.tables} == migrated


def defaults(connection: Connection, table: str) -> dict[str, tuple[str, bool]]:
    return {
        column["name"]: (str(column["default"]), column["nullable"])
        for column in inspect(connection).get_columns(table)
    }


def test_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    migrate(tmp_path / "office.db")
    assert (tmp_path / "office.db").stat().st_mode & 0o777 == 0o600


def test_a_current_database_does_not_import_alembic(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    code = "import sys, pathlib; from gridwarden.office.registry import Office; Office.open(pathlib.Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    seen = [
        subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert seen == ["True", "False"]


def test_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="was made by a later version"):
        migrate(path)


def test_what_the_first_version_held_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    settings = Config()
    settings.set_main_option("script_location", str(module._MIGRATIONS))
    with Database(path) as database, database.write() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        connection.exec_driver_sql("INSERT INTO area (code, name) VALUES ('3301', '杭州')")
        connection.exec_driver_sql("INSERT INTO device (device_id, kind) VALUES ('D', 'smoke')")
    with Office.open(path) as office:
        assert office.areas() == [Area("3301", "杭州")]
        assert (office.outlines(), office.device("D")) == ([], Device("D", "smoke"))


def test_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    path.write_bytes(b"no database, but long enough to be mistaken for one" * 100)
    with pytest.raises(ConfigError, match="not an office database"):
        migrate(path)


def test_a_failing_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "office.db"
    broken = tmp_path / "migrations"
    (broken / "versions").mkdir(parents=True)
    (broken / "env.py").write_text((module._MIGRATIONS / "env.py").read_text())
    (broken / "versions" / "one.py").write_text(
        "from alembic import op\nrevision, down_revision = '0001', None\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (a)')\n    op.execute('SELECT nonsense')\n"
    )
    with monkeypatch.context() as patched:
        patched.setattr(module, "_MIGRATIONS", broken)
        with pytest.raises(Exception, match="nonsense"):
            migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == []
    migrate(path)


def test_two_at_once_both_succeed(tmp_path: Path) -> None:
    code = "import sys, pathlib; from gridwarden.office.migrate import migrate; migrate(pathlib.Path(sys.argv[1]))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "office.db")], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    results = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    assert [code for _, code in results] == [0, 0], results

"""Bringing ``office.db`` to the tables this program knows.

The check comes first and costs one query, so that a start on a current database does not even import Alembic.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gridwarden.errors import ConfigError
from gridwarden.office.database import Database

HEAD = "0002"
"""The newest revision under ``migrations/versions``; a test compares."""
_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(path: Path) -> None:
    """Create or upgrade ``office.db`` at ``path``: all of it in one transaction, or none.

    Raises:
        ConfigError: the file is no database, or was made by a later version of this program.
        OfficeUnavailable: the file cannot be written now.
    """
    refuse_later(path)
    if _revision(path) != HEAD:
        _upgrade(path)


def refuse_later(path: Path) -> None:
    """Look at the schema of the office at ``path``, read-only.

    Raises:
        ConfigError: the file is no database, or a later version of this program made it.
    """
    revision = _revision(path)
    if revision is None or any(_MIGRATIONS.glob(f"versions/rev_{revision}_*.py")):
        return
    reason = (
        f"was made by a later version of Gridwarden (schema {revision}, this one knows {HEAD}) and was not touched;"
        " run that version, or restore a backup from before the upgrade"
    )
    raise ConfigError(reason, path=path)


def _revision(path: Path) -> str | None:
    """The revision written in the file; ``None`` for a new one."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'").fetchone():
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"not an office database: {error}", path=path) from error
    return str(row[0]) if row else None


def _upgrade(path: Path) -> None:
    from alembic import command  # noqa: PLC0415 - half a second and many modules, wanted by a new version only
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with Database(path) as database, database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

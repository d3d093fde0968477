"""Opening ``records.db``: connection settings, migrations, the identity of the database."""

from __future__ import annotations

import json
import secrets
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, select
from sqlalchemy.pool import QueuePool

from gridwarden.errors import ConfigError
from gridwarden.records import schema

FILE = "records.db"
_CHECKPOINT_PAGES = 1_000
"""4 MB: about twenty commits of a full block; a checkpoint then costs milliseconds, not a stall."""
_WAL_KEPT_BYTES = 64 * 2**20
"""What a long reader made the write-ahead log grow to is given back beyond this."""
_ANCESTORS = "epoch.ancestors"
_ANCESTORS_KEPT = 50
_MIGRATIONS = Path(__file__).parent / "migrations"
_HEAD = "0009"


def connect(data: Path, *, read_only: bool = False) -> Engine:
    """An engine on the records of ``data``.

    The writer commits with synchronous=FULL in WAL mode and begins IMMEDIATE, so that it never fails half way
    for a lock, except on a connection with the execution option ``reads``, which takes no lock for itself; readers
    open the file read-only and cannot write by mistake.
    """
    # Opened by ourselves: in a database URL a path with ? or % would be taken for another one.
    uri = f"{(data / FILE).absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"

    def open_file() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, check_same_thread=False)

    engine = create_engine("sqlite://", creator=open_file, poolclass=QueuePool, pool_size=4)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's BEGIN is ours to write
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = read_only or connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def migrate(data: Path) -> None:
    """Bring the records of ``data`` to this program's schema, all of it or nothing; make them when there are none.

    Raises:
        ConfigError: a later program made them; nothing was touched.
    """
    path = data / FILE
    refuse_later(data)
    if _revision(path) == _HEAD:
        return
    from alembic import command  # noqa: PLC0415 - a current database starts without paying for it
    from alembic.config import Config  # noqa: PLC0415

    engine = connect(data)
    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
            if connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == "epoch")).scalar() is None:
                connection.execute(insert(schema.meta).values(name="epoch", value=secrets.token_hex(8)))
    finally:
        engine.dispose()


def refuse_later(data: Path) -> None:
    """Look at the schema of the records in ``data``, read-only.

    Raises:
        ConfigError: a later program made them.
    """
    path = data / FILE
    revision = _revision(path)
    if revision is None or any(_MIGRATIONS.glob(f"versions/{revision}_*.py")):
        return
    reason = (
        f"was made by a later version of Gridwarden (schema {revision}, this one knows {_HEAD}) and was not touched;"
        " run that version, or restore a backup from before the upgrade"
    )
    raise ConfigError(reason, path=path)


def _revision(path: Path) -> str | None:
    if not path.exists():
        return None
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError:  # what it is instead is told by whoever examines it
        return None
    finally:
        connection.close()
    return row[0] if row else None


def renew_epoch(connection: Connection, through: int) -> str:
    """Give the records a new identity, which is returned: what follows differs from what others may have seen.

    Who has followed them under an identity from before, and not beyond the offset ``through``, may go on; nobody else.
    """
    old = epoch(connection)
    known = {name: min(reach, through) for name, reach in ancestors(connection).items()}
    kept = dict([*known.items(), (old, through)][-_ANCESTORS_KEPT:])
    new = secrets.token_hex(8)
    for name, value in (("epoch", new), (_ANCESTORS, json.dumps(kept))):
        connection.execute(delete(schema.meta).where(schema.meta.c.name == name))
        connection.execute(insert(schema.meta).values(name=name, value=value))
    return new


def ancestors(connection: Connection) -> dict[str, int]:
    """The identities that these records had before, and up to which offset each of them still holds."""
    text = connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == _ANCESTORS)).scalar()
    found: dict[str, int] = json.loads(text or "{}")
    return found


def epoch(connection: Connection) -> str:
    """The identity of this database."""
    return str(connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == "epoch")).scalar_one())

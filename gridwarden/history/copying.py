"""A whole copy of the DuckDB history while it is written: the hot tables in one snapshot, the sealed files beside them.

Nobody waits for it: DuckDB reads its own snapshot and appends go on. A sealed file never changes, so on one disk it is
linked and takes no room.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb

from gridwarden.history import Frozen
from gridwarden.history.layout import one

SEALED = "sealed"
_PIECE = 4 * 2**20


def freeze(
    connection: duckdb.DuckDBPyConnection, catalog: str, root: Path, file: Path, hot_tables: list[str]
) -> Frozen:
    """Copy the hot part to the new ``file`` in one transaction on a cursor of its own; the sealed files as they are listed.

    Args:
        connection: in no transaction.
        catalog: the database's name in DuckDB.
        root: where the sealed files lie.
        file: made here.
        hot_tables: their rows are counted.
    """
    name = f"copy_{secrets.token_hex(4)}"
    quoted = str(file).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS {name}")
    try:
        connection.begin()
        try:
            epoch, offset = one(connection, "SELECT epoch, followed_offset FROM state")
            sealed = connection.execute("SELECT file, n FROM sealed ORDER BY file").fetchall()
            hot = sum(int(one(connection, f"SELECT count(*) FROM {table}")[0]) for table in hot_tables)  # noqa: S608
            connection.execute(f"COPY FROM DATABASE {catalog} TO {name}")
            connection.commit()
        except BaseException:
            with suppress(duckdb.Error):
                connection.rollback()
            raise
        connection.execute(f"CHECKPOINT {name}")
    finally:
        with suppress(duckdb.Error):
            connection.execute(f"DETACH {name}")
    files = tuple((root / path, f"{SEALED}/{path}") for path, _ in sealed)
    return Frozen(epoch, offset, hot + sum(n for _, n in sealed), files)


def link_or_copy(source: Path, target: Path, copied: Callable[[int], None]) -> None:
    """Have the immutable ``source`` at ``target`` as well, readable by its owner alone and durable."""
    make_private(target.parent)
    try:
        os.link(source, target)
        target.chmod(0o600)
        copied(target.stat().st_size)
    except OSError:  # another disk, or one that knows no links
        copy_file(source, target, copied)


def make_private(directory: Path) -> None:
    """Make a directory that only its owner may enter, and those above it that are missing."""
    if not directory.exists():
        make_private(directory.parent)
        directory.mkdir(mode=0o700)


def copy_file(source: Path, target: Path, copied: Callable[[int], None] = lambda _bytes: None) -> None:
    """Copy ``source`` to the new ``target``, readable by its owner alone and durable; tells the bytes as it goes on."""
    with (
        source.open("rb") as original,
        os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as copy,
    ):
        while piece := original.read(_PIECE):
            copy.write(piece)
            copied(len(piece))
        copy.flush()
        os.fsync(copy.fileno())
    shutil.copystat(source, target, follow_symlinks=False)
    target.chmod(0o600)

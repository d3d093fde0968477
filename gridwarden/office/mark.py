"""Whether ``office.db`` is what was last written: gone, emptied, malformed, or behind its mark.

Every transaction counts itself in the file's own ``user_version``, and once it is durable in ``office.mark`` beside it.
SQLite drops a torn end of its write-ahead log without a word; the difference says how many changes went with it.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from contextlib import closing
from pathlib import Path

import structlog

from gridwarden.errors import Damaged, Unavailable

FILE = "office.mark"
_CONTENT = struct.Struct("<4sQI")
_MAGIC = b"GWO1"
_RESTORE = "Restore a backup; see docs/guide/damage.md"
_log = structlog.get_logger("office")


def write(path: Path, changes: int) -> None:
    """Say beside the database at ``path`` that it has come to ``changes``. Fails softly: they are durable without it."""
    head = struct.pack("<4sQ", _MAGIC, changes)
    try:
        handle = os.open(path.with_name(FILE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, head + struct.pack("<I", zlib.crc32(head)), 0)
        finally:
            os.close(handle)
    except OSError as error:
        _log.error("office.mark cannot be written: a loss of changes could go unnoticed", error=str(error))


def examine(path: Path) -> int:
    """Look at the office at ``path`` before anything opens it; how many changes are lost.

    Raises:
        Damaged: it is gone, emptied, or not what SQLite has written.
        Unavailable: it cannot be read now.
    """
    marked = _read(path.with_name(FILE))
    if not path.exists() or not path.stat().st_size:
        if marked is not None:
            what = "it is empty" if path.exists() else "it is gone"
            raise Damaged(path, f"{what}, and {FILE} says that there was one",
                          f"{_RESTORE}. To begin anew without registry and accounts, remove {FILE} as well")  # fmt: skip
        return 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            (changes,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:  # of its surroundings: rights, disk, another process
        raise Unavailable(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(path, str(error), _RESTORE) from error
    if found != ["ok"] or (marked and not tables):
        raise Damaged(path, "; ".join(found) if found != ["ok"] else "it holds nothing", _RESTORE)
    return max(0, (marked or 0) - int(changes))


def accept(path: Path) -> None:
    """Mark the office at ``path`` as it is: what is lost was stated."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (changes,) = connection.execute("PRAGMA user_version").fetchone()
    write(path, changes)


def _read(path: Path) -> int | None:
    """What is marked; 0: nothing that can be read; ``None``: there is no mark."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) == _CONTENT.size:
        magic, changes, checksum = _CONTENT.unpack(content)
        if magic == _MAGIC and checksum == zlib.crc32(content[:-4]):
            return int(changes)
    _log.error("office.mark is damaged: whether changes were lost cannot be told")
    return 0

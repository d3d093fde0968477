"""A copy of the living records for a backup: in a thread of its own, on the connection that commits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

from gridwarden.core.committer import Committer
from gridwarden.errors import RecordsUnavailable, Refused
from gridwarden.records.copying import copy
from gridwarden.records.writer import Writer


class _BrokenOffError(Exception):
    """Whoever wanted the copy is gone, or we are about to go."""


async def copy_records(committer: Committer, writer: Writer, params: dict[str, Any]) -> dict[str, Any]:
    """Copy the records of ``writer`` to the new file ``params["path"]``, until the file is removed or we are cancelled.

    Raises:
        Refused: there is no path.
        RecordsUnavailable: the copy cannot be written, or the records not be read.
    """
    path = params.get("path")
    if not isinstance(path, str):
        raise Refused("bad_parameters", "path")
    wanted = threading.Event()
    wanted.set()
    # Asked for in the records' thread, where it is not in use: elsewhere the pool might make a second one.
    connection = await committer.read(writer.connection)
    copying = asyncio.ensure_future(asyncio.to_thread(_copy, connection, Path(path), wanted))
    try:
        await asyncio.shield(copying)
    except asyncio.CancelledError:
        wanted.clear()
        await asyncio.wait([copying])  # the writer must not be closed under it
        copying.exception()
        raise
    except _BrokenOffError as error:
        raise Refused("broken_off", path) from error
    except (sqlite3.Error, OSError) as error:
        raise RecordsUnavailable(f"{path}: {error}") from error
    return {}


def _copy(connection: sqlite3.Connection, path: Path, wanted: threading.Event) -> None:
    def progress(_done: int, _total: int) -> None:
        if not wanted.is_set() or not path.exists():
            raise _BrokenOffError

    copy(connection, path, progress)

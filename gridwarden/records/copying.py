"""A whole copy of a living SQLite database, made on the connection that writes it, a little at a time.

SQLite brings what that connection commits meanwhile into the copy as well, so nothing begins anew, no reader keeps the
write-ahead log from being emptied, and a commit waits for one small step at most. The copy is what the database is at
the last step. Measured against other ways in docs/adr/0008-backup-while-running.md.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

PAGES = 128
"""Of one step: half a megabyte, some tenths of a millisecond in which a commit would wait."""
ALL = -1
"""In one step: for a database that nobody writes much, or at all."""
PAUSE_S = 0.002
"""Between two steps."""
SYNC_BYTES = 8 * 2**20
"""Brought to the disk so often: a flood of unwritten pages would stand before the commits' own."""
Progress = Callable[[int, int], None]
"""Pages done and pages there are; what it raises breaks the copy off."""


def copy(
    source: sqlite3.Connection, path: Path, progress: Progress = lambda _done, _total: None, *, pages: int = PAGES
) -> None:
    """Copy the main database of ``source`` to the new file ``path``, durable when this returns.

    Other threads may go on working with ``source``. A ``path`` that was broken off is left to the caller to remove.

    Raises:
        sqlite3.Error: disk full, I/O error.
        OSError: ``path`` exists already or cannot be made.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        synced = 0

        def stepped(_status: int, left: int, total: int) -> None:
            nonlocal synced
            progress(total - left, total)
            if (size := os.fstat(descriptor).st_size) - synced >= SYNC_BYTES:
                os.fdatasync(descriptor)
                synced = size
            time.sleep(PAUSE_S)  # sqlite3's own pause comes only where it found the database locked

        with closing(sqlite3.connect(path, isolation_level=None)) as copied:
            copied.execute("PRAGMA journal_mode = OFF")  # a copy that was broken off is thrown away, not rolled back
            copied.execute("PRAGMA synchronous = OFF")
            source.backup(copied, pages=pages, progress=stepped, sleep=PAUSE_S)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""How a copy of living records disturbs their commits: four ways, one after the other. A program, no test.

    python tests/bench/backup_bench.py [--gib 1] [--folder DIR]

A writer commits a full block (200 kB) every 20 ms, as at some 5,000 readings a second times ten, while the copy is
made. Told are the duration of the copy, the largest write-ahead log, and the commits' latency meanwhile and in the five
seconds after it: what a long reader left in the log must be brought home by somebody.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Self

from gridwarden.records import database
from gridwarden.records.copying import copy
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer

BLOCK = 200_000
EVERY_S = 0.02
AFTER_S = 5.0
MAX_S = 20.0
"""A copy that is not over by then never will be."""


class Load:
    """Commits at full rate until it is ended."""

    def __init__(self, writer: Writer, data: Path) -> None:
        self._writer = writer
        self._wal = data / f"{database.FILE}-wal"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.commits: list[tuple[float, float]] = []
        """When it began, how long it took."""
        self.wal_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        rows = os.urandom(BLOCK)
        due = time.monotonic()
        while not self._over.is_set():
            began = time.monotonic()
            self._writer.commit(Transaction(int(time.time() * 1000), rows=rows, reading_count=1))
            self.commits.append((began, time.monotonic() - began))
            self.wal_bytes = max(self.wal_bytes, self._wal.stat().st_size)
            due = max(due + EVERY_S, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))

    def told(self, from_s: float, to_s: float) -> str:
        took = sorted(ms * 1000 for began, ms in self.commits if from_s <= began <= to_s)
        if not took:
            return "none"
        return f"p50 {took[len(took) // 2]:6.1f}  p99 {took[len(took) * 99 // 100]:7.1f}  max {took[-1]:8.1f} ms"


def nothing(_writer: Writer, _data: Path, _to: Path) -> None:
    time.sleep(5)


def reader_at_once(_writer: Writer, data: Path, to: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{data / database.FILE}?mode=ro", uri=True)) as one,
        closing(sqlite3.connect(to)) as other,
    ):
        one.backup(other)


def reader_in_steps(_writer: Writer, data: Path, to: Path) -> None:
    began = time.monotonic()

    def progress(_status: int, _left: int, _total: int) -> None:
        if time.monotonic() - began > MAX_S:
            raise TimeoutError

    with (
        closing(sqlite3.connect(f"file:{data / database.FILE}?mode=ro", uri=True)) as one,
        closing(sqlite3.connect(to)) as other,
    ):
        one.backup(other, pages=2_000, progress=progress, sleep=0.001)


def vacuum_into(_writer: Writer, data: Path, to: Path) -> None:
    with closing(sqlite3.connect(f"file:{data / database.FILE}?mode=ro", uri=True)) as one:
        one.execute("VACUUM INTO ?", (str(to),))


def writer_in_steps(writer: Writer, _data: Path, to: Path) -> None:
    copy(CONNECTIONS[writer], to)


CONNECTIONS: dict[Writer, sqlite3.Connection] = {}
"""The one that commits, asked for before anybody else uses it: while it is in use the pool would make another one."""
WAYS: list[Callable[[Writer, Path, Path], None]] = [
    nothing,
    reader_at_once,
    vacuum_into,
    reader_in_steps,
    writer_in_steps,
]


def main() -> None:
    """Measure each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=0.5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--way", choices=[way.__name__ for way in WAYS], action="append", help="only these")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        data = Path(folder)
        database.migrate(data)
        writer = Writer(data)
        writer.start()
        CONNECTIONS[writer] = writer.connection()
        while (data / database.FILE).stat().st_size < settings.gib * 2**30:
            writer.commit(Transaction(0, rows=os.urandom(4_000_000), reading_count=1))
        for way in [way for way in WAYS if not settings.way or way.__name__ in settings.way]:
            to = data / "copy.db"
            size = (data / database.FILE).stat().st_size
            with Load(writer, data) as load:
                time.sleep(2)
                began = time.monotonic()
                try:
                    way(writer, data, to)
                    over = ""
                except TimeoutError:
                    over = " and not over"
                ended = time.monotonic()
                time.sleep(AFTER_S)
            print(
                f"{way.__name__:<16} {size / 2**20:6.0f} MiB {ended - began:5.1f} s{over}  log {load.wal_bytes / 2**20:5.0f} MiB"
            )
            print(f"    meanwhile {load.told(began, ended)}")
            print(f"    after     {load.told(ended, ended + AFTER_S)}", flush=True)
            to.unlink(missing_ok=True)
        writer.close()


if __name__ == "__main__":
    main()

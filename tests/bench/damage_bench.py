"""What it costs to notice damage: the mark beside each commit, and the look through records at a start. No test.

python tests/bench/damage_bench.py [--gib 1] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gridwarden.records import database
from gridwarden.records.damage import examine
from gridwarden.records.marker import Marker
from gridwarden.records.transaction import Tally, Transaction
from gridwarden.records.writer import Writer

COMMITS = 2_000
BLOCK = 20_000


def batch(number: int, size: int = BLOCK) -> Transaction:
    """One block of so many bytes."""
    transaction = Transaction(number, rows=os.urandom(size), reading_count=100)
    transaction.tally("b", "up").stored += 100
    return transaction


def commits(data: Path, *, marked: bool) -> tuple[float, float]:
    """Median of a commit and of its mark, in microseconds."""
    spent: list[float] = []
    mark = Marker.mark

    def timed(*arguments: object) -> None:
        began = time.perf_counter()
        if marked:
            mark(*arguments)  # type: ignore[arg-type]
        spent.append(time.perf_counter() - began)

    Marker.mark = timed  # type: ignore[method-assign, assignment]
    took = []
    with closing(Writer(data)) as writer:
        writer.start()
        for number in range(COMMITS):
            made = batch(number)
            began = time.perf_counter()
            writer.commit(made)
            took.append(time.perf_counter() - began)
    Marker.mark = mark  # type: ignore[method-assign]
    return statistics.median(took) * 1e6, statistics.median(spent) * 1e6


def timed(what: str, act: Callable[[], object]) -> None:
    """Say how long it takes."""
    began = time.perf_counter()
    act()
    print(f"{what:<44} {time.perf_counter() - began:8.2f} s", flush=True)


def check(data: Path, pragma: str) -> None:
    """One of SQLite's own."""
    with closing(sqlite3.connect(data / database.FILE)) as connection:
        print(connection.execute(f"PRAGMA {pragma}").fetchone()[0], end=" ")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        data = Path(folder)
        database.migrate(data)
        for _ in range(2):
            for marked in (False, True):
                commit_us, mark_us = commits(data, marked=marked)
                print(
                    f"{'with' if marked else 'without'} a mark: a commit {commit_us:.0f} µs, of it the mark {mark_us:.1f}"
                )
        with closing(Writer(data)) as writer:
            writer.start()
            while (data / database.FILE).stat().st_size < settings.gib * 2**30:
                made = Transaction(0, rows=os.urandom(200_000), reading_count=1)
                made.tallies["b", "up", ""] = Tally()
                writer.commit(made)
        print(f"{(data / database.FILE).stat().st_size / 2**30:.2f} GiB")
        timed("quick_check", lambda: check(data, "quick_check"))
        timed("integrity_check", lambda: check(data, "integrity_check"))
        timed("start after a clean stop", lambda: examine(data))
        (data / "records.mark").unlink()
        timed("start after another stop", lambda: examine(data))


if __name__ == "__main__":
    main()

"""How fast the shipped rules are back-tested on one core, and how much memory that takes. Prints figures.

``python tests/bench/backtest_bench.py [--readings 5000000] [--directory DIR]``; for the full form ``--readings 100000000``
(1.5 GB of disk, 10 minutes). Everything made is removed. The yardstick is DuckDB alone, which reads the same columns of
the same files and adds them up. On a machine with other work the clock says little; the processor time says it.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import duckdb

from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.past import Past
from gridwarden.history.snapshots import Snapshot
from gridwarden.model import Device
from rules.afterwards import Afterwards
from rules.backtest import Backtest, fields_of
from rules.episodes import Collector
from rules.load import PACKS, load
from rules.readings import Texts
from tests.bench.district_history import DAY_MS, START_MS, District, write


def one_core() -> None:
    """Whatever runs here runs on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peak_mb() -> float:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def yardstick(snapshot: Snapshot, fields: dict[str, tuple[str, ...]]) -> float:
    """Rows per second of processor time that DuckDB reads and looks through."""
    connection = duckdb.connect(config={"threads": "1", "memory_limit": "256MB"})
    begun = time.process_time()
    for part in snapshot.parts:
        columns = ["device_key", "occurred_at", "seq", "rx_delay_ms", "flags", *fields[part.table]]
        sums = ", ".join(f"max({name})" for name in columns)
        files = [str(snapshot.directory / file) for file in part.files]
        sql = f"SELECT {sums} FROM read_parquet($files, union_by_name = true)"  # noqa: S608
        connection.execute(sql, {"files": files}).fetchall()
    return snapshot.rows / (time.process_time() - begun)


def measure(history: DuckDBHistory, district: District, days: int) -> None:
    """Back-test everything and print."""
    rules = load([PACKS])
    fields = {kind: names for kind, names in fields_of([rules]).items() if kind != "public_lift"}
    devices = {device_id: Device(device_id, kind) for _, device_id, kind, _ in district.names()}
    snapshot = history.snapshot(fields, START_MS, START_MS + days * DAY_MS)
    history.close()
    gc.collect()
    before = yardstick(snapshot, fields)
    told = Collector()
    past = Past(snapshot, fields)
    texts = Texts(past.codes, past.gateways)
    afterwards = Afterwards(rules, devices, told.hear)
    backtest = Backtest(rules, devices, texts, afterwards.hear)
    reading_s, begun, begun_cpu = 0.0, time.perf_counter(), time.process_time()
    chunks = past.chunks()
    while True:
        before_read = time.perf_counter()
        chunk = next(chunks, None)
        reading_s += time.perf_counter() - before_read
        if chunk is None:
            break
        backtest.take(chunk)
    backtest.finish(START_MS + days * DAY_MS)
    afterwards.finish(START_MS + days * DAY_MS)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
    episodes = told.episodes()
    after = yardstick(snapshot, fields)
    rate, stick = snapshot.rows / seconds, (before + after) / 2
    per_cpu_s = snapshot.rows / cpu_s
    print(f"{snapshot.rows:,} readings of {len(devices):,} devices in {days} days, {len(rules)} rules, one core")
    print(f"back-test: {rate:,.0f} readings/s by the clock; {reading_s / seconds:.0%} of it reading files")
    print(f"back-test: {per_cpu_s:,.0f} readings per second of processor time, {1e6 / per_cpu_s:.2f} us each")
    print(f"shown to the engine: {backtest.shown:,} readings ({backtest.shown / snapshot.rows:.2%})")
    print(f"in breach of some rule: {backtest.stirring:,} readings ({backtest.stirring / snapshot.rows:.2%})")
    print(f"episodes: {len(episodes):,}")
    print(
        f"yardstick, DuckDB over the same columns: {before:,.0f} and {after:,.0f} rows per second of it; ratio {per_cpu_s / stick:.2f}"
    )
    print(f"memory at its highest: {peak_mb():.0f} MB")


def make(directory: Path, readings: int) -> int:
    """Fill a history; in a process of its own, whose memory does not count. The number of days."""
    one_core()
    history = DuckDBHistory(directory, memory_limit="512MB")
    days = write(history, district_of(readings), readings)
    history.close()
    return days


def district_of(readings: int) -> District:
    """One that needs three days at least for so many readings, and has the size of the made-up city at most."""
    return District(min(1.0, readings / 3_400_000 / 3))


def main() -> None:
    """Make the history, back-test it, remove it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=5_000_000)
    parser.add_argument("--directory", type=Path)
    arguments = parser.parse_args()
    one_core()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        path, begun = Path(directory) / "history", time.perf_counter()
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as maker:
            days = maker.submit(make, path, arguments.readings).result()
        print(f"made in {time.perf_counter() - begun:.0f} s", flush=True)
        measure(DuckDBHistory(path, memory_limit="256MB"), district_of(arguments.readings), days)


if __name__ == "__main__":
    main()

"""How fast the embedded history takes readings, seals them and gives one device's day back. Prints figures.

``python tests/bench/history_bench.py [--rows 5000000] [--directory DIR]``; no test, the machine decides the figures.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.model import Reading

DAY_MS = 86_400_000
START_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
DEVICES = 30_000


def readings(rows: int) -> Iterator[Reading]:
    """One day of hydrants, smoke detectors and lifts, seven values each, in order of arrival."""
    rng = random.Random(7)
    for number in range(rows):
        device = number % DEVICES
        at_ms = START_MS + number * DAY_MS // rows
        common = {"battery_pct": 90.5, "rsrp_dbm": -80 - device % 20, "tamper": False}
        if device % 3 == 0:
            values = {"pressure_mpa": round(rng.gauss(0.35, 0.02), 3), "flow_lps": 0.0, "tilt_deg": 1.5, "leak": False}
            kind = "hydrant"
        elif device % 3 == 1:
            values = {"state": "normal", "smoke_dbm": round(rng.random() / 10, 3), "temperature_c": 21.5,
                      "alarm_count": 3}  # fmt: skip
            kind = "smoke"
        else:
            values = {"floor": rng.randrange(30), "door": "closed", "speed_mps": round(rng.random() * 2, 2),
                      "trips": number}  # fmt: skip
            kind = "lift"
        yield Reading(f"{kind}-{device:06d}", kind, f"gw-{device % 300}", at_ms, at_ms + rng.randrange(20, 400),
                      number // DEVICES, rng.getrandbits(64), True, common | values)  # fmt: skip


def append_all(history: DuckDBHistory, rows: int, block: int, first_offset: int) -> int:
    """Append ``rows`` readings in blocks and print the rate; the last offset."""
    source = readings(rows)
    times: list[float] = []
    offset = first_offset
    while batch := [r for _, r in zip(range(block), source, strict=False)]:
        offset += 1
        begun = time.perf_counter()
        history.append(batch, offset, batch[-1].received_at_ms)
        times.append(time.perf_counter() - begun)
    per_block = sorted(times)
    print(
        f"append in blocks of {block:,}: {rows / sum(times):,.0f} rows/s;"
        f" a block p50 {1000 * statistics.median(times):.0f} ms, worst {1000 * per_block[-1]:.0f} ms"
    )
    return offset


def timed(what: str, read: Callable[[str], object], devices: list[str]) -> None:
    """Print the median and the worst time of ``read`` over ``devices``."""
    times = []
    for device in devices:
        begun = time.perf_counter()
        read(device)
        times.append(1000 * (time.perf_counter() - begun))
    print(f"{what}: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")


def reads(history: DuckDBHistory, state: str) -> None:
    """Print what one device's day costs to read."""
    devices = [f"hydrant-{n:06d}" for n in range(0, 3000, 150)]
    end_ms = START_MS + DAY_MS
    timed(
        f"{state}, a device's day raw", lambda d: history.series(d, "pressure_mpa", START_MS, end_ms, 100_000), devices
    )
    timed(
        f"{state}, a device's day in 5 min",
        lambda d: history.buckets(d, "pressure_mpa", START_MS, end_ms, 300_000),
        devices,
    )
    timed(f"{state}, a device's last reading", history.latest, devices)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--directory", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        path = Path(directory) / "history"
        history = DuckDBHistory(path)
        history.begin("bench")
        offset = append_all(history, arguments.rows // 10, 10_000, 0)
        append_all(history, arguments.rows * 9 // 10, 60_000, offset)
        reads(history, "hot")
        begun = time.perf_counter()
        report = history.seal(START_MS + DAY_MS)
        seconds = time.perf_counter() - begun
        size = sum(file.stat().st_size for file in path.glob("sealed/*/*"))
        print(f"seal {report.rows:,} rows to {report.files} files: {seconds:.1f} s, {size / report.rows:.1f} B a row")
        reads(history, "sealed")
        begun = time.perf_counter()
        history.counts()
        print(f"recount per device: {time.perf_counter() - begun:.2f} s")
        history.close()
    print(f"memory at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()

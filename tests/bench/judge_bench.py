"""What a reading costs core, in microseconds, by part. Prints; asserts nothing.

``python tests/bench/judge_bench.py``: 2,000 lift messages of one reading each, 20 rounds, the shipped rules.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gridwarden.cases.book import CaseBook
from gridwarden.clock import SystemClock
from gridwarden.core.judge import Judge
from gridwarden.core.windows import Windows
from gridwarden.model import Device, Reading
from gridwarden.records import block
from ingest import intake
from ingest.session import Lane, Message
from rules.engine import Engine
from rules.load import load

LIFTS = 2_000
ROUNDS = 20
BOUNDS = intake.Bounds(256 * 1024, 300_000, None)


class _Source:
    """As much of a session as a message needs."""

    name = "bench/up"
    broker = "bench"
    lane = Lane.TELEMETRY


def messages(number: int, at_ms: int) -> list[Message]:
    """One reading of each lift."""
    session = _Source()
    return [
        Message(
            f"gridwarden/v1/gw{lift % 50}/up",
            json.dumps(
                {"device": f"LIFT-{lift:06d}", "at": at_ms - 40, "seq": number, "values": {
                    "mode": "normal", "motion": "running", "direction": "up", "floor": (number + lift) % 30,
                    "door": "closed", "door_zone": False, "speed_mps": 1.75, "occupied": lift % 3 == 0}}
            ).encode(),
            at_ms, lift % 65_535 + 1, 1, 1, session,  # type: ignore[arg-type]
        )
        for lift in range(LIFTS)
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    rules = load((), shipped_packs=True)
    devices = {
        f"LIFT-{lift:06d}": Device(f"LIFT-{lift:06d}", "lift", gateway=f"gw{lift % 50}") for lift in range(LIFTS)
    }
    judge = Judge(rules, Engine(rules), CaseBook("Asia/Shanghai"), Windows(), SystemClock(), BOUNDS)
    judge.devices = devices
    clock = SystemClock()
    best: dict[str, float] = {}
    for number in range(ROUNDS):
        batch = messages(number, clock.now_ms())
        readings: list[Reading] = []
        gc.collect()
        _keep(best, "decode", lambda b=batch, r=readings: r.extend(_decode(b, judge)))  # type: ignore[misc]
        _keep(best, "rows_json", lambda r=readings: block.rows_json(r))  # type: ignore[misc]
        _keep(best, "batch, all of it", lambda b=batch: judge.batch(b))  # type: ignore[misc]
    best["judge"] = best["batch, all of it"] - best["decode"] - best["rows_json"]
    lines = [f"{LIFTS} readings a batch, best of {ROUNDS} rounds; judge is the rest of the batch"]
    lines += [
        f"{name:18} {best[name]:6.2f} us a reading" for name in ("decode", "judge", "rows_json", "batch, all of it")
    ]
    print("\n".join(lines))


def _decode(batch: list[Message], judge: Judge) -> list[Reading]:
    readings: list[Reading] = []
    for message in batch:
        readings += intake.read(message, "bench", judge.devices, judge.clock, BOUNDS).readings
    return readings


def _keep(best: dict[str, float], name: str, work: Callable[[], object]) -> None:
    begun = time.perf_counter()
    work()
    cost_us = (time.perf_counter() - begun) / LIFTS * 1e6
    best[name] = min(cost_us, best.get(name, cost_us))


if __name__ == "__main__":
    main()

"""What core keeps in memory for a large district, and how long a snapshot of it and a restart take.

``python tests/bench/state_bench.py [DEVICES] [--json]``: lifts with 40 rules of every type each, 64 dedup keys remembered
per device, one alarm in a hundred devices firing, each shard snapshotted and restored as core does it. Memory is what
the process holds after less what it held before (resident, after a collection). Exit 1 above 300 MB or 5 s.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gridwarden.core.windows import SHARDS, Windows
from gridwarden.model import Device, Reading
from rules.engine import Engine
from rules.load import read_rules
from rules.rule import RuleSet

RULES, KEYS = 40, 64
MEMORY_LIMIT_MB, TIME_LIMIT_S = 300, 5
START_MS = 1_800_000_000_000
PLAIN = {"name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "low", "category": "fault"}
SHAPES: tuple[dict[str, Any], ...] = (
    {"when": "floor > LIMIT and mode == 'normal'"},
    {"when": "floor > LIMIT", "for": "10m"},
    {"when": "floor > LIMIT", "count": 3, "within": "10m"},
    {"first": "occupied and floor > LIMIT", "when": "floor > LIMIT", "within": "10m"},
    {"when": "rate_per_min(floor) > 500"},
    {"when": "changed(door) and floor > LIMIT", "flapping": {"count": 3, "within": "1h", "quiet": "10m"}},
    {"when": "floor > LIMIT", "levels": [{"severity": "high", "when": "floor > 90"}]},
    {"when": "speed_mps > 9 or (motion == 'running' and door == 'open')"},
)


def rule_set() -> RuleSet:
    """Forty rules for lifts, five of each shape."""
    written = []
    for number in range(RULES):  # only those of the first round are in breach at the end
        shape = dict(SHAPES[number % len(SHAPES)])
        limit = 30 + 10 * (number // len(SHAPES))
        written.append({**PLAIN, "id": f"lift.r{number}", **_limited(shape, limit)})
    return RuleSet(tuple(read_rules({"kind": "lift", "rules": written})))


def _limited(shape: dict[str, Any], limit: int) -> dict[str, Any]:
    return {key: text.replace("LIMIT", str(limit)) if isinstance(text, str) else text for key, text in shape.items()}


def resident_mb() -> float:
    """What this process holds now."""
    gc.collect()
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def reading(device: int, number: int) -> Reading:
    """The ``number``-th of a device; one device in a hundred is in breach of its rules at the end."""
    values = {
        "floor": 35 if number == KEYS and device % 100 == 0 else number % 20, "door": ("open", "closed")[number % 2],
        "motion": "stopped", "speed_mps": 0.0, "mode": "normal", "occupied": number % 3 == 0,
    }  # fmt: skip
    at_ms = START_MS + number * 60_000 + device % 1000
    return Reading(f"LIFT-{device:06d}", "lift", f"gw-{device // 50:05d}", at_ms, at_ms, number, device << 8 | number, True,
                   values)  # fmt: skip


def main(count: int) -> dict[str, float]:
    """Fill, judge, snapshot, restore."""
    rules = rule_set()
    before_mb = resident_mb()
    engine, windows = Engine(rules), Windows()
    windows.rated = rules.rated
    alarms = {}
    for number in range(KEYS + 1):
        for device in range(count):
            one = reading(device, number)
            window = windows.get(one)
            windows.observe(window, one)
            if number == KEYS:
                known = Device(one.device_id, "lift")
                alarms.update({told.alarm.alarm_id: told.alarm for told in engine.decide(one, window, known)})
    state_mb = resident_mb() - before_mb
    started = time.perf_counter()
    shards = [windows.snapshot() for _ in range(SHARDS)]
    snapshot_s = time.perf_counter() - started
    active = [alarm for alarm in alarms.values() if engine.active(alarm.alarm_id)]
    del windows, engine
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    again, engine = Windows(), Engine(rules)
    for shard in shards:
        again.load(shard.shard, 1, shard.body)
    engine.restore(active)
    restore_s = time.perf_counter() - started
    if len(again) != count:
        msg = f"{len(again)} windows came back of {count}"
        raise AssertionError(msg)
    return {
        "devices": count, "rules": RULES, "active_alarms": len(active), "state_mb": round(state_mb, 1),
        "snapshot_s": round(snapshot_s, 2), "longest_shard_ms": round(1000 * snapshot_s / SHARDS, 1),
        "restore_s": round(restore_s, 2), "stored_mb": round(sum(len(shard.body) for shard in shards) / 2**20, 1),
    }  # fmt: skip


if __name__ == "__main__":
    numbers = [word for word in sys.argv[1:] if word.isdecimal()]
    facts = main(int(numbers[0]) if numbers else 100_000)
    if "--json" in sys.argv:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:<18}{value:>12,}")
    sys.exit(
        facts["state_mb"] > MEMORY_LIMIT_MB or facts["snapshot_s"] > TIME_LIMIT_S or facts["restore_s"] > TIME_LIMIT_S
    )

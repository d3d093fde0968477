"""What it costs to know who is silent, in time of the processor. Prints; asserts nothing.

``python tests/bench/absence_bench.py [DEVICES]``: 60,000 devices on 1,200 gateways, the shipped rules, a quarter of them
never heard; then a day in which each says something every half hour, looked at every second, and an outage of all.
"""

from __future__ import annotations

import gc
import random
import sys
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gridwarden.model import Device, Reading
from rules.listening import Listener
from rules.load import load
from rules.roster import NEVER

START_MS = 1_800_000_000_000
EVERY_S = 1800
KINDS = ("smoke", "hydrant", "lift")


def main(count: int) -> None:
    """Measure and print."""
    rules, dice = load((), shipped_packs=True), random.Random(1)
    attributes = {"interval_s": EVERY_S}
    devices = {
        f"DEV-{n:06d}": Device(
            f"DEV-{n:06d}", KINDS[n % 3], "330106001", gateway=f"gw{n % (count // 50)}", attributes=attributes
        )
        for n in range(count)
    }
    heard = {name: START_MS - dice.randrange(EVERY_S * 1000) for name in devices if dice.random() < 0.75}
    gc.collect()
    tracemalloc.start()
    listener = Listener(rules, lambda name: heard.get(name, NEVER))
    listener.look(START_MS, START_MS, devices, {"b": True})
    gc.collect()
    print(f"{tracemalloc.get_traced_memory()[0] / count:8.1f} bytes a device")
    tracemalloc.stop()

    began = time.process_time()
    Listener(rules, lambda name: heard.get(name, NEVER)).look(START_MS, START_MS, devices, {"b": True})
    print(f"{(time.process_time() - began) * 1000:8.1f} ms to plan them all at the start")

    names = [name for name in devices if name in heard]
    dice.shuffle(names)
    spent_heard = spent_looks = longest_ms = 0.0
    readings = looks = told = 0
    for second in range(1, 6 * 3600):
        now_ms = START_MS + second * 1000
        speaking = [] if 4 * 3600 < second < 5 * 3600 else names[second % EVERY_S :: EVERY_S]
        batch = [
            Reading(name, "smoke", devices[name].gateway or "", now_ms, now_ms, None, 0, True, {}) for name in speaking
        ]
        before = [heard[name] for name in speaking]
        began = time.process_time()
        for reading, before_ms in zip(batch, before, strict=True):
            listener.heard(reading, before_ms)
        between = time.process_time()
        for name in speaking:
            heard[name] = now_ms
        told += len(listener.look(now_ms, now_ms, devices, {"b": True}))
        ended = time.process_time()
        spent_heard += between - began
        spent_looks += ended - between
        longest_ms = max(longest_ms, (ended - between) * 1000)
        readings += len(batch)
        looks += 1
    print(f"{spent_heard / readings * 1e6:8.2f} us a reading, {spent_looks / looks * 1e6:.0f} us a look (one a second), "
          f"the longest {longest_ms:.1f} ms; {told} changes of alarms of {readings:,} readings")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000)

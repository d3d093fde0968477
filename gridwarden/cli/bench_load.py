"""What both sides of ``gridwarden bench`` share: the load, let on by what has been taken, and what the processes cost.

The load may only be a few thousand readings ahead of whoever takes them, so what is measured is what can be kept up:
the backlog cannot grow.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gridwarden.errors import Unavailable
from simulators.load import Account, Plan

AHEAD = 10_000
"""Readings published and not yet taken, at most: a third of a second's worth at 30,000/s, so that nobody runs dry between two looks."""
WATCH_S = 0.05
HARDLY = 500
WARM_UP_S = 3.0
STOP_TIMEOUT_S = 60.0
Taken = Callable[[], Awaitable[int]]
"""How many readings have been taken since the phase began."""
Tell = Callable[[float, str], None]
"""Told how far a phase is, from 0 to 1, and a note."""


class LoadProcess:
    """``simulators.load`` at work."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.account = Account()
        self._telling = asyncio.create_task(self._hear(), name="bench-load")

    async def _hear(self) -> None:
        while line := await self.process.stdout.readline():  # type: ignore[union-attr]
            self.account = Account(**json.loads(line))

    def allow(self, readings: int) -> None:
        """Let it go on until it has published this many.

        Raises:
            Unavailable: it has ended.
        """
        if self._telling.done():
            raise Unavailable("the load ended before its time; its last words stand above")
        self.process.stdin.write(b"%d\n" % readings)  # type: ignore[union-attr]

    async def finish(self) -> Account:
        """Stop it and wait until everything it published is acknowledged by the broker.

        Raises:
            Unavailable: it was not.
        """
        self.process.stdin.close()  # type: ignore[union-attr]
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await self._telling
            await self.process.wait()
        if not self.account.done:
            raise Unavailable("not everything published was acknowledged; the reason stands above")
        return self.account


@asynccontextmanager
async def child(module: str, first_line: Mapping[str, Any]) -> AsyncIterator[Process]:
    """``python -m module``, told one line of JSON; ended with the block."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdin=PIPE, stdout=PIPE)
    try:
        process.stdin.write(json.dumps(first_line).encode() + b"\n")  # type: ignore[union-attr]
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def loading(plan: Plan) -> AsyncIterator[LoadProcess]:
    """The load, waiting to be let on."""
    async with child("simulators.load", plan.model_dump()) as process:
        yield LoadProcess(process)


@dataclass(slots=True)
class Kept:
    """What was kept up for some time."""

    readings: int = 0
    seconds: float = 0.0
    per_second_median: float = 0.0
    """Of the whole seconds: apart from the mean where something else disturbed the machine."""
    ahead_min: int = AHEAD
    """Fewest readings seen published and not yet taken."""
    ahead_max: int = 0
    dry: float = 0.0
    """Share of the looks at which there were hardly any: then the load was what limited the rate."""
    cores: dict[str, float] = field(default_factory=dict)
    """Share of a core that each process took; ``others`` is what the machine did besides."""
    us_per_reading: dict[str, float] = field(default_factory=dict)
    """The same per reading: what is left to compare where others keep the machine busy."""
    published: int = 0

    @property
    def per_second(self) -> float:
        """Readings a second, over all of it."""
        return self.readings / self.seconds if self.seconds else 0.0

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "per_second": round(self.per_second, 1)}


async def keep_up(load: LoadProcess, taken: Taken, seconds: float, pids: Mapping[str, int], tell: Tell) -> Kept:
    """Let the load on as readings are taken, for ``seconds`` after a warm-up; the load is still running afterwards."""
    loop = asyncio.get_running_loop()
    kept = Kept()
    pids = {**pids, "load": load.process.pid, "bench": os.getpid()}
    began_s = loop.time()
    dry = 0
    samples: list[tuple[float, int]] = []
    before: dict[str, float] = {}
    while not samples or samples[-1][0] - samples[0][0] < seconds:
        count, now_s = await taken(), loop.time()
        load.allow(count + AHEAD)
        if now_s - began_s >= WARM_UP_S:
            before = before or cpu_seconds(pids)
            samples.append((now_s, count))
            ahead = load.account.published - count
            kept.ahead_min, kept.ahead_max = min(kept.ahead_min, ahead), max(kept.ahead_max, ahead)
            dry += ahead < HARDLY
            done_s = now_s - samples[0][0]
            tell(done_s / seconds, f"{(count - samples[0][1]) / (done_s or 1):,.0f}/s")
        await asyncio.sleep(WATCH_S)
    kept.dry = round(dry / len(samples), 3)
    kept.seconds = samples[-1][0] - samples[0][0]
    kept.readings = samples[-1][1] - samples[0][1]
    kept.per_second_median = round(statistics.median(per_second(samples)), 1)
    kept.cores = shares(before, cpu_seconds(pids), loop.time() - samples[0][0])
    kept.us_per_reading = {name: round(cores * 1e6 / (kept.per_second or 1), 1) for name, cores in kept.cores.items()}
    return kept


def per_second(samples: list[tuple[float, int]]) -> list[float]:
    """The rates of stretches of at least a second each (one at least)."""
    rates: list[float] = []
    at_s, count = samples[0]
    for now_s, now_count in samples[1:]:
        if now_s - at_s >= 1.0:
            rates.append((now_count - count) / (now_s - at_s))
            at_s, count = now_s, now_count
    last_s, last_count = samples[-1]
    return rates or [(last_count - samples[0][1]) / ((last_s - samples[0][0]) or 1.0)]


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor time each process has taken so far, and ``machine``, the whole of it; empty where /proc is not."""
    ticks_s = 1 / os.sysconf("SC_CLK_TCK")
    found: dict[str, float] = {}
    for name, pid in pids.items():
        fields = _proc(f"{pid}/stat").rpartition(")")[2].split()
        if fields:
            found[name] = (int(fields[11]) + int(fields[12])) * ticks_s
    machine = _proc("stat").partition("\n")[0].split()[1:]
    if machine:
        user, nice, system, _idle, _wait, *interrupts = (int(ticks) for ticks in machine[:7])
        found["machine"] = (user + nice + system + sum(interrupts)) * ticks_s
    return found


def shares(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Cores taken between two looks of :func:`cpu_seconds`."""
    cores = {name: round((after[name] - before[name]) / seconds, 3) for name in before.keys() & after.keys()}
    if "machine" in cores:
        machine = cores.pop("machine")
        cores["others"] = round(max(0.0, machine - sum(cores.values())), 3)
    return dict(sorted(cores.items()))


def memory_mb(pids: Mapping[str, int]) -> dict[str, float]:
    """Resident memory of each process, where /proc tells it."""
    found: dict[str, float] = {}
    for name, pid in pids.items():
        for line in _proc(f"{pid}/status").splitlines():
            if line.startswith("VmRSS:"):
                found[name] = round(int(line.split()[1]) / 1024, 1)
    return found


def _proc(name: str) -> str:
    try:
        return (Path("/proc") / name).read_text()
    except OSError:
        return ""

"""Fuzzes every target in turn for a time, or until so many inputs were tried: ``make fuzz ARGS="--minutes 10"``.

First with inputs of our own making, then with coverage as the guide (``--guided``), then a running instance against its own
description (``--described``); the last two need the packages of ``requirements-fuzz.lock``, which ``make fuzz`` installs.
Ends with 1 where an input raised what its target does not declare, took too long, or memory grew. Such an input is kept in
``tests/fuzz/found/``, from where the tests play it again.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import hashlib
import json
import logging
import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog

from tests.fuzz.described import Described, describe
from tests.fuzz.guided import Guided, guide
from tests.fuzz.mutate import Mutator
from tests.fuzz.target import FOUND, Target
from tests.fuzz.targets import targets

SLICE_S = 0.5
"""How long one target is fuzzed before it is the next one's turn."""
SLOW_S = 1.0
"""More processor time for one input is a fault."""
SLICE_INPUTS = 2_000
"""So that the quick ones are not nearly all there is."""
HANG_S = 120
"""A slice that lasts longer ends the program, with all its threads' stacks."""
WARM_SHARE = 0.4
"""Of the run: what memory is by then is where growth is measured from."""
GROWTH_LIMIT_MB = 20.0
"""As much as the fuzzer itself may keep: 25 targets with 100 inputs of 8 KiB each."""
KEPT_EACH = 5
"""Inputs kept for one target; many that fail in one place fail for one reason."""


@dataclass
class Row:
    """What is known of one target so far."""

    name: str
    inputs: int = 0
    seconds: float = 0.0
    outcomes: int = 0
    slowest_ms: float = 0.0
    errors: int = 0
    too_slow: int = 0
    kept: list[str] = field(default_factory=list)


class Fuzzer:
    """One target with its mutator, a slice at a time."""

    def __init__(self, target: Target, seed: str) -> None:
        self._target = target
        self._mutator = Mutator(target, seed)
        self._places: set[str] = set()
        self.row = Row(target.name)

    def slice(self, until: float, inputs: int) -> None:
        """Go on until a time or so many inputs."""
        row, started = self.row, time.monotonic()
        until = min(until, started + SLICE_S)
        for _ in range(inputs):
            self._one(self._mutator.make())
            if time.monotonic() > until:
                break
        row.seconds += time.monotonic() - started
        row.outcomes = self._mutator.outcomes

    def _one(self, data: bytes) -> None:
        row, used_s = self.row, -time.process_time()
        row.inputs += 1
        try:
            self._mutator.learn(data, self._target.feed(data))
        except Exception as error:  # noqa: BLE001 - what else is looked for
            row.errors += 1
            self._keep(data, _place(error))
        used_s += time.process_time()
        if used_s > SLOW_S and (used_s := self._again_s(data)) > SLOW_S:
            row.too_slow += 1
            self._keep(data, f"{used_s:.1f} s")
        row.slowest_ms = max(row.slowest_ms, used_s * 1000)

    def _again_s(self, data: bytes) -> float:
        """Once more: what took long may have been somebody else's."""
        started_s = time.process_time()
        with contextlib.suppress(Exception):  # it was counted
            self._target.feed(data)
        return time.process_time() - started_s

    def _keep(self, data: bytes, why: str) -> None:
        if why in self._places or len(self.row.kept) >= KEPT_EACH:
            return
        self._places.add(why)
        folder = FOUND / self.row.name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha256(data).hexdigest()[:12]
        path.write_bytes(data)
        self.row.kept.append(f"{path}: {why}")


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return f"{type(error).__name__} {str(error)[:80]} at {' '.join(f'{Path(frame.filename).name}:{frame.lineno}' for frame in frames)}"


def resident_mb() -> float:
    """Memory of this process that is in use, after everything that can be let go was."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Report:
    """What a run came to."""

    seed: str
    rows: list[Row]
    minutes: float = 0.0
    start_mb: float = 0.0
    warm_mb: float = 0.0
    end_mb: float = 0.0
    guided: list[Guided] = field(default_factory=list)
    described: list[Described] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """All of them."""
        return sum(row.inputs for row in self.rows)

    @property
    def growth_mb(self) -> float:
        """Of memory since it was warm."""
        return self.end_mb - self.warm_mb if self.warm_mb else 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        made = not any(row.errors or row.too_slow for row in self.rows) and self.growth_mb < GROWTH_LIMIT_MB
        return made and not any(one.failed for one in (*self.guided, *self.described))

    def text(self) -> str:
        """As a table."""
        lines = [
            "| target | inputs | outcomes | seconds | slowest, ms | errors | too slow |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.name} | {row.inputs:,} | {row.outcomes} | {row.seconds:.0f} | {row.slowest_ms:.0f} | {row.errors} | {row.too_slow} |"
            for row in self.rows
        ]
        lines.append(
            f"\n{self.inputs:,} inputs in {self.minutes:.1f} min, seed {self.seed}; memory {self.start_mb:.0f} MB at the start, "
            f"{self.warm_mb:.0f} MB warm, {self.end_mb:.0f} MB at the end"
        )
        lines += [f"found: {kept}" for row in self.rows for kept in row.kept]
        for title, others in (("guided by coverage", self.guided), ("against its description, as", self.described)):
            lines += [f"{title} {one.name}: {one.inputs:,} inputs{', FAILED' if one.failed else ''}" for one in others]
            lines += [one.said for one in others if one.failed]
        return "\n".join(lines)


def run(fuzzers: list[Fuzzer], report: Report, *, minutes: float, inputs: int) -> None:
    """All in turn; each ends for itself after its share of ``inputs`` where no time is given."""
    started = time.monotonic()
    until = started + minutes * 60 if minutes else float("inf")
    report.start_mb = resident_mb()
    while time.monotonic() < until and (not inputs or report.inputs < inputs):
        for fuzzer in fuzzers:
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            fuzzer.slice(until, SLICE_INPUTS)
        done = max(
            (time.monotonic() - started) / (minutes * 60) if minutes else 0, report.inputs / inputs if inputs else 0
        )
        if not report.warm_mb and done > WARM_SHARE:
            report.warm_mb = resident_mb()
    faulthandler.cancel_dump_traceback_later()
    report.end_mb, report.minutes = resident_mb(), (time.monotonic() - started) / 60


def main() -> int:
    """See the module."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=0.0, help="how long; default: until --inputs")
    arguments.add_argument(
        "--inputs", type=int, default=0, help="how many at least; default 1000000 where no time is given"
    )
    arguments.add_argument("--only", default="", help="targets, with commas")
    arguments.add_argument("--seed", default=str(int(time.time())), help="the same one makes the same inputs")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument(
        "--guided", type=float, default=0.0, help="minutes with coverage as the guide, all targets together"
    )
    arguments.add_argument(
        "--described", type=int, default=0, help="examples per operation and phase, against the API's description"
    )
    given = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )
    chosen = given.only.split(",") if given.only else list(targets())
    fuzzers = [Fuzzer(targets()[name], given.seed) for name in chosen]
    report = Report(given.seed, [fuzzer.row for fuzzer in fuzzers])
    run(fuzzers, report, minutes=given.minutes, inputs=given.inputs or (0 if given.minutes else 1_000_000))
    if given.guided:
        pure = [name for name in chosen if targets()[name].pure]
        report.guided = [guide(name, given.guided * 60 / len(pure)) for name in pure]
    if given.described:
        report.described = describe(given.described, 1)
    facts = {**asdict(report), "inputs": report.inputs, "growth_mb": report.growth_mb, "ok": report.ok}
    print(json.dumps(facts, indent=1) if given.json else report.text(), flush=True)
    os._exit(0 if report.ok else 1)  # the application's thread has nothing to finish


if __name__ == "__main__":
    sys.exit(main())

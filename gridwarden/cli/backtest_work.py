"""The work behind ``gridwarden rules backtest``: it gets a part of the history and judges it in this process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from rich.progress import Progress, TaskID

from gridwarden.app import Installation
from gridwarden.cli.local import api
from gridwarden.cli.output import bar, busy
from gridwarden.clock import rfc3339
from gridwarden.errors import ConfigError, Unavailable
from gridwarden.history import snapshots
from gridwarden.history.past import Past
from gridwarden.history.snapshots import Snapshot
from gridwarden.model import Device
from gridwarden.office.snapshot import read_registry
from rules.afterwards import Afterwards
from rules.backtest import Backtest, fields_of
from rules.episodes import Collector
from rules.readings import Texts
from rules.rule import RuleSet
from rules.trial import Extent, Result, trial
from rules.written import Late

_POLITE = 10
"""How much the work gives way to an instance that runs on the same machine (as ``nice`` counts)."""


async def backtest(
    here: Installation, rule_sets: Sequence[RuleSet], interval: tuple[int, int], warm_up_ms: int = 0
) -> Result:
    """Judge the interval by the first rule set, and for comparison by the second if there is one.

    ``warm_up_ms``: begin so long before, so that what stands at the beginning of the interval is known and not news.

    Raises:
        ConfigError: there is nothing to try, or nothing to try it on.
        Unavailable: the history cannot be had.
    """
    correcting = {rule.id for rules in rule_sets for rule in rules if rule.enabled and rule.late is Late.CORRECT}
    if correcting:
        raise ConfigError(
            f"{', '.join(sorted(correcting))}: late: correct cannot be tried on the past, where late readings are"
            " judged as they came; leave it out for the back-test",
            place="--rules",
        )
    fields = fields_of(rule_sets)
    if not fields:
        raise ConfigError(
            "no enabled rule among them looks at a single device: there is nothing to try", place="--rules"
        )
    from_ms, to_ms = interval
    snapshot = await _snapshot(here, sorted(fields), (max(0, from_ms - warm_up_ms), to_ms))
    stop = threading.Event()
    try:
        devices = read_registry(here.config.data / "office.db").devices
        return await asyncio.to_thread(_judge, snapshot, from_ms, rule_sets, fields, devices, stop)
    finally:
        stop.set()
        snapshot.remove()


async def _snapshot(here: Installation, kinds: list[str], interval: tuple[int, int]) -> Snapshot:
    """Ask whoever has the history open, which may be ourselves; it is not held any longer than this takes."""
    from_ms, to_ms = interval
    order = {"kinds": kinds, "from_ms": from_ms, "to_ms": to_ms}
    with busy("looking through the history"):
        async with api(here, existing=True) as to:
            async for line in to.lines("/local/history/snapshot", order):
                if "error" in line:
                    raise Unavailable(line["error"])
                return snapshots.load(Path(line["directory"]))
    raise Unavailable("the instance ended before the history was there; try again")


def _judge(
    snapshot: Snapshot, from_ms: int, rule_sets: Sequence[RuleSet], fields: Mapping[str, Sequence[str]],
    devices: Mapping[str, Device], stop: threading.Event,
) -> Result:  # fmt: skip
    os.nice(_POLITE)  # of this thread alone, which ends with the work
    told = [Collector() for _ in rule_sets]
    pairs = list(zip(rule_sets, told, strict=True))
    afterwards = [Afterwards(rules, devices, collector.hear) for rules, collector in pairs]
    with closing(Past(snapshot, fields)) as past, bar("judging the past") as progress:
        texts = Texts(past.codes, past.gateways)
        tests = [
            Backtest(rules, devices, texts, later.hear, confirms=True)
            for rules, later in zip(rule_sets, afterwards, strict=True)
        ]
        task = progress.add_task("", total=max(past.rows, 1), note="")
        readings, device_days = _take(past, from_ms, tests, stop, progress, task)
    if not readings:
        between = f"between {rfc3339(from_ms)} and {rfc3339(snapshot.to_ms)}"
        raise ConfigError(
            f"the history holds no reading of {', '.join(sorted(fields))} {between}", place="--from, --to"
        )
    extent = Extent(from_ms, snapshot.to_ms, snapshot.complete_until_ms, readings, device_days)
    for test, later in zip(tests, afterwards, strict=True):
        test.finish(extent.end_ms)
        later.finish(extent.end_ms)
    return Result(extent, *(trial(rules, collector.episodes(), extent) for rules, collector in pairs))


def _take(
    past: Past, from_ms: int, tests: Sequence[Backtest], stop: threading.Event, progress: Progress, task: TaskID
) -> tuple[int, dict[str, int]]:
    """Show all chunks to all tests; readings from ``from_ms`` on, and per kind the days on which devices were heard."""
    seen, readings, device_days = 0, 0, dict[str, int]()
    for chunk in past.chunks():
        if stop.is_set():
            break
        for test in tests:
            test.take(chunk)
        seen += len(chunk.occurred_at_ms)
        counted = chunk.occurred_at_ms >= from_ms
        readings += int(np.count_nonzero(counted))
        heard = np.logical_or.reduceat(counted, chunk.starts[:-1])
        device_days[chunk.kind] = device_days.get(chunk.kind, 0) + int(np.count_nonzero(heard))
        progress.update(task, completed=seen, note=f"{seen:,} readings")
    return readings, device_days

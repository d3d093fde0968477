"""``gridwarden simulate --score``: scenarios on an instance made for them, its journal held against what truly happened."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.table import Column, Table

from gridwarden import app, logs
from gridwarden.app import Installation, Running
from gridwarden.broker import credentials
from gridwarden.cli import publishing
from gridwarden.cli.local import Api, api
from gridwarden.cli.output import out, print_json, say
from gridwarden.clock import SystemClock, parse_rfc3339
from gridwarden.errors import Unavailable
from gridwarden.model import Device
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from simulators import city, district, fleet
from simulators.city import writing
from simulators.fleet import Fleet
from simulators.publisher import Account, Address, Publisher
from simulators.replay import Pace
from simulators.tables import write_table
from simulators.world import ordinary, programme, registry, stage
from simulators.world.programme import Programme
from simulators.world.scenario import Scenario
from simulators.world.truth import Fired, Score, score

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
FROM_MS = 5 * HOUR_MS
"""Scored runs begin at five in the morning (Asia/Shanghai) and go on into the rush hour."""
PAGE = 1_000
BYSTANDERS = "background"
"""The row of the devices in no scenario: nothing happens to them but what happens anyway."""
CLIENT_ID = "gridwarden-simulate"


@dataclass(frozen=True, slots=True)
class Options:
    """How to play."""

    speed: publishing.Speed = "max"
    scale: float | None = None
    """Of the city; ``None``: the small registry."""
    clients: int | None = None
    """Gateways, each with an account and connections of its own; ``None``: one connection for all."""


@dataclass(slots=True)
class Run:
    """What a scored run left behind."""

    fired: list[Fired]
    account: Account
    ledger: dict[str, Any]


def score_all(wanted: list[Scenario], seed: int, options: Options) -> dict[str, Any]:
    """Play ``wanted`` on an instance made for it and hold its journal against the truth."""
    logs.set_up("simulate", level="error")
    from_ms = ordinary.midnight_ms(SystemClock().now_ms() - DAY_MS) + FROM_MS
    with tempfile.TemporaryDirectory(prefix="gridwarden-simulate-") as directory:
        data = Path(directory)
        app.prepare(data)
        plan = programme.programme(wanted, _furnish(data, options), seed, from_ms)
        run = asyncio.run(_run(data, plan, options))
    return facts_of(plan, run)


def _furnish(data: Path, options: Options) -> list[Device]:
    """Make the areas and devices and register them."""
    if options.scale is None:
        devices = _dealt(registry.devices(), options)
        write_table(district.areas(), data / "areas.csv")
        write_table(devices, data / "devices.csv")
        files = {"areas": data / "areas.csv", "devices": data / "devices.csv"}
    else:
        made = city.make(scale=options.scale)
        devices = _dealt(made.devices, options)
        writing.write(replace(made, devices=devices), data)
        files = {"areas": data / writing.AREAS, "devices": data / writing.DEVICES}
    with Office.open(data / "office.db") as office:
        import_file(office, "areas", files["areas"])
        import_file(office, "devices", files["devices"])
    if options.clients:
        credentials.ensure(data / "broker", sorted({device.gateway or ordinary.NOBODY for device in devices}))
    return devices


def _dealt(devices: list[Device], options: Options) -> list[Device]:
    return fleet.dealt(devices, options.clients) if options.clients else devices


async def _run(data: Path, plan: Programme, options: Options) -> Run:
    here = Installation(None, {"data": data, "embedded__mqtt_port": 0, "http__port": 0, "clock": "replay"})
    account, pace = Account(), Pace(options.speed)
    with app.data_lock(data):
        async with app.running(here, log_level="error") as running, api(here) as to:
            async with _outlet(running, plan, options, account) as outlet:
                settled = partial(_settled, to, account) if pace.at_full_speed else None
                await publishing.play(plan, outlet, pace, settled)
            ledger = await publishing.until_received(to, account.readings, drained=True)
            return Run(await _journal(to), account, ledger)


def _outlet(running: Running, plan: Programme, options: Options, account: Account) -> Publisher | Fleet:
    broker = running.broker
    if broker is None:
        raise Unavailable("the embedded broker is not enabled")
    address = partial(Address, broker.host, broker.mqtt_port, CLIENT_ID)
    if options.clients is None:
        return Publisher(address(*broker.credentials(credentials.REPLAYER)), account=account)
    own = {device.device_id: device.gateway or ordinary.NOBODY for device in plan.devices}
    return Fleet(own, lambda gateway: address(*broker.credentials(gateway)), account)


async def _settled(to: Api, account: Account) -> None:
    await publishing.until_received(to, account.readings)


async def _journal(to: Api) -> list[Fired]:
    """Every alarm that fired."""
    fired: list[Fired] = []
    since = 0
    while True:
        page = await to.call("GET", f"/journal?since={since}&limit={PAGE}")
        fired += [
            Fired(entry["alarm"]["rule_id"], entry["alarm"]["device_id"], parse_rfc3339(entry["alarm"]["fired_at"]))
            for entry in page["entries"] if entry["op"] == "alarm.fired"
        ]  # fmt: skip
        if page["through"] == since:
            return fired
        since = page["through"]


def facts_of(plan: Programme, run: Run) -> dict[str, Any]:
    """The scores as JSON."""
    scores = [score(act.scenario.id, stage.truth(act), act.device_ids, run.fired) for act in plan.acts]
    anyway = [truth for act in plan.anyway for truth in stage.truth(act)]
    bystanders = score(BYSTANDERS, anyway, (device.device_id for device in plan.bystanders), run.fired)
    every = [*scores, bystanders]
    readings = run.account.readings
    return {
        "seed": plan.seed,
        "hours": round((plan.to_ms - plan.from_ms) / HOUR_MS, 2),
        "readings": readings,
        "connections": run.account.connections,
        "lost": readings - run.ledger["stored"] - run.ledger["duplicate"],
        "duplicate": run.ledger["duplicate"],
        "alarm_lane": sum(lane["received"] for lane in run.ledger["lanes"] if lane["lane"] == "alarm"),
        "scenarios": [one.facts() for one in scores],
        BYSTANDERS: bystanders.facts(),
        "missed": sum(len(one.missed) for one in every),
        "missed_life_safety": sum(one.missed_life_safety for one in every),
        "false": _false(every),
    }


def _false(scores: list[Score]) -> int:
    return sum(len(one.false) for one in scores)


def show(facts: dict[str, Any], *, as_json: bool) -> None:
    """The table, or one JSON object; the exit code 1 where a fire or an entrapment was missed."""
    if as_json:
        print_json(facts)
    else:
        _show(facts)
    if facts["missed_life_safety"]:
        raise typer.Exit(1)


def _show(facts: dict[str, Any]) -> None:
    titles = ("devices", "expected", "found", "missed", "false", "delay p50 s", "delay max s")
    table = Table(Column("scenario", no_wrap=True), *(Column(title, justify="right") for title in titles))
    rows = (*facts["scenarios"], facts[BYSTANDERS])
    for one in rows:
        counts = (f"{one[name]:,}" for name in ("devices", "expected", "found", "missed", "false"))
        delays = ("" if one[name] is None else f"{one[name]:.0f}" for name in ("delay_p50_s", "delay_max_s"))
        table.add_row(one["scenario"], *counts, *delays)
    out.print(table)
    out.print(f"seed {facts['seed']}: {facts['readings']:,} readings of {facts['hours']} hours over {facts['connections']:,} "
              f"connections, {facts['alarm_lane']:,} of them by the alarm lane, {facts['duplicate']:,} recognised as repeats, "
              f"{facts['lost']} lost; {facts['missed_life_safety']} fires and entrapments missed", soft_wrap=True)  # fmt: skip
    for one in rows:
        for what in ("missed_on", "false_alarms"):
            if one[what]:
                say(f"{one['scenario']}: {what.replace('_', ' ')}: {', '.join(one[what])}")

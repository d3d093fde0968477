"""``gridwarden simulate``: scenarios with ground truth, played to a running instance, or scored on one of their own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Column, Table

from gridwarden import app, logs
from gridwarden.app import Installation
from gridwarden.broker import credentials
from gridwarden.cli.local import Api, api
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, bar, installation, out, print_json, say, told
from gridwarden.cli.play import running_broker
from gridwarden.clock import SystemClock, parse_rfc3339
from gridwarden.errors import ConfigError, Unavailable
from gridwarden.model import Device
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from gridwarden.office.snapshot import read_registry
from simulators import district, sample
from simulators.publisher import Account, Address, Publisher
from simulators.replay import Pace
from simulators.world import ordinary, registry, stage
from simulators.world import scenario as scenarios
from simulators.world.feed import feed
from simulators.world.scenario import Scenario
from simulators.world.stage import Programme
from simulators.world.stream import Sent
from simulators.world.truth import Fired, Score, score

ALL = "all"
DEVICES = 1_000
"""Most devices of a running instance that are played."""
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
SCORED_FROM_MS = 5 * HOUR_MS
"""Scored runs begin at five in the morning (Asia/Shanghai) and go on into the rush hour."""
DRAIN_S = 120.0
PAGE = 1_000
BYSTANDERS = "background"
"""The row of the devices to which nothing happens."""

Speed = float | Literal["max"]


def simulate(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]…", help="Names of shipped scenarios, files, or all.", show_default="all"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is left to chance.")] = 1,
    scored: Annotated[
        bool,
        typer.Option("--score", help="On an instance of its own; tell what was found. Exit 1 on a missed fire."),
    ] = False,
    speed: Annotated[
        str, typer.Option(metavar="max|FACTOR", help="max, or a factor: 1 is as it happens, 60 an hour in a minute.")
    ] = "max",
    listing: Annotated[bool, typer.Option("--list", help="Only show the shipped scenarios.")] = False,
    host: Annotated[str | None, typer.Option(help="Another broker than the one of the running instance.")] = None,
    port: Annotated[int, typer.Option("--broker-port", help="Port of that broker.")] = 1883,
    username: Annotated[str | None, typer.Option(help="User at that broker.")] = None,
    password: Annotated[
        str | None, typer.Option(envvar="GRIDWARDEN_PASSWORD", help="Its password; better given in the environment.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play scenarios (fires, entrapments, burst mains, outages…) under ordinary traffic, or score how they are found."""
    with told():
        if listing:
            _list(as_json=as_json)
            return
        wanted, pace = _wanted(names or [ALL]), _speed(speed)
        if scored:
            if host or data:  # a configuration may come from the environment; its brokers are not touched
                raise ConfigError("runs on an instance of its own; leave --host and --data out", place="--score")
            facts = score_all(wanted, seed, pace)
            _show(facts, as_json=as_json)
            if facts["missed_life_safety"]:
                raise typer.Exit(1)
            return
        here = installation(config, data)
        address = Address(host, port, "gridwarden-simulate", username, password) if host else running_broker(here)
        devices = registry.devices() if host else _registered(here)
        told_facts = asyncio.run(_play(wanted, devices, seed, pace, address, every=names in (None, [ALL])))
        if as_json:
            print_json(told_facts)
        else:
            out.print(f"{told_facts['readings']:,} readings of {told_facts['devices']:,} devices, all acknowledged; "
                      f"played: {', '.join(told_facts['scenarios'])}", soft_wrap=True)  # fmt: skip


def _wanted(names: Sequence[str]) -> list[Scenario]:
    ours = {scenario.id: scenario for scenario in scenarios.shipped()}
    found: dict[str, Scenario] = {}
    for name in names:
        if name == ALL:
            found |= ours
        elif name in ours:
            found[name] = ours[name]
        elif Path(name).suffix == ".yaml":
            found[name] = scenarios.load(Path(name))
        else:
            raise ConfigError(f"no such scenario; there are {', '.join(ours)}", place=name)
    return list(found.values())


def _speed(text: str) -> Speed:
    if text == "max":
        return "max"
    with contextlib.suppress(ValueError):
        factor = float(text)
        if 0 < factor < math.inf:
            return factor
    raise ConfigError(f"{text!r}: max, or a number above 0, is expected", place="--speed")


def _list(*, as_json: bool) -> None:
    shipped = scenarios.shipped()
    if as_json:
        print_json([{"scenario": one.id, "name": one.name.model_dump(), "about": one.about} for one in shipped])
        return
    table = Table("scenario", "名称", "what happens")
    for one in shipped:
        table.add_row(one.id, one.name.zh, one.name.en)
    out.print(table)


# --- on a running instance --------------------------------------------------------------------------------------------


def _registered(here: Installation) -> list[Device]:
    """The first thousand devices of the running instance that have an ordinary day."""
    known = read_registry(here.config.data / "office.db").devices
    devices = [known[device_id] for device_id in sorted(known) if known[device_id].kind in ordinary.KINDS]
    if not devices:
        raise ConfigError("no smoke detector, lift or hydrant is registered", path=here.config.data)
    by_kind = [[one for one in devices if one.kind == kind] for kind in sorted(ordinary.KINDS)]
    return [one for kind in by_kind for one in kind[: DEVICES // len(by_kind)]]


async def _play(
    wanted: list[Scenario], devices: list[Device], seed: int, speed: Speed, address: Address, *, every: bool
) -> dict[str, Any]:
    playable = [one for one in wanted if _can_be_cast(one, devices, seed)] if every else wanted
    plan = stage.programme(playable, devices, seed, 0)
    # The last reading is due now, or when it is published; none lies in the future.
    pass_ms = 0 if speed == "max" else plan.to_ms / speed
    plan = stage.programme(playable, devices, seed, round(SystemClock().now_ms() - plan.to_ms + pass_ms))
    account = Account()
    await _feed(plan, seed, speed, address, account)
    played = [act.scenario.id for act in plan.acts]
    return {"scenarios": played, "readings": account.readings_acknowledged, "devices": len(account.devices)}


def _can_be_cast(scenario: Scenario, devices: list[Device], seed: int) -> bool:
    try:
        stage.cast(scenario, devices, seed)
    except ConfigError as error:
        say(f"left out: {error}")
        return False
    return True


async def _feed(plan: Programme, seed: int, speed: Speed, address: Address, account: Account) -> None:
    async with Publisher(address, account=account) as publisher:
        with _progress(plan) as tell:
            await feed(stage.perform(plan, seed), publisher, Pace(speed), tell)
            await publisher.drain()


@contextmanager
def _progress(plan: Programme) -> Iterator[Callable[[Sent], None]]:
    with bar("playing") as progress:
        task = progress.add_task("", total=plan.to_ms - plan.from_ms, note="")
        yield lambda sent: progress.update(task, completed=sent.sent_at_ms - plan.from_ms)


# --- scored -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Run:
    """What a scored run left behind."""

    fired: list[Fired]
    published: int
    ledger: dict[str, Any]


def score_all(wanted: list[Scenario], seed: int, speed: Speed = "max") -> dict[str, Any]:
    """Play ``wanted`` on an instance made for it and hold its journal against the truth."""
    logs.set_up("simulate", level="error")
    devices = registry.devices()
    from_ms = ordinary.midnight_ms(SystemClock().now_ms() - DAY_MS) + SCORED_FROM_MS
    plan = stage.programme(wanted, devices, seed, from_ms)
    with tempfile.TemporaryDirectory(prefix="gridwarden-simulate-") as directory:
        run = asyncio.run(_run(Path(directory), plan, seed, speed, devices))
    return facts_of(plan, seed, run)


async def _run(data: Path, plan: Programme, seed: int, speed: Speed, devices: list[Device]) -> Run:
    here = Installation(None, {"data": data, "embedded__mqtt_port": 0, "http__port": 0, "clock": "replay"})
    with app.data_lock(data):
        app.prepare(data)
        _furnish(data, devices)
        async with app.running(here, log_level="error") as running:
            if running.broker is None:
                raise Unavailable("the embedded broker is not enabled")
            user, password = running.broker.credentials(credentials.REPLAYER)
            address = Address(running.broker.host, running.broker.mqtt_port, "gridwarden-simulate", user, password)
            account = Account()
            await _feed(plan, seed, speed, address, account)
            async with api(here) as to:
                ledger = await _drained(to, account.readings)
                return Run(await _journal(to), account.readings, ledger)


def _furnish(data: Path, devices: list[Device]) -> None:
    sample.write_table(district.areas(), data / "areas.csv")
    sample.write_table(devices, data / "devices.csv")
    with Office.open(data / "office.db") as office:
        import_file(office, "areas", data / "areas.csv")
        import_file(office, "devices", data / "devices.csv")


async def _drained(to: Api, published: int) -> dict[str, Any]:
    """The ledger once everything published has been judged, or it is plain that it will not be."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + DRAIN_S
    while True:
        ledger: dict[str, Any] = await to.call("GET", "/ledger")
        judged = ledger["received"] >= published and not ledger["in_flight"] and not ledger["waiting_messages"]
        if judged:
            return ledger
        if loop.time() > deadline_s:
            raise Unavailable(f"{published - ledger['received']} readings are still on the way after {DRAIN_S:.0f} s")
        await asyncio.sleep(0.1)


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


def facts_of(plan: Programme, seed: int, run: Run) -> dict[str, Any]:
    """The scores as JSON."""
    scores = [
        score(act.scenario.id, stage.truth(act.scenario, act.devices, seed, act.start_ms), stage.cast_of(act, seed), run.fired)
        for act in plan.acts
    ]  # fmt: skip
    bystanders = score(BYSTANDERS, (), (device.device_id for device in plan.bystanders), run.fired)
    return {
        "seed": seed,
        "hours": round((plan.to_ms - plan.from_ms) / HOUR_MS, 2),
        "readings": run.published,
        "lost": run.published - run.ledger["stored"] - run.ledger["duplicate"],
        "duplicate": run.ledger["duplicate"],
        "scenarios": [one.facts() for one in scores],
        BYSTANDERS: bystanders.facts(),
        "missed": sum(len(one.missed) for one in scores),
        "missed_life_safety": sum(one.missed_life_safety for one in scores),
        "false": _false([*scores, bystanders]),
    }


def _false(scores: list[Score]) -> int:
    return sum(len(one.false) for one in scores)


def _show(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    titles = ("devices", "expected", "found", "missed", "false", "delay p50 s", "delay max s")
    table = Table(Column("scenario", no_wrap=True), *(Column(title, justify="right") for title in titles))
    for one in (*facts["scenarios"], facts[BYSTANDERS]):
        counts = (str(one[name]) for name in ("devices", "expected", "found", "missed", "false"))
        delays = ("" if one[name] is None else f"{one[name]:.0f}" for name in ("delay_p50_s", "delay_max_s"))
        table.add_row(one["scenario"], *counts, *delays)
    out.print(table)
    out.print(f"seed {facts['seed']}: {facts['readings']:,} readings of {facts['hours']} hours, {facts['duplicate']:,} of them "
              f"recognised as repeats, {facts['lost']} lost; {facts['missed_life_safety']} fires and entrapments missed", soft_wrap=True)  # fmt: skip
    for one in (*facts["scenarios"], facts[BYSTANDERS]):
        for what in ("missed_on", "false_alarms"):
            if one[what]:
                say(f"{one['scenario']}: {what.replace('_', ' ')}: {', '.join(one[what])}")

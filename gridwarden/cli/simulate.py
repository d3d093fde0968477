"""``gridwarden simulate``: scenarios with ground truth, played to a running instance, or scored on one of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gridwarden.app import Installation
from gridwarden.cli import publishing, rehearsing, scoring
from gridwarden.cli.local import Api, api
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, say, told
from gridwarden.clock import SystemClock
from gridwarden.errors import ConfigError
from gridwarden.model import Device
from gridwarden.office.snapshot import read_registry
from rules.load import load as load_rules
from simulators import city, fleet
from simulators.fleet import Fleet
from simulators.publisher import Account, Address, Publisher
from simulators.replay import Pace
from simulators.world import ordinary, programme, registry, stage
from simulators.world import scenario as scenarios
from simulators.world.programme import Programme
from simulators.world.scenario import Scenario

ALL = "all"
CLIENT_ID = "gridwarden-simulate"


def simulate(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]…", help="Names of shipped scenarios, files, or all.", show_default="all"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Decides all that is left to chance.", show_default="1; with --seeds fresh"),
    ] = None,
    scored: Annotated[
        bool,
        typer.Option("--score", help="On an instance of its own; tell what was found. Exit 1 on a missed fire."),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="With --score: so many seeds through core alone; a line a rule."),
    ] = None,
    hours: Annotated[float, typer.Option(min=0, max=24 * 366, help="With --seeds: each lasts at least so long.")] = 0,
    speed: publishing.SpeedOption = "max",
    scale: Annotated[
        float | None,
        typer.Option(min=0.02, max=3, help="On the made-up city, 1 is 30,000 devices; default: 700 devices."),
    ] = None,
    clients: Annotated[
        int | None,
        typer.Option(min=1, max=fleet.MOST, help="So many gateways at once, each with connections of its own."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Only show the shipped scenarios.")] = False,
    host: publishing.HostOption = None,
    port: publishing.PortOption = 1883,
    username: publishing.UsernameOption = None,
    password: publishing.PasswordOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play scenarios (fires, entrapments, burst mains, outages…) under ordinary traffic, or score how they are found."""
    with told():
        if listing:
            _list(as_json=as_json)
            return
        wanted, pace = _wanted(names or [ALL]), publishing.speed(speed)
        if clients:
            fleet.allow_files(clients)
        if scored:
            if host or data:  # a configuration may come from the environment; its brokers are not touched
                raise ConfigError("runs on an instance of its own; leave --host and --data out", place="--score")
            if seeds:
                fresh = rehearsing.fresh_seeds(seeds, seed)
                rehearsing.show(_rehearsed(wanted, scale, fresh, hours, config), as_json=as_json)
                return
            options = scoring.Options(pace, scale, clients)
            scoring.show(scoring.score_all(wanted, _seed(seed), options), as_json=as_json)
            return
        if seeds:
            raise ConfigError("is for scores; add --score", place="--seeds")
        if scale and not host:
            raise ConfigError("a running instance has the devices it has; for --score and --host", place="--scale")
        here = installation(config, data)
        address = (
            Address(host, port, CLIENT_ID, username, password) if host else publishing.running_broker(here, CLIENT_ID)
        )
        devices = _made_up(scale) if host else _registered(here)
        plan = _planned(wanted, devices, _seed(seed), pace, every=names in (None, [ALL]))
        facts = asyncio.run(_play(plan, Pace(pace), address, clients, None if host else here))
        _show(facts, as_json=as_json)


def _seed(seed: int | None) -> int:
    return 1 if seed is None else seed


def _rehearsed(
    wanted: list[Scenario], scale: float | None, seeds: list[int], hours: float, config: Path | None
) -> dict[str, Any]:
    settings = installation(config, None).config
    rules = load_rules(settings.rules, shipped_packs=settings.shipped_packs)
    return rehearsing.score_seeds(wanted, _made_up(scale), rules, seeds, hours)


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


def _list(*, as_json: bool) -> None:
    shipped = scenarios.shipped()
    if as_json:
        print_json([{"scenario": one.id, "name": one.name.model_dump(), "about": one.about} for one in shipped])
        return
    table = Table("scenario", "名称", "what happens")
    for one in shipped:
        table.add_row(one.id, one.name.zh, one.name.en)
    out.print(table)


def _made_up(scale: float | None) -> list[Device]:
    """The small registry, or the city."""
    return registry.devices() if scale is None else city.make(scale=scale).devices


def _registered(here: Installation) -> list[Device]:
    """The devices of the running instance that have an ordinary life."""
    known = read_registry(here.config.data / "office.db").devices
    devices = [known[device_id] for device_id in sorted(known) if known[device_id].kind in ordinary.KINDS]
    if not devices:
        raise ConfigError("no smoke detector, lift or hydrant is registered", path=here.config.data)
    return devices


def _planned(
    wanted: list[Scenario], devices: list[Device], seed: int, speed: publishing.Speed, *, every: bool
) -> Programme:
    """The last reading is due now, or when it is published; none lies in the future."""
    playable = [one for one in wanted if _can_be_cast(one, devices, seed)] if every else wanted
    length_ms = programme.programme(playable, devices, seed, 0).to_ms
    pass_ms = 0 if speed == "max" else length_ms / speed
    return programme.programme(playable, devices, seed, round(SystemClock().now_ms() - length_ms + pass_ms))


def _can_be_cast(scenario: Scenario, devices: list[Device], seed: int) -> bool:
    try:
        stage.cast(scenario, devices, seed)
    except ConfigError as error:
        say(f"left out: {error}")
        return False
    return True


async def _play(
    plan: Programme, pace: Pace, address: Address, clients: int | None, here: Installation | None
) -> dict[str, Any]:
    """``here``: the instance that is played to, if it can be asked how far it has come."""
    account = Account()
    async with AsyncExitStack() as stack:
        settled: Callable[[], Awaitable[object]] | None = None
        if here is not None and pace.at_full_speed:
            to = await stack.enter_async_context(api(here))
            before = (await to.call("GET", "/ledger"))["received"]
            settled = partial(_settled, to, before, account)
        async with _outlet(plan, address, clients, account) as outlet:
            await publishing.play(plan, outlet, pace, settled)
    played = [act.scenario.id for act in plan.acts]
    return {
        "scenarios": played,
        "readings": account.readings_acknowledged,
        "devices": len(account.devices),
        "connections": account.connections,
    }


async def _settled(to: Api, before: int, account: Account) -> None:
    await publishing.until_received(to, before + account.readings)


def _outlet(plan: Programme, address: Address, clients: int | None, account: Account) -> Publisher | Fleet:
    if clients is None:
        return Publisher(address, account=account)
    return Fleet(fleet.shares(plan.devices, clients), lambda _client: address, account)


def _show(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    out.print(f"{facts['readings']:,} readings of {facts['devices']:,} devices over {facts['connections']:,} connections, "
              f"all acknowledged; played: {', '.join(facts['scenarios'])}", soft_wrap=True)  # fmt: skip

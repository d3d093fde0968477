"""``gridwarden demo``: everything embedded, a made-up district with its map, and things that happen in it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import to_json

from gridwarden import app, logs
from gridwarden.app import Installation, Running
from gridwarden.broker import credentials
from gridwarden.cli.local import api
from gridwarden.cli.output import ConfigOption, JsonOption, busy, err, installation, print_json, say, told
from gridwarden.clock import SystemClock
from gridwarden.errors import ConfigError
from gridwarden.model import Device
from gridwarden.office.accounts import Accounts
from gridwarden.office.basemap import import_basemap
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from gridwarden.office.snapshot import read_registry
from simulators.city import writing
from simulators.fleet import Fleet
from simulators.publisher import Account, Address
from simulators.world import programme, scenario, stage

SEED = 1
BEFORE_MS = 30 * 60_000
"""How much of the past the demo begins with."""
WINDOW = 200
"""Messages that may be unacknowledged."""
USER = "operator"


def demo(
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=1, metavar="SECONDS", help="Stop by itself after so long; default: Ctrl-C."),
    ] = None,
    data: Annotated[Path, typer.Option("--data", "-d", help="Data directory of the demo.")] = Path("var/demo"),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.  [default: 8080]")
    ] = None,
    scale: Annotated[
        float,
        typer.Option(min=0.02, max=3, help="Devices at the first start; 1 is 30,000: 7,000 lifts, 20,000 detectors."),
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="What happens, where and when; default: something else at each start.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show it: a made-up district on a map, and things that happen in it. Prints address and sign-in."""
    with told():
        here = installation(config, data, http__port=port, embedded__mqtt_port=0)
        logs.set_up("demo", level="warning")
        facts = asyncio.run(_demo(here, seconds, scale, seed, wanted=as_json))
        if facts:
            print_json(facts)


async def _demo(
    here: Installation, seconds: float | None, scale: float, seed: int | None, *, wanted: bool
) -> dict[str, Any]:
    """Live until it is over; the facts, if they are wanted."""
    data = here.config.data
    async with AsyncExitStack() as stack:
        asked_to_end = await stack.enter_async_context(app.ended_by_signal())
        stack.enter_context(app.data_lock(data))
        with busy("making a district and its devices"):
            app.prepare(data)
            password = _fresh_password(data)
            devices = await _district(data, scale)
        with busy("starting"):
            running = await stack.enter_async_context(app.running(here, log_level="warning"))
        err.print(f"\n  Gridwarden is at [bold]{here.address}[/]", soft_wrap=True)
        say(f"  sign in as      {USER} / {password}")
        say(
            f"  look at         the map: {len(devices):,} devices, and a fire that is breaking out now; then every few minutes"
        )
        say("                  something else, each of the scenarios once an hour")
        say("  Ctrl-C          ends it\n")
        account = Account()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_live(running, devices, seed, account, stop), name="demo-live")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asked_to_end()
            stop.set()  # what was published is still waited for, so that the account is exact
        return await _facts(here, account) if wanted else {}
    return {}  # asked to end while it started


async def _facts(here: Installation, account: Account) -> dict[str, Any]:
    """What came of it, once everything published has arrived."""
    async with api(here) as to:
        for _ in range(100):
            ledger = await to.call("GET", "/ledger")
            if not ledger["in_flight"] and not ledger["waiting_messages"]:
                break
            await asyncio.sleep(0.1)
        stats = await to.call("GET", "/stats")
        events = await to.call("GET", "/events?limit=1000")
    return {
        "address": here.address,
        "events": len(events["events"]),
        "open_events": stats["open_events"],
        "published": {"readings": account.readings_acknowledged, "messages": account.messages_acknowledged},
        "ledger": ledger,
    }


def _fresh_password(data: Path) -> str:
    """Nobody needs to remember the demo's password: there is a new one at each start."""
    password = secrets.token_urlsafe(9)
    with Office.open(data / "office.db") as office:
        accounts = Accounts(office.database, SystemClock())
        accounts.set_password(next(user.user_id for user in accounts.users() if user.name == USER), password)
    return password


async def _district(data: Path, scale: float) -> list[Device]:
    """The devices of the district; made and registered at the first start, with its outlines, map and stations."""
    folder = data / "city"
    if not (folder / "complete").exists():
        await _make(folder, scale)
        with Office.open(data / "office.db") as office:
            import_file(office, "areas", folder / writing.AREAS)
            import_file(office, "devices", folder / writing.DEVICES)
            import_file(office, "resources", folder / writing.RESOURCES)
        import_basemap(data, folder / writing.BASEMAP)
        (folder / "complete").touch()
    return list(read_registry(data / "office.db").devices.values())


async def _make(folder: Path, scale: float) -> None:
    """In a process of its own, which gives its memory back: four times what the demo needs afterwards."""
    command = (sys.executable, "-m", "simulators.city", str(folder), "--seed", str(SEED), "--scale", str(scale))
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=PIPE, start_new_session=True)
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        reason = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit {process.returncode}"]
        raise ConfigError(f"the district cannot be made: {reason[0]}", path=folder)


async def _live(
    running: Running, devices: list[Device], seed: int | None, account: Account, stop: asyncio.Event
) -> None:
    """The last half hour as fast as it goes, then life as it comes, with all that happens in it."""
    broker = running.broker
    if broker is None:
        return
    user, password = broker.credentials(credentials.REPLAYER)
    address = Address(broker.host, broker.mqtt_port, "", user, password)
    now_ms = SystemClock().now_ms()
    seed = now_ms if seed is None else seed
    acts = programme.unfold(scenario.shipped(), devices, seed, now_ms)
    stream = stage.perform(acts, devices, seed, now_ms - BEFORE_MS, roll_call_until_ms=now_ms)
    clients = dict.fromkeys((device.device_id for device in devices), "gridwarden-demo")
    async with Fleet(clients, lambda _client: address, account, window=WINDOW) as fleet:
        for sent in stream:
            await _until(sent.sent_at_ms, stop)
            if stop.is_set():
                return
            await fleet.publish(sent.topic, to_json(sent.body()), [sent.device_id])


async def _until(at_ms: int, stop: asyncio.Event) -> None:
    wait_s = (at_ms - SystemClock().now_ms()) / 1000
    if wait_s > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await stop.wait()

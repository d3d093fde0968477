"""``gridwarden demo``: everything embedded, a day of a made-up district played fast, then live."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from gridwarden import app, logs
from gridwarden.app import Installation, Running
from gridwarden.broker import credentials
from gridwarden.cli.local import api
from gridwarden.cli.output import ConfigOption, JsonOption, bar, busy, err, installation, print_json, say, told
from gridwarden.clock import SystemClock
from gridwarden.office.accounts import Accounts
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from simulators import sample
from simulators.publisher import Address
from simulators.replay import Options, ReplayAccount, replay

DAY_MS = 86_400_000
CATCH_UP_SPEED = 288.0
"""Five minutes for the day that leads up to now."""
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
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show it: 200 made-up devices, yesterday in five minutes and then live. Prints address and sign-in."""
    with told():
        here = installation(config, data, http__port=port, embedded__mqtt_port=0)
        logs.set_up("demo", level="warning")
        facts = asyncio.run(_demo(here, seconds, wanted=as_json))
        if facts:
            print_json(facts)


async def _demo(here: Installation, seconds: float | None, *, wanted: bool) -> dict[str, Any]:
    """Live until it is over; the facts, if they are wanted."""
    data = here.config.data
    async with AsyncExitStack() as stack:
        asked_to_end = await stack.enter_async_context(app.ended_by_signal())
        stack.enter_context(app.data_lock(data))
        with busy("making a district of 200 devices and a day of readings"):
            app.prepare(data)
            password = _fresh_password(data)
            readings = _district(data)
        with busy("starting"):
            running = await stack.enter_async_context(app.running(here, log_level="warning"))
        err.print(f"\n  Gridwarden is at [bold]{here.address}[/]", soft_wrap=True)
        say(f"  sign in as      {USER} / {password}")
        say("  Ctrl-C ends it\n")
        account = ReplayAccount()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_play(running, readings, account, stop), name="demo-play")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asked_to_end()
            stop.set()  # what was published is still waited for, so that the account is exact
        return await _facts(here, account) if wanted else {}
    return {}  # asked to end while it started


async def _facts(here: Installation, account: ReplayAccount) -> dict[str, Any]:
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


def _district(data: Path) -> Path:
    """Make the sample and register its devices, at the first start; where its readings lie."""
    folder = data / "sample"
    readings = folder / "readings.jsonl.gz"
    if not readings.exists():
        folder.mkdir(exist_ok=True)
        yesterday = (datetime.now(ZoneInfo("Asia/Shanghai")) - timedelta(days=1)).date()
        made = sample.generate(day=yesterday)
        sample.write_table(made.areas, folder / "areas.csv")
        sample.write_table(made.devices, folder / "devices.csv")
        with Office.open(data / "office.db") as office:
            import_file(office, "areas", folder / "areas.csv")
            import_file(office, "devices", folder / "devices.csv")
        sample.write_truth(made, folder / "truth.jsonl")
        sample.write_readings(made, readings)  # last: with it the district is complete
    return readings


async def _play(running: Running, readings: Path, account: ReplayAccount, stop: asyncio.Event) -> None:
    """Play the day that leads up to now fast, then go on as days go."""
    if running.broker is None:
        return
    user, password = running.broker.credentials(credentials.REPLAYER)
    address = Address(running.broker.host, running.broker.mqtt_port, "gridwarden-demo", user, password)
    began_ms = SystemClock().now_ms()
    day = Options(path=readings, address=address, shift=began_ms - DAY_MS, speed=CATCH_UP_SPEED)
    with bar("the day until now") as progress:
        task = progress.add_task("", total=1.0, note="")

        def step(so_far: ReplayAccount) -> None:
            progress.update(task, completed=so_far.fraction, note=f"{so_far.readings_acknowledged:,} readings")

        await replay(day, step, account=account, stop=stop)
    # Meanwhile minutes have passed: the next day begins where the last one ended and runs as fast as days do.
    following = Options(path=readings, address=address, shift=began_ms, speed=1.0, loops=0)
    await replay(following, account=account, stop=stop)

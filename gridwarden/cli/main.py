"""All commands in one place."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gridwarden import __version__, app, logs
from gridwarden.cli import (
    aside,
    backtest,
    backups,
    bench,
    checks,
    gateways,
    instance,
    play,
    registry,
    review,
    rulebook,
    silences,
    simulate,
)
from gridwarden.cli.output import ConfigOption, DataOption, installation, out, say, told

cli = typer.Typer(
    name="gridwarden",
    help="IoT sensing and real-time monitoring for a city district: MQTT telemetry in, grid events out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"gridwarden {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    logs.set_up("command", level="warning")  # on standard error, whatever the command prints on standard output


def run(
    config: ConfigOption = None,
    data: DataOption = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of page and API; 0 takes a free one.")
    ] = None,
    single: Annotated[
        bool, typer.Option("--single", help="Core and web in this one process: for tiny installations.")
    ] = False,
    clock: Annotated[
        str | None, typer.Option(metavar="system|replay", help="Where the time is taken from; replay: from the input.")
    ] = None,
) -> None:
    """Run everything (broker, core, web) until Ctrl-C or SIGTERM; prints where to open it and the first sign-in."""
    with told():
        here = installation(config, data, http__port=port, clock=clock)
        logs.set_up("run", level=here.config.log_level)
        asyncio.run(_run(here, single=single))


async def _run(here: app.Installation, *, single: bool) -> None:
    async with app.ended_by_signal() as asked_to_end:
        with app.data_lock(here.config.data):
            first = app.prepare(here.config.data)
            async with app.running(here, single=single) as running:
                say(f"Gridwarden is at {here.address}")
                if running.broker:
                    say(f"Gateways publish to mqtt://{running.broker.host}:{running.broker.mqtt_port}")
                if first:
                    say(f"First sign-in, shown this once: {first[0]} / {first[1]}")
                await asked_to_end()


_START, _FEED, _SEE, _KEEP = "Start", "Registry, accounts, data", "Look and measure", "Keep"
cli.command("run", rich_help_panel=_START)(run)
cli.command("demo", rich_help_panel=_START)(instance.demo)
cli.command("check", rich_help_panel=_START)(checks.check)
cli.add_typer(registry.imports, name="import", rich_help_panel=_FEED)
cli.add_typer(registry.users, name="user", rich_help_panel=_FEED)
cli.add_typer(gateways.gateways, name="gateway", rich_help_panel=_FEED)
cli.command("replay", rich_help_panel=_FEED)(play.replay)
cli.command("simulate", rich_help_panel=_FEED)(simulate.simulate)
cli.command("ledger", rich_help_panel=_SEE)(review.ledger)
cli.add_typer(aside.dead_letters, name="deadletter", rich_help_panel=_SEE)
cli.add_typer(aside.quarantine, name="quarantine", rich_help_panel=_SEE)
review.rules.command("backtest")(backtest.backtest)
review.rules.command("apply")(rulebook.apply)
review.rules.command("explain")(rulebook.explain)
cli.add_typer(review.rules, name="rules", rich_help_panel=_SEE)
cli.add_typer(silences.silences, name="silence", rich_help_panel=_SEE)
cli.command("backup", rich_help_panel=_KEEP)(backups.backup)
cli.command("restore", rich_help_panel=_KEEP)(backups.restore)
cli.command("verify", rich_help_panel=_KEEP)(backups.verify)
cli.command("bench", rich_help_panel=_SEE)(bench.bench)


def main() -> None:
    """The ``gridwarden`` command."""
    cli()

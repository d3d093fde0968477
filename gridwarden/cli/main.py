"""All commands in one place."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

import typer

from gridwarden import __version__, app, logs
from gridwarden.cli import bench, gateways, instance, play, registry, review
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, err, installation, out, print_json, told

cli = typer.Typer(
    name="gridwarden",
    help="IoT sensing and real-time monitoring for a city district: MQTT telemetry in, grid events out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.add_typer(registry.imports, name="import")
cli.add_typer(registry.users, name="user")
cli.add_typer(gateways.gateways, name="gateway")
cli.add_typer(review.rules, name="rules")
cli.add_typer(review.dead_letters, name="deadletter")
cli.command("demo")(instance.demo)
cli.command("replay")(play.replay)
cli.command("bench")(bench.bench)
cli.command("ledger")(review.ledger)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"gridwarden {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    _version_wanted: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass


@cli.command()
def run(
    config: ConfigOption = None,
    data: DataOption = None,
    port: Annotated[int | None, typer.Option(help="Port of page and API.")] = None,
    single: Annotated[bool, typer.Option("--single", help="Core and web in this one process.")] = False,
    clock: Annotated[str | None, typer.Option(help="system, or replay: the time is taken from the input.")] = None,
) -> None:
    """Run everything: the broker, core and web, supervised, until SIGTERM or Ctrl-C."""
    with told():
        here = installation(config, data, http__port=port, clock=clock)
        logs.set_up("run")
        asyncio.run(_run(here, single=single))


async def _run(here: app.Installation, *, single: bool) -> None:
    with app.data_lock(here.config.data):
        first = app.prepare(here.config.data)
        async with app.running(here, single=single) as running:
            err.print(f"Gridwarden is at {here.address}")
            if running.broker:
                err.print(f"Gateways publish to mqtt://{running.broker.host}:{running.broker.mqtt_port}")
            if first:
                err.print(f"First sign-in, shown this once: {first[0]} / {first[1]}", markup=False)
            await app.until_signal()


@cli.command()
def check(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check configuration and rules without starting anything; exit 2 with place and reason when something is wrong."""
    from rules.load import load as load_rules  # noqa: PLC0415

    with told():
        here = installation(config, data)
        rules = load_rules(here.config.rules, shipped_packs=here.config.shipped_packs)
        brokers = ["embedded"] * here.config.embedded.enabled + [one.name for one in here.config.broker]
        if as_json:
            config_name = str(here.config_path or "defaults")
            print_json({"config": config_name, "data": str(here.config.data), "rules": len(rules), "brokers": brokers})
        else:
            out.print(f"ok: {len(rules)} rules, brokers {', '.join(brokers)}, data {here.config.data}")


def main() -> None:
    """The ``gridwarden`` command."""
    with contextlib.suppress(BrokenPipeError):
        cli()

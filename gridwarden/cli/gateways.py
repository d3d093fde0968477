"""``gridwarden gateway``: who may publish to the embedded broker. A running broker takes it up within a second."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gridwarden.broker import credentials
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, say, told
from gridwarden.config import Config
from gridwarden.errors import ConfigError

gateways = typer.Typer(help="Who may publish to the embedded broker: names and passwords.", no_args_is_help=True)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Letters, digits, - and _; it publishes to gridwarden/v1/NAME/…")
]


@gateways.command("add")
def add(name: Name, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Let a gateway publish under its own name; prints its password, the same one when it is added again."""
    with told():
        password = credentials.add_gateway(_folder(installation(config, data).config), name)
        topics = {lane: f"gridwarden/v1/{name}/{lane}" for lane in ("up", "alarm")}
        if as_json:
            print_json({"username": name, "password": password, "topics": topics})
            return
        say(f"user {name} may publish to {topics['up']} and {topics['alarm']}, with this password:")
        out.print(password, markup=False)


@gateways.command("remove")
def remove(name: Name, config: ConfigOption = None, data: DataOption = None) -> None:
    """Take a gateway's access away; its connection ends."""
    with told():
        settings = installation(config, data).config
        credentials.remove_gateway(_folder(settings), name)
        say(f"{name} may no longer publish")
        if name in settings.embedded.gateways:
            say("but the configuration names it in embedded.gateways: the next start lets it in again")


@gateways.command("list")
def list_gateways(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the gateways."""
    with told():
        found = credentials.gateways(_folder(installation(config, data).config))
        if as_json:
            print_json({"gateways": found})
            return
        for name in found:
            out.print(name, markup=False)
        if not found:
            say("no gateway yet; `gridwarden gateway add NAME` makes one")


def _folder(config: Config) -> Path:
    if not config.embedded.enabled:
        raise ConfigError("is false: the users of another broker are made there", place="embedded.enabled")
    return config.data / "broker"

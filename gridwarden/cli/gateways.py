"""``gridwarden gateway``: who may publish to the embedded broker. A running broker takes it up within a second."""

from __future__ import annotations

from typing import Annotated

import typer

from gridwarden.broker import credentials
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, told

gateways = typer.Typer(help="Gateways of the embedded broker and their passwords.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Letters, digits, - and _; its topics are gridwarden/v1/NAME/…")]


@gateways.command("add")
def add(name: Name, config: ConfigOption = None, data: DataOption = None) -> None:
    """Let a gateway publish under its own name; prints its password."""
    with told():
        out.print(credentials.add_gateway(installation(config, data).config.data / "broker", name), markup=False)


@gateways.command("remove")
def remove(name: Name, config: ConfigOption = None, data: DataOption = None) -> None:
    """Take a gateway's access away; its connection ends."""
    with told():
        credentials.remove_gateway(installation(config, data).config.data / "broker", name)


@gateways.command("list")
def list_gateways(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the gateways."""
    with told():
        found = credentials.gateways(installation(config, data).config.data / "broker")
        if as_json:
            print_json({"gateways": found})
        else:
            for name in found:
                out.print(name, markup=False)

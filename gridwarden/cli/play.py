"""``gridwarden replay``: somebody's recorded data, published as their gateways would have."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gridwarden.app import Installation
from gridwarden.cli import publishing
from gridwarden.cli.output import (
    ConfigOption,
    DataOption,
    JsonOption,
    bar,
    installation,
    out,
    print_json,
    say,
    shipped,
    told,
)
from gridwarden.clock import parse_rfc3339
from gridwarden.errors import ConfigError
from simulators import mapping as mappings
from simulators.publisher import Address
from simulators.replay import Options, ReplayAccount
from simulators.replay import replay as play

CLIENT_ID = "gridwarden-replay"

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="CSV or JSON Lines; .gz too.")]


def replay(
    file: File,
    mapping: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            help="Which columns mean what: a mapping file, or a shipped one: db_lifts. Without it every line is a reading"
            " as gateways send it, with gateway and lane beside it.",
        ),
    ] = None,
    speed: publishing.SpeedOption = "max",
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Most readings in one message.")] = 1,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Leave out what was recorded before.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Leave out what was recorded from then on.")
    ] = None,
    shift: Annotated[
        str | None, typer.Option(metavar="now|TIME", help="Move all times so that the first one is then.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be mapped.")] = False,
    host: publishing.HostOption = None,
    port: publishing.PortOption = 1883,
    username: publishing.UsernameOption = None,
    password: publishing.PasswordOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish recorded data over MQTT with the times it has; when this returns, the broker has acknowledged all of it."""
    with told():
        here = installation(config, data)
        options = Options(
            path=file, mapping=_mapping(mapping), speed=publishing.speed(speed), batch=batch, from_ms=_time("--from", since),
            to_ms=_time("--to", until), shift="now" if shift == "now" else _time("--shift", shift), strict=strict,
        )  # fmt: skip
        address = Address(host, port, CLIENT_ID, username, password) if host else None
        account = asyncio.run(_replay(here, options, address))
        _show(account, as_json=as_json)


async def _replay(here: Installation, options: Options, address: Address | None) -> ReplayAccount:
    if address is None:
        address = publishing.running_broker(here, CLIENT_ID)
    with bar("replaying") as progress:
        task = progress.add_task("", total=1.0, note="")

        def step(account: ReplayAccount) -> None:
            progress.update(task, completed=account.fraction, note=f"{account.readings_acknowledged:,} acknowledged")

        return await play(replace(options, address=address), step)


def _mapping(name: str | None) -> mappings.FileMapping | None:
    if name is None:
        return None
    return mappings.load(shipped(name, mappings.SHIPPED, "mapping"))


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise ConfigError(f"{text!r}: a time such as 2026-11-22T06:00:00Z is expected", place=option) from error


def _show(account: ReplayAccount, *, as_json: bool) -> None:
    facts = {name: getattr(account, name) for name in
             ("rows", "readings", "left_out", "unmapped", "messages", "readings_acknowledged")}  # fmt: skip
    for problem in account.problems:
        say(str(problem))
    if as_json:
        print_json({**facts, "devices": len(account.devices)})
    else:
        out.print(f"{facts['rows']:,} rows: {facts['readings']:,} readings in {facts['messages']:,} messages "
                  f"(all acknowledged), {facts['left_out']:,} left out, {facts['unmapped']:,} could not be mapped", soft_wrap=True)  # fmt: skip

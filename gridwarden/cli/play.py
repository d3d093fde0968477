"""``gridwarden replay``: somebody's recorded data, published as their gateways would have."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gridwarden.app import Installation, embedded_address, is_running
from gridwarden.broker import credentials
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, bar, err, installation, out, print_json, told
from gridwarden.clock import parse_rfc3339
from gridwarden.errors import BrokerUnavailable, ConfigError
from simulators import mapping as mappings
from simulators.publisher import Address
from simulators.replay import Options, ReplayAccount
from simulators.replay import replay as play

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV or JSON Lines, .gz too.")]


def replay(
    file: File,
    mapping: Annotated[
        str | None, typer.Option(help="Mapping file, or a shipped one (db_lifts); none: lines are native readings.")
    ] = None,
    speed: Annotated[str, typer.Option(help="max, or a factor: 1 is as recorded, 60 an hour in a minute.")] = "max",
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Readings of one message.")] = 1,
    since: Annotated[str | None, typer.Option("--from", help="Leave out what was recorded before.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Leave out what was recorded from then on.")] = None,
    shift: Annotated[str | None, typer.Option(help="Move all times so that the first is then: now, or a time.")] = None,
    strict: Annotated[bool, typer.Option(help="Stop at the first row that cannot be mapped.")] = False,
    host: Annotated[str | None, typer.Option(help="Another broker than the one of the running instance.")] = None,
    port: Annotated[int, typer.Option("--broker-port")] = 1883,
    username: Annotated[str | None, typer.Option()] = None,
    password: Annotated[
        str | None, typer.Option(envvar="GRIDWARDEN_PASSWORD", help="Better by the environment.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish recorded data over MQTT, keeping its times; it is acknowledged when this returns."""
    with told():
        here = installation(config, data)
        options = Options(
            path=file, mapping=_mapping(mapping), speed=_speed(speed), batch=batch, from_ms=_time(since),
            to_ms=_time(until), shift="now" if shift == "now" else _time(shift), strict=strict,
        )  # fmt: skip
        address = Address(host, port, "gridwarden-replay", username, password) if host else None
        account = asyncio.run(_replay(here, options, address))
        _show(account, as_json=as_json)


async def _replay(here: Installation, options: Options, address: Address | None) -> ReplayAccount:
    if address is None:
        address = running_broker(here)
    with bar("replaying") as progress:
        task = progress.add_task("", total=1.0, note="")

        def step(account: ReplayAccount) -> None:
            progress.update(task, completed=account.fraction, note=f"{account.readings_acknowledged:,} acknowledged")

        return await play(replace(options, address=address), step)


def running_broker(here: Installation) -> Address:
    """The embedded broker of the running instance, as its owner may use it.

    Raises:
        BrokerUnavailable: no instance runs on this data directory.
    """
    config = here.config
    if not config.embedded.enabled:
        raise ConfigError("the embedded broker is off; name the broker with --host", place="replay")
    if not is_running(config.data):
        raise BrokerUnavailable(f"no instance runs on {config.data}; start `gridwarden run` first, or give --host")
    host, port = embedded_address(config.data)
    user, password = credentials.load(config.data / "broker").of(credentials.REPLAYER)
    return Address(host, port, "gridwarden-replay", user, password)


def _mapping(name: str | None) -> mappings.FileMapping | None:
    if name is None:
        return None
    shipped = mappings.SHIPPED / f"{name}.yaml"
    return mappings.load(shipped if shipped.is_file() and not Path(name).is_file() else Path(name))


def _speed(text: str) -> Any:
    if text == "max":
        return "max"
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1e6:  # noqa: PLR2004 - faster than that is max
        raise ConfigError(f"{text!r}: max, or a number above 0", place="--speed")
    return factor


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise ConfigError(f"{text!r}: a time such as 2026-11-22T06:00:00Z", place="time") from error


def _show(account: ReplayAccount, *, as_json: bool) -> None:
    facts = {name: getattr(account, name) for name in
             ("rows", "readings", "left_out", "unmapped", "messages", "readings_acknowledged")}  # fmt: skip
    for problem in account.problems:
        err.print(str(problem), markup=False, soft_wrap=True)
    if as_json:
        print_json({**facts, "devices": len(account.devices)})
    else:
        out.print(f"{facts['rows']:,} rows: {facts['readings']:,} readings in {facts['messages']:,} messages "
                  f"(all acknowledged), {facts['left_out']:,} left out, {facts['unmapped']:,} could not be mapped")  # fmt: skip

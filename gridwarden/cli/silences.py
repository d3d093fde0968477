"""``gridwarden silence``: who quiets which alarms, and until when."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from gridwarden.cli.local import api
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, say, told
from gridwarden.clock import SystemClock, parse_rfc3339, rfc3339
from gridwarden.errors import ConfigError
from rules.written import parse_duration

silences = typer.Typer(help="Quiet alarms for a time; they are still recorded and listed.", no_args_is_help=True)
Matching = list[str] | None


@silences.command("list")
def list_silences(
    ended: Annotated[bool, typer.Option("--ended", help="Those that have ended instead.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what quiets alarms, in whatever way: who, why, until when, and how many alarms it quiets now."""
    with told():
        path = f"/quietings?limit=1000&ended={str(ended).lower()}"
        found = asyncio.run(_call(config, data, "GET", path, existing=True))
        if as_json:
            print_json(found)
            return
        for one in found["quietings"]:
            out.print(_line(one), markup=False, soft_wrap=True)
        if not found["quietings"]:
            say("nothing is quieted")


@silences.command("add")
def add_silence(
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="How long from now: 30m, 2h, 3d.")],
    comment: Annotated[str, typer.Option(help="Why.")],
    rule: Annotated[Matching, typer.Option(help="Id of a rule, * for any characters; repeat it for several.")] = None,
    kind: Annotated[Matching, typer.Option(help="Kind of devices.")] = None,
    severity: Annotated[Matching, typer.Option(help="critical, high, medium, low.")] = None,
    device: Annotated[Matching, typer.Option(help="A device.")] = None,
    building: Annotated[Matching, typer.Option(help="A building.")] = None,
    gateway: Annotated[Matching, typer.Option(help="A gateway.")] = None,
    area: Annotated[str | None, typer.Option(help="Area code; nothing outside it is quieted.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Silence alarms from now on; all that is named must fit. Never fire, entrapment or latched alarms: that takes two people."""
    with told():
        try:
            lasting_ms = parse_duration(lasting)
        except ValueError as error:
            raise ConfigError(str(error), place="--for") from error
        body = {
            "rules": rule or [], "kinds": kind or [], "severities": severity or [], "devices": device or [],
            "buildings": building or [], "gateways": gateway or [], "area": area, "comment": comment,
            "until": rfc3339(SystemClock().now_ms() + lasting_ms),
        }  # fmt: skip
        _show(asyncio.run(_call(config, data, "POST", "/silences", body)), as_json=as_json)


@silences.command("end")
def end_silence(
    number: Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `gridwarden silence list` shows it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End it early: what it quieted and still fires is told now."""
    with told():
        _show(asyncio.run(_call(config, data, "POST", f"/quietings/{number}/end")), as_json=as_json)


def _show(one: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(one)
    else:
        out.print(_line(one), markup=False, soft_wrap=True)


def _line(one: dict[str, Any]) -> str:
    what = " ".join(f"{name}={','.join(wanted)}" for name, wanted in one["matchers"].items())
    where = f"area={one['area']}" if one["area"] else ""
    until = f"until {one['until_at']}" if one["until_at"] else f"for {_days(one['created_at'])} until further notice"
    which = " ".join(part for part in (what, where) if part) or "everything"
    protected = " fire too," if one["protected"] else ""
    return (f"{one['quieting_id']:>6} {one['kind']:<14} {one['stage']:<9} {until}, by {one['author']}: {one['comment']} "
            f"({which};{protected} quiets {one['quiets']} now)")  # fmt: skip


def _days(created_at: str) -> str:
    days = (SystemClock().now_ms() - parse_rfc3339(created_at)) // 86_400_000
    return f"{days} d"


async def _call(
    config: Path | None, data: Path | None, method: str, path: str, body: Any = None, *, existing: bool = False
) -> Any:
    async with api(installation(config, data), existing=existing) as to:
        return await to.call(method, path, body)

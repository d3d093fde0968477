"""``gridwarden import`` and ``gridwarden user``."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gridwarden.access import Role
from gridwarden.app import Installation
from gridwarden.cli.local import api
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
from gridwarden.errors import ConfigError, Unavailable
from gridwarden.office.coordinates import Crs
from gridwarden.office.mapping import PRESETS

imports = typer.Typer(
    help="Import areas, devices, resources or a base map from CSV or GeoJSON, all or nothing.", no_args_is_help=True
)
users = typer.Typer(help="Accounts and API tokens.", no_args_is_help=True)

File = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, resolve_path=True, metavar="FILE", help="CSV or GeoJSON; .gz too."),
]
Mapping = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="Which columns mean what: a mapping file, or a shipped one: db_lifts, osm_hydrants, osm_fire_stations."
        " Without it the columns have our names.",
    ),
]
CrsOption = Annotated[Crs, typer.Option(help="Coordinates of the file; they are stored as WGS-84.")]
Encoding = Annotated[str, typer.Option(help="Encoding of a CSV file, e.g. gb18030.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and compare only; write nothing.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.")]


DOCS = {
    "areas": "Import areas, parents before children or in the registry already. Columns: code, name, name_en;"
    " outlines from the polygons of GeoJSON.",
    "devices": "Import devices. Columns: device_id, kind, area; name, gateway, building, lon, lat and others.",
    "resources": "Import resources: what helps in an incident. Columns: resource_id, kind, area, lon, lat; name.",
}


def _import(what: str) -> Any:
    def command(
        file: File,
        mapping: Mapping = None,
        crs: CrsOption = Crs.WGS84,
        encoding: Encoding = "utf-8",
        dry_run: DryRun = False,
        config: ConfigOption = None,
        data: DataOption = None,
        as_json: JsonOption = False,
    ) -> None:
        with told():
            order = {"what": what, "path": str(file), "mapping": _mapping(mapping), "crs": crs, "encoding": encoding,
                     "dry_run": dry_run}  # fmt: skip
            report = asyncio.run(_imported(installation(config, data), order))
            _show(report, as_json=as_json)

    command.__doc__ = DOCS[what]
    return command


for _what in ("areas", "devices", "resources"):
    imports.command(_what)(_import(_what))


@imports.command("basemap")
def import_basemap(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, resolve_path=True, metavar="FILE", help="GeoJSON; .gz too.")
    ],
    crs: CrsOption = Crs.WGS84,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a base map in the place of the present one. Properties: layer (water, road, green or land), class."""
    with told():
        order = {"what": "basemap", "path": str(file), "crs": crs, "dry_run": dry_run}
        _show(asyncio.run(_imported(installation(config, data), order)), as_json=as_json)


def _mapping(name: str | None) -> str | None:
    """A path as the running instance must read it; a shipped mapping by its name."""
    return None if name is None else str(shipped(name, PRESETS, "mapping").resolve())


async def _imported(here: Installation, order: dict[str, Any]) -> dict[str, Any]:
    with bar(f"importing {order['what']}") as progress:
        task = progress.add_task("", total=1.0, note="")
        async with api(here) as to:
            async for line in to.lines("/local/import", order):
                if "error" in line:
                    raise ConfigError(line["error"])
                if "report" in line:
                    return dict(line["report"])
                progress.update(task, completed=line["share"], note=f"{line['rows']} rows")
    raise Unavailable("the instance ended in the middle of the import; nothing was written")


def _show(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
    else:
        for error in report["errors"]:
            say(error)
        counts = ", ".join(f"{report[name]} {name}" for name in ("added", "changed", "unchanged", "skipped"))
        verb = "would be: " if report["dry_run"] else ""
        out.print(f"{report['path']}: {report['rows']} rows; {verb}{counts}" if report["ok"]
                  else f"{report['path']}: {report['error_count']} errors; nothing was written", soft_wrap=True)  # fmt: skip
    if not report["ok"]:
        raise typer.Exit(2)


@users.command("list")
def list_users(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the accounts."""
    with told():
        found = asyncio.run(_call(installation(config, data), "GET", "/local/users", existing=True))
        if as_json:
            print_json(found)
            return
        for user in found["users"]:
            where = ", ".join(area or "everywhere" for area in user["areas"])
            line = f"{user['name']:<24} {user['role']:<9} {where}{'  disabled' if user['disabled'] else ''}"
            out.print(line, markup=False, soft_wrap=True)


@users.command("add")
def add_user(
    name: Name,
    role: Annotated[
        Role, typer.Option(help="viewer sees; operator also acts on alarms; admin also changes the registry.")
    ] = Role.OPERATOR,
    area: Annotated[
        list[str] | None, typer.Option(help="Area code; repeat it for several. Default: everywhere.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account with a fresh password, shown this once."""
    with told():
        password = secrets.token_urlsafe(12)
        body = {"name": name, "role": role, "areas": area or [""], "password": password}
        made = asyncio.run(_call(installation(config, data), "POST", "/local/users", body))
        _show_password(name, password, made, as_json=as_json)


@users.command("password")
def new_password(name: Name, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Give an account a fresh password, shown this once; its sessions end."""
    with told():
        password = secrets.token_urlsafe(12)
        body = {"password": password}
        asyncio.run(_call(installation(config, data), "PUT", f"/local/users/{quote(name, safe='')}/password", body))
        _show_password(name, password, {"name": name}, as_json=as_json)


@users.command("disable")
def disable_user(name: Name, config: ConfigOption = None, data: DataOption = None) -> None:
    """Disable an account; its sessions end, what it did stays under its name."""
    with told():
        asyncio.run(_call(installation(config, data), "DELETE", f"/local/users/{quote(name, safe='')}"))
        say(f"{name} is disabled")


@users.command("token")
def new_token(
    name: Name,
    label: Annotated[str, typer.Option(help="What it is for, so that it can be told from others.")] = "api",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API token that may do what the account may, shown this once."""
    with told():
        path = f"/local/users/{quote(name, safe='')}/tokens"
        made = asyncio.run(_call(installation(config, data), "POST", path, {"name": label}))
        if as_json:
            print_json(made)
        else:
            say(f"token of {name}, shown this once; send it as: Authorization: Bearer TOKEN")
            out.print(made["secret"], markup=False, soft_wrap=True)


def _show_password(name: str, password: str, facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({**facts, "password": password})
    else:
        say("sign in with this name and password, shown this once:")
        out.print(f"{name} / {password}", markup=False, soft_wrap=True)


async def _call(here: Installation, method: str, path: str, body: Any = None, *, existing: bool = False) -> Any:
    async with api(here, existing=existing) as to:
        return await to.call(method, path, body)

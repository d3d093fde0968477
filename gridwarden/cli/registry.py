"""``gridwarden import`` and ``gridwarden user``."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from gridwarden.access import Role
from gridwarden.app import Installation
from gridwarden.cli.local import CommandFailed, api
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, bar, err, installation, out, print_json, told
from gridwarden.office.coordinates import Crs

imports = typer.Typer(
    help="Import areas, devices or resources from CSV or GeoJSON, all or nothing.", no_args_is_help=True
)
users = typer.Typer(help="Accounts and API tokens.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, resolve_path=True, help="CSV, CSV.GZ or GeoJSON.")]
Mapping = Annotated[
    str | None, typer.Option(help="Mapping file, or a shipped one: db_lifts, osm_hydrants, osm_fire_stations.")
]
CrsOption = Annotated[Crs, typer.Option(help="Coordinates of the file; stored as WGS-84.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and compare only.")]
Name = Annotated[str, typer.Argument()]


def _import(what: str) -> Any:
    def command(
        file: File,
        mapping: Mapping = None,
        crs: CrsOption = Crs.WGS84,
        dry_run: DryRun = False,
        config: ConfigOption = None,
        data: DataOption = None,
        as_json: JsonOption = False,
    ) -> None:
        with told():
            order = {"what": what, "path": str(file), "mapping": _mapping(mapping), "crs": crs, "dry_run": dry_run}
            report = asyncio.run(_imported(installation(config, data), order))
            _show(report, as_json=as_json)

    command.__doc__ = f"Import {what}."
    return command


for _what in ("areas", "devices", "resources"):
    imports.command(_what)(_import(_what))


def _mapping(name: str | None) -> str | None:
    """A path as the running instance must read it; a shipped mapping by its name."""
    return str(Path(name).resolve()) if name and Path(name).is_file() else name


async def _imported(here: Installation, order: dict[str, Any]) -> dict[str, Any]:
    with bar(f"importing {order['what']}") as progress:
        task = progress.add_task("", total=1.0, note="")
        async with api(here) as to:
            async for line in to.lines("/local/import", order):
                if "error" in line:
                    raise CommandFailed(line["error"])
                if "report" in line:
                    return dict(line["report"])
                progress.update(task, completed=line["share"], note=f"{line['rows']} rows")
    raise CommandFailed("the instance ended in the middle of the import; nothing was written")


def _show(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
    else:
        for error in report["errors"]:
            err.print(error, markup=False, soft_wrap=True)
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
        found = asyncio.run(_call(installation(config, data), "GET", "/local/users"))
        if as_json:
            print_json(found)
            return
        for user in found["users"]:
            where = ", ".join(area or "everywhere" for area in user["areas"])
            out.print(f"{user['name']:<24} {user['role']:<9} {where}{'  disabled' if user['disabled'] else ''}")


@users.command("add")
def add_user(
    name: Name,
    role: Annotated[Role, typer.Option()] = Role.OPERATOR,
    area: Annotated[
        list[str] | None, typer.Option(help="Area code; repeat it for several. Default: everywhere.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Make an account with a fresh password, shown this once."""
    with told():
        password = secrets.token_urlsafe(12)
        body = {"name": name, "role": role, "areas": area or [""], "password": password}
        asyncio.run(_call(installation(config, data), "POST", "/local/users", body))
        out.print(f"{name} / {password}", markup=False)


@users.command("password")
def new_password(name: Name, config: ConfigOption = None, data: DataOption = None) -> None:
    """Give an account a fresh password, shown this once; its sessions end."""
    with told():
        password = secrets.token_urlsafe(12)
        asyncio.run(_call(installation(config, data), "PUT", f"/local/users/{name}/password", {"password": password}))
        out.print(f"{name} / {password}", markup=False)


@users.command("disable")
def disable_user(name: Name, config: ConfigOption = None, data: DataOption = None) -> None:
    """Disable an account; its sessions end, what it did stays under its name."""
    with told():
        asyncio.run(_call(installation(config, data), "DELETE", f"/local/users/{name}"))
        out.print(f"{name} is disabled", markup=False)


@users.command("token")
def new_token(
    name: Name,
    label: Annotated[str, typer.Option(help="What it is for.")] = "api",
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Make an API token that may do what the account may, shown this once."""
    with told():
        made = asyncio.run(_call(installation(config, data), "POST", f"/local/users/{name}/tokens", {"name": label}))
        out.print(made["secret"], markup=False)


async def _call(here: Installation, method: str, path: str, body: Any = None) -> Any:
    async with api(here) as to:
        return await to.call(method, path, body)

"""``gridwarden backup``, ``restore`` and ``verify``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from gridwarden.app import Installation
from gridwarden.cli.local import CommandFailed, api
from gridwarden.cli.output import (
    ConfigOption,
    DataOption,
    JsonOption,
    bar,
    installation,
    out,
    print_json,
    say,
    told,
)
from gridwarden.errors import Unavailable


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder; made when the backup is whole.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy records, history, registry and configuration into a new folder, also while everything runs."""
    with told():
        facts = asyncio.run(_taken(installation(config, data), folder.absolute()))
        if as_json:
            print_json(facts)
        else:
            _show(facts)


async def _taken(here: Installation, folder: Path) -> dict[str, Any]:
    with bar("backup") as progress:
        task = progress.add_task("", total=1.0, note="")
        async with api(here, existing=True) as to:
            async for line in to.lines("/local/backup", {"folder": str(folder)}):
                if "error" in line:
                    if line["code"] == "unavailable":
                        raise Unavailable(line["error"])
                    raise CommandFailed(line["code"], line["error"])
                if "backup" in line:
                    return dict(line["backup"])
                progress.update(task, completed=line["share"], note=line["what"])
    raise Unavailable("the instance ended in the middle of the backup; there is none")


def _show(facts: dict[str, Any]) -> None:
    out.print(f"{facts['folder']}: {facts['files']} files, {facts['bytes']:,} bytes", markup=False, soft_wrap=True)
    out.print(f"records to offset {facts['records']['offset']}, change {facts['records']['seq']}")
    history = facts["history"]
    if history:
        rows = "" if history["rows"] is None else f", {history['rows']:,} readings"
        out.print(f"history to offset {history['offset']}{rows}")
    out.print(f"manifest {facts['sha256']}")
    for missing in facts["not_included"]:
        say(f"not included: {missing['what']}: {missing['why']}")

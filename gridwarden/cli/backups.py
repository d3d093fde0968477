"""``gridwarden backup``, ``restore`` and ``verify``."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gridwarden.app import Installation, data_lock, is_running
from gridwarden.backup import restoring, verifying
from gridwarden.backup.faults import Report
from gridwarden.backup.restoring import Restored
from gridwarden.cli.local import CommandFailed, api
from gridwarden.cli.output import (
    FAILED,
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
from gridwarden.clock import SystemClock
from gridwarden.errors import ConfigError, Unavailable


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


def restore(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, metavar="FOLDER", help="The backup.")],
    config: ConfigOption = None,
    data: DataOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move a data directory that is there aside; nothing is deleted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a data directory from a backup, after checking every file of it."""
    with told():
        place = installation(config, data).config.data
        with data_lock(place), bar("restore") as progress:
            task = progress.add_task("", total=1.0, note="")
            done = restoring.restore(
                folder, place, SystemClock().now_ms(),
                lambda what, share: progress.update(task, completed=share, note=what), replace=replace,
            )  # fmt: skip
        if as_json:
            print_json(asdict(done))
        else:
            _show_restored(done)


def _show_restored(done: Restored) -> None:
    records = done.records
    out.print(f"{done.data}: restored", markup=False, soft_wrap=True)
    out.print(f"records to offset {records['offset']}, change {records['seq']}, new epoch {done.epoch}")
    if done.history:
        out.print(f"history to offset {done.history['offset']}; it follows the rest when it runs")
    if done.broker_bytes:
        out.print(f"carried over: {done.broker_bytes:,} bytes of the broker's store, taken in when it runs")
    if done.moved_aside:
        say(f"what was there before is in {done.moved_aside}")
    say(f"not there: what was committed after {records['through']}, the newest transaction of the backup")
    for missing in done.not_included:
        say(f"not in the backup: {missing['what']}: {missing['why']}")
    say(f"the configuration of the backup lies in {done.configuration}")


def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(exists=True, file_okay=False, metavar="[FOLDER]", help="A backup; else the data directory."),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look through a backup or the data directory; each fault with what it costs and what to do. Changes nothing."""
    with told():
        place = installation(config, data).config.data
        with bar("verify") as progress:
            task = progress.add_task("", total=1.0, note="")
            report = _verified(folder, place, lambda what, share: progress.update(task, completed=share, note=what))
        if as_json:
            print_json({**asdict(report), "ok": not report.faults})
        else:
            _show_report(report)
        if report.faults:
            raise typer.Exit(FAILED)


def _verified(folder: Path | None, place: Path, tell: verifying.Tell) -> Report:
    if folder is not None:
        return verifying.verify_backup(folder, tell)
    if not (place / verifying.OFFICE).exists() and not (place / verifying.RECORDS).exists():
        raise ConfigError("no data of Gridwarden here; name its directory with --data, or a backup", path=place)
    if is_running(place):
        return verifying.verify_running(place, tell)
    with data_lock(place):
        return verifying.verify_data(place, tell)


def _show_report(report: Report) -> None:
    for fault in report.faults:
        out.print(str(fault), markup=False, soft_wrap=True)
    counts = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in report.counts.items())
    verdict = f"{len(report.faults)} faults" if report.faults else "whole"
    out.print(f"{report.path} ({report.of}): {verdict}; {counts}", markup=False, soft_wrap=True)
    for skipped in report.skipped:
        say(f"not looked at: {skipped}")

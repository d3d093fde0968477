"""``gridwarden rules test``, ``ledger``, ``deadletter``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from gridwarden.cli.local import api
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, told
from gridwarden.errors import NotFound
from rules import report as reports
from rules.load import PACKS
from rules.script import run as run_scripts

rules = typer.Typer(help="Test rules.", no_args_is_help=True)
dead_letters = typer.Typer(help="Payloads that could not be decoded.", no_args_is_help=True)
LEDGER_PARTS = ("stored", "duplicate", "dead_lettered", "quarantined", "in_flight")


@rules.callback()
def _rules() -> None:
    """Test rules."""


@rules.command("test")
def test(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Test files, rule files or folders; default: shipped packs.")
    ] = None,
    as_json: JsonOption = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML here.")] = None,
) -> None:
    """Run rule tests on virtual time; exit 1 when one fails."""
    with told():
        report = run_scripts(paths or [PACKS])
        if junit:
            junit.write_text(reports.as_junit(report), "utf-8")
        if as_json:
            print_json(reports.as_json(report))
        else:
            out.print(reports.as_text(report), markup=False, soft_wrap=True)
        if not report.ok:
            raise typer.Exit(1)


def ledger(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """What became of every reading that was received; exit 1 when the sum is not right."""
    with told():
        found = asyncio.run(_get(config, data, "/ledger"))
        if as_json:
            print_json(found)
        else:
            _show_ledger(found)
        if not found["balanced"]:
            raise typer.Exit(1)


def _show_ledger(found: dict[str, Any]) -> None:
    out.print(f"received        {found['received']:>12,}")
    for name in LEDGER_PARTS:
        out.print(f"  {name:<14}{found[name]:>12,}")
    out.print("balanced" if found["balanced"] else "[bold red]NOT BALANCED[/]")
    lag = found["history_lag"]
    out.print(f"history: {lag['transactions']} transactions behind, complete until {lag['complete_until']}")


@dead_letters.command("list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest dead letters."""
    with told():
        found = asyncio.run(_get(config, data, f"/dead-letters?limit={limit}"))
        if as_json:
            print_json(found)
            return
        for letter in found["dead_letters"]:
            out.print(f"{letter['dead_letter_id']:>8} {letter['received_at']} {letter['topic']} {letter['code']}: "
                      f"{letter['detail']} ({letter['bytes']} bytes)", markup=False, soft_wrap=True)  # fmt: skip


@dead_letters.command("show")
def show_dead_letter(
    number: Annotated[int, typer.Argument(min=1)],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter: where it came from, why it was set aside, its bytes."""
    with told():
        found = asyncio.run(_get(config, data, f"/dead-letters?before={number + 1}&limit=1"))["dead_letters"]
        if not found or found[0]["dead_letter_id"] != number:
            raise NotFound("no_such_dead_letter", str(number))
        letter = found[0]
        if as_json:
            print_json(letter)
            return
        for name in ("received_at", "broker", "topic", "code", "detail", "bytes"):
            out.print(f"{name:<12} {letter[name]}", markup=False, soft_wrap=True)
        payload = bytes.fromhex(letter["payload_hex"])
        out.print(payload.decode("utf-8", "backslashreplace"), markup=False, soft_wrap=True)


async def _get(config: Path | None, data: Path | None, path: str) -> Any:
    async with api(installation(config, data)) as to:
        return await to.call("GET", path)

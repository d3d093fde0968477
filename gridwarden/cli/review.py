"""``gridwarden rules test``, ``ledger``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gridwarden.cli.local import api
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, busy, installation, out, print_json, say, told
from gridwarden.clock import parse_rfc3339
from gridwarden.core.rule_tests import run as run_tests
from gridwarden.records.lines import By
from rules import report as reports
from rules.load import PACKS

rules = typer.Typer(help="Try out rules.", no_args_is_help=True)
LEDGER_PARTS = {
    "stored": "in the records",
    "duplicate": "the same reading once more",
    "dead_lettered": "could not be decoded; see gridwarden deadletter list",
    "quarantined": "from a gateway that does not speak for the device",
    "in_flight": "being worked on",
}
"""Where a received reading can be, and what that means."""
LINE_PARTS = ("received", "stored", "duplicate", "dead_lettered", "quarantined", "redelivered")


@rules.callback()
def _rules() -> None:
    """Try out rules."""


@rules.command("test")
def test(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Test files, rule files or folders; default: the shipped rules."),
    ] = None,
    as_json: JsonOption = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write JUnit XML here.")] = None,
    restarts: Annotated[
        bool, typer.Option("--restarts", help="Run every case once more with a restart after every step.")
    ] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Show which branches of which rules no case touches.")
    ] = False,
    coverage_min: Annotated[
        float | None, typer.Option(min=0, max=100, metavar="PCT", help="Exit 1 where cases touch less of the branches.")
    ] = None,
) -> None:
    """Run rule tests on virtual time; exit 1 when one fails."""
    with told():
        with busy("running rule tests"):
            report = run_tests(paths or [PACKS], restarts=restarts)
        if junit:
            junit.write_text(reports.as_junit(report), "utf-8")
        if as_json:
            print_json(reports.as_json(report))
        else:
            out.print(reports.as_text(report), markup=False, soft_wrap=True, highlight=False)
        if coverage and not as_json:
            out.print(reports.coverage_text(report.coverage), markup=False, soft_wrap=True, highlight=False)
        reached = report.coverage.percent
        if coverage_min is not None and reached < coverage_min:
            say(f"coverage: {reached:g} % of the branches, {coverage_min:g} % are wanted")
            raise typer.Exit(1)
        if not report.ok:
            raise typer.Exit(1)


def ledger(
    by: Annotated[By | None, typer.Option(help="The lines it consists of, as committed.", show_default=False)] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """What became of every reading that was received; exit 1 when the sum is not right."""
    with told():
        if by:
            _ledger_by(by, config, data, as_json=as_json)
            return
        found = asyncio.run(_get(config, data, "/ledger"))
        if as_json:
            print_json(found)
        else:
            _show_ledger(found)
        history = found["history"]
        if not found["balanced"] or (history and history["missing"]):
            raise typer.Exit(1)


def _ledger_by(by: By, config: Path | None, data: Path | None, *, as_json: bool) -> None:
    lines = asyncio.run(_pages(config, data, f"/ledger?by={by}", "lines"))
    if as_json:
        print_json({"by": by, "lines": lines})
    else:
        _show_lines(by, lines)
    if not all(line["balanced"] for line in lines):
        raise typer.Exit(1)


def _show_lines(by: By, lines: list[dict[str, Any]]) -> None:
    names = [column.name for column in by.columns]
    heads = [*names, *(part.replace("_", "-") for part in LINE_PARTS)]
    rows = [[*(line[name] or "-" for name in names), *(f"{line[part]:,}" for part in LINE_PARTS)] for line in lines]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row, is_right in zip([heads, *rows], [True, *(line["balanced"] for line in lines)], strict=True):
        keys, counts = row[: len(names)], row[len(names) :]
        cells = [cell.ljust(width) for cell, width in zip(keys, widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(counts, widths[len(names) :], strict=True)]
        out.print("  ".join(cells) + ("" if is_right else "  THE SUM IS NOT RIGHT"), markup=False, soft_wrap=True)


def _show_ledger(found: dict[str, Any]) -> None:
    out.print(f"received        {found['received']:>14,}  readings")
    for name, meaning in LEDGER_PARTS.items():
        out.print(f"  {name.replace('_', '-'):<14}{found[name]:>14,}  {meaning}", soft_wrap=True)
    out.print("the sum is right" if found["balanced"] else "[bold red]THE SUM IS NOT RIGHT[/]")
    lost = {name.replace("_", " "): count for name, count in found["lost"].items() if count}
    if lost:
        told = ", ".join(f"{name} {count:,}" for name, count in lost.items())
        out.print(f"[bold red]LOST by damaged files[/]: {told}", soft_wrap=True)
    lag = found["history_lag"]
    behind = f"{lag['transactions']:,} transactions behind the records" if lag["transactions"] else "up to date"
    until = f"; complete until {lag['complete_until']}" if parse_rfc3339(lag["complete_until"]) > 0 else ""
    out.print(f"history: {behind}{until}", soft_wrap=True)
    if audited := found["history"]:
        said = f"[bold red]{audited['missing']:,} READINGS DO NOT ADD UP[/]" if audited["missing"] else "all are there"
        since = f" since {audited['since']['at']}" if audited["since"]["offset"] else ""
        out.print(
            f"history: {audited['written']:,} of {audited['expected']:,} readings written{since}; {said}",
            soft_wrap=True,
        )


async def _pages(config: Path | None, data: Path | None, path: str, name: str) -> list[Any]:
    """All items of a list that comes in pages."""
    found: list[Any] = []
    async with api(installation(config, data), existing=True) as to:
        after = ""
        while True:
            page = await to.call("GET", f"{path}&limit=1000{after}")
            found += page[name]
            if page["next"] is None:
                return found
            after = f"&after={quote(page['next'], safe='')}"


async def _get(config: Path | None, data: Path | None, path: str) -> Any:
    async with api(installation(config, data), existing=True) as to:
        return await to.call("GET", path)

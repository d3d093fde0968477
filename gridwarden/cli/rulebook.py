"""``gridwarden rules apply`` and ``rules explain``: other rules into force, and why an alarm fired."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from gridwarden import app
from gridwarden.cli.local import api
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, say, told
from gridwarden.errors import Unavailable

TRUTHS = {True: "true", False: "false", None: "unknown"}
POINTS_SHOWN = 20
"""Last readings of each field that are printed; --json has all of them."""


def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the running instance read its rule files anew, all or none; shows what that changes.

    An alarm of a rule that only got other numbers goes on. One whose rule is another by now ends, and says so.
    """
    with told():
        found = asyncio.run(_apply(config, data, dry_run=dry_run))
        if as_json:
            print_json(found)
            return
        _show_changes(found["changes"])
        if not found["changes"]:
            say("the rules in force are those of the files")
        else:
            say(
                f"rules {found['before']} -> {found['version']}"
                + ("" if found["applied"] else ": not applied (--dry-run)")
            )


async def _apply(config: Path | None, data: Path | None, *, dry_run: bool) -> dict[str, Any]:
    here = installation(config, data)
    if not app.is_running(here.config.data):
        raise Unavailable(f"nothing runs on {here.config.data}; the files are read at its next start")
    async with api(here) as to:
        found: dict[str, Any] = await to.call("POST", "/local/rules", {"dry_run": dry_run})
        return found


def _show_changes(changes: list[dict[str, Any]]) -> None:
    if not changes:
        return
    table = Table("rule", "what", "key", "before", "after", "active alarms")
    for change in changes:
        alarms = "go on" if change["goes_on"] else "end"
        rows = [(key, str(values["before"]), str(values["after"])) for key, values in change["keys"].items()]
        for number, row in enumerate(rows or [("", "", "")]):
            first = (change["rule"], change["what"]) if number == 0 else ("", "")
            table.add_row(*first, *row, alarms if number == 0 else "")
    out.print(table)


def explain(
    alarm_id: Annotated[str, typer.Argument(metavar="ALARM", help="Id of an alarm, as the API and the page show it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell why an alarm fired: its rule as it stood then, what each condition saw, the readings around it."""
    with told():
        found = asyncio.run(_get(config, data, f"/alarms/{quote(alarm_id, safe='')}/explanation"))
        if as_json:
            print_json(found)
        else:
            _tell(found)


async def _get(config: Path | None, data: Path | None, path: str) -> Any:
    async with api(installation(config, data), existing=True) as to:
        return await to.call("GET", path)


def _tell(found: dict[str, Any]) -> None:
    alarm, rule = found["alarm"], found["rule"]
    _line("alarm", f"{alarm['rule_name']['zh']} · {alarm['rule_name']['en']} on {alarm['device_id']}, {alarm['state']}")
    _line("rule", f"{rule['id']} version {rule['version']}" + ("" if rule["in_force"] else " (no longer in force)"))
    if rule["content"] is None:
        say("the text of this version was never kept here")
    else:
        waits = {key: rule["content"].get(key) for key in ("for", "clear_for", "count", "within", "clock", "source")}
        _line("terms", ", ".join(f"{key} {value}" for key, value in waits.items() if value))
    for condition in found["conditions"]:
        _line(condition["key"], f"{condition['text']}  →  {TRUTHS[condition['truth']]}")
    for name in ("values", "previous", "quality"):
        _line(name, ", ".join(f"{key} {value}" for key, value in alarm["evidence"].get(name, {}).items()))
    for name in ("pending_at", "fired_at", "cleared_at", "resolved_at", "quieted_by"):
        _line(name, alarm[name])
    _line("ended by", alarm["evidence"].get("ended_by"))
    for field, points in (found["window"] or {"fields": {}})["fields"].items():
        shown = list(zip(points["t_ms"], points["value"], strict=True))[-POINTS_SHOWN:]
        _line(field, " ".join(f"{(at_ms - shown[-1][0]) / 1000:+.0f}s:{value}" for at_ms, value in shown))
    if found["window"] is None:
        say("the history cannot be read now")


def _line(name: str, text: object) -> None:
    if text not in (None, ""):
        out.print(f"{name:<14}{text}", markup=False, soft_wrap=True)

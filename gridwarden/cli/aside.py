"""``gridwarden deadletter`` and ``gridwarden quarantine``: look at what was set aside, retry it, take it along."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO
from urllib.parse import urlencode

import typer

from gridwarden.cli.local import Api, api
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
from gridwarden.errors import ConfigError

dead_letters = typer.Typer(help="Payloads that could not be decoded.", no_args_is_help=True)
quarantine = typer.Typer(help="Readings from gateways that may not speak for the device.", no_args_is_help=True)
PAGE = 200
_DUMP_WIDTH = 16
SETTLED = frozenset({"stored", "duplicate", "quarantined"})
OUTCOMES = {
    "stored": "stored as readings",
    "duplicate": "known already, not stored again",
    "quarantined": "readings now, of a gateway that does not speak for the device",
    "not_entitled": "the gateway still does not speak for the device",
}
"""What a retry comes to, in words; any other is the fault it still has."""
CodeOption = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those with this reason.")]
GatewayOption = Annotated[str | None, typer.Option("--gateway", metavar="NAME", help="Only those of this gateway.")]
DeviceOption = Annotated[str | None, typer.Option("--device", metavar="ID", help="Only those of this device.")]
SettledOption = Annotated[bool, typer.Option("--all", help="Also those that a retry has settled.")]
LimitOption = Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each.")]
NumberArgument = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `list` shows it.")]
NumbersArgument = Annotated[
    list[int] | None, typer.Argument(min=1, metavar="[NUMBER]...", help="As `list` shows them.")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Written anew; - is standard output.")]


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two lists, as the API has it."""

    path: str
    listed: str
    key: str
    nothing: str


LETTERS = Kind("/dead-letters", "dead_letters", "dead_letter_id", "no open dead letter: every payload could be decoded")
QUARANTINE = Kind("/quarantine", "quarantine", "quarantine_id", "nothing is in quarantine")


@dead_letters.command("list")
def list_dead_letters(
    limit: LimitOption = 20, code: CodeOption = None, gateway: GatewayOption = None, settled: SettledOption = False,
    config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """List the newest dead letters: number, time, topic, reason, how often they came."""
    _list(LETTERS, _query(limit=limit, code=code, gateway=gateway, settled=settled), config, data, as_json=as_json)


@quarantine.command("list")
def list_quarantine(
    limit: LimitOption = 20, device: DeviceOption = None, gateway: GatewayOption = None, settled: SettledOption = False,
    config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """List the newest quarantined readings: number, time, gateway, device, values."""
    _list(
        QUARANTINE, _query(limit=limit, device=device, gateway=gateway, settled=settled), config, data, as_json=as_json
    )


@dead_letters.command("groups")
def group_dead_letters(
    gateway: GatewayOption = None, settled: SettledOption = False, config: ConfigOption = None, data: DataOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show how many of which reason came from which gateway, the most frequent first."""
    _groups(LETTERS, "code", _query(gateway=gateway, settled=settled), config, data, as_json=as_json)


@quarantine.command("groups")
def group_quarantine(
    gateway: GatewayOption = None, settled: SettledOption = False, config: ConfigOption = None, data: DataOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show how many of which device came from which gateway, the most frequent first."""
    _groups(QUARANTINE, "device_id", _query(gateway=gateway, settled=settled), config, data, as_json=as_json)


@dead_letters.command("show")
def show_dead_letter(
    number: NumberArgument, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show one dead letter: where it came from, why it was set aside, its bytes and the text they are."""
    with told():
        letter = asyncio.run(_get(config, data, f"/dead-letters/{number}"))
        if as_json:
            print_json(letter)
            return
        payload = bytes.fromhex(letter["payload_hex"])
        _facts(letter, "received_at", "last_received_at", "count", "broker", "topic", "code", "place", "reason", "bytes",
               "retried_at", "retry_outcome")  # fmt: skip
        for line in hex_dump(payload):
            out.print(line, markup=False, soft_wrap=True)
        if len(payload) < letter["bytes"]:
            say(
                f"the first {len(payload):,} of {letter['bytes']:,} bytes; `gridwarden deadletter export` gives them all"
            )


@quarantine.command("show")
def show_quarantined(
    number: NumberArgument, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show one quarantined reading."""
    with told():
        found = asyncio.run(_get(config, data, f"/quarantine/{number}"))
        if as_json:
            print_json(found)
            return
        _facts(found, "received_at", "occurred_at", "seq", "gateway", "device_id", "retried_at", "retry_outcome")
        for name, value in found["values"].items():
            out.print(f"  {name:<20} {json.dumps(value, ensure_ascii=False)}", markup=False, soft_wrap=True)


@dead_letters.command("retry")
def retry_dead_letters(
    numbers: NumbersArgument = None, code: CodeOption = None, gateway: GatewayOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False, dry_run: DryRunOption = False,
    config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Decode dead letters again, after a fix, and judge what can be read now, with the times it came with.

    Exit 1 when some still cannot be read.
    """
    _retry(LETTERS, numbers, {"code": code, "gateway": gateway}, everything, dry_run, config, data, as_json=as_json)


@quarantine.command("retry")
def retry_quarantine(
    numbers: NumbersArgument = None, device: DeviceOption = None, gateway: GatewayOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False, dry_run: DryRunOption = False,
    config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Take over quarantined readings whose gateway may speak for their device by now, with the times they came with.

    Exit 1 when some stay in quarantine.
    """
    _retry(
        QUARANTINE, numbers, {"device": device, "gateway": gateway}, everything, dry_run, config, data, as_json=as_json
    )


@dead_letters.command("export")
def export_dead_letters(
    file: FileArgument, code: CodeOption = None, gateway: GatewayOption = None, settled: SettledOption = False,
    config: ConfigOption = None, data: DataOption = None,
) -> None:  # fmt: skip
    """Write dead letters to a file, a JSON object a line, newest first, each with all its bytes (payload_hex)."""
    _export(LETTERS, file, {"code": code, "gateway": gateway, "settled": settled}, config, data)


@quarantine.command("export")
def export_quarantine(
    file: FileArgument, device: DeviceOption = None, gateway: GatewayOption = None, settled: SettledOption = False,
    config: ConfigOption = None, data: DataOption = None,
) -> None:  # fmt: skip
    """Write quarantined readings to a file, a JSON object a line, newest first."""
    _export(QUARANTINE, file, {"device": device, "gateway": gateway, "settled": settled}, config, data)


def hex_dump(payload: bytes) -> list[str]:
    """Place, bytes and text beside each other; what is no printable ASCII stands as a dot."""
    lines = []
    for start in range(0, len(payload), _DUMP_WIDTH):
        part = payload[start : start + _DUMP_WIDTH]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)  # noqa: PLR2004 - printable ASCII
        lines.append(f"{start:08x}  {part.hex(' '):<{_DUMP_WIDTH * 3}} {shown}")
    return lines


def _list(kind: Kind, query: str, config: Path | None, data: Path | None, *, as_json: bool) -> None:
    with told():
        found = asyncio.run(_get(config, data, f"{kind.path}?{query}"))
        if as_json:
            print_json(found)
            return
        for one in found[kind.listed]:
            line = _letter_line(one) if kind is LETTERS else _quarantine_line(one)
            out.print(line, markup=False, soft_wrap=True)
        if not found[kind.listed]:
            say(kind.nothing)


def _letter_line(one: dict[str, Any]) -> str:
    times = f", {one['count']:,} times" if one["count"] > 1 else ""
    retried = f", retried: {one['retry_outcome']}" if one["retry_outcome"] else ""
    return (f"{one['dead_letter_id']:>8} {one['received_at']} {one['topic']} {one['code']}: {one['detail']} "
            f"({one['bytes']} bytes{times}{retried})")  # fmt: skip


def _quarantine_line(one: dict[str, Any]) -> str:
    retried = f" (retried: {one['retry_outcome']})" if one["retry_outcome"] else ""
    values = json.dumps(one["values"], ensure_ascii=False)
    return f"{one['quarantine_id']:>8} {one['received_at']} {one['gateway']} {one['device_id']} {values}{retried}"


def _groups(kind: Kind, by: str, query: str, config: Path | None, data: Path | None, *, as_json: bool) -> None:
    with told():
        found = asyncio.run(_get(config, data, f"{kind.path}/groups?{query}"))
        if as_json:
            print_json(found)
            return
        for one in found["groups"]:
            size = f" {one['bytes']:>12,} bytes" if "bytes" in one else ""
            out.print(f"{one['count']:>10,} {one[by]:<20} {one['gateway']:<20}{size}  {one['first_at']} to {one['last_at']}, "
                      f"e.g. {one['example']}", markup=False, soft_wrap=True)  # fmt: skip
        if not found["groups"]:
            say(kind.nothing)


def _facts(one: dict[str, Any], *names: str) -> None:
    for name in names:
        if one[name] not in (None, ""):
            out.print(f"{name:<17} {one[name]}", markup=False, soft_wrap=True)


def _retry(
    kind: Kind, numbers: list[int] | None, common: dict[str, str | None], everything: bool, dry_run: bool,
    config: Path | None, data: Path | None, *, as_json: bool,
) -> None:  # fmt: skip
    with told():
        named = {name: value for name, value in common.items() if value is not None}
        if bool(numbers) + bool(named) + everything != 1:
            raise ConfigError("name numbers, or what they have in common, or say --all", place=f"{kind.path[1:]} retry")
        body: dict[str, Any] = {**named, "all": everything, "dry_run": dry_run}
        outcomes, retried = asyncio.run(_retried(kind, numbers or [], body, config, data))
        if as_json:
            print_json({"outcomes": dict(outcomes), "retried": retried, "dry_run": dry_run})
        else:
            _show_outcomes(outcomes, dry_run=dry_run)
        if set(outcomes) - SETTLED:
            raise typer.Exit(FAILED)


async def _retried(
    kind: Kind, numbers: list[int], body: dict[str, Any], config: Path | None, data: Path | None
) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Step by step, so that no alarm waits for all of it; what became of all together, and of each that was named."""
    outcomes: Counter[str] = Counter()
    named: list[dict[str, Any]] = []
    portions = [numbers[start : start + PAGE] for start in range(0, len(numbers), PAGE)]
    async with api(installation(config, data), existing=True) as to:
        with bar("retrying") as progress:
            task = progress.add_task("", total=len(numbers) or None, note="")
            for portion in portions or [[]]:
                after: int | None = 0
                while after is not None:
                    step = {**body, "after": after, **({"numbers": portion} if portion else {})}
                    answer = await to.call("POST", f"{kind.path}/retry", step)
                    outcomes.update(answer["outcomes"])
                    named += answer["retried"] if portion else []
                    after = answer["next"]
                    progress.update(task, advance=len(answer["retried"]), note=f"{outcomes.total():,}")
    return outcomes, named


def _show_outcomes(outcomes: Counter[str], *, dry_run: bool) -> None:
    for outcome, count in outcomes.most_common():
        out.print(f"{count:>10,}  {OUTCOMES.get(outcome, f'still {outcome}')}", markup=False, soft_wrap=True)
    if not outcomes:
        say("nothing is open there")
    elif dry_run:
        say("nothing was done: this is what would become of them")


def _export(kind: Kind, file: Path, wanted: dict[str, Any], config: Path | None, data: Path | None) -> None:
    with told():
        count = asyncio.run(_exported(kind, file, wanted, config, data))
        say(f"{count:,} written to {file}")


async def _exported(kind: Kind, file: Path, wanted: dict[str, Any], config: Path | None, data: Path | None) -> int:
    """One page and one payload in memory at a time."""
    count = 0
    async with api(installation(config, data), existing=True) as to:
        with _written(file) as lines, bar("exporting") as progress:
            task = progress.add_task("", total=None, note="")
            async for one in _pages(to, kind, wanted):
                if kind is LETTERS and len(one["payload_hex"]) < 2 * one["bytes"]:
                    one["payload_hex"] = (await to.bytes(f"{kind.path}/{one[kind.key]}?raw=true")).hex()
                lines.write(json.dumps(one, ensure_ascii=False) + "\n")
                count += 1
                progress.update(task, note=f"{count:,}")
    return count


@contextmanager
def _written(file: Path) -> Iterator[TextIO]:
    """``file`` (``-``: standard output) for writing: it is there once all of it is."""
    if str(file) == "-":
        yield sys.stdout
        return
    fresh = file.with_name(f".{file.name}.part")
    try:
        with fresh.open("w", encoding="utf-8") as lines:
            yield lines
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


async def _pages(to: Api, kind: Kind, wanted: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    before: int | None = None
    while True:
        found = await to.call("GET", f"{kind.path}?{_query(limit=PAGE, before=before, **wanted)}")
        for one in found[kind.listed]:
            yield one
        before = found["next"]
        if before is None:
            return


def _query(**parameters: Any) -> str:
    named = {name: value for name, value in parameters.items() if value is not None}
    return urlencode({name: str(value).lower() if isinstance(value, bool) else value for name, value in named.items()})


async def _get(config: Path | None, data: Path | None, path: str) -> Any:
    async with api(installation(config, data), existing=True) as to:
        return await to.call("GET", path)

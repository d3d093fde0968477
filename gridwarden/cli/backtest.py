"""``gridwarden rules backtest``: what rules would have said of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gridwarden.app import Installation
from gridwarden.cli.output import ConfigOption, DataOption, JsonOption, installation, out, print_json, told
from gridwarden.clock import SystemClock, parse_rfc3339, rfc3339
from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS
from rules.load import load as load_rules
from rules.rule import RuleSet
from rules.trial import as_json, as_text
from rules.trial_page import as_page
from rules.written import parse_duration

LAST_DAYS = 30
_DAY_MS = 86_400_000


def backtest(
    rules: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Rule file or folder, may be repeated; default: the rules in force."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help=f"RFC 3339, or a date (UTC); default: {LAST_DAYS} days ago."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The first time left out; default: now.")
    ] = None,
    warm_up: Annotated[
        str, typer.Option(metavar="DURATION", help="Read from so long before; what fired then is not counted.")
    ] = "1d",
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Other rules, to compare with: rule file or folder, may be repeated."),
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only rules of this kind of device, may be repeated.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page with charts here.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json_: JsonOption = False,
) -> None:
    """Judge the past by rules: what would have fired, how long, how often; nothing is changed by it."""
    from gridwarden.cli import backtest_work  # noqa: PLC0415 - it counts in columns, which take long to import

    with told():
        here = installation(config, data)
        interval, before_ms = _interval(start, end), _duration(warm_up)
        tried = _only(_rules(here, rules), kind or [])
        others = _only(load_rules(against), kind or []) if against else None
        result = asyncio.run(backtest_work.backtest(here, [tried, *([others] if others else [])], interval, before_ms))
        if html:
            html.write_text(as_page(result), "utf-8")
        if as_json_:
            print_json(as_json(result))
        else:
            out.print(as_text(result), markup=False, soft_wrap=True)


def _rules(here: Installation, paths: Sequence[Path] | None) -> RuleSet:
    if paths:
        return load_rules(paths)
    return load_rules(here.config.rules, shipped_packs=here.config.shipped_packs)


def _only(rules: RuleSet, kinds: Sequence[str]) -> RuleSet:
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"{kind!r} is none of {', '.join(KINDS)}", place="--kind")
    return RuleSet(tuple(rule for rule in rules.by_id.values() if not kinds or rule.kind in kinds))


def _interval(start: str | None, end: str | None) -> tuple[int, int]:
    to_ms = SystemClock().now_ms() if end is None else _time(end, "--to")
    from_ms = to_ms - LAST_DAYS * _DAY_MS if start is None else _time(start, "--from")
    if from_ms >= to_ms:
        raise ConfigError(f"{rfc3339(from_ms)} is not before {rfc3339(to_ms)}", place="--from, --to")
    return from_ms, to_ms


def _time(text: str, place: str) -> int:
    try:
        at_ms = parse_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no time such as 2026-11-22 or 2026-11-22T06:00:00Z", place=place) from error
    if at_ms < 0:
        raise ConfigError(f"{text!r} lies before 1970", place=place)
    return at_ms


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}", place="--warm-up") from error

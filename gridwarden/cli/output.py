"""How commands speak: people get lines and bars on a terminal, programs get one JSON object with ``--json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from gridwarden.app import Installation, explain
from gridwarden.errors import GridwardenError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="GRIDWARDEN_CONFIG", help="Configuration file; ./gridwarden.toml if it exists."
    ),
]
DataOption = Annotated[Path | None, typer.Option("--data", "-d", help="Data directory; over the configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def installation(config: Path | None, data: Path | None, **overrides: Any) -> Installation:
    """The installation a command works on."""
    if config is None and Path("gridwarden.toml").is_file():
        config = Path("gridwarden.toml")
    return Installation(config, {key: value for key, value in {"data": data, **overrides}.items() if value is not None})


def print_json(value: Any) -> None:
    """One object, one line: easy to pipe."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


@contextmanager
def told() -> Iterator[None]:
    """Turn our own errors into one clear line and the right exit code."""
    try:
        yield
    except GridwardenError as error:
        raise _exit(error) from error
    except ExceptionGroup as group:
        ours, others = group.split(GridwardenError)
        if ours is None or others is not None:
            raise
        raise _exit(_first(ours)) from group
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def _first(group: ExceptionGroup[GridwardenError]) -> GridwardenError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _exit(error: GridwardenError) -> typer.Exit:
    text, code = explain(error)
    err.print("[bold red]error:[/]", end=" ")
    err.print(text, markup=False, soft_wrap=True)
    return typer.Exit(code)


def bar(title: str) -> Progress:
    """A progress bar on standard error; silent when that is no terminal."""
    columns = (
        TextColumn(title),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)

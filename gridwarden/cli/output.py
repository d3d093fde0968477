"""How commands speak: people get lines and bars on a terminal, programs get one JSON object with ``--json``.

Standard output carries what was asked for, standard error everything else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import DBAPIError

from gridwarden.app import AlreadyRunning, Installation
from gridwarden.errors import ConfigError, Damaged, GridwardenError, Refused, Unavailable

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
PLAIN = {
    "no_such_gateway": "there is no gateway {}; `gridwarden gateway list` shows them",
    "no_such_user": "there is no account {}; `gridwarden user list` shows them",
    "no_such_dead_letter": "there is no dead letter {}; `gridwarden deadletter list` shows them",
    "no_such_quarantined": "there is no quarantined reading {}; `gridwarden quarantine list` shows them",
    "no_such_quieting": "there is nothing of the number {}; `gridwarden silence list` shows what there is",
    "quieting_ended": "{} has ended already",
    "matches_everything": "{}",
    "bad_window": "{}",
    "backup_exists": "{} exists; name a new folder",
    "data_not_empty": "{} is not empty; name another directory, or --replace to move it aside",
    "backup_under_way": "another backup is under way; wait for it",
    "name_taken": "the name {} is taken",
    "invalid": "{}",
    "unavailable": "{}",
    "core_unavailable": "core is not running or does not answer; nothing was done, try again",
}
"""What a person reads instead of a stable code."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="GRIDWARDEN_CONFIG", help="Configuration file; ./gridwarden.toml if it exists."
    ),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", "-d", help="Data directory, instead of the one in the configuration.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]


def installation(config: Path | None, data: Path | None, **overrides: Any) -> Installation:
    """The installation a command works on."""
    if config is None and Path("gridwarden.toml").is_file():
        config = Path("gridwarden.toml")
    return Installation(config, {key: value for key, value in {"data": data, **overrides}.items() if value is not None})


def print_json(value: Any) -> None:
    """One object, one line: easy to pipe."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line to a person on standard error, as it is: no markup, no wrapping."""
    err.print(text, markup=False, soft_wrap=True)


@contextmanager
def told() -> Iterator[None]:
    """Turn what can go wrong on purpose, or in the machine, into one clear line and the right exit code."""
    try:
        yield
    except BrokenPipeError:
        _read_no_more()
        raise typer.Exit(FAILED) from None
    except (GridwardenError, OSError, DBAPIError) as error:
        raise _exit(error) from error
    except ExceptionGroup as group:
        ours, others = group.split((GridwardenError, OSError, DBAPIError))
        if ours is None or others is not None:
            raise
        raise _exit(_first(ours)) from group
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error


def _read_no_more() -> None:
    """Whoever reads our output has enough; what is still buffered must not fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _first(group: ExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _exit(error: Exception) -> typer.Exit:
    text, code = explain(error)
    err.print("[bold red]error:[/]", end=" ")
    say(text)
    return typer.Exit(code)


def explain(error: Exception) -> tuple[str, int]:
    """What to tell the person, and the exit code: 1 failed, 2 wrong use."""
    if isinstance(error, Refused):
        return plain(error.code, error.detail), WRONG_USE
    if isinstance(error, GridwardenError):
        failed = isinstance(error, (Unavailable, AlreadyRunning, Damaged))
        return str(error), FAILED if failed else WRONG_USE
    if isinstance(error, DBAPIError):
        return f"the database cannot be used: {error.orig}", FAILED
    name = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or str(error)
    return f"{name}: {reason}" if name else reason, FAILED


def plain(code: str, detail: str) -> str:
    """A refusal in words."""
    if code in PLAIN:
        return PLAIN[code].format(detail)
    return f"{code}: {detail}" if detail else code


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


@contextmanager
def busy(title: str) -> Iterator[None]:
    """Show on a terminal that something of unknown length is being done."""
    if not err.is_terminal:
        yield
        return
    with err.status(title):
        yield


def shipped(name: str, folder: Path, what: str) -> Path:
    """The file ``name``, or the one of that name that comes with the program.

    Raises:
        ConfigError: neither exists.
    """
    if Path(name).is_file():
        return Path(name)
    ours = folder / f"{name}.yaml"
    if ours.is_file():
        return ours
    known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ConfigError(f"no such file, and no shipped {what} of that name ({known})", path=name, place="--mapping")

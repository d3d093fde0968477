"""What is fuzzed: one target per input that comes from outside. All inputs are bytes, so that each can be kept as a file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

FOUND = Path(__file__).parent / "found"
"""Inputs that once broke something, a folder per target; the short form plays them all again."""
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")


class Shape(StrEnum):
    """What the examples of a target are written in: how an input nearly like them is made."""

    JSON = "json"
    YAML = "yaml"
    TEXT = "text"
    BYTES = "bytes"


@dataclass(frozen=True)
class Target:
    """One way in."""

    name: str
    feed: Callable[[bytes], str]
    """Takes one input. Raises for a bug alone: the errors that its docstring declares are caught and looked at. Says in a
    word or two what became of the input; one that leads to new words is worth keeping to go on from."""
    examples: Sequence[bytes]
    """Good inputs."""
    shape: Shape
    limit: int = 64 * 1024
    """Longest input, bytes."""
    pure: bool = True
    """Nothing but Python without threads, sockets or files: can be fuzzed with coverage as its guide."""
    words: Sequence[bytes] = ()
    """What is worth writing into an input."""

    def found(self) -> list[Path]:
        """The files of inputs that once broke something."""
        return sorted(path for path in (FOUND / self.name).glob("*") if path.is_file())


def outcome(text: str) -> str:
    """``text`` without what differs from input to input."""
    return _VARYING.sub("…", text)[:120]


@cache
def scratch() -> Path:
    """A folder of this process for the files that targets read."""
    return Path(_folder().name)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gridwarden-fuzz-")


def written(name: str, data: bytes) -> Path:
    """A file of this name with these bytes."""
    path = scratch() / name
    path.write_bytes(data)
    return path


def parts(data: bytes, count: int) -> list[bytes]:
    """An input made of several: divided at the first ``count - 1`` lines that are ``---8<---``."""
    found = data.split(CUT, count - 1)
    return found + [b""] * (count - len(found))


CUT = b"\n---8<---\n"

"""The table of bounds in docs/guide/durability.md says what the program does, and each line is shown by a test."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridwarden.config import Broker, Config

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"^`([\w.]+)`$")


def rows() -> list[list[str]]:
    """What, bound, at the bound, set by, shown by."""
    text = (ROOT / "docs" / "guide" / "durability.md").read_text("utf-8").partition("\n## Bounds\n")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def value_of(name: str) -> Any:
    """The value of a configuration key, as shipped, or of a constant."""
    section, _, key = name.rpartition(".")
    if section == "broker":
        return Broker(name="b", host="h").model_dump()[key]
    if section in Config.model_fields:
        return getattr(getattr(Config(), section), key)
    return getattr(importlib.import_module(section), key)


def spellings(value: float) -> Iterator[str]:
    """How people write it."""
    yield f"{value:,}"
    for unit, size in (
        ("KiB", 2**10),
        ("MiB", 2**20),
        ("GiB", 2**30),
        ("s", 1000),
        ("days", 86_400_000),
        ("MB", 10**6),
    ):
        yield f"{value / size:g} {unit}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_bound_is_what_it_is_said_to_be_and_is_shown(row: list[str]) -> None:
    _, bound, then, place, test = row
    assert then, "what happens there is decided"
    named, shown = NAMED.match(place), NAMED.match(test)
    assert named, place
    assert shown, test
    words = re.split(r"(?<=\D) (?=\D)", bound)
    assert any(
        re.search(rf"(?<![\d,.]){re.escape(spelt)}(?![\d])", bound) for spelt in spellings(value_of(named[1]))
    ), words
    assert any(f"def {shown[1]}(" in path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")), shown[1]


def test_there_are_bounds() -> None:
    assert len(rows()) > 20

"""The seven levels and their codes. An area's code begins with its parent's code; pure string work.

Codes: GB/T 2260 for city and district (4 and 6 digits), GB/T 10114 for street and community (9 and 12), then our
own levels: grid (+3 digits), property (+``P``nnn), building (+``B``nnn). Codes change over the years, so nothing
but this module may know their shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from gridwarden.errors import ConfigError


class Level(StrEnum):
    """From the city down to one building."""

    CITY = "city"
    DISTRICT = "district"
    STREET = "street"
    COMMUNITY = "community"
    GRID = "grid"
    PROPERTY = "property"
    BUILDING = "building"


_LENGTHS = {4: Level.CITY, 6: Level.DISTRICT, 9: Level.STREET, 12: Level.COMMUNITY, 15: Level.GRID,
            19: Level.PROPERTY, 23: Level.BUILDING}  # fmt: skip
_LENGTH_OF = {level: length for length, level in _LENGTHS.items()}
_SHAPE = re.compile(r"\d{4}(\d{2}(\d{3}(\d{3}(\d{3}(P\d{3}(B\d{3})?)?)?)?)?)?", re.ASCII)  # full-width digits are none


def check(code: str) -> str:
    """``code`` itself if it is one; raises :class:`ConfigError` otherwise."""
    if not _SHAPE.fullmatch(code):
        msg = f"{code!r} is no area code: 4, 6, 9, 12 or 15 digits, then P and 3 digits, then B and 3 digits"
        raise ConfigError(msg)
    return code


def level_of(code: str) -> Level:
    """The level of a well-formed code."""
    return _LENGTHS[len(code)]


def parent_of(code: str) -> str | None:
    """The code one level up; ``None`` for a city."""
    lengths = list(_LENGTHS)
    position = lengths.index(len(code))
    return code[: lengths[position - 1]] if position else None


def at_level(code: str, level: Level) -> str:
    """The ancestor of ``code`` at ``level``; ``""`` where ``code`` lies above it or is not placed."""
    length = _LENGTH_OF[level]
    return code[:length] if len(code) >= length else ""


def within(code: str, scope: str) -> bool:
    """Whether the area ``code`` lies in ``scope`` (or is it). ``""`` as scope is everywhere."""
    return code.startswith(scope)


def common(codes: Iterable[str]) -> str:
    """The smallest area that holds all of these; ``""`` where no single one does. What is not placed does not count."""
    placed = {code for code in codes if code}
    for level in reversed(Level):
        ancestors = {at_level(code, level) for code in placed}
        if len(ancestors) == 1 and "" not in ancestors:
            return ancestors.pop()
    return ""

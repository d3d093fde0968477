"""What may stand in a row of the registry: one table of checks per entity, for files and for single changes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from math import isfinite
from typing import Any

from sqlalchemy import Table

from gridwarden import areas
from gridwarden.errors import ConfigError
from gridwarden.kinds import SENSORS
from gridwarden.office import schema
from gridwarden.office.geometry import outline

TEXT_LIMIT = 200
"""Longest name, characters."""
ID_LIMIT = 64
ATTRIBUTES_LIMIT = 4_000
"""Longest attributes of one row as JSON, characters."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_IDENTIFIER = re.compile(r"[\w.:@+=~-]+")  # stands in topics and addresses, so neither spaces nor any of / ? # %
_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PADDED_LENGTHS = {6: (4,), 12: (9, 6, 4)}

Check = Callable[[Any], Any]
"""A raw value to what is stored; raises ValueError with the reason."""


def as_text(raw: Any) -> str:
    """A scalar as text, trimmed; ``None`` is ``""``, truth values are ``true`` and ``false`` as in JSON."""
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, (dict, list)):
        raise ValueError("a single value is expected, not a list or an object")  # noqa: TRY004 - one error for checks
    return str(raw).strip()


def _text(raw: Any) -> str:
    text = as_text(raw)
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"{len(text)} characters, at most {TEXT_LIMIT} are allowed")
    if _UNPRINTABLE.search(text):
        raise ValueError("holds control characters or half a character")
    return text


def _given(raw: Any) -> str:
    text = _text(raw)
    if not text:
        raise ValueError("is empty")
    return text


def _identifier(raw: Any) -> str:
    text = _given(raw)
    if len(text) > ID_LIMIT:
        raise ValueError(f"{len(text)} characters, at most {ID_LIMIT} are allowed")
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError(f"{text!r}: letters, digits and any of . : @ + = ~ _ - are allowed")
    return text


def _identifier_or_none(raw: Any) -> str | None:
    return _identifier(raw) if as_text(raw) else None


def _device_kind(raw: Any) -> str:
    text = _given(raw)
    if text not in SENSORS:
        raise ValueError(f"{text!r} is no kind of device; known: {', '.join(SENSORS)}")
    return text


def word(raw: Any) -> str:
    """A word of our own kind; raises ValueError."""
    text = _given(raw)
    if not _WORD.fullmatch(text):
        raise ValueError(f"{text!r}: a word of a-z, 0-9 and _ is expected, such as micro_station")
    return text


def _unpadded(code: str) -> str:
    """``330100`` or ``330106000000``, as GB/T 2260 and the statistics bureau pad codes, without the padding."""
    for length in _PADDED_LENGTHS.get(len(code), ()):
        if code.isdecimal() and not code[length:].strip("0"):
            code = code[:length]
    return code


def _area(raw: Any) -> str:
    try:
        return areas.check(_unpadded(as_text(raw)))
    except ConfigError as error:
        raise ValueError(error.reason) from error


def _area_or_empty(raw: Any) -> str:
    return _area(raw) if as_text(raw) else ""


def _degrees(limit: int) -> Check:
    def check(raw: Any) -> float | None:
        text = as_text(raw)
        if not text:
            return None
        try:
            degrees = float(text)
        except ValueError as error:
            raise ValueError(f"{text[:40]!r} is no number of degrees") from error
        if not isfinite(degrees) or abs(degrees) > limit:
            raise ValueError(f"{text[:40]} lies outside -{limit} to {limit} degrees")
        return degrees

    return check


def _date(raw: Any) -> date | None:
    text = as_text(raw)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no date such as 2026-11-22") from error


def attributes_json(raw: Any) -> str:
    """Attributes, an object or its JSON text, as the one text for it: keys sorted, no spaces."""
    try:
        value = json.loads(raw) if isinstance(raw, str) and raw.strip() else raw or {}
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"is no JSON object: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("a JSON object is expected")  # noqa: TRY004 - one error for checks
    if len(text) > ATTRIBUTES_LIMIT:
        raise ValueError(f"{len(text)} characters as JSON, at most {ATTRIBUTES_LIMIT} are allowed")
    if _UNPRINTABLE.search(text):
        raise ValueError("holds half a character")
    return text


@dataclass(frozen=True, slots=True)
class Entity:
    """One table of the registry with the checks of its columns."""

    table: Table
    key: str
    required: frozenset[str]
    checks: Mapping[str, Check]

    @property
    def placed(self) -> bool:
        """Whether its rows have coordinates."""
        return "lon" in self.checks

    def checked(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """The row to store and what is wrong, as pairs of column and reason. Absent columns are left out."""
        row: dict[str, Any] = {}
        problems: list[tuple[str, str]] = []
        for name, raw in values.items():
            try:
                row[name] = self.checks[name](raw)
            except ValueError as error:
                problems.append((name, str(error)))
        if (row.get("lon") is None) != (row.get("lat") is None) and not problems:
            problems.append(("lat" if row.get("lat") is None else "lon", "only one of lon and lat is given"))
        if row.get("valid_from") and row.get("valid_to") and row["valid_from"] > row["valid_to"]:
            problems.append(("valid_to", "lies before valid_from"))
        return row, problems


_PLACE: dict[str, Check] = {"lon": _degrees(180), "lat": _degrees(90), "attributes": attributes_json}

AREAS = Entity(
    schema.area, "code", frozenset({"code", "name"}),
    {"code": _area, "name": _given, "name_en": _text, "valid_from": _date, "valid_to": _date,
     "geometry": outline},
)  # fmt: skip
DEVICES = Entity(
    schema.device, "device_id", frozenset({"device_id", "kind"}),
    {"device_id": _identifier, "kind": _device_kind, "area": _area_or_empty, "name": _text, "profile": _text,
     "gateway": _identifier_or_none, "building": _text, "water_main": _text, "power_feeder": _text, **_PLACE},
)  # fmt: skip
RESOURCES = Entity(
    schema.resource, "resource_id", frozenset({"resource_id", "kind"}),
    {"resource_id": _identifier, "kind": word, "name": _text, "area": _area_or_empty, **_PLACE},
)  # fmt: skip

ENTITIES: dict[str, Entity] = {"areas": AREAS, "devices": DEVICES, "resources": RESOURCES}

"""Where a page of a list ends, as an opaque text the client hands back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from gridwarden.clock import parse_rfc3339
from gridwarden.errors import Refused

Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[str | None, Query(max_length=200)]
Area = Annotated[str, Query(max_length=32)]
Time = Annotated[str | None, Query(max_length=40)]


def mark(at_ms: int, key: str) -> str:
    """The mark of the last item of a page."""
    return f"{at_ms}~{key}"


def read_mark(after: str | None) -> tuple[int, str] | None:
    """The inverse of :func:`mark`."""
    if after is None:
        return None
    at_ms, _, key = after.partition("~")
    try:
        return int(at_ms), key
    except ValueError as error:
        raise Refused("bad_mark", after) from error


def read_time(text: str | None) -> int | None:
    """A time of a query: RFC 3339, or epoch milliseconds."""
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else parse_rfc3339(text)
    except (ValueError, OverflowError, OSError) as error:
        raise Refused("bad_time", text) from error


def narrow(scopes: list[str], area: str) -> list[str]:
    """The scopes one may see, cut down to ``area``."""
    if any(area.startswith(scope) for scope in scopes):
        return [area]
    return [scope for scope in scopes if scope.startswith(area)]

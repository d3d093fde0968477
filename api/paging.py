"""Where a page of a list ends, as an opaque text the client hands back; times and numbers within their bounds."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from gridwarden.areas import within
from gridwarden.clock import parse_rfc3339
from gridwarden.errors import Refused

NUMBER_MAX = 2**53 - 1
"""The largest whole number that JSON carries safely; far below what the databases take."""
TIME_MAX_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last time RFC 3339 can write."""

Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[str | None, Query(max_length=200)]
Area = Annotated[str, Query(max_length=32)]
Key = Annotated[str | None, Query(max_length=128)]
Time = Annotated[str | None, Query(max_length=40)]
From = Annotated[str | None, Query(alias="from", max_length=40)]


def mark(at_ms: int, key: str) -> str:
    """The mark of the last item of a page."""
    return f"{at_ms}~{key}"


def read_mark(after: str | None) -> tuple[int, str] | None:
    """The inverse of :func:`mark`."""
    if after is None:
        return None
    at_ms, parted, key = after.partition("~")
    if not (parted and at_ms.isdecimal() and int(at_ms) <= NUMBER_MAX):
        raise Refused("bad_mark", after)
    return int(at_ms), key


def read_time(text: str | None) -> int | None:
    """A time of a query, from 1970 to 9999: RFC 3339, or epoch milliseconds."""
    if text is None:
        return None
    try:
        at_ms = int(text) if text.isdecimal() else parse_rfc3339(text)
    except (ValueError, OverflowError, OSError) as error:
        raise Refused("bad_time", text) from error
    if not 0 <= at_ms <= TIME_MAX_MS:
        raise Refused("bad_time", text)
    return at_ms


def narrow(scopes: list[str], area: str) -> list[str]:
    """The scopes one may see, cut down to ``area``; none where they have nothing in common."""
    if any(within(area, scope) for scope in scopes):
        return [area]
    return [scope for scope in scopes if within(scope, area)]

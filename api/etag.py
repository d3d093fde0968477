"""Answers that a browser keeps and asks about again: validators, and the answer that nothing has changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

from fastapi import Request, Response

from gridwarden import __version__

KEPT = {"Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization, Accept-Encoding"}
"""May be kept by the browser of the one who asked, and is asked about each time."""


def registry_etag(version: int, epoch: str, scopes: Sequence[str]) -> str:
    """The validator of what ``scopes`` show of the registry at ``version``.

    The hash tells installations and releases apart too: a browser may find another one at the same address, whose
    version has the same number.
    """
    told = json.dumps([epoch, __version__, *scopes])
    return f'"{version}-{sha256(told.encode()).hexdigest()[:16]}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client says that it has just this (RFC 9110, 13.1.2: weak comparison)."""
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or etag in {one.strip().removeprefix("W/") for one in known.split(",")}


def headers(etag: str) -> dict[str, str]:
    """What belongs on an answer that is kept, and on the one that nothing has changed."""
    return {**KEPT, "ETag": etag}


def not_modified(etag: str) -> Response:
    """304."""
    return Response(status_code=304, headers=headers(etag))

"""Errors as problem details (RFC 9457). ``code`` is stable; sentences for people are made from it by the page."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gridwarden.errors import CoreUnavailable, Forbidden, NotFound, Refused, Unavailable
from gridwarden.office.throttle import TooManyAttempts

_MALFORMED = ("invalid", "bad_mark", "bad_time", "bad_step", "bad_note", "bad_parameters", "too_many_points",
              "unknown_field", "not_numeric", "bad_window", "bad_comment", "matches_everything")  # fmt: skip
_STATUS = {"not_signed_in": 401, "bad_credentials": 401, "too_many_attempts": 429, "second_person": 403,
           "needs_a_person": 403, **dict.fromkeys(_MALFORMED, 422)}  # fmt: skip


class Problem(BaseModel):
    """What an error looks like (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""


_AS_PROBLEM: dict[str, Any] = {
    "description": "A problem",
    "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
}
DECLARED: dict[int | str, dict[str, Any]] = {"4XX": _AS_PROBLEM, "503": _AS_PROBLEM}
"""For the description of every route: how it may refuse. A 500 is never meant."""


def problem(status: int, code: str, detail: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem details answer."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code}
    if detail:
        body["detail"] = detail
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def install(app: FastAPI, headers: Mapping[str, str]) -> None:
    """Answer our errors, and the framework's, as problems; ``headers`` belong on every answer."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        default = 404 if isinstance(error, NotFound) else 403 if isinstance(error, Forbidden) else 409
        status = default if default != HTTPStatus.CONFLICT else _STATUS.get(error.code, default)
        return problem(status, error.code, error.detail, _headers_of(error, status))

    @app.exception_handler(Unavailable)
    async def unavailable(_request: Request, error: Unavailable) -> JSONResponse:
        code = "core_unavailable" if isinstance(error, CoreUnavailable) else "unavailable"
        return problem(503, code, str(error), {"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, "invalid", f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).name.lower()
        return problem(error.status_code, code, str(error.detail), error.headers)

    @app.exception_handler(Exception)
    async def internal(_request: Request, _error: Exception) -> JSONResponse:
        # Outside of every middleware; the error itself goes to the log, the client learns nothing of our insides.
        return problem(500, "internal", headers=headers)


def _headers_of(error: Refused, status: int) -> dict[str, str]:
    if isinstance(error, TooManyAttempts):
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}

"""Errors as problem details (RFC 9457). ``code`` is stable; sentences for people are made from it by the page."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gridwarden.errors import CoreUnavailable, Forbidden, NotFound, Refused, Unavailable

_STATUS = {"not_signed_in": 401, "wrong_credentials": 401, "throttled": 429, "too_many_attempts": 429}


def problem(status: int, code: str, detail: str = "", **headers: str) -> JSONResponse:
    """A problem details answer."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code}
    if detail:
        body["detail"] = detail
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer our errors, and the framework's, as problems."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        default = 404 if isinstance(error, NotFound) else 403 if isinstance(error, Forbidden) else 409
        return problem(_STATUS.get(error.code, default), error.code, error.detail)

    @app.exception_handler(Unavailable)
    async def unavailable(_request: Request, error: Unavailable) -> JSONResponse:
        code = "core_unavailable" if isinstance(error, CoreUnavailable) else "unavailable"
        return problem(503, code, str(error), **{"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, "invalid", f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, HTTPStatus(error.status_code).name.lower(), str(error.detail))

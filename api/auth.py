"""Who asks: the session cookie of a browser, the bearer token of a program, or the local socket of this machine."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from api.services import Given, Services
from gridwarden.access import Action, Principal, Role, require
from gridwarden.clock import rfc3339
from gridwarden.errors import Forbidden, Refused

COOKIE = "gridwarden_session"
LOCAL = Principal("local", "local", Role.ADMIN, ("",))
"""Whoever may open the data directory's own socket is who runs this installation."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
router = APIRouter(prefix="/auth", tags=["auth"])


def principal_of(connection: HTTPConnection, services: Services) -> Principal | None:
    """Who this request or websocket comes from; ``None``: nobody we know."""
    if connection.scope.get("gridwarden.local"):
        return LOCAL
    authorization = connection.headers.get("authorization", "")
    if authorization.lower().startswith("bearer "):
        return services.accounts.token_principal(authorization[7:].strip())
    token = connection.cookies.get(COOKIE)
    return services.accounts.session_principal(token) if token else None


def check_origin(connection: HTTPConnection, services: Services) -> None:
    """A browser that acts by cookie must come from our own page.

    Raises:
        Forbidden: it does not.
    """
    origin = connection.headers.get("origin")
    own = {f"http://{connection.headers.get('host')}", f"https://{connection.headers.get('host')}"}
    if origin is None or (origin not in own and origin not in services.origins):
        raise Forbidden("wrong_origin", origin or "none")


def signed_in(request: Request, services: Given) -> Principal:
    """The one who asks.

    Raises:
        Refused: not signed in. Forbidden: a change by cookie from a foreign page.
    """
    principal = principal_of(request, services)
    if principal is None:
        raise Refused("not_signed_in")
    by_cookie = "authorization" not in request.headers and not request.scope.get("gridwarden.local")
    if by_cookie and request.method not in _SAFE:
        check_origin(request, services)
    return principal


Asker = Annotated[Principal, Depends(signed_in)]


def needs(action: Action) -> Any:
    """A dependency: the asker may do ``action`` for the installation as a whole."""

    def check(asker: Asker) -> Principal:
        require(asker, action, "")
        return asker

    return Depends(check)


class Credentials(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=128)
    password: str = Field(max_length=1024)


def _user(principal: Principal) -> dict[str, Any]:
    return {"user_id": principal.user_id, "name": principal.name, "role": principal.role, "areas": principal.areas}


@router.post("/session")
def sign_in(credentials: Credentials, request: Request, response: Response, services: Given) -> dict[str, Any]:
    """Sign in; the session comes as a cookie."""
    if "origin" in request.headers:
        check_origin(request, services)
    address = request.client.host if request.client else "local"
    session = services.accounts.sign_in(credentials.name, credentials.password, address)
    response.set_cookie(
        COOKIE, session.token, httponly=True, samesite="strict", secure=services.config.http.secure_cookie, path="/"
    )
    return {"user": _user(session.principal)}


@router.get("/session")
def who_am_i(asker: Asker, services: Given) -> dict[str, Any]:
    """Who is signed in, and what the page must know of this site."""
    site = services.config.site
    return {
        "user": _user(asker),
        "site": {"name": site.name, "time_zone": site.time_zone},
        "server_time": rfc3339(services.clock.now_ms()),
    }


@router.delete("/session", status_code=204)
def sign_out(request: Request, response: Response, services: Given, _asker: Asker) -> None:
    """Sign out; the session's websockets close with it."""
    token = request.cookies.get(COOKIE)
    if token:
        services.accounts.sign_out(token)
        services.hub.revoke(token)
    response.delete_cookie(COOKIE, path="/")

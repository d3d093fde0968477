"""Who asks: the session cookie of a browser, the bearer token of a program, or the local socket of this machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from api.services import Given, Services
from gridwarden.access import Action, Principal, Role, may, require
from gridwarden.clock import rfc3339
from gridwarden.errors import Forbidden, NotFound, Refused

COOKIE = "gridwarden_session"
LOCAL = Principal("local", "local", Role.ADMIN, ("",))
"""Whoever may open the data directory's own socket is who runs this installation."""
LOCAL_KEY = "gridwarden.local"
"""Set in the ASGI scope by the listener of that socket and by nothing a client can send: a scope is no header."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
router = APIRouter(prefix="/auth", tags=["auth"])


class Way(StrEnum):
    """How a request says who it is."""

    LOCAL = "local"
    TOKEN = "token"  # noqa: S105 - a name
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request or websocket came with."""

    way: Way
    secret: str = ""


def presented(connection: HTTPConnection) -> Credential | None:
    """What ``connection`` came with; a bearer token goes before a cookie, any other ``Authorization`` is nothing."""
    if connection.scope.get(LOCAL_KEY) is True:
        return Credential(Way.LOCAL)
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Credential(Way.TOKEN, secret.strip())
    cookie = connection.cookies.get(COOKIE)
    return Credential(Way.COOKIE, cookie) if cookie else None


def resolve(credential: Credential, services: Services) -> Principal | None:
    """Who that is now; ``None``: nobody we know, or no longer. Reads the database: call it from a thread."""
    match credential.way:
        case Way.LOCAL:
            return LOCAL
        case Way.TOKEN:
            return services.accounts.token_principal(credential.secret)
        case Way.COOKIE:
            return services.accounts.session_principal(credential.secret)


def check_origin(connection: HTTPConnection, services: Services) -> None:
    """A browser that acts by cookie must come from our own page.

    Raises:
        Forbidden: it does not.
    """
    origin = connection.headers.get("origin")
    host = connection.headers.get("host")
    own = {f"http://{host}", f"https://{host}"} if host else set()
    if origin is None or (origin not in own and origin not in services.origins):
        raise Forbidden("wrong_origin", origin or "none")


def signed_in(request: Request, services: Given) -> Principal:
    """The one who asks.

    Raises:
        Refused: not signed in. Forbidden: a change by cookie from a foreign page.
    """
    credential = presented(request)
    principal = resolve(credential, services) if credential else None
    if credential is None or principal is None:
        raise Refused("not_signed_in")
    if credential.way is Way.COOKIE and request.method not in _SAFE:
        check_origin(request, services)
    return principal


Asker = Annotated[Principal, Depends(signed_in)]


def needs(action: Action) -> Any:
    """A dependency: the asker may do ``action`` for the installation as a whole."""

    def check(asker: Asker) -> Principal:
        require(asker, action, "")
        return asker

    return Depends(check)


def must_see(asker: Principal, area: str, code: str, key: str) -> None:
    """Pass if ``asker`` may see what lies in ``area``.

    Raises:
        NotFound: they may not; told in the words of what does not exist, so that ids cannot be probed.
    """
    if not may(asker, Action.SEE, area):
        raise NotFound(code, key)


def scraper(request: Request, services: Given) -> None:
    """The metrics are for programs on this machine, and elsewhere for whoever may see the platform.

    A proxy on this machine speaks for the whole world, so what it forwards does not count as local; nor does a
    foreign name in ``Host``, with which a page could have a browser here read them (DNS rebinding).
    """
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    client = request.client.host if request.client else ""
    near = _is_loopback(client) and (host == "localhost" or _is_loopback(host.strip("[]")))
    if near and not any(name in request.headers for name in _FORWARDED):
        return
    require(signed_in(request, services), Action.SEE_PLATFORM, "")


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


class Credentials(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=128)
    password: str = Field(max_length=1024)


def shown(principal: Principal) -> dict[str, Any]:
    """A principal as the outside sees it."""
    return {"user_id": principal.user_id, "name": principal.name, "role": principal.role, "areas": principal.areas}


@router.post("/session")
def sign_in(credentials: Credentials, request: Request, response: Response, services: Given) -> dict[str, Any]:
    """Sign in; the session comes as a cookie."""
    if "origin" in request.headers:
        check_origin(request, services)
    address = request.client.host if request.client else "local"
    session = services.accounts.sign_in(credentials.name, credentials.password, address)
    secure = services.config.http.secure_cookie
    response.set_cookie(COOKIE, session.token, httponly=True, samesite="strict", secure=secure, path="/")
    return {"user": shown(session.principal)}


@router.get("/session")
def who_am_i(asker: Asker, services: Given) -> dict[str, Any]:
    """Who is signed in, and what the page must know of this site."""
    site = services.config.site
    return {
        "user": shown(asker),
        "site": {"name": site.name, "time_zone": site.time_zone},
        "server_time": rfc3339(services.clock.now_ms()),
    }


@router.delete("/session", status_code=204)
async def sign_out(request: Request, response: Response, services: Given, _asker: Asker) -> None:
    """Sign out; the session's websockets close with it."""
    token = request.cookies.get(COOKIE)
    if token:
        await run_in_threadpool(services.accounts.sign_out, token)
        services.recheck()
    secure = services.config.http.secure_cookie
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=secure)

"""The web application: routes, problem details, the guard in front of them, the built page behind them."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI

from api import (
    alarms,
    aside,
    auth,
    devices,
    events,
    gateways,
    local,
    metrics,
    places,
    platform,
    problems,
    quieting,
    stream,
)
from api.guard import HEADERS, Guard
from api.page import Page
from api.services import Services
from gridwarden import __version__


def create_app(services: Services, page: Path | None) -> FastAPI:
    """The application over ``services``; ``page`` is the folder of the built dashboard, ``None`` without one."""
    app = FastAPI(
        title="Gridwarden", version=__version__, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
        responses=problems.DECLARED,
    )  # fmt: skip
    app.state.services = services
    problems.install(app, HEADERS)
    app.add_middleware(Guard)
    api = APIRouter(prefix="/api/v1")
    for module in (auth, places, devices, alarms, events, quieting, platform, gateways, aside, stream, local):
        api.include_router(module.router)
    app.include_router(api)
    app.include_router(platform.health)
    app.include_router(metrics.router)
    app.router.default = Page(page)
    return app

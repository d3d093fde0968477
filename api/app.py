"""The web application: routes, problem details, security headers, the built page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles

from api import alarms, auth, devices, events, local, places, platform, problems, stream
from api.services import Services
from gridwarden import __version__

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; worker-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
BODY_LIMIT = 1 << 20
_NO_PAGE = (
    "<!doctype html><title>Gridwarden</title><p>The dashboard is not built. Run <code>make setup</code>. "
    'The API is at <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.'
)


def create_app(services: Services, page: Path) -> FastAPI:
    """The application over ``services``; ``page`` is the folder of the built dashboard."""
    app = FastAPI(
        title="Gridwarden", version=__version__, openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None
    )
    app.state.services = services
    problems.install(app)
    _guard(app)
    api = APIRouter(prefix="/api/v1")
    for module in (auth, places, devices, alarms, events, platform, stream, local):
        api.include_router(module.router)
    app.include_router(api)
    app.include_router(platform.health)
    _serve_page(app, page)
    return app


def _guard(app: FastAPI) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        chunked = "transfer-encoding" in request.headers
        if chunked or not length.isdecimal() or int(length) > BODY_LIMIT:
            return problems.problem(413, "too_large", f"at most {BODY_LIMIT} bytes, with Content-Length")
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if request.url.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        elif request.url.path.startswith("/assets/"):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _serve_page(app: FastAPI, page: Path) -> None:
    if (page / "assets").is_dir():
        app.mount("/assets", StaticFiles(directory=page / "assets"), name="assets")
    root = page.resolve()

    @app.get("/{path:path}", include_in_schema=False)
    def index(path: str) -> Response:
        """A file of the built page, else the page itself: its router reads the rest of the address."""
        if path.startswith("api/"):
            return problems.problem(404, "not_found", path)
        file = (root / path).resolve()
        if path and file.is_file() and file.is_relative_to(root):
            return FileResponse(file)
        if not (root / "index.html").is_file():
            return HTMLResponse(_NO_PAGE, 503)
        return FileResponse(root / "index.html", headers={"Cache-Control": "no-cache"})

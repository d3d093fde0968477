"""The built dashboard, for every address that no route has: a file of it, else the page itself."""

from __future__ import annotations

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from api.problems import problem

_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
"""Files under assets/ carry a hash of their content in their name."""
_NO_CACHE = {"Cache-Control": "no-cache"}
_NO_PAGE = (
    "<!doctype html><title>Gridwarden</title><p>The dashboard is not built. Run <code>make setup</code>. "
    "The API lies under /api/v1."
)


class Page:
    """ASGI application over the folder of the built page."""

    def __init__(self, folder: Path | None) -> None:
        self._root = folder.resolve() if folder else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4404})
            return
        response = await run_in_threadpool(self._answer, scope["method"], scope["path"])
        await response(scope, receive, send)

    def _answer(self, method: str, path: str) -> Response:
        if path == "/api" or path.startswith("/api/"):
            return problem(404, "not_found", path)
        if method != "GET":
            return problem(405, "method_not_allowed", headers={"Allow": "GET, HEAD"})
        file = self._file(path.removeprefix("/"))
        if path.startswith("/assets/"):
            return FileResponse(file, headers=_FOR_EVER) if file else problem(404, "not_found", path)
        # The page's own router reads the rest of the address.
        file = file or self._file("index.html")
        return FileResponse(file, headers=_NO_CACHE) if file else HTMLResponse(_NO_PAGE, 503)

    def _file(self, path: str) -> Path | None:
        if self._root is None or not path:
            return None
        try:
            file = (self._root / path).resolve()
            return file if file.is_relative_to(self._root) and file.is_file() else None
        except (OSError, ValueError):  # too long, or with a NUL: no file has such a name
            return None

"""In front of every route: the bound on bodies, HEAD as GET without a body, and the security headers."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

BODY_LIMIT = 1 << 20
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware; websockets pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        answer = _Answer(send, private=scope["path"].startswith("/api/"), head=head)
        refusal = _refusal(Headers(scope=scope))
        if refusal:
            await problem(*refusal)(scope, receive, answer)
            return
        # A copy: the server looks at its own scope to know that a HEAD is answered without a body.
        await self._app({**scope, "method": "GET"} if head else scope, receive, answer)


def _refusal(headers: Headers) -> tuple[int, str, str] | None:
    if "transfer-encoding" in headers:
        return 411, "length_required", "a body comes with Content-Length"
    length = headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > len(str(BODY_LIMIT)) or int(length) > BODY_LIMIT:
        return 413, "too_large", f"at most {BODY_LIMIT} bytes"
    return None


class _Answer:
    """What is sent, with the headers that belong on every answer."""

    def __init__(self, send: Send, *, private: bool, head: bool) -> None:
        self._send = send
        self._private = private
        self._head = head

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if self._private:
                headers.setdefault("Cache-Control", "no-store")
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)

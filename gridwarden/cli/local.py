"""How a command reaches the installation: the running instance over its own socket, else the files, opened here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from gridwarden import app
from gridwarden.app import Installation
from gridwarden.errors import GridwardenError
from gridwarden.link import socket_path

TIMEOUT_S = 30.0


class CommandFailed(GridwardenError):
    """The instance refused, with its problem details."""


class Api:
    """The API of an installation, as its owner."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the JSON of its answer.

        Raises:
            CommandFailed: any answer but a success.
        """
        response = await self._client.request(method, f"/api/v1{path}", json=body)
        return _checked(response)

    async def lines(self, path: str, body: Any) -> AsyncIterator[dict[str, Any]]:
        """A request answered by JSON lines."""
        async with self._client.stream("POST", f"/api/v1{path}", json=body, timeout=None) as response:
            if response.is_error:
                await response.aread()
                _checked(response)
            async for line in response.aiter_lines():
                yield json.loads(line)


def _checked(response: httpx.Response) -> Any:
    if response.is_error:
        problem = response.json()
        raise CommandFailed(" ".join(str(problem[key]) for key in ("code", "detail") if problem.get(key)))
    return response.json() if response.content else None


@asynccontextmanager
async def api(installation: Installation) -> AsyncIterator[Api]:
    """The API, whether an instance runs or not; the data directory is held while it does not."""
    from gridwarden.web.service import local_app  # noqa: PLC0415 - only commands that need it pay for it
    from rules.load import load as load_rules  # noqa: PLC0415

    config = installation.config
    async with AsyncExitStack() as stack:
        transport: httpx.AsyncBaseTransport
        if app.is_running(config.data):
            transport = httpx.AsyncHTTPTransport(uds=str(socket_path(config.data, "web")))
        else:
            stack.enter_context(app.data_lock(config.data))
            app.prepare(config.data, first_user=False)
            rules = load_rules(config.rules, shipped_packs=config.shipped_packs)
            transport = httpx.ASGITransport(await stack.enter_async_context(local_app(config, rules)))
        client = httpx.AsyncClient(transport=transport, base_url="http://gridwarden.local", timeout=TIMEOUT_S)
        try:
            yield Api(await stack.enter_async_context(client))
        except httpx.ConnectError as error:
            raise CommandFailed("an instance holds the data directory but does not answer yet; try again") from error

"""How a command reaches the installation: the running instance over its own socket, else the files, opened here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from gridwarden import app
from gridwarden.app import Installation
from gridwarden.errors import ConfigError, Refused, Unavailable
from gridwarden.link import socket_path

TIMEOUT_S = 30.0
SERVER_ERRORS = 500


class CommandFailed(Refused):
    """The instance refused, with the code and detail of its problem details."""


class Api:
    """The API of an installation, as its owner."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the JSON of its answer.

        Raises:
            CommandFailed: it was refused.
            Unavailable: the instance cannot do it now.
        """
        response = await self._client.request(method, f"/api/v1{path}", json=body)
        return _checked(response)

    async def bytes(self, path: str) -> bytes:
        """The body of an answer as it is; raises like :meth:`call`."""
        response = await self._client.get(f"/api/v1{path}")
        if response.is_error:
            _checked(response)
        return response.content

    async def lines(self, path: str, body: Any) -> AsyncIterator[dict[str, Any]]:
        """A request answered by JSON lines."""
        async with self._client.stream("POST", f"/api/v1{path}", json=body, timeout=None) as response:
            if response.is_error:
                await response.aread()
                _checked(response)
            async for line in response.aiter_lines():
                yield json.loads(line)


def _checked(response: httpx.Response) -> Any:
    if not response.is_error:
        return response.json() if response.content else None
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem.get("detail", ""))
    except (ValueError, KeyError, TypeError):
        code, detail = f"HTTP {response.status_code}", ""
    if response.status_code >= SERVER_ERRORS:
        raise Unavailable(detail or f"the instance answered {code}; its log says why")
    raise CommandFailed(code, detail)


@asynccontextmanager
async def api(installation: Installation, *, existing: bool = False) -> AsyncIterator[Api]:
    """The API, whether an instance runs or not; the data directory is held while it does not.

    Args:
        installation: whose.
        existing: only look: where nothing has ever been kept, nothing is made.

    Raises:
        ConfigError: ``existing``, and there is nothing.
        Unavailable: the running instance does not answer.
    """
    data = installation.config.data
    async with AsyncExitStack() as stack:
        if app.is_running(data):
            transport: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(uds=str(socket_path(data, "web")))
        elif existing and not (data / "office.db").exists():
            reason = "no data of Gridwarden here; name its directory with --data, or start `gridwarden run` once"
            raise ConfigError(reason, path=data)
        else:
            transport = httpx.ASGITransport(await _opened(installation, stack), raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://gridwarden.local", timeout=TIMEOUT_S)
        try:
            yield Api(await stack.enter_async_context(client))
        except httpx.ConnectError as error:
            raise Unavailable(f"an instance holds {data} but does not answer yet; try again") from error
        except httpx.TransportError as error:
            raise Unavailable(f"the instance on {data} went away before it had answered ({error})") from error


async def _opened(installation: Installation, stack: AsyncExitStack) -> Any:
    """The application on the files themselves, for this one command."""
    from gridwarden.web.service import local_app  # noqa: PLC0415 - only commands that need it pay for it
    from rules.load import load as load_rules  # noqa: PLC0415

    config = installation.config
    stack.enter_context(app.data_lock(config.data))
    app.prepare(config.data, first_user=False)
    rules = load_rules(config.rules, shipped_packs=config.shipped_packs)
    return await stack.enter_async_context(local_app(config, rules, installation.config_path))

"""The heartbeat: somebody outside hears from us while all is well, and gives the alarm themselves when they do not.

Its address may hold a secret: it is never logged, nor is what httpx says of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import structlog

from api.counts import Counts
from gridwarden.config import Heartbeat as Settings

_log = structlog.get_logger("heartbeat")


class Heartbeat:
    """Beats at every interval in which everything on the way of an alarm is well.

    Args:
        settings: where to, and how often.
        why_not: why nothing must be sent now; ``""``: all is well.
        counts: hears whether it was heard.
    """

    def __init__(self, settings: Settings, why_not: Callable[[], Awaitable[str]], counts: Counts) -> None:
        self._settings = settings
        self._why_not = why_not
        self._counts = counts
        self._withheld = ""

    async def run(self) -> None:
        """Beat until cancelled, at once for the first time."""
        async with AsyncExitStack() as stack:
            # No proxy out of the environment, no redirect: it goes where the configuration says, or nowhere.
            client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._settings.timeout_s)
            await stack.enter_async_context(client)
            while True:
                reason = await self._why_not()
                self._note_withheld(reason)
                if not reason:
                    self._note_failure(await self._beat(client))
                await asyncio.sleep(self._settings.every_s)

    async def _beat(self, client: httpx.AsyncClient) -> str:
        """Why it was not heard; ``""``: it was."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.timeout_s):
                async with client.stream(settings.method, settings.url.get_secret_value()) as answer:
                    return "" if answer.is_success else f"HTTP {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # TimeoutError among them
            return type(error).__name__

    def _note_withheld(self, reason: str) -> None:
        if reason and reason != self._withheld:
            _log.warning("heartbeat withheld", reason=reason)
        elif self._withheld and not reason:
            _log.info("heartbeat again")
        self._withheld = reason

    def _note_failure(self, reason: str) -> None:
        before, self._counts.heartbeat_failing = self._counts.heartbeat_failing, bool(reason)
        if reason and not before:
            _log.error("heartbeat not heard", reason=reason)
        elif before and not reason:
            _log.info("heartbeat heard again")

"""Looks at something that may not answer (a disk, a database), without waiting for it longer than one likes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gridwarden.errors import Unavailable

T = TypeVar("T")


class Look(Generic[T]):
    """One look at a time: while one has not come back there is no second.

    Args:
        at: looks; may raise OSError or Unavailable.
        name: of its task.
    """

    def __init__(self, at: Callable[[], Awaitable[T]], name: str) -> None:
        self._at = at
        self._name = name
        self._looking: asyncio.Future[T | None] | None = None

    async def within(self, timeout_s: float) -> T | None:
        """What is seen; ``None`` where it failed, or cannot be seen in time."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name=self._name)
        done, _ = await asyncio.wait([self._looking], timeout=timeout_s)
        if not done:
            return None
        seen, self._looking = self._looking.result(), None
        return seen

    async def _look(self) -> T | None:
        try:
            return await self._at()
        except (OSError, Unavailable):
            return None

"""Web's part in a backup: core is asked for the records, and keeps the blocks meanwhile; one at a time."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from gridwarden.backup import lately
from gridwarden.backup.taking import Source, take
from gridwarden.clock import SystemClock
from gridwarden.config import Config
from gridwarden.errors import GridwardenError, Refused
from gridwarden.history import History
from gridwarden.link import LinkClient
from gridwarden.records import copying, database

LONGEST_S = 86_400.0
LOOK_EVERY_S = 0.2
Copy = Callable[[Path, Callable[[int], None]], None]


class BrokenOff(GridwardenError):
    """Whoever wanted the backup is gone."""


class Pin:
    """How far core may be told that the history has followed, while a backup must find the blocks behind it."""

    def __init__(self) -> None:
        self.followed = 0
        """The truth."""
        self._pinned: int | None = None

    @property
    def told(self) -> int:
        """What core may be told."""
        return self.followed if self._pinned is None else min(self.followed, self._pinned)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is told stays within the block, whatever is followed."""
        self._pinned = self.followed
        try:
            yield
        finally:
            self._pinned = None


class Backups:
    """Takes backups, one at a time, each in a thread.

    Args:
        config: what is in force.
        config_path: the file it was read from, if from any.
        history: of the running installation.
        copy_records: see :class:`gridwarden.backup.taking.Source`; called in the thread.
        pinned: likewise.
    """

    def __init__(
        self, config: Config, config_path: Path | None, history: History, copy_records: Copy,
        pinned: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:  # fmt: skip
        self._source = Source(config, config_path, history, copy_records, pinned)
        self._data = config.data
        self._busy = threading.Lock()

    async def take(self, folder: Path) -> AsyncIterator[dict[str, Any]]:
        """Steps of progress, then ``{"backup"}`` or ``{"error"}``; whoever listens no more breaks it off."""
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        broken_off = threading.Event()

        def tell(what: str, share: float) -> None:
            if broken_off.is_set():
                raise BrokenOff("nobody wants it any more")
            loop.call_soon_threadsafe(news.put_nowait, {"what": what, "share": share})

        working = asyncio.create_task(asyncio.to_thread(self._take, folder, tell), name="backup")
        working.add_done_callback(lambda _: news.put_nowait({}))
        try:
            while step := await news.get():
                yield step
            yield _outcome(working)
        finally:
            broken_off.set()

    def _take(self, folder: Path, tell: Callable[[str, float], None]) -> dict[str, Any]:
        if not self._busy.acquire(blocking=False):
            raise Refused("backup_under_way")
        try:
            made = take(self._source, folder, tell)
            with suppress(OSError):  # it is made all the same
                lately.note(self._data, SystemClock().now_ms())
            return made
        finally:
            self._busy.release()


def _outcome(working: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"backup": working.result()}
    except Refused as error:
        return {"error": error.detail, "code": error.code}
    except GridwardenError as error:
        return {"error": str(error), "code": "unavailable"}


def by_core(link: LinkClient, loop: asyncio.AbstractEventLoop) -> Copy:
    """Core makes the copy; how far it is can be seen by its size."""

    async def copy(path: Path, copied: Callable[[int], None]) -> None:
        asking = asyncio.ensure_future(
            link.command(f"copy/{secrets.token_hex(12)}", "copy", {"path": str(path.absolute())}, LONGEST_S)
        )
        seen = 0
        try:
            while not asking.done():
                await asyncio.wait([asking], timeout=LOOK_EVERY_S)
                size = path.stat().st_size if path.exists() else 0
                copied(max(0, size - seen))
                seen = max(seen, size)
        finally:
            asking.cancel()
        await asking

    return lambda path, copied: asyncio.run_coroutine_threadsafe(copy(path, copied), loop).result()


def by_ourselves(data: Path) -> Copy:
    """The copy of records that nobody writes: the data directory is ours."""

    def copy(path: Path, copied: Callable[[int], None]) -> None:
        uri = f"{(data / database.FILE).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as records:
            copying.copy(records, path, pages=copying.ALL)
        copied(path.stat().st_size)

    return copy

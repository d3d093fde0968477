"""The real application on a loop of its own, beside the program that fuzzes it: served, with a core that answers."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

from gridwarden.core.commands import COMMANDS
from gridwarden.core.rehearsal import Rehearsal
from gridwarden.errors import Refused
from tests.api.conftest import RULES, STATUS, Core, Site, filled, open_site, prepare, serving
from tests.fuzz.incoming import DEVICES, NOW_MS
from tests.fuzz.target import scratch

MALFORMED = (KeyError, ValueError, TypeError, AttributeError, ArithmeticError)
DEADLINE_S = 60.0
"""For one input; whatever takes longer hangs."""


class FuzzedCore(Core):
    """Has the real judge carry every command out, and answers as the site's records stand; keeps no answers."""

    def __init__(self, core: Core) -> None:
        super().__init__(core.book)
        self.wrong: BaseException | None = None
        """What no command may end in."""
        self._orders = 0
        self._begin()

    def _begin(self) -> None:
        self._rehearsal = Rehearsal(RULES, DEVICES, NOW_MS, lambda _: None, restarts=False)
        self._rehearsal.hear("gw1", [{"device": "SMK-1", "seq": 1, "values": {"state": "alarm"}}])
        (alarm,) = self._rehearsal.kept.alarms()
        self._ids = {"alarm_id": alarm.alarm_id, "event_id": alarm.event_id}

    async def answer(self, command_id: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        if name == "status":
            return STATUS
        try:
            self._carry_out(name, params)
            return self._act(name, params)
        except Refused:
            raise
        except MALFORMED as error:  # as core refuses them
            raise Refused("bad_parameters", str(error)) from error
        except Exception as error:
            self.wrong = error
            raise Refused("wrong", repr(error)) from error

    def _carry_out(self, name: str, params: dict[str, Any]) -> None:
        if name not in COMMANDS:
            raise Refused("unknown_command", name[:100])
        self._orders += 1
        if not self._orders % 500:
            self._begin()
        self._rehearsal.order(name, {**params, **{key: value for key, value in self._ids.items() if key in params}})


class Running:
    """The site while it runs."""

    def __init__(self) -> None:
        self.unheard: list[BaseException] = []
        self._ready: Future[Site] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="site", daemon=True)
        self._thread.start()
        atexit.register(self._end)
        self.site = self._ready.result(DEADLINE_S)
        self.core = self.site.core
        assert isinstance(self.core, FuzzedCore)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody waits for: of a connection's task, for one."""
        error = context.get("exception")
        if error is not None and not isinstance(error, OSError):
            self.unheard.append(error)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._note)
        data = scratch() / "site"
        data.mkdir()
        try:
            async with open_site(data, prepare(data)) as site:
                site.core = FuzzedCore(site.core)
                await site.link.aclose()
                await site.start_core()
                filled(site.book)
                async with serving(site.app) as site.port:
                    while not site.services.link.connected:  # noqa: ASYNC110 nobody sets an event
                        await asyncio.sleep(0.01)
                    self._ready.set_result(site)
                    await self._stop.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def run(self, work: Coroutine[Any, Any, str]) -> str:
        """What ``work`` says, done on the site's loop; an error of core's is an error."""
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return done.result(DEADLINE_S)
        finally:
            done.cancel()
            wrong, self.core.wrong = self.core.wrong, None  # type: ignore[attr-defined]
            self.unheard += [wrong] if wrong is not None else []
            if self.unheard:
                raise self.unheard.pop()


@cache
def running() -> Running:
    """The one of this process."""
    return Running()


def socket_folder() -> Path:
    """Where sockets may lie: their paths are bounded."""
    return scratch()

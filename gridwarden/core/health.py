"""How core and its brokers are, as readings of devices of the platform that go the way of every other reading.

The values are pure functions of what core knows of itself. Where they cannot be known they are left out: a rule then
leaves things as they are, and one about absence says that a part is silent.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from gridwarden.kinds import KINDS, PLATFORM
from gridwarden.looking import Look
from gridwarden.model import Value
from gridwarden.platform import CORE, EMBEDDED, HISTORY, OURSELVES, WEB, broker_device
from gridwarden.resident import resident_mb
from gridwarden.supervised import Supervised, read
from ingest.session import Lane, Message

Values = dict[str, Value]
Status = Mapping[str, Any]
WAITING_LIMIT = 360
"""Messages not yet durable, at most: while records cannot commit an hour of them is enough."""
MEASURING_S = 2.0
"""How long the disk may take to answer before we speak without it."""
SILENT_AFTER = 3
"""Web that has said nothing for so many intervals is silent."""
_PARTS = ("core", "web")
_TOPIC = f"gridwarden/v1/{OURSELVES}/up"
_FIELDS = KINDS[PLATFORM].fields


def core_values(status: Status, before: Status, measured: Mapping[str, Value]) -> Values:
    """How core is.

    Args:
        status: its answer to ``status``.
        before: the one before, from which the counts of the interval follow.
        measured: what is not in there, by field.
    """
    spool = status["spool"]
    return {
        "records_failing": status["records"] != "ok",
        "spool_fill": spool["bytes"] / spool["quota_bytes"],
        "aside_fill": status["aside"]["fill"],
        "ledger_imbalance": status["ledger_imbalance"],
        "dead_letters": _more(status, before, "dead_lettered"),
        "unentitled": _more(status, before, "quarantined"),
        "strangers": status["strangers"],
        "web_connected": status["webs"] > 0,
        **measured,
    }


def broker_values(name: str, status: Status, before: Status) -> Values:
    """How the sessions at the broker ``name`` are."""
    sessions = [session for session in status["sessions"] if session["broker"] == name]
    known = [session for session in before["sessions"] if session["broker"] == name]
    return {
        "connected": all(session["connected"] for session in sessions),
        "redelivered": max(0, _sum(sessions, "redelivered") - _sum(known, "redelivered")),
    }


def supervised_values(said: Supervised | None, before: Supervised | None) -> tuple[Values, Values]:
    """What the supervisor says of core and web, and of the embedded broker.

    Args:
        said: its last word; ``None``: nothing is known.
        before: the one before; ``None``: there is none. Then core is asked whether it was itself started anew.
    """
    if said is None:
        return {}, {}
    restarts = sum(said.restarts.get(part, 0) for part in _PARTS)
    known = (
        sum(before.restarts.get(part, 0) for part in _PARTS)
        if before
        else restarts - min(1, said.restarts.get("core", 0))
    )
    own: Values = {"restarts": max(0, restarts - known)}
    if "broker" not in said.restarts:
        return own, {}
    broker_known = (before or said).restarts.get("broker", 0)
    broker: Values = {"restarts": max(0, said.restarts["broker"] - broker_known)}
    if said.store_bytes is not None and said.store_limit_bytes:
        broker["store_fill"] = said.store_bytes / said.store_limit_bytes
    return own, broker


def told_values(told: object) -> Values:
    """What web told of a part, as far as it can be used: known fields, plain finite values."""
    if not isinstance(told, Mapping):
        return {}
    return {name: value for name, value in told.items() if name in _FIELDS and _is_plain(value)}


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _more(status: Status, before: Status, name: str) -> int:
    return max(0, int(status[name] - before[name]))


def _sum(sessions: Sequence[Status], name: str) -> int:
    return sum(session[name] for session in sessions)


@dataclass(frozen=True, slots=True)
class Measured:
    """What has to be looked up in files."""

    values: Values
    supervised: Supervised | None


class Door:
    """The session through which our own readings come: in memory, and there is nobody who would keep them for us."""

    def __init__(self) -> None:
        self.name, self.broker, self.lane = f"{OURSELVES}/{OURSELVES}", OURSELVES, Lane.TELEMETRY
        self.connected, self.holding = True, False
        self.connection = self.redelivered = self.received = self.not_covered = 0
        self._unsafe = 0
        self._inbox: deque[Message] = deque()

    @property
    def waiting(self) -> int:
        """Messages not yet taken."""
        return len(self._inbox)

    def put(self, parts: Mapping[str, Values], at_ms: int) -> None:
        """What these parts say now; left out while too much of it is not durable."""
        if self._unsafe >= WAITING_LIMIT:
            return
        self._unsafe += 1
        readings = [{"device": device, "at": at_ms, "values": values} for device, values in parts.items() if values]
        self._inbox.append(Message(_TOPIC, to_json(readings), at_ms, 0, 1, 1, self))

    def take(self, limit: int) -> list[Message]:
        """See :class:`ingest.session.Session`."""
        taken = [self._inbox.popleft() for _ in range(min(limit, len(self._inbox)))]
        self.received += len(taken)
        return taken

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """They are durable."""
        self._unsafe -= len(messages)

    async def run(self) -> None:
        """There is nothing to connect to."""


class Health:
    """Says at every interval how core, its brokers and web's parts are.

    Args:
        every_s: the interval.
        data: the data directory, whose disk is looked at.
        brokers: their names.
        status: core's answer to ``status``.
        interval: the worst of the interval that is over, by field.
        spool_at_ms: when the oldest block was committed that not everybody has followed; ``None``: there is none.
        now_ms: our clock.
        arrived: called when there is something to take.
    """

    def __init__(
        self,
        every_s: float,
        data: Path,
        brokers: Sequence[str],
        status: Callable[[], dict[str, Any]],
        interval: Callable[[], dict[str, float]],
        spool_at_ms: Callable[[], Awaitable[int | None]],
        now_ms: Callable[[], int],
        arrived: Callable[[], None],
    ) -> None:
        self.door = Door()
        self._every_s = every_s
        self._data = data
        self._brokers = brokers
        self._status = status
        self._interval = interval
        self._spool_at_ms = spool_at_ms
        self._now_ms = now_ms
        self._arrived = arrived
        self._before: dict[str, Any] = {}
        self._step_ms = 0
        self._told: dict[str, Values] = {}
        self._told_at_s = -math.inf
        self._supervised: Supervised | None = None
        self.said: dict[str, Values] = {}
        """What each part said last."""
        self._disk = Look(self._measure, "core-health-disk")

    def stepped(self, step_ms: int) -> None:
        """Our clock was set."""
        self._step_ms += step_ms

    def hear(self, told: object) -> None:
        """Web says how it and the history are."""
        if isinstance(told, Mapping):
            self._told = {WEB: told_values(told.get("web")), HISTORY: told_values(told.get("history"))}
            self._told_at_s = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Speak until cancelled, for the first time after one interval."""
        self._before = self._status()
        while True:
            await asyncio.sleep(self._every_s)
            measured = await self._disk.within(min(self._every_s, MEASURING_S))
            self.said = self._parts(measured or Measured({}, None))
            self.door.put(self.said, self._now_ms())
            self._arrived()

    def _parts(self, measured: Measured) -> dict[str, Values]:
        status, before = self._status(), self._before
        self._before = status
        ours, embedded = supervised_values(measured.supervised, self._supervised)
        self._supervised = measured.supervised or self._supervised
        own = {
            **measured.values,
            **ours,
            **self._interval(),
            "clock_step_s": self._step_ms / 1000,
            "memory_mb": resident_mb(),
        }
        self._step_ms = 0
        parts = {CORE: core_values(status, before, own)}
        parts |= {broker_device(name): broker_values(name, status, before) for name in self._brokers}
        if broker_device(EMBEDDED) in parts:
            parts[broker_device(EMBEDDED)] |= embedded
        if asyncio.get_running_loop().time() - self._told_at_s < SILENT_AFTER * self._every_s:
            parts |= self._told
        return parts

    async def _measure(self) -> Measured:
        usage = await asyncio.to_thread(shutil.disk_usage, self._data)
        at_ms = await self._spool_at_ms()
        age_ms = 0 if at_ms is None else max(0, self._now_ms() - at_ms)
        supervised = await asyncio.to_thread(read, self._data, self._now_ms())
        return Measured({"disk_free_share": usage.free / usage.total, "spool_age_s": age_ms / 1000}, supervised)

"""The second question of ``gridwarden bench``: from the publication of a state change to its frame in a browser.

1,000 readings a second, of which a steady part changes an alarm; a websocket client waits for each of them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from gridwarden.cli.bench_load import Tell, loading
from simulators.load import Plan, lift_id, topic_of
from simulators.raw_mqtt import Connection, connected, publish_packet

READINGS_PER_S = 1_000
PATIENCE_S = 10.0
"""A frame that is later than this is lost."""
WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A part of the changes: where they are published, what changes, on how many lifts, how often."""

    leaf: str
    field: str
    """A boolean that alone makes an alarm, without hold or latch (see the rules of lifts)."""
    lifts: int
    per_second: float


LANES = (Lane("up", "tamper", 80, 20.0), Lane("alarm", "pit_flood", 20, 5.0))
CHANGING = sum(lane.lifts for lane in LANES)
"""Lifts beside those of the load."""


@dataclass(slots=True)
class Delays:
    """What was seen of one lane, in milliseconds."""

    changes: int = 0
    missing: int = 0
    """Changes without a frame."""
    delays_ms: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        """The delay that this share of the changes does not exceed; infinite where no frame came."""
        ordered = sorted(self.delays_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        found = {"p50_ms": 0.50, "p99_ms": 0.99, "max_ms": 1.0}
        mean_ms = round(statistics.fmean(self.delays_ms), 2) if self.delays_ms else None
        quantiles = {name: round(self.quantile_ms(share), 2) for name, share in found.items()} if self.delays_ms else {}
        return {"changes": self.changes, "missing": self.missing, "mean_ms": mean_ms, **quantiles}


class _Watch:
    """Publishes changes and waits for their frames."""

    def __init__(self, plan: Plan, connection: Connection) -> None:
        self.delays = {lane.leaf: Delays() for lane in LANES}
        self.counting = False
        self._plan = plan
        self._connection = connection
        self._numbers = itertools.count()
        self._published_s: dict[tuple[str, bool], tuple[float, str]] = {}
        """Device and whether it fires to when it was published; 0: not counted."""

    async def change(self, lane: Lane, first_lift: int) -> None:
        """Fire and clear the alarms of a lane's lifts in turn, for ever."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for turn in itertools.count():
            lift, fires = first_lift + turn % lane.lifts, turn // lane.lifts % 2 == 0
            self._publish(lane, lift, fires)
            due_s += 1 / lane.per_second
            await asyncio.sleep(due_s - loop.time())

    def _publish(self, lane: Lane, lift: int, fires: bool) -> None:
        number = next(self._numbers)
        body = {
            "device": lift_id(lift),
            "at": time.time_ns() // 1_000_000,
            "seq": number,
            "values": {lane.field: fires},
        }
        packet = publish_packet(topic_of(lift, self._plan.gateways, lane.leaf), json.dumps(body).encode(), number)
        if self.counting:
            self.delays[lane.leaf].changes += 1
            self._published_s[lift_id(lift), fires] = time.perf_counter(), lane.leaf
        self._connection.write(packet)

    async def listen(self, socket: ClientConnection) -> None:
        """Take frames, for ever."""
        async for text in socket:
            now_s = time.perf_counter()
            frame = json.loads(text)
            if frame["t"] == "ping":
                await socket.send('{"t":"pong"}')
            elif frame["t"] == "ev" and frame.get("alarm"):
                published = self._published_s.pop((frame["alarm"]["device_id"], frame["op"] == "alarm.fired"), None)
                if published:
                    self.delays[published[1]].delays_ms.append(1000 * (now_s - published[0]))

    async def settle(self) -> None:
        """Wait for the frames that are still to come, and count those that do not."""
        deadline_s = time.perf_counter() + PATIENCE_S
        while self._published_s and time.perf_counter() < deadline_s:  # noqa: ASYNC110 - the listener has no event
            await asyncio.sleep(0.05)
        for _, leaf in self._published_s.values():
            self.delays[leaf].missing += 1


@asynccontextmanager
async def listening(address: str, token: str) -> AsyncIterator[ClientConnection]:
    """A websocket that has heard what is open and now hears every change."""
    url = address.replace("http", "ws", 1) + "/api/v1/ws"
    async with connect(url, subprotocols=["gridwarden.v1"], ping_interval=None) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"t": "auth", "token": token}))
        await socket.send('{"t":"sub","id":1,"ch":"events","q":{"area":""}}')
        async with asyncio.timeout(PATIENCE_S):
            while json.loads(await socket.recv())["t"] != "snap_end":
                pass
        yield socket


async def measure(plan: Plan, address: str, token: str, seconds: float, tell: Tell) -> Mapping[str, Delays]:
    """The delays of each lane over ``seconds``. ``plan`` is the load's; its lifts stay quiet in the changes."""
    changes_per_s = sum(lane.per_second for lane in LANES)
    plan = plan.model_copy(update={"rate": READINGS_PER_S - changes_per_s})
    client = f"{plan.client_id}-changes"
    async with (
        listening(address, token) as socket,
        connected(plan.host, plan.port, client, plan.username, plan.password) as connection,
        loading(plan) as load,
    ):
        load.allow(READINGS_PER_S * 86_400)
        watch = _Watch(plan, connection)
        async with asyncio.TaskGroup() as tasks:
            listener = tasks.create_task(watch.listen(socket), name="bench-listen")
            firsts = itertools.accumulate((lane.lifts for lane in LANES), initial=plan.lifts)
            changers = [
                tasks.create_task(watch.change(lane, first), name=f"bench-{lane.leaf}")
                for lane, first in zip(LANES, firsts, strict=False)
            ]
            await asyncio.sleep(WARM_UP_S)
            watch.counting = True
            await _pass(seconds, watch, tell)
            for changer in changers:
                changer.cancel()
            await watch.settle()
            listener.cancel()
        await load.finish()
    return watch.delays


async def _pass(seconds: float, watch: _Watch, tell: Tell) -> None:
    steps = max(1, round(seconds * 4))
    for step in range(steps):
        await asyncio.sleep(seconds / steps)
        seen = [delay_ms for delays in watch.delays.values() for delay_ms in delays.delays_ms]
        tell((step + 1) / steps, f"p50 {statistics.median(seen):.1f} ms" if seen else "")

"""The made-up district as its gateways publish it: first the hours before, as fast as it goes, then life as it comes.

``python tests/bench/city_load.py`` is told its :class:`Plan` in the first line of standard input. After each round of the
past it prints its :class:`Account` as a JSON line and waits for another line; then it lives until the input ends, and
prints the last account.
The day is moved, so that it always is the busiest hour of the lifts. Nothing happens to anybody.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

sys.path.insert(0, str(Path(__file__).parents[2]))

from gridwarden.model import Device
from simulators import city
from simulators.behaviour import DAYS, Values
from simulators.publisher import Address, Publisher

BUSY_HOUR_MS = 18 * 3_600_000
"""Since midnight: when lifts have most to do (see simulators.behaviour)."""
WINDOW = 50
"""Messages of one gateway in flight."""
EVERY_MS = 15 * 60_000
"""Between two rounds of the past."""
PACKED = 10
"""Readings of the past in one message, at most: so a gateway sends what it kept while it was cut off."""


class Plan(BaseModel):
    """What to publish, and to whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str
    port: int
    username: str
    password: str
    seed: int
    scale: float
    rounds: int
    """How often every device has spoken before."""
    horizon_s: float
    """How long the second part may last."""


@dataclass(slots=True)
class Account:
    """What was published and acknowledged, and by how many gateways."""

    gateways: int
    devices: int
    published: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Due:
    """A reading and when it is to be published, milliseconds after the beginning."""

    after_ms: int
    device: Device
    values: Values


def past(device: Device, seed: int) -> Iterator[Values]:
    """What a device has said, without end: as it was at rest each time."""
    while True:
        yield from (spell[-1][1] for spell in DAYS[device.kind](_rng(device, seed), 0))


def busy_hour(devices: list[Device], seed: int, horizon_s: float) -> list[Due]:
    """All that is said from the beginning of the busiest hour on, in order."""
    to_ms = BUSY_HOUR_MS + round(1000 * horizon_s)
    found = [
        Due(at_ms - BUSY_HOUR_MS, device, values)
        for device in devices
        for spell in DAYS[device.kind](_rng(device, seed), 0)
        if BUSY_HOUR_MS <= spell[0][0] < to_ms
        for at_ms, values in spell
    ]
    return sorted(found, key=lambda due: due.after_ms)


def _rng(device: Device, seed: int) -> Random:
    return Random(f"{seed} {device.device_id}")


class Gateways:
    """One connection for each gateway of the district."""

    def __init__(self, publishers: Mapping[str, Publisher], devices: list[Device], seed: int) -> None:
        self._publishers = publishers
        self._devices = len(devices)
        self._numbers: Counter[str] = Counter()
        self._said = {device.device_id: past(device, seed) for device in devices}
        own = {gateway: [device for device in devices if device.gateway == gateway] for gateway in publishers}
        self._packs = [(gateway, found[start : start + PACKED])
                       for gateway, found in own.items() for start in range(0, len(found), PACKED)]  # fmt: skip

    async def publish(self, device: Device, values: Values) -> None:
        """One reading, taken now."""
        await self._send(device.gateway, self._body(device, values, time.time_ns() // 1_000_000), [device])

    async def tell_round(self, at_ms: int) -> None:
        """What each device said at ``at_ms``, packed by gateway."""
        for gateway, pack in self._packs:
            bodies = [self._body(device, next(self._said[device.device_id]), at_ms) for device in pack]
            await self._send(gateway, bodies, pack)

    def _body(self, device: Device, values: Values, at_ms: int) -> dict[str, Any]:
        self._numbers[device.device_id] += 1
        return {"device": device.device_id, "at": at_ms, "seq": self._numbers[device.device_id], "values": values}

    async def _send(self, gateway: str, body: Any, devices: list[Device]) -> None:
        names = [device.device_id for device in devices]
        await self._publishers[gateway].publish(f"gridwarden/v1/{gateway}/up", to_json(body), names)

    async def tell(self) -> None:
        """Print the account when everything is acknowledged."""
        for publisher in self._publishers.values():
            await publisher.drain()
        accounts = [publisher.account for publisher in self._publishers.values()]
        told = Account(len(accounts), self._devices, sum(one.readings for one in accounts),
                       sum(one.readings_acknowledged for one in accounts))  # fmt: skip
        sys.stdout.buffer.write(to_json(asdict(told)) + b"\n")
        sys.stdout.buffer.flush()


@asynccontextmanager
async def connected(plan: Plan, devices: list[Device]) -> AsyncIterator[Gateways]:
    """All gateways, connected."""
    async with AsyncExitStack() as stack:
        publishers = {}
        for name in sorted({device.gateway for device in devices}):
            address = Address(plan.host, plan.port, name, plan.username, plan.password)
            publishers[name] = await stack.enter_async_context(Publisher(address, window=WINDOW))
        yield Gateways(publishers, devices, plan.seed)


async def pace(gateways: Gateways, dues: list[Due], stop: asyncio.Event) -> None:
    """Publish each when it is due, until all are published or it is to stop."""
    began_s = time.monotonic()
    for due in dues:
        wait_s = due.after_ms / 1000 - (time.monotonic() - began_s)
        if wait_s > 0:
            try:
                async with asyncio.timeout(wait_s):
                    await stop.wait()
            except TimeoutError:
                pass
        if stop.is_set():
            return
        await gateways.publish(due.device, due.values)


async def live() -> None:
    """Both parts."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    plan = Plan.model_validate_json(await reader.readline())
    devices = city.make(plan.seed, plan.scale).devices
    dues = busy_hour(devices, plan.seed, plan.horizon_s)
    async with connected(plan, devices) as gateways:
        now_ms = time.time_ns() // 1_000_000
        for number in range(plan.rounds, 0, -1):
            await gateways.tell_round(now_ms - number * EVERY_MS)
            await gateways.tell()
            await reader.readline()
        stop = asyncio.Event()
        publishing = asyncio.create_task(pace(gateways, dues, stop))
        await reader.read()
        stop.set()
        await publishing
        await gateways.tell()


if __name__ == "__main__":
    asyncio.run(live())

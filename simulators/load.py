"""Readings of made-up lifts at QoS 1, as many as it is let, for a few microseconds each: load for measurements.

The packets are made before the start and patched in place (packet id, time, number), so the machine is left to what is
measured. ``python -m simulators.load`` is told its :class:`Plan` in the first line of standard input, then the number
of readings it may have published by now, one a line; the end of the input stops it. It prints its :class:`Account` as
JSON lines, the last when all is acknowledged. It mends nothing: a connection that breaks ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import asdict, dataclass

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from gridwarden.errors import BrokerUnavailable
from simulators.raw_mqtt import PACKET_IDS, Connection, connected, packet_id, publish_packet

CHUNK = 100
"""Readings written at once when there is room for them."""
TELL_EVERY_S = 0.05
PATIENCE_S = 30.0
"""How long the last acknowledgement may take."""
_NUMBERS_BEGIN = 1_000_000_000
"""All ``seq`` have ten digits, so that they fit into the place of one another."""


class Plan(BaseModel):
    """What to publish, and to whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str
    port: int
    client_id: str = "gridwarden-load"
    username: str | None = None
    password: str | None = Field(None, repr=False)
    lifts: int = Field(7_000, ge=1)
    gateways: int = Field(50, ge=1, le=1_000)
    first: int = Field(0, ge=0)
    """Number of the first reading: above those of earlier runs, so that no ``seq`` comes twice."""
    window: int = Field(2_000, ge=1, le=PACKET_IDS)
    """Most readings not yet acknowledged by the broker."""
    rate: float = Field(0.0, ge=0)
    """Readings a second; 0: as the window and the limit allow."""


@dataclass(slots=True)
class Account:
    """What was published, by the one who published it."""

    published: int = 0
    acknowledged: int = 0
    cpu_s: float = 0.0
    done: bool = False


def lift_id(number: int) -> str:
    """The device id of a lift."""
    return f"LIFT-{number:06}"


def gateway_id(number: int, gateways: int) -> str:
    """The gateway that speaks for a lift."""
    return f"GW-LOAD-{number % gateways:03}"


def topic_of(number: int, gateways: int, leaf: str = "up") -> str:
    """Where a lift's readings are published."""
    return f"gridwarden/v1/{gateway_id(number, gateways)}/{leaf}"


# What an ordinary lift says in turn. Nothing of it is an alarm; all of it changes something.
_STATES = (
    b'"mode":"normal","motion":"running","direction":"up","floor":%d,"door":"closed","speed_mps":1.75,"occupied":true',
    b'"mode":"normal","motion":"stopped","direction":"none","floor":%d,"door":"open","speed_mps":0.0,"occupied":true',
    b'"mode":"normal","motion":"stopped","direction":"none","floor":%d,"door":"closed","speed_mps":0.0,"occupied":false',
    b'"mode":"normal","motion":"running","direction":"down","floor":%d,"door":"closed","speed_mps":1.5,"occupied":false',
)


class Templates:
    """The packets of all lifts in all states, in the order they are sent."""

    def __init__(self, lifts: int, gateways: int) -> None:
        self._packets = [
            bytearray(_template(lift, state, gateways)) for state in range(len(_STATES)) for lift in range(lifts)
        ]
        # Topic, device id and what lies before the values are of one length, and so are all heads (128 to 16,383 bytes
        # follow them): each place is the same in every packet.
        first = bytes(self._packets[0])
        id_at = 1 + 2 + 2 + len(topic_of(0, gateways))
        time_at, number_at = first.index(b'"at":') + len(b'"at":'), first.index(b'"seq":') + len(b'"seq":')
        self._places = slice(id_at, id_at + 2), slice(time_at, time_at + 13), slice(number_at, number_at + 10)

    def packets(self, first: int, count: int, at_ms: int) -> bytes:
        """The packets of the readings ``first`` to ``first + count - 1``, taken at ``at_ms``."""
        packets, size = self._packets, len(self._packets)
        id_place, time_place, number_place = self._places
        taken_at = b"%013d" % at_ms
        chunk = []
        for number in range(first, first + count):
            packet = packets[number % size]
            packet[id_place] = packet_id(number)
            packet[time_place] = taken_at
            packet[number_place] = b"%010d" % (_NUMBERS_BEGIN + number)
            chunk.append(bytes(packet))
        return b"".join(chunk)


def _template(lift: int, state: int, gateways: int) -> bytes:
    values = _STATES[state] % ((lift + state) % 30 + 1)
    payload = b'{"device":"%s","at":%013d,"seq":%010d,"values":{%s}}' % (lift_id(lift).encode(), 0, 0, values)
    return publish_packet(topic_of(lift, gateways), payload, 0)


class Load:
    """Publishes by ``plan`` on ``connection`` until stopped."""

    def __init__(self, plan: Plan, connection: Connection) -> None:
        self.account = Account()
        self.limit = 0
        """Readings that may have been published by now; whoever raises it sets ``connection.stirred``."""
        self.stopped = False
        """Whoever sets it sets ``connection.stirred`` too."""
        self._plan = plan
        self._connection = connection
        self._templates = Templates(plan.lifts, plan.gateways)

    async def run(self) -> Account:
        """Publish until ``stopped``, then wait until everything is acknowledged.

        Raises:
            BrokerUnavailable: the connection broke, or the last acknowledgements did not come in time.
        """
        began_s = time.monotonic()
        while not self.stopped:
            due = self._due(time.monotonic() - began_s)
            if due:
                self._publish(due)
                await asyncio.sleep(0)  # acknowledgements are read between two chunks
            else:
                await self._wait()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._connection.until(lambda: self._connection.acknowledged >= self.account.published)
        except TimeoutError as error:
            missing = self.account.published - self._connection.acknowledged
            raise BrokerUnavailable(f"{missing} readings were not acknowledged in time") from error
        self.account.done = True
        return self.tell()

    def tell(self) -> Account:
        """The account as it stands."""
        self.account.acknowledged = self._connection.acknowledged
        self.account.cpu_s = round(time.process_time(), 3)
        return self.account

    def _due(self, elapsed_s: float) -> int:
        """How many readings to publish now."""
        account, plan = self.account, self._plan
        room = plan.window - (account.published - self._connection.acknowledged)
        allowed = min(room, self.limit - account.published, CHUNK)
        if plan.rate:
            return max(0, min(allowed, int(elapsed_s * plan.rate) - account.published))
        # A crumb costs as much as a chunk: wait until there is room for one.
        has_room = self._connection.writable and room >= min(CHUNK, plan.window)
        return max(0, allowed) if has_room else 0

    def _publish(self, count: int) -> None:
        packets = self._templates.packets(self._plan.first + self.account.published, count, time.time_ns() // 1_000_000)
        self.account.published += count
        self._connection.write(packets)

    async def _wait(self) -> None:
        """Until something happened, or with a rate until the next reading may be due."""
        if self._connection.broken:
            raise self._connection.broken
        self._connection.stirred.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.002 if self._plan.rate else 1.0):
                await self._connection.stirred.wait()


async def _live() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    plan = Plan.model_validate_json(await reader.readline())
    async with connected(plan.host, plan.port, plan.client_id, plan.username, plan.password) as connection:
        load = Load(plan, connection)
        async with asyncio.TaskGroup() as tasks:
            asides = [tasks.create_task(_hear(reader, load, connection), name="load-hear"),
                      tasks.create_task(_tell_on(load), name="load-tell")]  # fmt: skip
            await load.run()
            for aside in asides:
                aside.cancel()
    _print(load.tell())


async def _hear(reader: asyncio.StreamReader, load: Load, connection: Connection) -> None:
    while line := await reader.readline():
        load.limit = int(line)
        connection.stirred.set()
    load.stopped = True
    connection.stirred.set()


async def _tell_on(load: Load) -> None:
    while True:
        _print(load.tell())
        await asyncio.sleep(TELL_EVERY_S)


def _print(account: Account) -> None:
    sys.stdout.buffer.write(to_json(asdict(account)) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(_live())

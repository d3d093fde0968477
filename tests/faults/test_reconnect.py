"""10,000 devices whose gateways all lose their broker at once, come back at once, and send again what was not acknowledged.

Their broker is killed while every gateway publishes. Meanwhile alarms go on: a gateway of its own publishes them, and a
dashboard must hear of each.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from pathlib import Path
from random import Random

import pytest

from gridwarden.errors import BrokerUnavailable
from simulators.fleet import allow_files
from simulators.publisher import Account, Address, Publisher
from simulators.raw_mqtt import Connection, connected, publish_packet
from tests.faults import evidence
from tests.faults.book import entering
from tests.faults.harness import Instance, free_port, until
from tests.faults.lanes import watched
from tests.faults.toll import toll
from tests.faults.watcher import Watcher
from tests.faults.workload import Key, Values

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
DEVICES = 10_000
ROUNDS = 3
ALARMS = 20
TAG = "crowd"
PACE_S = 2.0
"""A round is spread over so much, so that the broker dies in the middle of one."""
LONGEST_PAUSE_S = 0.5
"""Within so much every gateway tries again."""
DEADLINE_S = 300.0


class Crowd:
    """Lifts that report, every hundredth with its cover open in the second round; and some that flood, on the alarm lane."""

    def __init__(self, gateways: int) -> None:
        self.gateways = gateways
        self.stored: dict[Key, Values] = {}
        self.quarantined: dict[Key, Values] = {}
        self.dead: set[tuple[str, bytes]] = set()
        self.incidents = {f"tamper/device:{lift(number)}" for number in range(0, DEVICES, 100)}
        self.incidents |= {f"water/device:{lift(DEVICES + number)}" for number in range(ALARMS)}
        self._base_ms = int(time.time() - 600) * 1000

    def gateway(self, number: int) -> str:
        """Who speaks for a lift."""
        return f"{TAG}-{number % self.gateways}"

    def messages(self, gateway: int, turn: int) -> list[tuple[str, bytes]]:
        """What a gateway has to say in a round."""
        return [self._message(number, turn, {"tamper": number % 100 == 0 and turn == 1}, "up")
                for number in range(gateway, DEVICES, self.gateways)]  # fmt: skip

    def alarm(self, number: int) -> tuple[str, bytes]:
        """One that is published while all come back."""
        return self._message(DEVICES + number, 0, {"pit_flood": True}, "alarm")

    def _message(self, number: int, turn: int, values: Values, lane: str) -> tuple[str, bytes]:
        key = (lift(number), self._base_ms + turn * 60_000, turn)
        self.stored[key] = values
        body = {"device": key[0], "at": key[1], "seq": turn, "values": values}
        return f"gridwarden/v1/{self.gateway(number)}/{lane}", json.dumps(body).encode()

    def register(self, file: Path) -> None:
        """Write all of them for an import."""
        with file.open("w", newline="") as out:
            table = csv.writer(out)
            table.writerow(["device_id", "kind", "gateway"])
            table.writerows([lift(number), "lift", self.gateway(number)] for number in range(DEVICES + ALARMS))


def lift(number: int) -> str:
    """The device id of a lift."""
    return f"{TAG}.lift-{number}"


class Gateway:
    """A connection that is made again whenever it breaks; what was not acknowledged is sent again."""

    def __init__(self, number: int, crowd: Crowd, address: Address) -> None:
        self._crowd, self._number, self._address = crowd, number, address
        self._rng = Random(number)
        self._unacknowledged: list[tuple[str, bytes]] = []
        self._connection: Connection | None = None
        self._acknowledged_before = 0
        self.connections = 0

    async def keep_connected(self) -> None:
        """For ever."""
        address = self._address
        name = f"{address.client_id}-{self._number}"
        while True:
            try:
                async with connected(
                    address.host, address.port, name, address.username, address.password
                ) as connection:
                    self.connections += 1
                    self._connection = connection
                    self._send(connection)
                    await connection.until(lambda: False)
            except BrokerUnavailable:
                self._connection = None
                await asyncio.sleep(self._rng.uniform(0, LONGEST_PAUSE_S))

    async def publish(self, turn: int) -> int:
        """One round, until all of it is acknowledged; how many readings that were."""
        await asyncio.sleep(self._rng.uniform(0, PACE_S))
        self._unacknowledged = self._crowd.messages(self._number, turn)
        count = len(self._unacknowledged)
        if self._connection is not None:
            self._send(self._connection)
        while self._unacknowledged:
            connection = self._connection
            if connection is None:
                await asyncio.sleep(0.1)
                continue
            try:
                await connection.until(lambda: connection.acknowledged >= self._acknowledged_before + count)  # noqa: B023
            except BrokerUnavailable:
                await asyncio.sleep(0)
            else:
                self._unacknowledged = []
        return count

    def _send(self, connection: Connection) -> None:
        self._acknowledged_before = connection.acknowledged
        for packet, (topic, payload) in enumerate(self._unacknowledged, connection.acknowledged):
            connection.write(publish_packet(topic, payload, packet))


async def play(instance: Instance, crowd: Crowd, account: Account) -> list[Gateway]:
    """All rounds; the broker dies in the middle of the second one."""
    address = instance.mqtt(TAG)
    gateways = [Gateway(number, crowd, address) for number in range(crowd.gateways)]
    keeping = [asyncio.create_task(gateway.keep_connected()) for gateway in gateways]
    began_s = time.monotonic()
    try:
        await until("all are connected", lambda: all(gateway.connections for gateway in gateways), DEADLINE_S)
        for turn in range(ROUNDS):
            account.readings += DEVICES
            publishing = asyncio.gather(*(gateway.publish(turn) for gateway in gateways))
            if turn == 1:
                await asyncio.sleep(PACE_S / 2)
                await instance.kill("broker")
                await raise_alarms(instance, crowd, account)
            account.readings_acknowledged += sum(await publishing)
            print(f"ROUND {turn} after {time.monotonic() - began_s:.1f} s, broker {await memory_mb(instance)} MB")  # noqa: T201
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
    return gateways


async def memory_mb(instance: Instance) -> int:
    """What the broker holds."""
    status = Path(f"/proc/{await instance.child('broker')}/status").read_text()
    (line,) = [one for one in status.splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


async def raise_alarms(instance: Instance, crowd: Crowd, account: Account) -> None:
    """One after the other, each acknowledged, while thousands are coming back."""
    async with Publisher(instance.mqtt("fires"), account=account, patience_s=DEADLINE_S) as publisher:
        for number in range(ALARMS):
            topic, payload = crowd.alarm(number)
            await publisher.publish(topic, payload, [lift(DEVICES + number)])
            await publisher.drain()


FORMS = [pytest.param(1_000, 1), *(pytest.param(2_000, run, marks=pytest.mark.long) for run in (1, 2, 3)),
         *(pytest.param(10_000, run, marks=pytest.mark.long) for run in (1, 2))]  # fmt: skip


@pytest.mark.parametrize(("connections", "run"), FORMS)
async def test_all_come_back_at_once_and_nothing_is_missing(connections: int, run: int, tmp_path: Path) -> None:
    allow_files(connections)
    instance = Instance(tmp_path, GRIDWARDEN_EMBEDDED__MQTT_PORT=str(free_port()))
    crowd, account = Crowd(connections), Account()
    with entering(f"{DEVICES:,} devices on {connections:,} connections come back at once") as draft:
        async with instance.running(), Watcher(instance.socket).watching() as watcher:
            crowd.register(tmp_path / "crowd.csv")
            await instance.import_devices(tmp_path / "crowd.csv")
            gateways = await play(instance, crowd, account)
            evidence.check_ledger(await instance.drained(DEADLINE_S), instance.data)
            await watched(instance, watcher)
        found, rows = evidence.records(instance.data)[TAG], evidence.history(instance.data)[TAG]
        told = [(one["seq"], one["op"], one["alarm"]["alarm_id"]) for one in watcher.changes if one.get("alarm")]
        draft.run = toll(draft.run.fault, crowd, account, found, rows=rows, told=told)
        assert draft.run.kept
        assert draft.run.acknowledged == DEVICES * ROUNDS + ALARMS
        assert draft.run.events == 100 + ALARMS
        assert told == sorted((seq, *change) for seq, change in found.journal.items())
        assert all(gateway.connections >= 2 for gateway in gateways), "somebody never lost the broker"
        assert "Traceback" not in instance.log.read_text()

"""An alarm beside a backlog: many messages wait in the broker, core comes back, and meanwhile there is fire.

``python tests/bench/backlog_bench.py [--messages 1000000] [--readings-per-message 10] [--json]``; see
docs/guide/performance.md. A real instance with the embedded broker; core is killed and kept from starting while the
messages are published. Then it may start, and while it takes the backlog in, smoke detectors tell of a fire, each one
once, on the alarm topic and a connection of their own. What is measured is from before PUBLISH is written until a
websocket client has the frame, on one clock. Exit 1 at 200 ms or more for 99 of 100, or if anything was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gridwarden.cli.bench_latency import Delays
from gridwarden.cli.bench_load import cpu_seconds, memory_mb, shares
from gridwarden.records.reader import Reader
from simulators.load import gateway_id, lift_id
from simulators.publisher import Address
from simulators.raw_mqtt import Connection, connected, publish_packet
from tests.faults.harness import Instance, until

P99_WANTED_MS = 200.0
LIFTS = 7_000
GATEWAYS = 50
DETECTORS = 5_000
"""Each can tell of one fire."""
WINDOW = 2_000
"""Messages not yet acknowledged by the broker while the backlog is made."""
PATIENCE_S = 30.0
"""A frame that is later than this is missing."""
STALLED_S = 120.0
"""So long without a reading stored, and the drain is given up."""
_LOST_SESSION, _CUT_OFF = "session.lost", "Slow Consumer"


# --- the backlog ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages of lifts that nothing happens to; each of one gateway, and no reading twice."""

    messages: int
    per_message: int

    @property
    def readings(self) -> int:
        """All of them."""
        return self.messages * self.per_message

    async def publish(self, connection: Connection) -> None:
        """All of it, until the broker has acknowledged the last."""
        for number in range(self.messages):
            connection.write(self._packet(number))
            if number % 100 == 0:  # so that the window is never exceeded by more than that
                await connection.until(lambda number=number: number - connection.acknowledged < WINDOW)
                await asyncio.sleep(0)
        await connection.until(lambda: connection.acknowledged >= self.messages)

    def _packet(self, number: int) -> bytes:
        gateway, turn, at_ms = number % GATEWAYS, number // GATEWAYS * self.per_message, time.time_ns() // 1_000_000
        bodies = [
            b'{"device":"%s","at":%d,"seq":%d,"values":{"mode":"normal","motion":"running","direction":"up","floor":%d,'
            b'"door":"closed","speed_mps":1.75,"occupied":true}}'
            % (lift_id(gateway + GATEWAYS * (one % (LIFTS // GATEWAYS))).encode(), at_ms, one, one % 30 + 1)
            for one in range(turn, turn + self.per_message)
        ]
        payload = bodies[0] if self.per_message == 1 else b"[%s]" % b",".join(bodies)
        return publish_packet(f"gridwarden/v1/{gateway_id(gateway, GATEWAYS)}/up", payload, number)


# --- the alarms -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Fires:
    """Detectors that tell of a fire, one after the other, and what a page hears of it."""

    per_second: float
    delays: Delays = field(default_factory=Delays)
    late: list[tuple[float, float]] = field(default_factory=list)
    """Seconds after the first fire, and milliseconds, of those that took longer than wanted."""
    _published_s: dict[str, float] = field(default_factory=dict)
    _began_s: float = 0.0

    async def publish(self, connection: Connection) -> None:
        """For ever, or until every detector has."""
        loop = asyncio.get_running_loop()
        due_s, self._began_s = loop.time(), time.perf_counter()
        for number in range(DETECTORS):
            device = detector_id(number)
            body = {"device": device, "at": time.time_ns() // 1_000_000, "seq": 1, "values": {"state": "alarm"}}
            topic = f"gridwarden/v1/{gateway_id(number, GATEWAYS)}/alarm"
            packet = publish_packet(topic, json.dumps(body).encode(), number)
            self.delays.changes += 1
            self._published_s[device] = time.perf_counter()
            connection.write(packet)
            due_s += 1 / self.per_second
            await asyncio.sleep(due_s - loop.time())

    async def listen(self, socket: ClientConnection) -> None:
        """Take frames, for ever."""
        async for text in socket:
            now_s = time.perf_counter()
            frame = json.loads(text)
            if frame["t"] == "ping":
                await socket.send('{"t":"pong"}')
            elif frame["t"] == "ev" and frame["op"] == "alarm.fired":
                self._heard(frame["alarm"]["device_id"], now_s)

    def _heard(self, device: str, now_s: float) -> None:
        published_s = self._published_s.pop(device, None)
        if published_s is not None:
            delay_ms = 1000 * (now_s - published_s)
            self.delays.delays_ms.append(delay_ms)
            if delay_ms >= P99_WANTED_MS:
                self.late.append((round(published_s - self._began_s, 1), round(delay_ms)))

    async def settle(self) -> None:
        """Wait for the frames that are still to come, and count those that do not."""
        with contextlib.suppress(AssertionError):
            await until("all fires are told", lambda: not self._published_s, PATIENCE_S)
        self.delays.missing = len(self._published_s)


def detector_id(number: int) -> str:
    """The device id of a smoke detector."""
    return f"SMOKE-{number:06}"


@asynccontextmanager
async def listening(socket: Path) -> AsyncIterator[ClientConnection]:
    """A page that has heard what is open and now hears every change."""
    address = "ws://localhost/api/v1/ws"
    async with unix_connect(str(socket), address, subprotocols=["gridwarden.v1"], ping_interval=None) as page:  # type: ignore[list-item]
        await page.send('{"t":"sub","id":1,"ch":"events","q":{"area":""}}')
        async with asyncio.timeout(PATIENCE_S):
            while json.loads(await page.recv())["t"] != "snap_end":
                pass
        yield page


# --- the run --------------------------------------------------------------------------------------------------------


async def measure(directory: Path, backlog: Backlog, alarms_per_second: float) -> dict[str, Any]:
    """An instance in ``directory``, its backlog, its fires."""
    fires = Fires(alarms_per_second)
    instance = Instance(directory, GRIDWARDEN_FAILPOINT="", GRIDWARDEN_EMBEDDED__STORE_BYTES=str(12 * 2**30),
                        GRIDWARDEN_INGEST__PAST_AFTER_S="300")  # fmt: skip
    async with instance.running():
        await instance.import_devices(_register(directory / "devices.csv"))
        # Kept from the start on: what serves the measurement must not have to be asked for while it runs.
        to = instance.mqtt("backlog")
        async with _signed_in(to, "backlog") as flood, _signed_in(to, "fires") as alarm_lane:
            async with held(instance) as let_go:
                began_s = time.perf_counter()
                await backlog.publish(flood)
                published_s = time.perf_counter() - began_s
                waited = await instance._held_by_broker()
                lost_before = instance.log.read_text().count(_LOST_SESSION)
                let_go()
            async with listening(instance.socket) as page, asyncio.TaskGroup() as tasks:
                asides = [tasks.create_task(fires.listen(page), name="bench-listen"),
                          tasks.create_task(fires.publish(alarm_lane), name="bench-fires")]  # fmt: skip
                drain = await _drain(instance, backlog.readings, fires.delays)
                asides[1].cancel()
                await fires.settle()
                asides[0].cancel()
        ledger = await instance.drained(STALLED_S)
        text = instance.log.read_text(errors="replace")
    stored = backlog.readings + fires.delays.changes
    return {
        "machine": {"cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)},
        "backlog": {"messages": backlog.messages, "readings": backlog.readings, "waited_in_broker": waited,
                    "published_per_s": round(backlog.messages / published_s)},
        "alarms": fires.delays.facts() | {"late": fires.late},
        "drain": drain,
        "ledger": {name: ledger[name] for name in ("received", "stored", "duplicate", "redelivered")},
        "lost": stored - ledger["stored"],
        "doubled": max(0, ledger["stored"] - stored),
        "sessions_lost": text.count(_LOST_SESSION) - lost_before,
        "cut_off_by_broker": (instance.data / "broker" / "nats.log").read_text(errors="replace").count(_CUT_OFF),
    }  # fmt: skip


@asynccontextmanager
async def held(instance: Instance) -> AsyncIterator[Any]:
    """Core killed, and its successor stopped before it has done anything, until it is let go; ready after the block."""
    await instance.kill("core")
    pid = await instance.child("core")
    os.kill(pid, signal.SIGSTOP)
    yield lambda: os.kill(pid, signal.SIGCONT)
    await instance.ready()


async def _drain(instance: Instance, readings: int, alarms: Delays) -> dict[str, Any]:
    """Wait until so many readings of the backlog are stored; how fast that went, and what the parts took."""
    pids = instance.children()
    with contextlib.closing(Reader(instance.data)) as reader:
        at_s = [time.perf_counter()]
        counts = [int(reader.ledger()["stored"])]
        before, memory = cpu_seconds(pids), memory_mb(pids)
        while counts[-1] < readings:
            await asyncio.sleep(0.2)
            at_s.append(time.perf_counter())
            # What is committed, read off the records: asking the ledger costs core and web time.
            counts.append(int(reader.ledger()["stored"]))
            memory = {name: max(size, memory.get(name, 0)) for name, size in memory_mb(pids).items()}
            if _stalled(at_s, counts):
                break
    begun = next((n for n, count in enumerate(counts) if count - counts[0] > alarms.changes), 1) - 1
    took_s = at_s[-1] - at_s[begun]
    return {
        "seconds": round(took_s, 1),
        "held_s": round(at_s[begun] - at_s[0], 1),
        "readings_per_s": round((counts[-1] - counts[begun]) / took_s),
        "cores": shares(before, cpu_seconds(pids), at_s[-1] - at_s[0]),
        "memory_mb": memory,
    }


def _stalled(at_s: list[float], counts: list[int]) -> bool:
    since = next((n for n in range(len(counts)) if counts[n] == counts[-1]), 0)
    return at_s[-1] - at_s[since] > STALLED_S


@asynccontextmanager
async def _signed_in(to: Address, client_id: str) -> AsyncIterator[Connection]:
    async with connected(to.host, to.port, client_id, to.username, to.password) as connection:
        yield connection


def _register(path: Path) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["device_id", "kind", "gateway"])
        table.writerows([lift_id(n), "lift", gateway_id(n, GATEWAYS)] for n in range(LIFTS))
        table.writerows([detector_id(n), "smoke", gateway_id(n, GATEWAYS)] for n in range(DETECTORS))
    return path


def short_of(facts: dict[str, Any]) -> list[str]:
    """What was promised and not seen."""
    p99_ms, missing = facts["alarms"].get("p99_ms", float("inf")), facts["alarms"]["missing"]
    return [
        *([f"p99 is {p99_ms} ms, {P99_WANTED_MS} or more"] if p99_ms >= P99_WANTED_MS else []),
        *([f"{missing} alarms were never told"] if missing else []),
        *([f"{facts['lost']} readings lost"] if facts["lost"] > 0 else []),
        *([f"{facts['doubled']} readings doubled"] if facts["doubled"] else []),
    ]


def show(facts: dict[str, Any]) -> None:
    """Print it for people."""
    backlog, alarms, drain, ledger = (facts[name] for name in ("backlog", "alarms", "drain", "ledger"))
    print(f"{facts['machine']['cores']} cores, load {facts['machine']['load_average']}")
    print(
        f"{backlog['messages']:,} messages, {backlog['readings']:,} readings; {backlog['waited_in_broker']:,} waited in the broker"
    )
    print(f"taken in at {drain['readings_per_s']:,} readings/s in {drain['seconds']} s, after {drain['held_s']} s; "
          f"cores {drain['cores']}; MB {drain['memory_mb']}")  # fmt: skip
    print(f"{alarms['changes']} alarms meanwhile, published → websocket: p50 {alarms.get('p50_ms')} ms, p99 {alarms.get('p99_ms')} ms, "
          f"max {alarms.get('max_ms')} ms, {alarms['missing']} missing; over {P99_WANTED_MS:.0f} ms (at s, ms): {alarms['late'][:20]}")  # fmt: skip
    print(f"lost {facts['lost']}, doubled {facts['doubled']}, recognised as repeats {ledger['duplicate']}, redelivered on a connection "
          f"{ledger['redelivered']:,}, sessions lost {facts['sessions_lost']}, cut off by the broker {facts['cut_off_by_broker']}")  # fmt: skip
    for reason in facts["short_of"]:
        print(f"short: {reason}", file=sys.stderr)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000, help="how many wait")
    parser.add_argument("--readings-per-message", type=int, default=1)
    parser.add_argument("--alarms-per-second", type=float, default=10.0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    arguments = parser.parse_args()
    backlog = Backlog(arguments.messages, arguments.readings_per_message)
    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as directory:
        facts = asyncio.run(measure(Path(directory), backlog, arguments.alarms_per_second))
    facts["short_of"] = short_of(facts)
    print(json.dumps(facts)) if arguments.json else show(facts)
    sys.exit(1 if facts["short_of"] else 0)


if __name__ == "__main__":
    main()

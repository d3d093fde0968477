"""Fifty dashboards that do not read, or hardly, while alarms come by the thousand: nobody waits for them.

They are cut off. The one that reads misses nothing, and web does not grow by what the others leave lying.
"""

from __future__ import annotations

import asyncio
import csv
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from simulators.publisher import Account, Publisher
from tests.faults import evidence
from tests.faults.book import entering
from tests.faults.harness import Instance, free_port
from tests.faults.lanes import watched
from tests.faults.toll import toll
from tests.faults.watcher import Watcher
from tests.faults.workload import Key, Values

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
DEAF, SLOW = 25, 25
LIFTS, TURNS = 100, 30
GIVEN_UP_S = 14.0
"""A frame may take 10 s, the goodbye another one."""
GROWTH_MB = 100
TAG = "flood"


class Flood:
    """Lifts whose cover is opened and closed: every reading changes an alarm."""

    def __init__(self) -> None:
        self.stored: dict[Key, Values] = {}
        self.quarantined: dict[Key, Values] = {}
        self.dead: set[tuple[str, bytes]] = set()
        self.lifts = [f"{TAG}.lift-{number}" for number in range(LIFTS)]
        self.incidents = {f"tamper/device:{lift}" for lift in self.lifts}

    async def publish(self, publisher: Publisher) -> None:
        """All of it, each turn acknowledged by the broker before the next one."""
        base_ms = int(time.time() - 3_600) * 1000
        for turn in range(TURNS):
            for lift in self.lifts:
                key = (lift, base_ms + turn * 1000, turn)
                self.stored[key] = {"tamper": turn % 2 == 0}
                body = {"device": lift, "at": key[1], "seq": turn, "values": self.stored[key]}
                await publisher.publish(f"gridwarden/v1/{TAG}/alarm", json.dumps(body).encode(), [lift])
            await publisher.drain()


async def register(instance: Instance, lifts: list[str]) -> None:
    file = instance.folder / "lifts.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([("device_id", "kind", "gateway"), *((lift, "lift", TAG) for lift in lifts)])
    await instance.import_devices(file)


async def token_of(instance: Instance) -> str:
    user = {"name": "watcher", "role": "viewer", "areas": [""], "password": "a-long-password"}
    (await instance.client.post("/api/v1/local/users", json=user)).raise_for_status()
    made = await instance.client.post("/api/v1/local/users/watcher/tokens", json={"name": "t"})
    return str(made.json()["secret"])


@asynccontextmanager
async def subscribed(port: int, token: str) -> AsyncIterator[ClientConnection]:
    """A client with as little room for what it does not read as there can be, subscribed to all changes."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    async with connect(
        f"ws://127.0.0.1:{port}/api/v1/ws", sock=raw, subprotocols=["gridwarden.v1"], ping_interval=None,  # type: ignore[list-item]
        max_queue=1, close_timeout=0.5,
    ) as client:  # fmt: skip
        await client.send(json.dumps({"t": "auth", "token": token}))
        await client.send('{"t":"sub","id":1,"ch":"events","q":{"area":""}}')
        while json.loads(await client.recv())["t"] != "snap_end":
            pass
        yield client


async def crawl(client: ClientConnection) -> None:
    """Read a few frames a second, for ever."""
    while True:
        await client.recv()
        await asyncio.sleep(0.2)


async def read_on(client: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """Everything that is still to be had, and the code the connection was closed with."""
    frames = []
    try:
        async with asyncio.timeout(60):
            while True:
                frames.append(json.loads(await client.recv()))
    except ConnectionClosed:
        return frames, client.close_code


def resident_mb(pid: int) -> float:
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("run", [1, *(pytest.param(run, marks=pytest.mark.long) for run in range(2, 6))])
async def test_who_does_not_read_is_cut_off_and_keeps_nobody_waiting(run: int, tmp_path: Path) -> None:
    port = free_port()
    instance, flood, account = Instance(tmp_path, "--port", str(port)), Flood(), Account()
    with entering(f"{DEAF + SLOW} subscribers that do not read") as draft:
        async with instance.running(), Watcher(instance.socket).watching() as good:
            await register(instance, flood.lifts)
            token = await token_of(instance)
            async with AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(subscribed(port, token)) for _ in range(DEAF + SLOW)]
                web = await instance.child("web")
                before_mb = resident_mb(web)
                crawling = [asyncio.create_task(crawl(client)) for client in clients[DEAF:]]
                async with Publisher(instance.mqtt("flood"), account=account) as publisher:
                    await flood.publish(publisher)
                await instance.drained()
                await watched(instance, good)
                grown_mb = resident_mb(web) - before_mb
                await asyncio.sleep(GIVEN_UP_S)
                for task in crawling:
                    task.cancel()
                await asyncio.gather(*crawling, return_exceptions=True)
                left = await asyncio.gather(*map(read_on, clients))
            assert web == instance.children()["web"]
        found, rows = evidence.records(instance.data)[TAG], evidence.history(instance.data)[TAG]
        told = [(one["seq"], one["op"], one["alarm"]["alarm_id"]) for one in good.changes if one.get("alarm")]
        draft.run = toll(draft.run.fault, flood, account, found, rows=rows, told=told)
        assert draft.run.kept
        assert draft.run.acknowledged == LIFTS * TURNS
        assert good.snapshots == 1, "the one that reads was cut off, too"
        assert told == sorted((seq, *change) for seq, change in found.journal.items())
        assert len(told) == LIFTS * TURNS
        assert grown_mb < GROWTH_MB
        # Whoever reads too little may not even see the goodbye; tests/api/test_stream.py has those who do.
        assert {code for _, code in left} <= {4429, 1006}
        assert all(len(frames) < LIFTS * TURNS for frames, _ in left)

"""The history stands still while telemetry goes on: alarms do not notice, memory stays flat, nothing is missing after.

DuckDB is stopped before an append; InfluxDB fails in every way it can. The short forms take some seconds, the long ones
(``make faults``) ten minutes at 5,000 readings/s.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gridwarden.cli import bench_latency
from gridwarden.cli.bench_load import LoadProcess, loading
from simulators.load import Plan, gateway_id, lift_id, topic_of
from simulators.raw_mqtt import Connection, connected, publish_packet
from tests.faults.book import Run, entering
from tests.faults.failing_influxdb import WAYS
from tests.faults.harness import Instance, free_port, until

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]
LIFTS = 7_000
GATEWAYS = 50
FLAT_MB = 150
"""How much core and web together may grow while blocks pile up on the disk: a share of what they hold by then."""
DRAIN_S = 600.0
forms = pytest.mark.parametrize(
    ("rate", "seconds"), [(2_000, 12.0), pytest.param(5_000, 600.0, marks=pytest.mark.long)], ids=["short", "long"]
)


def write_lifts(path: Path) -> None:
    quiet = sum(lane.lifts for lane in bench_latency.LANES)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["device_id", "kind", "gateway"])
        table.writerows([lift_id(n), "lift", gateway_id(n, GATEWAYS)] for n in range(LIFTS + quiet))


def resident_mb(instance: Instance) -> float:
    """What core and web hold together."""
    pids = [pid for name, pid in instance.children().items() if name in {"core", "web"}]
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@dataclass
class Seen:
    """What was seen while the history stood still, and after."""

    sizes_mb: list[float] = field(default_factory=list)
    complete: list[str] = field(default_factory=list)
    histories: set[str] = field(default_factory=set)
    """What a device's page was told about its history."""
    behind: int = 0
    delays: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledger: dict[str, Any] = field(default_factory=dict)

    async def look(self, instance: Instance) -> None:
        """Every second; the client of ``instance`` gives up after ten, so nothing may wait for the history for long."""
        while True:
            self.sizes_mb.append(resident_mb(instance))
            self.complete.append((await instance.ledger())["history_lag"]["complete_until"])
            self.histories.add((await instance.get(f"/devices/{lift_id(0)}"))["history"])
            assert (await instance.client.get("/readyz")).is_success
            await asyncio.sleep(1)

    def check(self, rate: int, seconds: float) -> None:
        """Alarms unaffected, memory flat, nothing missing, and nothing called complete that was not."""
        print(  # noqa: T201 - the figures of the long form
            f"\n{rate}/s for {seconds:.0f} s: {self.behind} transactions behind,"
            f" memory {self.sizes_mb[0]:.0f} -> {self.sizes_mb[-1]:.0f} MB, {self.delays}"
        )
        assert self.behind > 0
        assert len(set(self.complete)) == 1, "an answer was called complete that was not"
        assert self.ledger["history_lag"]["complete_until"] > self.complete[0]
        assert all(one["missing"] == 0 and one["changes"] > 0 for one in self.delays.values())
        assert max(self.sizes_mb) - self.sizes_mb[0] < FLAT_MB
        assert self.ledger["stored"] == self.ledger["received"] > rate


@dataclass
class Published:
    """What the publishers of a measurement were told is safe, known when it is over."""

    loads: list[LoadProcess] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """Readings with a PUBACK."""
        return sum(one.account.acknowledged for one in self.loads) + sum(one.acknowledged for one in self.connections)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    """Listens to the publishers that ``gridwarden bench`` starts."""
    heard = Published()

    @asynccontextmanager
    async def load(plan: Plan) -> AsyncIterator[LoadProcess]:
        async with loading(plan) as started:
            heard.loads.append(started)
            yield started

    @asynccontextmanager
    async def connection(*where: Any) -> AsyncIterator[Connection]:
        async with connected(*where) as made:
            heard.connections.append(made)
            yield made

    monkeypatch.setattr(bench_latency, "loading", load)
    monkeypatch.setattr(bench_latency, "connected", connection)
    return heard


def toll(fault: str, published: Published, seen: Seen, data: Path, rows: tuple[int, int]) -> Run:
    """The run as it goes into the book; ``rows`` are those of the history, all and different ones."""
    every, different = rows
    lifts = sum(min(lane.lifts, seen.delays[lane.leaf]["changes"]) for lane in bench_latency.LANES)
    with closing(sqlite3.connect(f"file:{data / 'records.db'}?mode=ro", uri=True)) as connection:
        events = Counter(key for (key,) in connection.execute("SELECT incident_key FROM grid_event"))
    missing = min(different, seen.ledger["stored"])
    return Run(
        fault, published.acknowledged, max(0, published.acknowledged - missing), every - different,
        lifts, max(0, lifts - len(events)) + sum(one["missing"] for one in seen.delays.values()),
        events.total() - len(events),
    )  # fmt: skip


def rows_of_duckdb(data: Path) -> tuple[int, int]:
    """Rows of the history, all and different ones. Nothing may have it open."""
    with duckdb.connect(str(data / "history" / "history.duckdb"), read_only=True) as connection:
        query = "SELECT count(*), count(DISTINCT (device_key, occurred_at, seq)) FROM hot_lift"
        (counts,) = connection.execute(query).fetchall()
    return int(counts[0]), int(counts[1])


Stall = AbstractContextManager[Callable[[], Any]]
"""Within it the history stands still; what it gives is true as soon as it does."""


async def stalled(instance: Instance, port: int, folder: Path, seconds: float, stall: Callable[[], Stall]) -> Seen:
    """Publish for ``seconds`` while the history stands still, then let it go and wait until it has everything."""
    write_lifts(folder / "lifts.csv")
    await instance.import_devices(folder / "lifts.csv")
    user = {"name": "watcher", "role": "viewer", "areas": [""], "password": "a-long-password"}
    (await instance.client.post("/api/v1/local/users", json=user)).raise_for_status()
    token = (await instance.client.post("/api/v1/local/users/watcher/tokens", json={"name": "t"})).json()["secret"]
    mqtt = instance.mqtt("stalled")
    plan = Plan(host=mqtt.host, port=mqtt.port, client_id="stalled", username=mqtt.username, password=mqtt.password,
                lifts=LIFTS, gateways=GATEWAYS)  # fmt: skip
    seen = Seen()
    with stall() as stands_still:
        measuring = asyncio.create_task(
            bench_latency.measure(plan, f"http://127.0.0.1:{port}", token, seconds, lambda _share, _note: None)
        )
        await until("the history stands still", stands_still)
        looking = asyncio.create_task(seen.look(instance))
        seen.delays = {leaf: one.facts() for leaf, one in (await measuring).items()}
        seen.behind = (await instance.ledger())["history_lag"]["transactions"]
        if looking.done():
            looking.result()
        looking.cancel()
    seen.ledger = await instance.drained(DRAIN_S)
    return seen


def instance_of(folder: Path, port: int, **environment: str) -> Instance:
    return Instance(folder, "--port", str(port), GRIDWARDEN_EMBEDDED__STORE_BYTES=str(2**30), **environment)


@forms
async def test_alarms_go_on_and_the_history_catches_up_in_order(
    rate: int, seconds: float, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_latency, "READINGS_PER_S", rate)
    port = free_port()
    instance = instance_of(tmp_path / "instance", port)
    with entering(f"DuckDB stands still at {rate:,} readings/s") as draft:
        async with instance.running():
            seen = await stalled(
                instance, port, tmp_path, seconds, lambda: instance.failpoint("history.before", 3, tmp_path / "points")
            )
        draft.run = toll(draft.run.fault, published, seen, instance.data, rows_of_duckdb(instance.data))
        assert draft.run.kept
        assert draft.run.acknowledged == seen.ledger["stored"]
        seen.check(rate, seconds)


# --- InfluxDB -------------------------------------------------------------------------------------------------------


class FailingInfluxDB:
    """``failing_influxdb.py`` at work."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.failing_influxdb"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def tell(self, word: str) -> dict[str, Any]:
        """Let it fail or work, or ask for its account."""
        with urllib.request.urlopen(f"{self.url}/control/{word}", timeout=30) as answer:  # noqa: S310 - our own server
            account: dict[str, Any] = json.load(answer)
        return account

    @contextmanager
    def failing(self, how: str = "fail") -> Iterator[Callable[[], Any]]:
        """Fail (or hang) within the block; gives what tells whether a write has failed."""
        self.tell(how)
        try:
            yield lambda: any(what.startswith("write") for what in self.tell("account")["failed"])
        finally:
            self.tell("work")

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def influxdb() -> Iterator[FailingInfluxDB]:
    server = FailingInfluxDB()
    yield server
    server.end()


def settings(influxdb: FailingInfluxDB) -> dict[str, str]:
    told = {"kind": "influxdb", "url": influxdb.url, "org": "o", "bucket": "b", "token": "the-token"}
    return {f"GRIDWARDEN_HISTORY__{name.upper()}": value for name, value in told.items()}


@forms
async def test_the_same_with_an_influxdb_that_fails_in_every_way(
    rate: int, seconds: float, influxdb: FailingInfluxDB, published: Published, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(bench_latency, "READINGS_PER_S", rate)
    port = free_port()
    settings = {
        "kind": "influxdb",
        "url": influxdb.url,
        "org": "o",
        "bucket": "b",
        "token": "the-token",
        "timeout_s": "1",
    }
    told = {f"GRIDWARDEN_HISTORY__{name.upper()}": value for name, value in settings.items()}
    instance = instance_of(tmp_path / "instance", port, **told)
    with entering(f"InfluxDB fails in every way at {rate:,} readings/s") as draft:
        async with instance.running():
            await until("something was followed", lambda: followed(instance))
            seen = await stalled(instance, port, tmp_path, seconds, influxdb.failing)
        account = influxdb.tell("account")
        # A point that is written again takes the place of the first: there is one of each.
        draft.run = toll(draft.run.fault, published, seen, instance.data, (account["points"], account["points"]))
        check_account(account, seen, rate, seconds)
        assert draft.run.kept
        assert draft.run.acknowledged == seen.ledger["stored"]


def check_account(account: dict[str, Any], seen: Seen, rate: int, seconds: float) -> None:
    print(f"\n{account}")  # noqa: T201 - as above
    seen.check(rate, seconds)
    assert seen.histories == {"unavailable"}
    failed = [what.split() for what in account["failed"]]
    for asked in ("write", "query"):  # the pauses between tries leave the short form no time for all
        ways = {how for what, how in failed if what == asked}
        assert len(ways) >= (len(WAYS) if seconds > 60 else 3)
    assert account["again"] > 0, "no answer to a write was lost"
    assert account["points"] == seen.ledger["stored"]
    assert account["taken"] - account["again"] == account["points"], "a reading came after a later one of its device"


async def followed(instance: Instance) -> bool:
    """Whether the history has been found to work."""
    return bool((await instance.ledger())["history_lag"]["complete_until"] > "1971")


async def test_while_an_influxdb_hangs_the_api_answers_and_the_instance_ends_when_asked_to(
    influxdb: FailingInfluxDB, tmp_path: Path
) -> None:
    instance = instance_of(tmp_path / "instance", free_port(), **settings(influxdb))
    write_lifts(tmp_path / "lifts.csv")
    async with instance.running():
        await until("something was followed", lambda: followed(instance))
        await instance.import_devices(tmp_path / "lifts.csv")
        mqtt = instance.mqtt("one")
        body = json.dumps({"device": lift_id(0), "at": time.time_ns() // 10**6, "seq": 1, "values": {"floor": 3}})
        with influxdb.failing("hang") as hangs:
            async with connected(mqtt.host, mqtt.port, "one", mqtt.username, mqtt.password) as connection:
                connection.write(publish_packet(topic_of(0, GATEWAYS, "up"), body.encode(), 1))
                await until("a write hangs", hangs)
            # More at once than the API has threads; the client gives up on any that takes twice the time of one request.
            asked = [
                asyncio.create_task(instance.client.get(f"/api/v1/devices/{lift_id(n)}", timeout=20)) for n in range(60)
            ]
            assert (await instance.client.get("/readyz")).is_success
            assert (await instance.ledger())["history_lag"]["transactions"] > 0
            assert {answer.json()["history"] for answer in await asyncio.gather(*asked)} == {"unavailable"}
            assert await instance.stop() == 0

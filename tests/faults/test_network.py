"""What a network does to long connections: resets, cuts in the middle of a packet, half-open ones, black holes, crawling.

A broker of its own behind two proxies (``proxy.py``): one on the way of the gateways, one on the way of core. A gateway
or core must find out by itself, come back, and nothing may be lost or there twice.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gridwarden.broker import EmbeddedBroker, credentials
from gridwarden.config import Embedded
from gridwarden.part import reveal
from simulators.publisher import Address
from tests.faults.harness import Instance, until
from tests.faults.lanes import Cell, Stage, check, judged, playing, wanted, workloads_of
from tests.faults.proxy import Fault, Proxy, Way

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
LANES = 4
LATEST_S = 0.4
MESSAGE_BYTES, ANSWER_BYTES = 3_000, 60
"""Within so many bytes more a fault strikes: a message has some hundred, its acknowledgement four."""
SLOW_S, SLOW_FOR_S = 0.15, 2.0


class Side(StrEnum):
    """Whose connections."""

    GATEWAYS = "gateways"
    CORE = "core"


@dataclass(frozen=True)
class Trouble:
    """What is done to them."""

    name: str
    fault: Fault | None
    way: Way = Way.DOWN


TROUBLES = (
    Trouble("reset", Fault.RESET, Way.UP),
    Trouble("reset while receiving", Fault.RESET, Way.DOWN),
    Trouble("cut in the middle of what they send", Fault.CUT, Way.UP),
    Trouble("cut in the middle of what they receive", Fault.CUT, Way.DOWN),
    Trouble("half-open", Fault.HALF_OPEN),
    Trouble("deaf", Fault.BLACK_HOLE, Way.DOWN),
    Trouble("unheard", Fault.BLACK_HOLE, Way.UP),
    Trouble("crawling", None),
)


class NetworkStage(Stage):
    """An instance, its broker, and a proxy on each side of that."""

    def __init__(self, instance: Instance, proxies: dict[Side, Proxy]) -> None:
        super().__init__(instance)
        self.proxies = proxies

    def address(self, client_id: str) -> Address:
        user, password = credentials.load(self.instance.data / "broker").of(credentials.REPLAYER)
        return Address("127.0.0.1", self.proxies[Side.GATEWAYS].port, client_id, user, password)


@asynccontextmanager
async def network_stage(folder: Path) -> AsyncIterator[NetworkStage]:
    data = folder / "data"
    async with (
        EmbeddedBroker(Embedded(mqtt_port=0, store_bytes=256 * 2**20), data) as broker,
        Proxy(broker.mqtt_port) as before_gateways,
        Proxy(broker.mqtt_port) as before_core,
    ):
        told = reveal(broker.connection()) | {"name": "far", "port": before_core.port}
        settings = {"GRIDWARDEN_EMBEDDED__ENABLED": "false", "GRIDWARDEN_BROKER": json.dumps([told])}
        async with Instance(folder, **settings).running() as instance:
            yield NetworkStage(instance, {Side.GATEWAYS: before_gateways, Side.CORE: before_core})


@dataclass(frozen=True)
class NetworkCell(Cell):
    """One trouble on one side."""

    side: Side
    trouble: Trouble

    @property
    def fault(self) -> str:
        return f"connections of {self.side}: {self.trouble.name}"

    @property
    def tag(self) -> str:
        return f"net-{self.side}-{self.trouble.name.replace(' ', '-')}-{self.run}"

    @property
    def seed(self) -> str:
        return str(self.run)

    @property
    def keepalive_s(self) -> int:
        return 2

    @property
    def pause_s(self) -> float:
        return 0.06  # so that something is still to come when the fault strikes

    async def strike(self, stage: NetworkStage, place: Path) -> dict[str, Any]:
        rng, proxy = Random(self.run), stage.proxies[self.side]
        await asyncio.sleep(rng.uniform(0, LATEST_S))
        if self.trouble.fault is None:
            proxy.slow_s = SLOW_S
            await asyncio.sleep(SLOW_FOR_S)
            proxy.slow_s = 0.0
            return {"struck": 1}
        before, connections = proxy.struck, proxy.accepted
        messages = (self.side is Side.GATEWAYS) == (self.trouble.way is Way.UP)
        most = MESSAGE_BYTES if messages else ANSWER_BYTES
        proxy.strike(self.trouble.fault, self.trouble.way, lambda: rng.randrange(most))
        await until("somebody has come back", lambda: proxy.accepted > connections)
        proxy.calm()
        return {"struck": proxy.struck - before}


Judge = Callable[[NetworkCell], None]
SHORT = [(side, trouble) for trouble in TROUBLES for side in Side if side is Side.GATEWAYS or trouble.name != "deaf"]
SHORT_CELLS = [NetworkCell(1, side, trouble) for side, trouble in SHORT]
LONG_RUNS = 15
LONG_CELLS = [
    NetworkCell(run, side, trouble) for run in range(2, LONG_RUNS + 1) for trouble in TROUBLES for side in Side
]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """What judges a cell; they are played on several lanes at once."""
    folder = tmp_path_factory.mktemp("network")
    with playing(folder, workloads_of(wanted(request)), network_stage, LANES) as results:

        def one(cell: NetworkCell) -> None:
            with judged(cell, results) as played:
                check(played)
                assert played.facts["struck"] > 0

        yield one


def ids(cell: NetworkCell) -> str:
    return f"{cell.side}-{cell.trouble.name.replace(' ', '-')}-{cell.run}"


@pytest.mark.parametrize("cell", SHORT_CELLS, ids=ids)
def test_a_bad_network_loses_nothing(cell: NetworkCell, judge: Judge) -> None:
    judge(cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", LONG_CELLS, ids=ids)
def test_a_bad_network_loses_nothing_however_often(cell: NetworkCell, judge: Judge) -> None:
    judge(cell)

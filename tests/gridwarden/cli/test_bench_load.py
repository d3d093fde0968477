"""What is counted while the load is let on; a real broker takes the load."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gridwarden.broker.credentials import REPLAYER
from gridwarden.broker.embedded import EmbeddedBroker
from gridwarden.cli import bench_load
from gridwarden.config import Config
from gridwarden.errors import Unavailable
from simulators.load import Plan


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    settings = Config.model_validate({"embedded": {"mqtt_port": 0}}).embedded
    async with EmbeddedBroker(settings, tmp_path) as running:
        yield running


def _plan(broker: EmbeddedBroker) -> Plan:
    user, password = broker.credentials(REPLAYER)
    return Plan(host=broker.host, port=broker.mqtt_port, username=user, password=password, lifts=20)


@pytest.mark.process
async def test_the_load_goes_on_as_readings_are_taken(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_load, "WARM_UP_S", 0.0)
    monkeypatch.setattr(bench_load, "AHEAD", 300)
    notes: list[float] = []
    async with bench_load.loading(_plan(broker)) as load:

        async def taken() -> int:
            return load.account.acknowledged

        load.allow(10)
        while not load.account.acknowledged:  # noqa: ASYNC110 - its process is on its way and tells in no other way
            await asyncio.sleep(0.01)
        kept = await bench_load.keep_up(
            load, taken, 0.5, {"broker": broker.pid or 0}, lambda done, _: notes.append(done)
        )
        account = await load.finish()
    assert 0 < kept.readings <= account.published
    assert account.acknowledged == account.published
    assert kept.ahead_max <= 300
    assert kept.seconds >= 0.5
    assert notes == sorted(notes)
    if Path("/proc/stat").exists():
        assert set(kept.cores) == {"bench", "broker", "load", "others"}


@pytest.mark.process
async def test_a_load_that_ended_is_noticed(broker: EmbeddedBroker) -> None:
    async with bench_load.loading(_plan(broker)) as load:
        load.process.kill()
        with pytest.raises(Unavailable, match="not everything published"):
            await load.finish()
        with pytest.raises(Unavailable, match="before its time"):
            load.allow(1)


@pytest.mark.parametrize(
    ("samples", "want"),
    [
        ([(0.0, 0), (0.5, 100), (1.0, 300), (1.5, 400), (2.0, 500)], [300.0, 200.0]),
        ([(0.0, 10), (0.5, 20)], [20.0]),
        ([(3.0, 10)], [0.0]),
    ],
)
def test_rates_are_of_stretches_of_a_second(samples: list[tuple[float, int]], want: list[float]) -> None:
    assert bench_load.per_second(samples) == want


def test_shares_tell_others_apart() -> None:
    before = {"core": 1.0, "gone": 5.0, "machine": 10.0}
    after = {"core": 2.5, "machine": 13.0}
    assert bench_load.shares(before, after, 2.0) == {"core": 0.75, "others": 0.75}
    assert bench_load.shares({"core": 1.0}, {"core": 2.0}, 2.0) == {"core": 0.5}


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc here")
def test_our_own_figures_can_be_read() -> None:
    mine = {"me": os.getpid(), "nobody": 0}
    assert set(bench_load.cpu_seconds(mine)) == {"me", "machine"}
    assert bench_load.memory_mb(mine)["me"] > 1

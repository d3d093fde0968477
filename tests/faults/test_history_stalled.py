"""The history stands still while telemetry goes on: alarms do not notice, memory stays flat, nothing is missing after.

The short form stalls it for some seconds, the long form (``make faults``) for ten minutes at 5,000 readings/s.
"""

from __future__ import annotations

import asyncio
import csv
import socket
from pathlib import Path

import pytest

from gridwarden.cli import bench_latency
from simulators.load import Plan, gateway_id, lift_id
from tests.faults.harness import Instance, until

pytestmark = pytest.mark.process
LIFTS = 7_000
GATEWAYS = 50
FLAT_MB = 150
"""How much core and web together may grow while blocks pile up on the disk: a share of what they hold by then."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


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


@pytest.mark.parametrize(
    ("rate", "seconds"), [(2_000, 8.0), pytest.param(5_000, 600.0, marks=pytest.mark.long)], ids=["short", "long"]
)
async def test_alarms_go_on_and_the_history_catches_up_in_order(
    rate: int, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_latency, "READINGS_PER_S", rate)
    port = free_port()
    instance = Instance(tmp_path / "instance", "--port", str(port), GRIDWARDEN_EMBEDDED__STORE_BYTES=str(2**30))
    write_lifts(tmp_path / "lifts.csv")
    async with instance.running():
        await instance.import_devices(tmp_path / "lifts.csv")
        user = {"name": "watcher", "role": "viewer", "areas": [""], "password": "a-long-password"}
        (await instance.client.post("/api/v1/local/users", json=user)).raise_for_status()
        token = (await instance.client.post("/api/v1/local/users/watcher/tokens", json={"name": "t"})).json()["secret"]
        mqtt = instance.mqtt("stalled")
        plan = Plan(host=mqtt.host, port=mqtt.port, client_id="stalled", username=mqtt.username,
                    password=mqtt.password, lifts=LIFTS, gateways=GATEWAYS)  # fmt: skip
        sizes: list[float] = []
        complete: list[str] = []

        async def look() -> None:
            while True:
                sizes.append(resident_mb(instance))
                complete.append((await instance.ledger())["history_lag"]["complete_until"])
                await asyncio.sleep(1)

        with instance.failpoint("history.before", 3, tmp_path / "points") as paused:
            measuring = asyncio.create_task(
                bench_latency.measure(plan, f"http://127.0.0.1:{port}", token, seconds, lambda _share, _note: None)
            )
            await until("the history stands still", paused)
            looking = asyncio.create_task(look())
            delays = await measuring
            behind = (await instance.ledger())["history_lag"]["transactions"]
            looking.cancel()
        ledger = await instance.drained(120)
        at_rest = (await instance.ledger())["history_lag"]["complete_until"]

    facts = {leaf: one.facts() for leaf, one in delays.items()}
    print(  # noqa: T201 - the figures of the long form
        f"\n{rate}/s for {seconds:.0f} s: {behind} transactions behind, memory {sizes[0]:.0f} -> {sizes[-1]:.0f} MB, {facts}"
    )
    assert behind > 0
    assert len(set(complete)) == 1, "an answer was called complete that was not"
    assert at_rest > complete[0]
    assert all(one["missing"] == 0 and one["changes"] > 0 for one in facts.values())
    assert max(sizes) - sizes[0] < FLAT_MB
    assert ledger["stored"] == ledger["received"] > rate

import asyncio
import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest

from gridwarden.clock import ReplayClock
from gridwarden.errors import ConfigError
from simulators.mapping import FileMapping, load
from simulators.publisher import Address
from simulators.replay import Options, Pace, Problem, ReplayAccount, replay

if TYPE_CHECKING:
    from tests.simulators.conftest import NatsServer, ScriptedBroker

MAPPING = FileMapping.model_validate(
    {
        "gateway": "gw1",
        "device": "id",
        "at": {"column": "t", "format": "epoch_ms"},
        "seq": "file order",
        "values": {"x": {"column": "x", "type": "float"}},
    }
)


def _csv(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,t,x\n" + "".join(f"{row}\n" for row in rows))
    return path


def _bodies(broker: "ScriptedBroker") -> list[Any]:
    return [json.loads(payload) for _, payload in broker.received]


class VirtualTime:
    """A monotonic clock that only sleeping moves; remembers what had been received at each sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


async def _play(broker: "ScriptedBroker", path: Path, **options: Any) -> ReplayAccount:
    given = {"mapping": MAPPING, **options}
    pace = given.pop("pace", None)
    clock = given.pop("clock", None)
    async with asyncio.timeout(20):
        return await replay(Options(path, address=Address(port=broker.port), **given), pace=pace, clock=clock)


async def test_publishes_the_native_shape_in_file_order(scripted_broker: "ScriptedBroker", tmp_path: Path) -> None:
    account = await _play(scripted_broker, _csv(tmp_path, "A,1000,1.5", "B,1000,2", "A,500,3"))
    assert {topic for topic, _ in scripted_broker.received} == {"gridwarden/v1/gw1/up"}
    assert _bodies(scripted_broker) == [
        {"device": "A", "at": 1000, "seq": 1, "values": {"x": 1.5}},
        {"device": "B", "at": 1000, "seq": 2, "values": {"x": 2.0}},
        {"device": "A", "at": 500, "seq": 3, "values": {"x": 3.0}},
    ]
    assert (account.rows, account.readings, account.messages, account.readings_acknowledged) == (3, 3, 3, 3)
    assert account.devices == {"A": 2, "B": 1}


async def test_batches_consecutive_rows_of_one_topic(scripted_broker: "ScriptedBroker", tmp_path: Path) -> None:
    path = tmp_path / "native.jsonl"
    rows = [{"gateway": gateway, "device": "D", "seq": n, "values": {}} for n, gateway in enumerate("aaaaabba")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    account = await _play(scripted_broker, path, mapping=None, batch=3)
    sent = [
        (topic.split("/")[2], [body["seq"] for body in (bodies if isinstance(bodies, list) else [bodies])])
        for (topic, _), bodies in zip(scripted_broker.received, _bodies(scripted_broker), strict=True)
    ]
    assert sent == [("a", [0, 1, 2]), ("a", [3, 4]), ("b", [5, 6]), ("a", [7])]
    assert (account.messages, account.readings) == (4, 8)


async def test_rows_that_cannot_be_mapped_are_counted_and_described(
    scripted_broker: "ScriptedBroker", tmp_path: Path
) -> None:
    path = _csv(tmp_path, "A,1000,1", "A,noon,1", "A,2000", *["A,3000,high"] * 30)
    account = await _play(scripted_broker, path)
    assert account.unmapped == 32
    assert account.rows == account.readings + account.left_out + account.unmapped
    assert len(account.problems) == 20
    assert account.problems[0] == Problem(str(path), 3, "t", "'noon' is no time of format epoch_ms")
    assert str(account.problems[1]) == f"{path}:4: 2 cells, 3 columns"
    assert str(account.problems[2]) == f"{path}:5: x: 'high' is no float"


async def test_strict_stops_at_the_first(scripted_broker: "ScriptedBroker", tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rows\.csv: line 3, column x: 'high' is no float"):
        await _play(scripted_broker, _csv(tmp_path, "A,1000,1", "A,2000,high", "A,3000,1"), strict=True)


@pytest.mark.parametrize(("speed", "sleeps"), [(1.0, [2.0, 8.0]), (10.0, [0.2, 0.8]), ("max", [])])
async def test_pace(scripted_broker: "ScriptedBroker", tmp_path: Path, speed: Any, sleeps: list[float]) -> None:
    when = VirtualTime()
    path = _csv(tmp_path, "A,1000,1", "A,3000,2", "B,3000,3", "A,2500,4", "A,11000,5")
    pace = Pace(speed, when.monotonic, when.sleep)
    await _play(scripted_broker, path, speed=speed, pace=pace, batch=50)
    assert when.sleeps == pytest.approx(sleeps)
    assert [len(body) if isinstance(body, list) else 1 for body in _bodies(scripted_broker)] == (
        [5] if speed == "max" else [1, 3, 1]
    )


async def test_from_and_to(scripted_broker: "ScriptedBroker", tmp_path: Path) -> None:
    path = _csv(tmp_path, "A,1000,1", "A,2000,2", "A,3000,3")
    account = await _play(scripted_broker, path, from_ms=2000, to_ms=3000)
    assert [body["at"] for body in _bodies(scripted_broker)] == [2000]
    assert account.left_out == 2


@pytest.mark.parametrize(
    ("shift", "anchor", "times"),
    [("now", "first", [50_000, 52_000]), ("now", "last", [48_000, 50_000]), (9_000, "first", [9_000, 11_000])],
)
async def test_shift(
    scripted_broker: "ScriptedBroker", tmp_path: Path, shift: Any, anchor: str, times: list[int]
) -> None:
    path = _csv(tmp_path, "A,0,0", "A,1000,1", "A,3000,2")
    await _play(scripted_broker, path, shift=shift, anchor=anchor, from_ms=500, clock=ReplayClock(50_000))
    assert [body["at"] for body in _bodies(scripted_broker)] == times


@pytest.mark.parametrize(("every_ms", "second"), [(None, 3001), (86_400_000, 86_401_000)])
async def test_loops_go_on_in_time_and_seq(
    scripted_broker: "ScriptedBroker", tmp_path: Path, every_ms: int | None, second: int
) -> None:
    account = await _play(scripted_broker, _csv(tmp_path, "A,1000,1", "A,3000,2"), loops=2, loop_every_ms=every_ms)
    assert [body["at"] for body in _bodies(scripted_broker)] == [1000, 3000, second, second + 2000]
    assert [body["seq"] for body in _bodies(scripted_broker)] == [1, 2, 3, 4]
    assert account.rows == 4


async def test_one_account_over_two_files(scripted_broker: "ScriptedBroker", tmp_path: Path) -> None:
    account = ReplayAccount()
    path = _csv(tmp_path, "A,1000,1", "B,3000,2")
    options = Options(path, MAPPING, Address(port=scripted_broker.port))
    for _ in range(2):
        assert await replay(options, account=account) is account
    assert (account.rows, account.readings_acknowledged, account.connections) == (4, 4, 2)
    assert account.devices == {"A": 2, "B": 2}


async def test_an_endless_loop_over_nothing_ends(scripted_broker: "ScriptedBroker", tmp_path: Path) -> None:
    account = await _play(scripted_broker, _csv(tmp_path), loops=0)
    assert account.rows == 0


@pytest.mark.parametrize(
    ("mapping", "options", "reason"),
    [
        ({"device": "serial"}, {}, "line 1: no column serial; there are id, t, x"),
        ({"at": None}, {"shift": "now"}, "no times"),
        ({"at": None}, {"speed": 1.0}, "speed"),
        ({}, {"speed": 0.0}, "speed"),
    ],
)
async def test_what_cannot_work_is_refused_before_anything_is_sent(
    scripted_broker: "ScriptedBroker", tmp_path: Path, mapping: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        await _play(scripted_broker, _csv(tmp_path, "A,1,1"), mapping=MAPPING.model_copy(update=mapping), **options)
    assert scripted_broker.client_ids == []


async def test_tells_how_far_it_is(scripted_broker: "ScriptedBroker", tmp_path: Path) -> None:
    heard: list[float] = []
    options = Options(_csv(tmp_path, "A,1,1"), MAPPING, Address(port=scripted_broker.port))
    await replay(options, lambda account: heard.append(account.fraction))
    assert heard[-1] == 1.0


@pytest.mark.process
async def test_through_a_real_broker(nats_server: "NatsServer", tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"id,t,x\n" + b"".join(b"D%d,%d,%d\n" % (n % 7, n, n) for n in range(500))))
    address = {"hostname": "127.0.0.1", "port": nats_server.port}
    async with asyncio.timeout(20), aiomqtt.Client(**address) as reader:
        await reader.subscribe("gridwarden/v1/+/up", qos=1)
        account = await replay(Options(path, MAPPING, Address(port=nats_server.port), batch=8))
        bodies: list[Any] = []
        async for message in reader.messages:
            bodies += json.loads(message.payload)
            if len(bodies) == 500:
                break
    assert [body["seq"] for body in bodies] == list(range(1, 501))
    assert account.readings_acknowledged == 500


@pytest.mark.real_data
async def test_recorded_lift_status(scripted_broker: "ScriptedBroker") -> None:
    if "GRIDWARDEN_REAL_DATA" not in os.environ:
        pytest.skip("GRIDWARDEN_REAL_DATA names no folder of recorded data")
    path = Path(os.environ["GRIDWARDEN_REAL_DATA"]) / "lifts" / "status.csv.gz"
    account = await _play(scripted_broker, path, mapping=load(Path("db_lifts")), batch=100)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        lifts = [row["equipment"] for row in csv.DictReader(file) if row["type"] == "ELEVATOR"]
    assert account.unmapped == 0
    assert account.rows == 13_258
    assert account.readings_acknowledged == len(lifts)
    assert account.devices == Counter(lifts)
    assert len(account.devices) == 2_461

import json
from collections.abc import Sequence

from simulators.publisher import Address, Publisher
from simulators.replay import Pace
from simulators.world.feed import TELL_EVERY, feed
from simulators.world.stream import Lane, Sent
from tests.simulators.conftest import ScriptedBroker

AT_MS = 1_773_608_400_000


async def test_everything_is_published_in_order_when_it_is_due() -> None:
    stream = [Sent(AT_MS + n * 1000, f"GW-{n % 3}", f"D-{n}", AT_MS, n, {"floor": n}) for n in range(2 * TELL_EVERY)]
    slept: list[float] = []
    told: list[int] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    async with ScriptedBroker().listening() as broker:
        async with Publisher(Address(port=broker.port)) as publisher:
            pace = Pace(10.0, monotonic=lambda: now, sleep=sleep)
            assert await feed(stream, publisher, pace, lambda sent: told.append(sent.seq)) == len(stream)
        assert [(topic, json.loads(payload)) for topic, payload in broker.received] == [
            (sent.topic, sent.body()) for sent in stream
        ]
    assert [round(seconds, 6) for seconds in slept] == [0.1] * (len(stream) - 1)
    assert told == [TELL_EVERY - 1, 2 * TELL_EVERY - 1]
    assert publisher.account.readings_acknowledged == len(stream)


async def test_before_the_lane_changes_everything_must_have_been_judged() -> None:
    done: list[str] = []

    class Outlet:
        async def publish(self, topic: str, payload: bytes, devices: Sequence[str]) -> None:
            done.append(topic.rpartition("/")[2])

        async def drain(self) -> None:
            done.append("drained")

    async def settled() -> None:
        done.append("settled")

    lanes: list[Lane] = ["up", "up", "alarm", "alarm", "up"]
    stream = [Sent(AT_MS, "GW", "D", AT_MS, n, {}, lane) for n, lane in enumerate(lanes)]
    await feed(stream, Outlet(), Pace("max"), settled=settled)
    assert done == ["up", "up", "settled", "alarm", "alarm", "settled", "up"]

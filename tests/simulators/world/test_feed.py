import json

from simulators.publisher import Address, Publisher
from simulators.replay import Pace
from simulators.world.feed import TELL_EVERY, feed
from simulators.world.stream import Sent
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

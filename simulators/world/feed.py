"""Publishes a stream as its gateways would."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic_core import to_json

from simulators.publisher import Publisher
from simulators.replay import Pace
from simulators.world.stream import Sent

TELL_EVERY = 100


async def feed(
    stream: Iterable[Sent], publisher: Publisher, pace: Pace, tell: Callable[[Sent], None] = lambda _sent: None
) -> int:
    """Publish every reading when it is due; how many there were.

    Args:
        stream: in order of sending.
        publisher: connected.
        pace: when a reading is due, by the time it is sent.
        tell: hears of one reading in a hundred.

    Raises:
        BrokerUnavailable: nothing could be delivered for a minute.
    """
    count = 0
    for count, sent in enumerate(stream, 1):
        wait_s = pace.wait_s(sent.sent_at_ms)
        if wait_s > 0:
            await pace.sleep(wait_s)
        await publisher.publish(sent.topic, to_json(sent.body()), [sent.device_id])
        if count % TELL_EVERY == 0:
            tell(sent)
    return count

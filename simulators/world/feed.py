"""Publishes a stream as its gateways would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from pydantic_core import to_json

from simulators.replay import Pace
from simulators.world.stream import Sent

TELL_EVERY = 100


class Outlet(Protocol):
    """What takes messages: one publisher, or a fleet of them."""

    async def publish(self, topic: str, payload: bytes, devices: Sequence[str]) -> None:
        """Take one message over."""
        ...

    async def drain(self) -> None:
        """Wait until everything handed over is acknowledged."""
        ...


async def feed(
    stream: Iterable[Sent],
    outlet: Outlet,
    pace: Pace,
    tell: Callable[[Sent], None] = lambda _sent: None,
    settled: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Publish every reading when it is due; how many there were.

    Args:
        stream: in order of sending.
        outlet: connected.
        pace: when a reading is due, by the time it is sent.
        tell: hears of one reading in a hundred.
        settled: waits until everything published has been judged. Asked whenever the lane changes: at full speed the
            alarm lane would overtake the past, which on a real day it cannot.

    Raises:
        BrokerUnavailable: nothing could be delivered for a minute.
    """
    count, lane = 0, ""
    for count, sent in enumerate(stream, 1):
        wait_s = pace.wait_s(sent.sent_at_ms)
        if wait_s > 0:
            await pace.sleep(wait_s)
        if settled and lane not in {"", sent.lane}:
            await settled()
        lane = sent.lane
        await outlet.publish(sent.topic, to_json(sent.body()), [sent.device_id])
        if count % TELL_EVERY == 0:
            tell(sent)
    return count

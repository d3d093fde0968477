"""The sessions as one source: turns, bounds, and what an unordered broker redelivers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gridwarden.core.sources import BATCH_BYTES, Sources
from gridwarden.records.transaction import Transaction
from ingest.session import Lane, Message


@dataclass
class Given:
    """A session that has what it was given."""

    name: str
    lane: Lane = Lane.TELEMETRY
    broker: str = "b"
    connected: bool = True
    redelivered: int = 0
    received: int = 0
    not_covered: int = 0
    holding: bool = False
    inbox: deque[Message] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        return len(self.inbox)

    def put(self, count: int, *, size: int = 1, connection: int = 1) -> Given:
        self.inbox += [Message(self.name, b"x" * size, 0, n, 1, connection, self) for n in range(count)]
        return self

    def take(self, limit: int) -> list[Message]:
        return [self.inbox.popleft() for _ in range(min(limit, len(self.inbox)))]

    def acknowledge(self, messages: object) -> None: ...

    async def run(self) -> None: ...


def test_sessions_take_turns() -> None:
    flood, trickle = Given("flood").put(1000), Given("trickle").put(3)
    taken = Sources([flood, trickle], (), 20).take(Lane.TELEMETRY)
    assert [message.topic for message in taken].count("trickle") == 3
    assert len(taken) == 20


def test_lanes_are_apart() -> None:
    sources = Sources([Given("up").put(5), Given("alarm", Lane.ALARM).put(2)], (), 100)
    assert [message.topic for message in sources.take(Lane.ALARM)] == ["alarm"] * 2
    assert (sources.waiting(Lane.ALARM), sources.waiting(Lane.TELEMETRY), sources.waiting()) == (0, 5, 5)


def test_a_batch_is_bounded_in_bytes() -> None:
    session = Given("big").put(100, size=BATCH_BYTES // 10)
    taken = Sources([session], (), 1000).take(Lane.TELEMETRY)
    assert BATCH_BYTES <= sum(len(message.payload) for message in taken) < 2 * BATCH_BYTES


def test_what_an_unordered_broker_brings_after_a_connect_is_one_batch() -> None:
    session = Given("up").put(500, connection=1)
    sources = Sources([session], {"b"}, 50)
    assert len(sources.take(Lane.TELEMETRY)) == 500
    session.put(500, connection=1)
    assert len(sources.take(Lane.TELEMETRY)) == 50
    session.inbox.clear()
    session.put(500, connection=2)
    assert len(sources.take(Lane.TELEMETRY)) == 500


def test_redeliveries_are_booked_once() -> None:
    session = Given("up", redelivered=3)
    sources = Sources([session], (), 10)
    assert sources.uncounted() == 3
    first, second = Transaction(0), Transaction(0)
    sources.count_redelivered(first)
    sources.count_redelivered(second)
    assert (first.tally("b", "telemetry").redelivered, second.tallies, sources.uncounted()) == (3, {}, 0)


def test_what_was_received_before_a_time_has_been_taken() -> None:
    up, alarm = Given("up"), Given("alarm", Lane.ALARM)
    sources = Sources([up, alarm], (), 2)
    assert sources.taken_through_ms(100) == 100
    up.inbox += [Message("up", b"x", at_ms, 1, 1, 1, up) for at_ms in (110, 120, 130)]
    assert sources.taken_through_ms(140) == 100
    assert [sources.taken_through_ms(145, lane) for lane in Lane] == [145, 100]
    sources.take(Lane.TELEMETRY)
    assert sources.taken_through_ms(150) == 120
    sources.take(Lane.TELEMETRY)
    assert sources.taken_through_ms(160) == 160
    assert Sources([], (), 1).taken_through_ms(5) == 5


def test_a_broker_is_connected_when_all_its_sessions_are() -> None:
    sessions = [Given("a", broker="one"), Given("b", broker="one", connected=False), Given("c", broker="two")]
    assert Sources([*sessions], (), 1).connected() == {"one": False, "two": True}

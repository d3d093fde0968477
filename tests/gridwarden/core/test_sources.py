"""The sessions as one source: turns, bounds, and what an unordered broker redelivers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from gridwarden.core.sources import BATCH_BYTES, Sources
from gridwarden.records.transaction import Transaction
from ingest.decode import EARLIEST_MS
from ingest.session import Lane, Message


@dataclass
class Given:
    """A session that has what it was given."""

    name: str
    lane: Lane = Lane.TELEMETRY
    broker: str = "b"
    connected: bool = True
    connection: int = 1
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


def sent(session: Given, at: Iterable[int], connection: int = 1) -> None:
    """Messages of one reading each, received in this order."""
    for received_at_ms, at_ms in enumerate(at):
        payload = b'{"device":"d","at":%d,"values":{}}' % (EARLIEST_MS + at_ms)
        session.inbox.append(Message("up", payload, received_at_ms, 1, 1, connection, session))


def times(messages: list[Message]) -> list[int]:
    return [
        int(message.payload[len(b'{"device":"d","at":') :].partition(b",")[0]) - EARLIEST_MS for message in messages
    ]


def test_what_an_unordered_broker_brings_after_a_connect_is_ordered_as_a_whole_and_taken_in_batches() -> None:
    session = Given("up")
    sources = Sources([session], {"b"}, 50)
    sent(session, [*range(100, 200), *range(100)])
    assert times(sources.take(Lane.TELEMETRY)) == [*range(50)]
    sent(session, [7, 8, 3])  # on the same connection: in the order in which it comes
    assert sources.waiting(Lane.TELEMETRY) == 153
    assert [time for _ in range(4) for time in times(sources.take(Lane.TELEMETRY))] == [*range(50, 200), 7, 8, 3]
    session.connection = 2
    sent(session, [5, 4], connection=2)
    assert times(sources.take(Lane.TELEMETRY)) == [4, 5]
    sent(session, [2, 1], connection=2)
    assert times(sources.take(Lane.TELEMETRY)) == [2, 1]


def test_what_waits_in_order_is_forgotten_with_its_connection_but_not_what_nobody_sends_again() -> None:
    session = Given("up")
    sources = Sources([session], {"b"}, 2)
    sent(session, [5, 4, 3, 2, 1])
    session.inbox[1].qos = 0
    assert times(sources.take(Lane.TELEMETRY)) == [1, 2]
    session.connection = 2
    assert sources.waiting() == 1
    sent(session, [7, 6], connection=2)
    assert [times(sources.take(Lane.TELEMETRY)) for _ in range(3)] == [[4, 6], [7], []]


def test_what_waits_to_be_taken_in_order_has_not_been_taken() -> None:
    session = Given("up")
    sources = Sources([session], {"b"}, 2)
    assert sources.taken_through_ms(0) == 0
    sent(session, [30, 20, 10])
    sources.take(Lane.TELEMETRY)
    assert sources.status()[0]["waiting"] == 1
    assert sources.taken_through_ms(100) == 0
    sources.take(Lane.TELEMETRY)
    assert sources.taken_through_ms(200) == 200


def test_a_broker_that_keeps_the_order_is_taken_as_it_comes() -> None:
    session = Given("up")
    sent(session, [3, 1, 2])
    assert times(Sources([session], {"another"}, 50).take(Lane.TELEMETRY)) == [3, 1, 2]


def test_large_messages_are_taken_one_by_one() -> None:
    session = Given("big").put(100, size=BATCH_BYTES)
    sources = Sources([session], (), 1000)
    sources.take(Lane.TELEMETRY)
    assert len(sources.take(Lane.TELEMETRY)) == 1
    session.inbox.clear()
    session.put(100)
    sources.take(Lane.TELEMETRY)
    session.put(100)
    assert len(sources.take(Lane.TELEMETRY)) == 100


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

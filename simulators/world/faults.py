"""What radio, clocks and gateways do to a stream of readings: wrappers over any stream, in order of sending.

A reading keeps the ``at`` and ``seq`` its device gave it, whatever becomes of it; only a wrong clock changes ``at``.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rules.written import parse_duration
from simulators.world.stream import Sent

Stream = Iterable[Sent]
Hits = Callable[[Sent], bool]
"""Whether a fault concerns this reading."""
DAY_MS = 86_400_000
BELIEVED_AHEAD_MS = 300_000
"""A device clock may be so far ahead and is still believed (``ingest.max_ahead_s``)."""
_BACKFILL_FASTER = 100
"""How many times as fast as it was gathered a gateway sends what it has kept."""


def _duration(text: object) -> int:
    if not isinstance(text, str):
        raise ValueError("a duration such as 90s or 5m is expected")  # noqa: TRY004 - pydantic wants a ValueError
    sign = -1 if text.startswith("-") else 1
    return sign * parse_duration(text.removeprefix("-"))


Duration = Annotated[int, BeforeValidator(_duration)]
"""Milliseconds, written like 90s or 5m."""
Share = Annotated[float, Field(ge=0, le=1)]


class Fault(BaseModel):
    """What all faults have."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    to: tuple[str, ...]
    """Roles of the cast that it concerns."""

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:
        """The stream as it is with this fault; times of the fault count from ``start_ms``."""
        raise NotImplementedError

    def clock_ms(self) -> int:
        """How far it sets the clock of a device off, so that truth can be told in the device's time."""
        return 0


class Loss(Fault):
    """The radio loses readings on the way to the gateway: they are never sent."""

    what: Literal["loss"]
    share: Share

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:  # noqa: ARG002
        """See :class:`Fault`."""
        return (sent for sent in stream if not (hits(sent) and rng.random() < self.share))


class Delay(Fault):
    """Readings are sent later than they were taken; with a share below 1 they overtake each other."""

    what: Literal["delay", "reorder"]
    share: Share = 1.0
    at_least: Duration = 0
    at_most: Duration

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:  # noqa: ARG002
        """See :class:`Fault`."""

        def later(sent: Sent) -> Iterator[Sent]:
            wait_ms = rng.randint(self.at_least, self.at_most) if hits(sent) and rng.random() < self.share else 0
            yield replace(sent, sent_at_ms=sent.sent_at_ms + wait_ms)

        return in_order(stream, later)


class Duplicates(Fault):
    """The gateway sends some readings again."""

    what: Literal["duplicates"]
    share: Share
    within: Duration = 30_000

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:  # noqa: ARG002
        """See :class:`Fault`."""

        def twice(sent: Sent) -> Iterator[Sent]:
            yield sent
            if hits(sent) and rng.random() < self.share:
                yield replace(sent, sent_at_ms=sent.sent_at_ms + rng.randint(0, self.within))

        return in_order(stream, twice)


class Skew(Fault):
    """The device's clock is wrong by so much (negative: slow, positive: fast)."""

    what: Literal["skew"]
    by: Duration

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:  # noqa: ARG002
        """See :class:`Fault`."""
        return (replace(sent, at_ms=sent.at_ms + self.by) if hits(sent) else sent for sent in stream)

    def clock_ms(self) -> int:
        """See :class:`Fault`. A clock too far ahead gives way to the time of reception."""
        return self.by if self.by <= BELIEVED_AHEAD_MS else 0


class NeverSet(Fault):
    """The device's clock began in 1970 when it was switched on."""

    what: Literal["clock_never_set"]

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:  # noqa: ARG002
        """See :class:`Fault`."""
        boot_ms = start_ms - DAY_MS
        return (replace(sent, at_ms=sent.at_ms - boot_ms) if hits(sent) else sent for sent in stream)


class Outage(Fault):
    """The gateway has no network for a while, keeps everything, and sends it afterwards, newest first."""

    what: Literal["outage"]
    at: Duration
    lasts: Duration

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:  # noqa: ARG002
        """See :class:`Fault`."""
        from_ms, back_ms = start_ms + self.at, start_ms + self.at + self.lasts

        def kept(sent: Sent) -> Iterator[Sent]:
            if hits(sent) and from_ms <= sent.sent_at_ms < back_ms:
                yield replace(sent, sent_at_ms=back_ms + (back_ms - sent.sent_at_ms) // _BACKFILL_FASTER)
            else:
                yield sent

        return in_order(stream, kept)


class Storm(Fault):
    """After a reconnect the gateway sends everything of the last while again, several times."""

    what: Literal["storm"]
    at: Duration
    of_last: Duration = 10 * 60_000
    copies: int = Field(10, ge=1, le=100)

    def wrap(self, stream: Stream, hits: Hits, rng: Random, start_ms: int) -> Iterator[Sent]:  # noqa: ARG002
        """See :class:`Fault`."""
        at_ms = start_ms + self.at

        def again(sent: Sent) -> Iterator[Sent]:
            yield sent
            if hits(sent) and at_ms - self.of_last <= sent.sent_at_ms < at_ms:
                age_ms = self.of_last - (at_ms - sent.sent_at_ms)
                for copy in range(self.copies):
                    yield replace(sent, sent_at_ms=at_ms + copy * 1000 + age_ms // _BACKFILL_FASTER)

        return in_order(stream, again)


AnyFault = Annotated[Loss | Delay | Duplicates | Skew | NeverSet | Outage | Storm, Field(discriminator="what")]


def in_order(stream: Stream, change: Callable[[Sent], Iterable[Sent]]) -> Iterator[Sent]:
    """The stream after ``change``, which may drop, repeat and put off readings, never send one earlier; in order."""
    waiting: list[tuple[int, int, Sent]] = []
    numbers = itertools.count()
    for sent in stream:
        while waiting and waiting[0][0] <= sent.sent_at_ms:
            yield heapq.heappop(waiting)[2]
        for one in change(sent):
            heapq.heappush(waiting, (one.sent_at_ms, next(numbers), one))
    while waiting:
        yield heapq.heappop(waiting)[2]

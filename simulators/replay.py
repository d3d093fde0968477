"""Plays a recorded file to the broker: at full speed, or paced by the recorded times, which it keeps.

Every row is accounted for: published, left out on purpose, or reported with line, column and reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic_core import to_json

from gridwarden.clock import Clock, SystemClock
from gridwarden.errors import ConfigError
from simulators.mapping import FileMapping, Mapped, RowError, native
from simulators.publisher import Account, Address, Publisher
from simulators.rows import BadLine, RowFile

PROBLEMS_KEPT = 20
"""Rows that could not be mapped are all counted; so many are described."""
_PROGRESS_EVERY_S = 0.25


@dataclass(frozen=True)
class Options:
    """What to play, how, and where to."""

    path: Path
    mapping: FileMapping | None = None
    """``None``: JSON Lines that already hold native readings, with ``gateway`` and ``lane`` beside them."""
    address: Address = field(default_factory=Address)
    speed: float | Literal["max"] = "max"
    """1 is the recorded speed, 60 an hour in a minute."""
    batch: int = 1
    """Most readings of one message; only consecutive rows of one topic share one."""
    from_ms: int | None = None
    """Recorded times before this are left out."""
    to_ms: int | None = None
    """Recorded times from this on are left out."""
    shift: int | Literal["now"] | None = None
    """Move all times so that the first (or, with ``anchor``, the last) is then; epoch milliseconds."""
    anchor: Literal["first", "last"] = "first"
    loops: int = 1
    """How often to play it; 0 is without end."""
    loop_every_ms: int | None = None
    """Recorded time from one loop's start to the next one's; ``None``: its length and 1 ms."""
    strict: bool = False
    """Stop at the first row that cannot be mapped."""
    window: int = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that could not be mapped."""

    path: str
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.column + ': ' if self.column else ''}{self.reason}"


@dataclass
class ReplayAccount(Account):
    """The publisher's account and where the other rows went: rows = readings + left_out + unmapped."""

    rows: int = 0
    left_out: int = 0
    """By ``where``, ``from`` or ``to``."""
    unmapped: int = 0
    problems: list[Problem] = field(default_factory=list)
    fraction: float = 0.0
    """How much of the file has been read, this loop."""


Progress = Callable[[ReplayAccount], None]


class Pace:
    """When a reading is due: waits so that recorded time passes ``speed`` times as fast as ours."""

    def __init__(
        self,
        speed: float | Literal["max"],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._speed = speed
        self._monotonic = monotonic
        self._sleep = sleep
        self._start: tuple[int, float] | None = None

    @property
    def at_full_speed(self) -> bool:
        """Whether nothing is waited for."""
        return self._speed == "max"

    def wait_s(self, at_ms: int | None) -> float:
        """Seconds until a reading of ``at_ms`` is due; 0 or less: now. The first one asked for is due at once."""
        if self._speed == "max" or at_ms is None:
            return 0.0
        if self._start is None:
            self._start = (at_ms, self._monotonic())
        start_ms, started = self._start
        return (at_ms - start_ms) / 1000 / self._speed - (self._monotonic() - started)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._sleep(seconds)


async def replay(
    options: Options,
    progress: Progress | None = None,
    *,
    clock: Clock | None = None,
    pace: Pace | None = None,
    account: ReplayAccount | None = None,
    stop: asyncio.Event | None = None,
) -> ReplayAccount:
    """Play the file; returns when everything published is acknowledged.

    Args:
        options: what to play and where to.
        progress: called now and then with the account.
        clock: for ``shift="now"``.
        pace: when readings are due, if not by the options' speed.
        account: the account to keep, if not one of its own.
        stop: once set nothing more is published.

    Raises:
        ConfigError: the file or its mapping cannot be used, or, with ``strict``, a row cannot.
        BrokerUnavailable: no connection for a minute, or refused.
    """
    account = account or ReplayAccount()
    stop = stop or asyncio.Event()
    reader = _Reader(options, account)
    reader.check()
    shift_ms = reader.shift_ms(clock or SystemClock())
    async with Publisher(options.address, window=options.window, account=account) as publisher:
        player = _Player(publisher, options, pace or Pace(options.speed, sleep=_sleep_until(stop)), progress)
        loop = 0
        while not options.loops or loop < options.loops:
            for mapped in reader.rows():
                if stop.is_set():
                    break
                await player.play(mapped, shift_ms + loop * reader.loop_every_ms())
            await player.flush()
            loop += 1
            if stop.is_set() or not account.readings:
                break  # nothing to play: without end would be without end
    player.report(at_once=True)
    return account


def _sleep_until(stop: asyncio.Event) -> Callable[[float], Awaitable[None]]:
    """A sleep that ends early when ``stop`` is set."""

    async def sleep(seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()

    return sleep


class _Reader:
    """The rows of the file as readings, with those left out and unmapped booked."""

    def __init__(self, options: Options, account: ReplayAccount) -> None:
        self._options = options
        self._account = account
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        self._number = 0

    def check(self) -> None:
        """Refuse what cannot work before anything is sent."""
        options = self._options
        timed = options.mapping is None or options.mapping.at is not None
        if not timed and (options.shift is not None or options.from_ms is not None or options.to_ms is not None):
            raise ConfigError("without `at` in the mapping there are no times to choose from or to shift")
        if options.speed != "max" and not (timed and options.speed > 0):
            raise ConfigError("a speed above 0 needs `at` in the mapping; without it there is only max")
        with RowFile(options.path) as file:
            header = file.header()
        if options.mapping and header is not None and (missing := options.mapping.columns - set(header)):
            reason = f"no column {', '.join(sorted(missing))}; there are {', '.join(header)}"
            raise ConfigError(reason, path=options.path, place="line 1")

    def rows(self) -> Generator[Mapped, None, None]:
        """One pass over the file."""
        options, account = self._options, self._account
        with RowFile(options.path) as file:
            for line, row in file:
                account.rows += 1
                self._number += 1
                account.fraction = file.fraction
                try:
                    mapped = self._map(row)
                except RowError as error:
                    self._book_problem(Problem(str(options.path), line, error.column, error.reason))
                    continue
                if mapped is None or self._outside(mapped.at_ms):
                    account.left_out += 1
                    continue
                if mapped.at_ms is not None:
                    self._first_ms = mapped.at_ms if self._first_ms is None else min(self._first_ms, mapped.at_ms)
                    self._last_ms = mapped.at_ms if self._last_ms is None else max(self._last_ms, mapped.at_ms)
                yield mapped
        account.fraction = 1.0

    def _map(self, row: dict[str, object] | BadLine) -> Mapped | None:
        if isinstance(row, BadLine):
            raise RowError("", str(row))
        mapping = self._options.mapping
        return mapping.apply(row, self._number) if mapping else native(row)

    def _outside(self, at_ms: int | None) -> bool:
        options = self._options
        if at_ms is None:
            return options.from_ms is not None or options.to_ms is not None
        return (options.from_ms is not None and at_ms < options.from_ms) or (
            options.to_ms is not None and at_ms >= options.to_ms
        )

    def _book_problem(self, problem: Problem) -> None:
        if self._options.strict:
            place = f"line {problem.line}" + (f", column {problem.column}" if problem.column else "")
            raise ConfigError(problem.reason, path=problem.path, place=place)
        self._account.unmapped += 1
        if len(self._account.problems) < PROBLEMS_KEPT:
            self._account.problems.append(problem)

    def shift_ms(self, clock: Clock) -> int:
        """How far all times are moved."""
        options = self._options
        if options.shift is None:
            return 0
        # A look ahead with an account of its own: the rows are booked when they are played.
        ahead = _Reader(options, ReplayAccount())
        with closing(ahead.rows()) as rows:
            for _ in rows:
                if options.anchor == "first" and ahead._first_ms is not None:
                    break
        anchor_ms = ahead._first_ms if options.anchor == "first" else ahead._last_ms
        if anchor_ms is None:
            return 0
        return (clock.now_ms() if options.shift == "now" else options.shift) - anchor_ms

    def loop_every_ms(self) -> int:
        """Recorded time between the starts of two loops; known once the first one is over."""
        if self._options.loop_every_ms is not None:
            return self._options.loop_every_ms
        if self._first_ms is None or self._last_ms is None:
            return 0
        return self._last_ms - self._first_ms + 1


class _Player:
    """Gathers consecutive readings of one topic into messages and sends each when it is due."""

    def __init__(self, publisher: Publisher, options: Options, pace: Pace, progress: Progress | None) -> None:
        self._publisher = publisher
        self._batch = options.batch
        self._pace = pace
        self._progress = progress
        self._reported = 0.0
        self._topic = ""
        self._readings: list[dict[str, object]] = []

    async def play(self, mapped: Mapped, shift_ms: int) -> None:
        """Take one reading over, after waiting until it is due."""
        wait_s = self._pace.wait_s(None if mapped.at_ms is None else mapped.at_ms + shift_ms)
        topic = mapped.topic()
        if wait_s > 0 or topic != self._topic:
            await self.flush()
            self._topic = topic
        if wait_s > 0:
            await self._pace.sleep(wait_s)
        self._readings.append(mapped.body(shift_ms))
        if len(self._readings) >= self._batch:
            await self.flush()

    async def flush(self) -> None:
        """Publish what has gathered."""
        readings, self._readings = self._readings, []
        if readings:
            payload = to_json(readings if len(readings) > 1 else readings[0])
            await self._publisher.publish(self._topic, payload, [str(reading["device"]) for reading in readings])
        self.report()

    def report(self, *, at_once: bool = False) -> None:
        """Tell how far it is, a few times a second at most."""
        now = time.monotonic()
        account = self._publisher.account
        if (
            self._progress
            and isinstance(account, ReplayAccount)
            and (at_once or now - self._reported > _PROGRESS_EVERY_S)
        ):
            self._reported = now
            self._progress(account)

"""What core remembers of one device: latest values, the ones before, when, and its recent dedup keys.

Pure. ``observe`` is separate from deciding: after a restart the windows are rebuilt by ``observe`` over the
blocks since the snapshot, and no decision is taken twice.
"""

from __future__ import annotations

import struct
from bisect import insort
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from gridwarden.model import Reading, Value

KEYS_KEPT = 64
"""Dedup keys remembered per device."""
KEY_LIFE_MS = 24 * 3_600_000
"""How long a dedup key is good for."""
_KEY = struct.Struct("<QIHIH")
"""A key, then device time and time of receipt in 48 bits each: milliseconds until the year 10889."""
_FIRST_KEY = struct.Struct("<Qqq")
_PER_MINUTE = "/min"
WAITING_LIMIT = 256
"""Readings of one device that wait at most; beyond it the oldest is settled before its time."""


class RecentKeys:
    """The last dedup keys of one device with their times, oldest first, 20 bytes each.

    Packed, because they are most of what core keeps in memory: as a dictionary they took ten times as much, and
    the garbage collector walked through all of them (measured: 240 bytes a key, 77-110 ms a full collection).
    """

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes = b"") -> None:
        self._packed = packed  # of just its length: a bytearray keeps room to grow, an eighth of it all

    @classmethod
    def of_first_format(cls, packed: bytes) -> RecentKeys:
        """From what the first version stored: 24 bytes a key."""
        keys = cls()
        for key, occurred_at_ms, received_at_ms in _FIRST_KEY.iter_unpack(packed):
            keys.put(key, occurred_at_ms, received_at_ms)
        return keys

    def __len__(self) -> int:
        return len(self._packed) // _KEY.size

    def __iter__(self) -> Iterator[int]:
        return (fields[0] for fields in _KEY.iter_unpack(self._packed))

    def __bytes__(self) -> bytes:
        return self._packed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecentKeys) and self._packed == other._packed

    __hash__ = None  # type: ignore[assignment] # it changes

    def _place(self, key: int) -> int:
        """Where ``key`` lies; -1: nowhere."""
        wanted = key.to_bytes(8, "little")
        place = self._packed.find(wanted)
        while place > 0 and place % _KEY.size:  # the bytes of two neighbours happen to look like it
            place = self._packed.find(wanted, place + 1)
        return place

    def received_at_ms(self, key: int) -> int | None:
        """When ``key`` was received; ``None`` where it is not remembered."""
        place = self._place(key)
        return None if place < 0 else _at_ms(*_KEY.unpack_from(self._packed, place)[3:])

    def oldest_occurred_at_ms(self) -> int | None:
        """Device time of the oldest one, once as many as can be are remembered."""
        return _at_ms(*_KEY.unpack_from(self._packed)[1:3]) if len(self) >= KEYS_KEPT else None

    def newest_of(self, occurred_at_ms: int) -> int | None:
        """The key put last of a reading of this device time."""
        wanted = _in_48_bits(occurred_at_ms)
        return next(
            (fields[0] for fields in reversed([*_KEY.iter_unpack(self._packed)]) if fields[1:3] == wanted), None
        )

    def put(self, key: int, occurred_at_ms: int, received_at_ms: int) -> None:
        """Remember ``key`` as the newest; the oldest makes room."""
        packed, place = self._packed, self._place(key)
        if place >= 0:  # it was too old to count and comes back
            packed = packed[:place] + packed[place + _KEY.size :]
        elif len(packed) >= KEYS_KEPT * _KEY.size:
            packed = packed[_KEY.size :]
        self._packed = packed + _KEY.pack(key, *_in_48_bits(occurred_at_ms), *_in_48_bits(received_at_ms))


def _in_48_bits(at_ms: int) -> tuple[int, int]:
    at_ms = min(max(0, at_ms), 2**48 - 1)
    return at_ms & 0xFFFFFFFF, at_ms >> 32


def _at_ms(low: int, high: int) -> int:
    return high << 32 | low


Leapt = Callable[[int, int], int]
"""How much between two times of our own clock never passed, because it was set forward."""


def no_leap(_since_ms: int, _until_ms: int) -> int:
    """A clock that was never set."""
    return 0


def _is_over(put_at_ms: int, now_ms: int, leapt_ms: Leapt) -> bool:
    """Whether the life of a key is."""
    age_ms = now_ms - put_at_ms
    return age_ms > KEY_LIFE_MS and age_ms - leapt_ms(put_at_ms, now_ms) > KEY_LIFE_MS


@dataclass(slots=True)
class Window:
    """One device as it was last seen."""

    values: dict[str, Value] = field(default_factory=dict)
    """Latest known value per field; ``None`` where the last one sent could not be used."""
    previous: dict[str, Value] = field(default_factory=dict)
    """For the fields of the last reading: the value before it. Other fields: see ``values``."""
    occurred_at_ms: int = -1
    seq: int = -1
    keys: RecentKeys = field(default_factory=RecentKeys)
    stranger: bool = False
    """Of a device that was not registered, or of a gateway not entitled to it, when it was first heard."""
    received_at_ms: int = -1
    """When it was last heard, on our own clock."""
    known: dict[str, list[float]] = field(default_factory=dict)
    """For the fields whose rate is asked for: device time of their latest known value, and that value."""
    settled: Settled | None = None
    """The same device in the order of its own clock; ``None`` where no rule asks for it."""

    def knows(self, reading: Reading, leapt_ms: Leapt = no_leap) -> bool:
        """Whether this very reading was taken before (a duplicate)."""
        if not reading.keyed:
            return False
        received_at_ms = self.keys.received_at_ms(reading.key)
        return received_at_ms is not None and not _is_over(received_at_ms, reading.received_at_ms, leapt_ms)

    def cannot_check(self, reading: Reading, leapt_ms: Leapt = no_leap) -> bool:
        """Whether a repeat of ``reading`` would not be seen: older than all that is remembered, or its key too old."""
        if not reading.keyed:
            return False
        oldest_at_ms = self.keys.oldest_occurred_at_ms()
        if oldest_at_ms is not None and reading.occurred_at_ms < oldest_at_ms:
            return True
        received_at_ms = self.keys.received_at_ms(reading.key)
        return received_at_ms is not None and _is_over(received_at_ms, reading.received_at_ms, leapt_ms)

    def is_late(self, reading: Reading) -> bool:
        """Whether ``reading`` is older than the last evaluated one (by device time, then ``seq``)."""
        if reading.occurred_at_ms != self.occurred_at_ms:
            return reading.occurred_at_ms < self.occurred_at_ms
        return reading.seq is not None and reading.seq < self.seq

    def observe(self, reading: Reading, rated: Collection[str] = ()) -> None:
        """Take ``reading`` in; a late one leaves its key, and that the device was heard.

        Args:
            reading: a reading of this device.
            rated: fields whose rate per minute is to lie in ``previous``, under :func:`rate_name`.
        """
        if reading.keyed:
            self.keys.put(reading.key, reading.occurred_at_ms, reading.received_at_ms)
        self.received_at_ms = max(self.received_at_ms, reading.received_at_ms)
        if not reading.late:
            self.evaluate(reading, rated)

    def evaluate(self, reading: Reading, rated: Collection[str] = ()) -> None:
        """Let the values of ``reading`` be the latest; ``rated`` as with :meth:`observe`."""
        values = self.values
        rates = {name: self._rate(name, reading) for name in map(rate_name, rated)} if rated else {}
        self.previous = {name: values.get(name) for name in reading.values}
        self.previous |= rates
        values.update(reading.values)
        self.occurred_at_ms = reading.occurred_at_ms
        self.seq = -1 if reading.seq is None else reading.seq

    def _rate(self, name: str, reading: Reading) -> Value:
        """How fast a field changed between its last two known values; it stands until there is another one."""
        field_name = name.removesuffix(_PER_MINUTE)
        value = reading.values.get(field_name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return self.previous.get(name)
        at_ms = float(reading.occurred_at_ms)
        before_ms, before = self.known.get(field_name, (at_ms, 0.0))
        self.known[field_name] = [at_ms, float(value)]
        minutes = (at_ms - before_ms) / 60_000
        return (value - before) / minutes if minutes > 0 else None

    def before(self, name: str) -> Value:
        """The value of field ``name`` before the last reading."""
        return self.previous[name] if name in self.previous else self.values.get(name)

    def dump(self) -> list[Any]:
        """Plain values for a snapshot shard; the keys go beside them as they are, see :class:`RecentKeys`."""
        return [
            self.values, self.previous, self.occurred_at_ms, self.seq, len(bytes(self.keys)), self.stranger,
            self.received_at_ms, self.known, *([self.settled.dump()] if self.settled is not None else []),
        ]  # fmt: skip

    @classmethod
    def load(cls, dumped: list[Any], keys: bytes) -> Window:
        """The inverse of :meth:`dump`; dumps of older versions end earlier."""
        values, previous, occurred_at_ms, seq, _, *others = dumped
        others[3:] = map(Settled.load, others[3:])
        return cls(values, previous, occurred_at_ms, seq, RecentKeys(keys), *others)


@dataclass(slots=True)
class Settled:
    """One device in the order of its own clock: as it was when the last of its readings was settled, and those that wait.

    A reading waits until none from before it is expected any more. When that is follows from the readings alone (their
    device time, when they were received), so that windows rebuilt from blocks settle them in the same places; but for
    those that were settled because nothing more came, of which core remembers how far it got.
    """

    window: Window
    """Without keys: its last reading is the last one that was settled."""
    waiting: list[Reading] = field(default_factory=list)
    """By device time, then ``seq``."""

    @classmethod
    def after(cls, window: Window) -> Settled:
        """Of a device that was judged as it came until now."""
        known = {name: [*last] for name, last in window.known.items()}
        return cls(Window({**window.values}, {**window.previous}, window.occurred_at_ms, window.seq, known=known))

    def put(self, reading: Reading) -> bool:
        """Let ``reading`` wait; False for one as old as what is settled, and one that waits already."""
        if reading.occurred_at_ms <= self.window.occurred_at_ms:
            return False
        if reading.keyed and any(one.key == reading.key for one in self.waiting):
            return False
        insort(self.waiting, reading, key=_device_order)
        return True

    def settle(self, lateness_ms: int, now_ms: int, rated: Collection[str] = ()) -> Iterator[Reading]:
        """Each reading before which nothing is expected any more, in order, as soon as ``window`` has taken it in.

        Args:
            lateness_ms: how much later than a newer one, or than at its own time, a reading may come.
            now_ms: everything received before this has been observed.
            rated: as with :meth:`Window.observe`.
        """
        for _ in range(self._due(lateness_ms, now_ms)):
            reading = self.waiting.pop(0)
            self.window.evaluate(reading, rated)
            yield reading

    def _due(self, lateness_ms: int, now_ms: int) -> int:
        """How many of those that wait need not wait any longer."""
        waiting = self.waiting
        newest_at_ms = waiting[-1].occurred_at_ms if waiting else 0
        for place in range(len(waiting), max(0, len(waiting) - WAITING_LIMIT), -1):
            one = waiting[place - 1]
            if one.occurred_at_ms + lateness_ms < newest_at_ms or one.received_at_ms + lateness_ms < now_ms:
                return place
        return max(0, len(waiting) - WAITING_LIMIT)

    def first_received_at_ms(self) -> int:
        """When the first of those that wait was received."""
        return min(reading.received_at_ms for reading in self.waiting)

    def dump(self) -> list[Any]:
        """Plain values for a snapshot shard."""
        return [self.window.dump(), [[getattr(reading, name) for name in _WAITING] for reading in self.waiting]]

    @classmethod
    def load(cls, dumped: list[Any]) -> Settled:
        """The inverse of :meth:`dump`."""
        window, waiting = dumped
        return cls(Window.load(window, b""), [Reading(**dict(zip(_WAITING, row, strict=True))) for row in waiting])


_WAITING = (
    "device_id", "kind", "gateway", "occurred_at_ms", "received_at_ms", "seq", "key", "keyed", "values", "quality", "late",
)  # fmt: skip
"""What is stored of a reading that waits; its device is registered, and its gateway entitled."""


def _device_order(reading: Reading) -> tuple[int, int]:
    return reading.occurred_at_ms, -1 if reading.seq is None else reading.seq


def rate_name(field_name: str) -> str:
    """Under which name the rate of a field lies among the previous values; no field can have it."""
    return field_name + _PER_MINUTE

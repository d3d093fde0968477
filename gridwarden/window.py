"""What core remembers of one device: latest values, the ones before, when, and its recent dedup keys.

Pure. ``observe`` is separate from deciding: after a restart the windows are rebuilt by ``observe`` over the
blocks since the snapshot, and no decision is taken twice.
"""

from __future__ import annotations

import struct
from base64 import b85decode, b85encode
from dataclasses import dataclass, field
from typing import Any

from gridwarden.model import Reading, Value

KEYS_KEPT = 64
"""Dedup keys remembered per device."""
KEY_LIFE_MS = 24 * 3_600_000
"""How long a dedup key is good for."""
_KEY = struct.Struct("<Qqq")


@dataclass(slots=True)
class Window:
    """One device as it was last seen."""

    values: dict[str, Value] = field(default_factory=dict)
    """Latest known value per field; ``None`` where the last one sent could not be used."""
    previous: dict[str, Value] = field(default_factory=dict)
    """For the fields of the last reading: the value before it. Other fields: see ``values``."""
    occurred_at_ms: int = -1
    seq: int = -1
    keys: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Dedup key to (occurred, received), oldest first."""
    stranger: bool = False
    """Of a device that was not registered, or of a gateway not entitled to it, when it was first heard."""

    def knows(self, reading: Reading) -> bool:
        """Whether this very reading was taken before (a duplicate)."""
        if not reading.keyed:
            return False
        seen = self.keys.get(reading.key)
        return seen is not None and reading.received_at_ms - seen[1] <= KEY_LIFE_MS

    def cannot_check(self, reading: Reading) -> bool:
        """Whether a repeat of ``reading`` would not be seen: older than all that is remembered, or its key too old."""
        keys = self.keys
        if not reading.keyed:
            return False
        if len(keys) >= KEYS_KEPT and reading.occurred_at_ms < next(iter(keys.values()))[0]:
            return True
        return reading.key in keys and not self.knows(reading)

    def is_late(self, reading: Reading) -> bool:
        """Whether ``reading`` is older than the last evaluated one (by device time, then ``seq``)."""
        if reading.occurred_at_ms != self.occurred_at_ms:
            return reading.occurred_at_ms < self.occurred_at_ms
        return reading.seq is not None and reading.seq < self.seq

    def observe(self, reading: Reading) -> None:
        """Take ``reading`` in; a late one leaves its key and nothing else."""
        if reading.keyed:
            keys = self.keys
            keys.pop(reading.key, None)  # a key that was too old comes back as the newest
            keys[reading.key] = (reading.occurred_at_ms, reading.received_at_ms)
            if len(keys) > KEYS_KEPT:
                del keys[next(iter(keys))]
        if reading.late:
            return
        values = self.values
        self.previous = {name: values.get(name) for name in reading.values}
        values.update(reading.values)
        self.occurred_at_ms = reading.occurred_at_ms
        self.seq = -1 if reading.seq is None else reading.seq

    def before(self, name: str) -> Value:
        """The value of field ``name`` before the last reading."""
        return self.previous[name] if name in self.previous else self.values.get(name)

    def dump(self) -> list[Any]:
        """Plain values for a snapshot shard."""
        keys = b"".join(_KEY.pack(key, at, received) for key, (at, received) in self.keys.items())
        return [self.values, self.previous, self.occurred_at_ms, self.seq, b85encode(keys).decode(), self.stranger]

    @classmethod
    def load(cls, dumped: list[Any]) -> Window:
        """The inverse of :meth:`dump`."""
        values, previous, occurred_at_ms, seq, packed, stranger = dumped
        keys = {key: (at, received) for key, at, received in _KEY.iter_unpack(b85decode(packed))}
        return cls(values, previous, occurred_at_ms, seq, keys, stranger)

"""The history of all readings: a follower of records, rebuilt from them where need be. Never in the alarm's way.

The protocol and its values. Implementations: ``duckdb`` (embedded), ``influxdb`` (a server). What feeds them: ``follower``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from gridwarden.errors import ConfigError, GridwardenError, Unavailable
from gridwarden.history.audit import Account
from gridwarden.model import Reading, Value

NO_ANCESTORS: Mapping[str, int] = MappingProxyType({})


class HistoryMismatch(ConfigError):
    """This history belongs to other records, or to another program version: a person must choose."""


class HistoryDamaged(GridwardenError):
    """Stored parts of the history are missing; it must be restored or rebuilt from records."""


class HistoryUnavailable(Unavailable):
    """The history cannot be read or written now (disk full, I/O error, memory); the offset has not moved."""


@dataclass(frozen=True, slots=True)
class Series:
    """Raw points of one field in order of time. ``None``: a value was sent that could not be used."""

    t_ms: list[int]
    values: list[Value]
    truncated: bool = False
    """More points than the limit lay in the interval; these are the earliest."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """One numeric field summed up per step; steps without a value are left out."""

    step_ms: int
    t_ms: list[int]
    """Start of each step, a multiple of ``step_ms`` since the epoch."""
    min: list[float]
    max: list[float]
    mean: list[float]
    last: list[float]
    count: list[int]


@dataclass(frozen=True, slots=True)
class Latest:
    """The last reading of a device by its own clock; only the fields that this one reading carried."""

    device_id: str
    kind: str
    gateway: str
    occurred_at_ms: int
    received_at_ms: int
    seq: int | None
    values: dict[str, Value]
    quality: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SealReport:
    """What one sealing moved."""

    rows: int
    files: int


@dataclass(frozen=True, slots=True)
class Frozen:
    """What was copied, and the immutable files that belong to it and still lie where they lay."""

    epoch: str
    offset: int
    """The last one followed: records after it belong beside this copy."""
    rows: int | None
    """Readings, as its own books count them; ``None``: they lie elsewhere."""
    files: tuple[tuple[Path, str], ...] = ()
    """To be linked or copied below the copy, each under its name; they stay there while it is frozen."""
    missing: str = ""
    """What is not in the copy, and who copies it."""


def may_follow(stored: str, offset: int, epoch: str, ancestors: Mapping[str, int]) -> bool:
    """Whether a history that has followed ``stored`` up to ``offset`` may follow ``epoch``, which has these ancestors."""
    return stored in {"", epoch} or offset <= ancestors.get(stored, -1)


class History(Protocol):
    """Every reading ever followed, by device and time.

    One thread at a time appends, seals and retains; any thread may read meanwhile. Every method may raise
    :class:`HistoryUnavailable`. Intervals are half open: ``from_ms`` belongs to them, ``to_ms`` does not.
    Readings of a gateway that is not entitled to the device are kept and counted, and never shown as the device's.
    """

    step_bytes: int
    """Blocks it likes to take in one step, as they lie in the records: a megabyte is about 30,000 readings."""

    def offset(self) -> int:
        """The last followed offset of records; 0 at the beginning."""
        ...

    def epoch(self) -> str:
        """Identity of the records this history follows; ``""`` when new."""
        ...

    def begin(self, epoch: str, ancestors: Mapping[str, int] = NO_ANCESTORS) -> None:
        """Adopt ``epoch`` when new, or when the stored one is an ancestor of it.

        Args:
            epoch: identity of the records.
            ancestors: identities they had before, each with the last offset up to which it still holds.

        Raises:
            HistoryMismatch: it follows other records, or has followed an ancestor further than that.
        """
        ...

    def append(self, readings: Sequence[Reading], offset: int, complete_until_ms: int) -> None:
        """Store ``readings`` and the ``offset`` they reach up to, both or neither.

        Raises:
            ValueError: ``offset`` is already followed; without readings the present offset may be repeated.
        """
        ...

    def counts_itself(self) -> bool:
        """Whether it keeps an account of what it writes and drops, without a gap."""
        ...

    def begin_account(self, before: int, at_ms: int) -> None:
        """Keep one from now on; ``before``: readings that records have committed up to its offset."""
        ...

    def account(self) -> Account | None:
        """The account as of one moment; ``None`` where none is kept yet."""
        ...

    def complete_until_ms(self) -> int:
        """Every reading that records committed before this time is in here. Never goes back."""
        ...

    def series(self, device_id: str, field: str, from_ms: int, to_ms: int, limit: int) -> Series:
        """The first ``limit`` raw points of ``field``, by ``occurred_at``.

        Raises:
            Refused: ``unknown_field``, no kind has such a field.
        """
        ...

    def buckets(self, device_id: str, field: str, from_ms: int, to_ms: int, step_ms: int) -> Buckets:
        """The numeric ``field`` per step of ``step_ms``.

        Raises:
            Refused: ``unknown_field``; ``not_numeric``, the field is neither int nor float; ``bad_step``.
        """
        ...

    def latest(self, device_id: str) -> Latest | None:
        """The last reading by ``occurred_at``; ``None`` where there is none."""
        ...

    def count(self) -> int:
        """All readings held, exactly."""
        ...

    def counts(self) -> dict[str, int]:
        """All readings held per device id, exactly. Reads everything: for recounts."""
        ...

    def seal(self, before_ms: int) -> SealReport:
        """Move readings that occurred before ``before_ms`` to their compact, final place; may be repeated."""
        ...

    def retain(self, from_ms: int) -> int:
        """Drop the whole days (UTC) that ended before ``from_ms``; returns the readings dropped."""
        ...

    def frozen(self, directory: Path) -> AbstractContextManager[Frozen]:
        """Copy what of it lies here into the new ``directory``, in one state; what the copy names stays within the block.

        Appending goes on meanwhile.
        """
        ...

    def close(self) -> None:
        """Release files and memory; nothing may be called afterwards."""
        ...

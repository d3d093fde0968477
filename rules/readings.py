"""Many readings as columns, by device: what a history gives to a back-test. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gridwarden.model import Reading, Value
from rules.columns import Column, Mask

KEYED, REGISTERED, ENTITLED, LATE = 1, 2, 4, 8
"""Bits of the column ``flags``."""
NO_SEQ = -(2**63)
"""Stands for a missing ``seq``."""


class Chunk(Protocol):
    """Readings of devices of one kind, by device, each device's in the order of its own clock."""

    @property
    def kind(self) -> str:
        """The kind of all its devices."""
        ...

    @property
    def device_keys(self) -> Column:
        """One entry a device, ascending; a device keeps its key, which is small."""
        ...

    @property
    def device_ids(self) -> Sequence[str]:
        """One entry a device."""
        ...

    @property
    def starts(self) -> Column:
        """Where each device's rows begin; one entry more says where the last one's end."""
        ...

    @property
    def occurred_at_ms(self) -> Column:
        """Per row."""
        ...

    @property
    def received_at_ms(self) -> Column:
        """Per row."""
        ...

    @property
    def seq(self) -> Column:
        """Per row; :data:`NO_SEQ` where there is none."""
        ...

    @property
    def flags(self) -> Column:
        """Per row."""
        ...

    @property
    def gateways(self) -> Column:
        """Per row, the key of the gateway."""
        ...

    @property
    def values(self) -> Mapping[str, Column]:
        """Per field and row what the reading itself said, as :mod:`rules.columns` has it."""
        ...

    @property
    def said(self) -> Mapping[int, Mapping[str, Value]]:
        """What rows said that no column holds: a value that could not be used (``None``), or one of another type."""
        ...


@dataclass(slots=True)
class Texts:
    """What the codes in the columns stand for."""

    codes: dict[str, int]
    """Texts to codes; whoever meets a new text adds it."""
    gateways: Mapping[int, str]
    _words: list[str] = field(default_factory=list)

    def code(self, text: str) -> int:
        """What stands for ``text``."""
        return self.codes.setdefault(text, len(self.codes))

    def words(self) -> list[str]:
        """The text of each code."""
        if len(self._words) < len(self.codes):
            self._words = list(self.codes)
        return self._words


@dataclass(frozen=True, slots=True)
class Readings:
    """A chunk, or some of its rows; every device has one row at least."""

    chunk: Chunk
    rows: Column | None
    """Which rows of the chunk; ``None``: all of them."""
    devices: Column
    """Places of the devices in the chunk."""
    starts: Column
    """As in a chunk."""

    @classmethod
    def of(cls, chunk: Chunk, wanted: Mask | None = None) -> Readings:
        """The ``wanted`` rows of ``chunk``; all if not given."""
        places = np.arange(len(chunk.device_keys))
        if wanted is None or wanted.all():
            return cls(chunk, None, places, chunk.starts)
        rows = np.flatnonzero(wanted)
        of_rows = np.repeat(places, np.diff(chunk.starts))[rows]
        devices, first = np.unique(of_rows, return_index=True)
        return cls(chunk, rows, devices, np.append(first, len(rows)))

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])

    @property
    def keys(self) -> Column:
        """Keys of the devices."""
        return self.chunk.device_keys[self.devices]

    def of_device(self, per_device: Column) -> Column:
        """What is said once a device, for each of its rows."""
        return np.repeat(per_device, np.diff(self.starts))

    def column(self, values: Column) -> Column:
        """Its rows of a column of the chunk."""
        return values if self.rows is None else values[self.rows]

    def said(self) -> Mapping[int, Mapping[str, Value]]:
        """What its rows said that no column holds."""
        said = self.chunk.said
        if self.rows is None or not said:
            return said
        places = np.searchsorted(self.rows, list(said)).tolist()
        found = zip(places, said.items(), strict=True)
        return {place: values for place, (row, values) in found if place < self.size and self.rows[place] == row}

    def row_of(self, row: int) -> int:
        """The row of the chunk."""
        return row if self.rows is None else int(self.rows[row])

    def reading(self, row: int, device_id: str, texts: Texts, words: Sequence[str], key: int) -> Reading:
        """One row as a reading; of its values those that the chunk has a column for."""
        chunk, at = self.chunk, self.row_of(row)
        flags, seq = int(chunk.flags[at]), int(chunk.seq[at])
        columns = ((name, plain(column[at], words)) for name, column in chunk.values.items())
        values = {name: value for name, value in columns if value is not None} | dict(chunk.said.get(at, {}))
        return Reading(
            device_id, chunk.kind, texts.gateways.get(int(chunk.gateways[at]), ""), int(chunk.occurred_at_ms[at]),
            int(chunk.received_at_ms[at]), None if seq == NO_SEQ else seq, key, keyed=True, values=values,
            registered=bool(flags & REGISTERED), entitled=bool(flags & ENTITLED), late=bool(flags & LATE),
        )  # fmt: skip


def plain(value: Any, words: Sequence[str]) -> Value:
    """A value of a column as Python has it; ``None``: unknown."""
    kind = value.dtype.kind
    if kind == "f":
        return float(value) if value == value else None  # noqa: PLR0124 - NaN is not itself
    if value < 0:
        return None
    return bool(value) if value.dtype.itemsize == 1 else words[value]

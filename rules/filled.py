"""What every device had last said at each row of a chunk: the window of the live engine, for all rows at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gridwarden.kinds import Field
from gridwarden.model import Device, Value
from gridwarden.window import Window, rate_name
from rules.columns import Column, Mask, is_known
from rules.device_rows import DeviceRows, nothing
from rules.readings import NO_SEQ, Readings, Texts, plain

_MINUTE_MS = 60_000
_NEVER = -1
_HERE, _RATES, _KNOWN_AT, _KNOWN = 0, 2, 3, 4
"""Places in what is held: the latest values, (before the last reading,) rates, last known values: when, and what."""


@dataclass(slots=True)
class Held:
    """What is remembered of the devices of one kind between two chunks, by device key: their windows in columns."""

    fields: Mapping[str, Field]
    rated: frozenset[str]
    """Fields whose change per minute is asked for."""
    values: dict[str, Column] = field(default_factory=dict)
    before: dict[str, Column] = field(default_factory=dict)
    """Before the last reading."""
    rates: dict[str, Column] = field(default_factory=dict)
    known_at_ms: dict[str, Column] = field(default_factory=dict)
    """Of rated fields: device time of the last known value, NaN for never."""
    known: dict[str, Column] = field(default_factory=dict)
    """Of rated fields: that value; the latest one may be unknown by now."""
    occurred_at_ms: Column = field(default_factory=lambda: np.full(0, _NEVER, np.int64))
    seq: Column = field(default_factory=lambda: np.full(0, NO_SEQ, np.int64))
    odd: set[int] = field(default_factory=set)
    """Devices that had a value no column can hold."""

    def reach(self, key: int) -> None:
        """Make room for devices up to ``key``."""
        more = key + 1 - len(self.occurred_at_ms)
        if more <= 0:
            return
        more += key // 2
        self.occurred_at_ms = np.append(self.occurred_at_ms, np.full(more, _NEVER, np.int64))
        self.seq = np.append(self.seq, np.full(more, NO_SEQ, np.int64))
        for name, kind in self.fields.items():
            for columns in (self.values, self.before):
                columns[name] = np.append(columns.get(name, nothing(kind, 0)), nothing(kind, more))
        for name in self.rated:
            for columns in (self.rates, self.known_at_ms, self.known):
                columns[name] = np.append(columns.get(name, np.empty(0)), np.full(more, np.nan))

    def window(self, key: int, texts: Texts) -> Window:
        """The window of a device as it stands."""
        columns = (self.values, self.before, self.rates, self.known_at_ms, self.known)
        here = [_at(of_name, key) for of_name in columns]
        return _window(texts, here, int(self.occurred_at_ms[key]), int(self.seq[key]))


class Filled(DeviceRows):
    """The rows that move their device's window on. Made once a chunk: making it moves ``held`` to the chunk's end."""

    def __init__(self, readings: Readings, held: Held, devices: Mapping[str, Device], texts: Texts) -> None:
        super().__init__(readings, devices, texts)
        self._held = held
        self._keys = keys = readings.keys
        held.reach(int(keys.max(initial=0)))
        self._said = readings.said()
        self._entry = [
            _at(columns, keys) for columns in (held.values, held.before, held.rates, held.known_at_ms, held.known)
        ]
        self._entry_at_ms, self._entry_seq = held.occurred_at_ms[keys], held.seq[keys]
        self._occurred_at_ms = readings.column(readings.chunk.occurred_at_ms)
        self._seq = readings.column(readings.chunk.seq)
        self._before: dict[str, Column] = {}
        self._latest = {name: self._fill(name) for name in held.fields}
        self._known_at_ms: dict[str, Column] = {}
        self._known: dict[str, Column] = {}
        self._rates = {name: self._rate(name) for name in held.rated}
        self._hold()

    def _hold(self) -> None:
        held, keys, last = self._held, self._keys, self.readings.starts[1:] - 1
        is_only = np.diff(self.readings.starts) == 1
        for name, values in self._latest.items():
            held.before[name][keys] = np.where(is_only, self._entry[_HERE][name], values[last - 1])
            held.values[name][keys] = values[last]
        for name in held.rated:
            held.rates[name][keys] = self._rates[name][last]
            held.known_at_ms[name][keys] = self._known_at_ms[name][last]
            held.known[name][keys] = self._known[name][last]
        held.occurred_at_ms[keys] = self._occurred_at_ms[last]
        held.seq[keys] = self._seq[last]

    def _fill(self, name: str) -> Column:
        """The latest value of each row: its own, else that of the row before, else what was held."""
        values = self.readings.column(self.readings.chunk.values[name])
        sent = is_known(values)
        for row, said in self._said.items():
            if name in said:
                sent[row] = True
                if said[name] is not None:
                    self._held.odd.add(int(self._keys[self._place_of(row)]))
        return self._forward(values, sent, self._entry[_HERE][name])

    def _forward(self, values: Column, sent: Mask, entry: Column) -> Column:
        if sent.all():
            return values
        first = self.readings.starts[:-1]
        bare = ~sent[first]
        if bare.any():
            values = values.copy()
            values[first[bare]] = entry[bare]
        last_sent = np.where(sent, np.arange(self.size, dtype=np.int32), np.int32(0))
        last_sent[first] = first
        return values[np.maximum.accumulate(last_sent, out=last_sent)]

    def _rate(self, name: str) -> Column:
        """Change per minute between the last two known values; it stands until there is another one."""
        values = self.readings.column(self.readings.chunk.values[name])
        is_known_here = is_known(values)
        at_ms = self._occurred_at_ms.astype(np.float64)
        entry_at_ms, entry = self._entry[_KNOWN_AT][name], self._entry[_KNOWN][name]
        known_at_ms = self._known_at_ms[name] = self._forward(at_ms, is_known_here, entry_at_ms)
        known = self._known[name] = self._forward(values, is_known_here, entry)
        with np.errstate(all="ignore"):
            minutes = (at_ms - self._one_row_earlier(known_at_ms, entry_at_ms)) / _MINUTE_MS
            rates = (values - self._one_row_earlier(known, entry)) / minutes
        return self._forward(np.where(minutes > 0, rates, np.nan), is_known_here, self._entry[_RATES][name])

    def _one_row_earlier(self, column: Column, entry: Column) -> Column:
        earlier = np.empty_like(column)
        earlier[1:] = column[:-1]
        earlier[self.readings.starts[:-1]] = entry
        return earlier

    def _place_of(self, row: int) -> int:
        return int(np.searchsorted(self.readings.starts, row, side="right")) - 1

    def latest(self, name: str) -> Column:
        """See :meth:`rules.columns.Rows.latest`."""
        return self._latest[name]

    def before(self, name: str) -> Column:
        """See :meth:`rules.columns.Rows.before`: what was the latest value one row earlier."""
        before = self._before.get(name)
        if before is None:
            before = self._before[name] = self._one_row_earlier(self._latest[name], self._entry[_HERE][name])
        return before

    def rate(self, name: str) -> Column:
        """See :meth:`rules.columns.Rows.rate`."""
        return self._rates[name]

    def window_before(self, place: int, row: int) -> Window:
        """The window of the device at ``place`` before it heard the reading of ``row`` (or, at its end, after all)."""
        start = self.readings.starts[place]
        if row == start:
            here = [_at(columns, place) for columns in self._entry]
            return _window(self._texts, here, int(self._entry_at_ms[place]), int(self._entry_seq[place]))
        before = _at(self._entry[_HERE], place) if row - 1 == start else _at(self._latest, row - 2)
        rated = (self._rates, self._known_at_ms, self._known)
        here = [_at(self._latest, row - 1), before, *(_at(columns, row - 1) for columns in rated)]
        return _window(self._texts, here, int(self._occurred_at_ms[row - 1]), int(self._seq[row - 1]))


def _at(columns: Mapping[str, Column], where: int | Column) -> dict[str, Column]:
    return {name: column[where] for name, column in columns.items()}


def _window(texts: Texts, here: Sequence[Mapping[str, Column]], at_ms: int, seq: int) -> Window:
    """A window of what columns hold of a device; what it names beside its fields counts as nothing said."""
    words = texts.words()
    latest, before, rates, known_at_ms, known = here
    values: dict[str, Value] = {name: plain(value, words) for name, value in latest.items()}
    previous: dict[str, Value] = {name: plain(value, words) for name, value in before.items()}
    previous |= {rate_name(name): plain(rate, words) for name, rate in rates.items()}
    pairs = {name: [float(known_ms), float(known[name])] for name, known_ms in known_at_ms.items()}
    told = {name: pair for name, pair in pairs.items() if not np.isnan(pair[0])}
    return Window(values, previous, at_ms, -1 if seq == NO_SEQ else seq, known=told)

"""A history in memory: readings as they were judged live, and the chunks that a history would make of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gridwarden.kinds import KINDS, FieldType
from gridwarden.model import Device, Reading, Value
from gridwarden.window import Window
from rules.device_rows import nothing
from rules.engine import Engine
from rules.episodes import Collector, Episode
from rules.readings import ENTITLED, KEYED, LATE, NO_SEQ, REGISTERED, Texts
from rules.rule import RuleSet

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """See :class:`rules.readings.Chunk`."""

    kind: str
    device_keys: Any
    device_ids: Sequence[str]
    starts: Any
    occurred_at_ms: Any
    received_at_ms: Any
    seq: Any
    flags: Any
    gateways: Any
    values: Mapping[str, Any]
    said: Mapping[int, Mapping[str, Value]]


@dataclass(slots=True)
class Live:
    """The plain engine over every reading, as core judges them: by time of receipt, one by one, timers in between."""

    rules: RuleSet
    devices: Mapping[str, Device]
    told: Collector = field(default_factory=Collector)
    judged: list[Reading] = field(default_factory=list)
    _windows: dict[str, Window] = field(default_factory=dict)

    def run(self, readings: Iterable[Reading], end_ms: int) -> list[Episode]:
        engine = Engine(self.rules)
        for said in sorted(readings, key=lambda one: one.received_at_ms):
            self._pass_time(engine, said.received_at_ms)
            window = self._windows.setdefault(said.scope, Window())
            if window.knows(said):
                continue
            reading = replace(said, late=window.is_late(said), values=dict(said.values))
            self.judged.append(reading)
            window.observe(reading, self.rules.rated.get(reading.kind, ()))
            for transition in engine.decide(reading, window, self.devices.get(reading.device_id)):
                self.told.hear(reading.received_at_ms, transition)
        self._pass_time(engine, end_ms)
        return self.told.episodes()

    def _pass_time(self, engine: Engine, now_ms: int) -> None:
        while (wake_at_ms := engine.next_wake_ms()) is not None and wake_at_ms <= now_ms:
            for transition in engine.advance(wake_at_ms):
                self.told.hear(wake_at_ms, transition)


def chunks(readings: Iterable[Reading], fields: Mapping[str, Iterable[str]], texts: Texts) -> Iterator[Chunk]:
    """By kind, UTC day and device; of ``fields`` only."""
    gateways = {name: key for key, name in texts.gateways.items()}
    of_part: dict[tuple[str, int], list[Reading]] = {}
    kept = [one for one in readings if one.kind in fields]
    keys = {device_id: key for key, device_id in enumerate(sorted({one.device_id for one in kept}))}
    for one in kept:
        of_part.setdefault((one.kind, one.occurred_at_ms // DAY_MS), []).append(one)
    for (kind, _), part in sorted(of_part.items()):
        part.sort(
            key=lambda one: (one.device_id, one.occurred_at_ms, -1 if one.seq is None else one.seq, one.received_at_ms)
        )
        ids = sorted({one.device_id for one in part})
        at = [one.device_id for one in part]
        said = {row: odd for row, one in enumerate(part) if (odd := dict(_odd(one, fields[kind])))}
        yield Chunk(
            kind, np.array([keys[one] for one in ids]), ids, np.array([at.index(one) for one in ids] + [len(part)]),
            np.array([one.occurred_at_ms for one in part]), np.array([one.received_at_ms for one in part]),
            np.array([NO_SEQ if one.seq is None else one.seq for one in part]),
            np.array([_flags(one) for one in part], np.uint8), np.array([gateways[one.gateway] for one in part]),
            {name: _column(kind, name, part, texts) for name in fields[kind]}, said,
        )  # fmt: skip


def _flags(one: Reading) -> int:
    return KEYED | one.registered * REGISTERED | one.entitled * ENTITLED | one.late * LATE


def _odd(one: Reading, names: Iterable[str]) -> Iterator[tuple[str, Value]]:
    for name in names:
        if name in one.values and not _fits(one.kind, name, one.values[name]):
            yield name, one.values[name]


def _fits(kind: str, name: str, value: Value) -> bool:
    match KINDS[kind].fields[name].type:
        case FieldType.BOOL:
            return isinstance(value, bool)
        case FieldType.INT | FieldType.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53
    return isinstance(value, str)


def _column(kind: str, name: str, part: Sequence[Reading], texts: Texts) -> Any:
    column = nothing(KINDS[kind].fields[name], len(part))
    for row, one in enumerate(part):
        value = one.values.get(name)
        if value is not None and _fits(kind, name, value):
            column[row] = texts.code(value) if isinstance(value, str) else value
    return column

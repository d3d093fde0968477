"""What rules would have said of the past: the live engine over a history, with a screen in front of it. Pure.

Rules of one device look at one device, so devices are judged one after the other, each by an engine of its own and with
its own time: our clock is when its readings were received, and timers act between them as they do live. A reading is
shown to the engine where a starter of a rule may be true, and from there on while an alarm is active; everything else
is passed over column by column. What comes out is what the plain engine says when it is shown every row.

Late readings are judged when they were received, on themselves alone, which is what the live engine does with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gridwarden.kinds import KINDS
from gridwarden.model import Alarm, Device, Reading
from rules.columns import Column, Mask
from rules.device_rows import Alone
from rules.filled import Filled, Held
from rules.player import Player, Told
from rules.readings import ENTITLED, LATE, Chunk, Readings, Texts
from rules.rule import RuleSet
from rules.screen import Screen


def fields_of(rule_sets: Iterable[RuleSet]) -> dict[str, tuple[str, ...]]:
    """Per kind the fields that any enabled rule looks at: what a back-test must read."""
    fields: dict[str, set[str]] = {}
    for rules in rule_sets:
        for rule in rules:
            if rule.enabled:
                fields.setdefault(rule.kind, set()).update(rule.fields)
    return {kind: tuple(sorted(names)) for kind, names in fields.items()}


class Backtest:
    """One rule set over chunks: all of a device's, in order of time.

    Args:
        rules: what is tried; rules that are not enabled are left out.
        devices: the registry.
        texts: what the codes in the chunks stand for.
        told: hears every transition of every device; of one device in order of time.
        confirms: a latched alarm is confirmed as soon as it is over. Without it, as nobody does, it would stay for ever,
            and what happens to its device later would be the same alarm.
    """

    def __init__(
        self, rules: RuleSet, devices: Mapping[str, Device], texts: Texts, told: Told, *, confirms: bool = False
    ) -> None:
        kinds = {rule.kind for rule in rules if rule.enabled}
        self._of_kind = {kind: _OfKind(rules, kind, devices, texts, told, confirms) for kind in sorted(kinds)}

    @property
    def shown(self) -> int:
        """Readings shown to the engine so far."""
        return sum(of_kind.shown for of_kind in self._of_kind.values())

    @property
    def stirring(self) -> int:
        """Readings so far that would have begun an alarm, had none been active."""
        return sum(of_kind.stirring for of_kind in self._of_kind.values())

    def take(self, chunk: Chunk) -> None:
        """Judge the next chunk."""
        of_kind = self._of_kind.get(chunk.kind)
        if of_kind is not None:
            of_kind.take(chunk)

    def finish(self, end_ms: int) -> None:
        """Let the time pass to ``end_ms``: what is pending then stays so."""
        for of_kind in self._of_kind.values():
            of_kind.finish(end_ms)


@dataclass(frozen=True, slots=True)
class _Step:
    """A reading that may be shown to the engine."""

    at_ms: int
    """Our own time at which it was judged."""
    row: int
    """Of the rows that move the window; for others the row it comes before."""
    stirs: bool
    alone: Reading | None = None
    """It moves no window: a late one, or one of a gateway that is not entitled."""


class _OfKind:
    """The devices of one kind."""

    def __init__(
        self, rules: RuleSet, kind: str, devices: Mapping[str, Device], texts: Texts, told: Told, confirms: bool
    ) -> None:
        mine = tuple(rule for rule in rules if rule.kind == kind and rule.enabled)
        self._rules = RuleSet(mine)
        self._rated = frozenset[str]().union(*(rule.rated for rule in mine))
        fields = fields_of([self._rules])[kind]
        self._held = Held({name: KINDS[kind].fields[name] for name in fields}, self._rated)
        self._screen = Screen(mine, kind)
        self._devices = devices
        self._texts = texts
        self._told = told
        self._confirms = confirms
        self._players: dict[int, Player] = {}
        self._over: dict[int, tuple[Alarm, ...]] = {}
        """Of devices on which nothing is active: alarms that the engine is to remember."""
        self._waiting: dict[int, list[_Step]] = {}
        """Readings that were received later than all of their device's that have been judged yet."""
        self._serial = 0
        self.shown = 0
        self.stirring = 0

    def take(self, chunk: Chunk) -> None:
        moves = chunk.flags & (ENTITLED | LATE) == ENTITLED
        alone = {} if moves.all() else self._alone(chunk, ~moves)
        readings = Readings.of(chunk, moves)
        if not readings.size:
            self._put_off(alone)
            return
        filled = Filled(readings, self._held, self._devices, self._texts)
        stirs = self._screen.stirs(filled)
        self.stirring += int(np.count_nonzero(stirs))
        stirred = np.logical_or.reduceat(stirs, readings.starts[:-1])
        keys = readings.keys
        wanted = {*keys[stirred].tolist(), *alone, *self._waiting, *self._players, *self._held.odd}
        places = np.flatnonzero(np.isin(keys, np.fromiter(wanted, np.int64, len(wanted))))
        received_at_ms = readings.column(chunk.received_at_ms)
        for place in places.tolist():
            key = int(keys[place])
            rows = slice(*readings.starts[place : place + 2].tolist())
            late = [*self._waiting.pop(key, ()), *alone.pop(key, ())]
            self._play(key, filled, place, self._steps(key, rows.start, received_at_ms[rows], stirs[rows], late))
        self._put_off(alone)

    def _alone(self, chunk: Chunk, which: Mask) -> dict[int, list[_Step]]:
        """By device the readings that move no window, as far as they can matter."""
        readings = Readings.of(chunk, which)
        rows = Alone(readings, self._devices, self._texts)
        stirs = self._screen.stirs_alone(rows)
        stirred = np.logical_or.reduceat(stirs, readings.starts[:-1])
        words = self._texts.words()
        found: dict[int, list[_Step]] = {}
        for place, key in enumerate(readings.keys.tolist()):
            if stirred[place] or key in self._players:
                device_id = chunk.device_ids[readings.devices[place]]
                steps = [
                    _Step(reading.received_at_ms, 0, bool(stirs[row]), reading)
                    for row in range(readings.starts[place], readings.starts[place + 1])
                    for reading in [readings.reading(row, device_id, self._texts, words, self._next_serial())]
                ]
                found[key] = sorted(steps, key=lambda step: step.at_ms)
        return found

    def _put_off(self, alone: Mapping[int, list[_Step]]) -> None:
        for key, steps in alone.items():
            self._waiting.setdefault(key, []).extend(steps)

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def _steps(self, key: int, start: int, received_at_ms: Column, stirs: Mask, late: list[_Step]) -> Iterator[_Step]:
        """The readings of a device in the order in which they were judged; those received after all wait."""
        at_ms = np.maximum.accumulate(received_at_ms)  # those of one batch were put in order before they were judged
        coming = deque(sorted(late, key=lambda step: step.at_ms))
        for row, (now_ms, stir) in enumerate(zip(at_ms.tolist(), stirs.tolist(), strict=True), start=start):
            while coming and coming[0].at_ms <= now_ms:
                step = coming.popleft()
                yield _Step(step.at_ms, row, step.stirs, step.alone)
            yield _Step(now_ms, row, stir)
        if coming:
            self._waiting[key] = list(coming)

    def _play(self, key: int, filled: Filled, place: int, steps: Iterable[_Step]) -> None:
        readings, texts = filled.readings, self._texts
        device_id = readings.chunk.device_ids[readings.devices[place]]
        player, words = self._players.get(key), texts.words()
        is_odd = key in self._held.odd
        for step in steps:
            if not (step.stirs or is_odd or (player is not None and player.is_active)):
                if player is not None and step.alone is None:
                    player.window = None  # it is not kept up
                continue
            player = player or self._player(key, device_id)
            reading = step.alone or readings.reading(step.row, device_id, texts, words, self._next_serial())
            window = player.window or filled.window_before(place, step.row)
            player.hear(step.at_ms, reading, window, self._rated)
            self.shown += 1
        if player is not None and not player.is_active and not is_odd:
            self._let_go(key, player)

    def _player(self, key: int, device_id: str) -> Player:
        device, over = self._devices.get(device_id), self._over.pop(key, ())
        player = Player(self._rules, device, self._told, over, confirms=self._confirms)
        self._players[key] = player
        return player

    def _let_go(self, key: int, player: Player) -> None:
        """Nothing is active any more; kept is what the engine would know again."""
        del self._players[key]
        if player.over:
            self._over[key] = tuple(player.over.values())

    def finish(self, end_ms: int) -> None:
        for key, steps in self._waiting.items():
            self._held.reach(key)
            for step in sorted(steps, key=lambda step: step.at_ms):
                if step.alone is not None and (step.stirs or key in self._players):
                    player = self._players.get(key) or self._player(key, step.alone.device_id)
                    window = player.window or self._held.window(key, self._texts)
                    player.hear(step.at_ms, step.alone, window, self._rated)
        self._waiting.clear()
        for player in self._players.values():
            player.pass_time(end_ms)

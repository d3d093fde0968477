"""The device windows in shards, each shard a snapshot of its own: restart without one long stall."""

from __future__ import annotations

import struct
import zlib
from base64 import b85decode
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import compress, crc32, decompress

from pydantic_core import from_json, to_json

from gridwarden.core.settling import Settling
from gridwarden.model import Reading
from gridwarden.records import block
from gridwarden.records.block import CorruptBlock
from gridwarden.records.transaction import Snapshot
from gridwarden.window import RecentKeys, Window
from rules.rule import RuleSet

SHARDS = 128
"""About a thousand devices each for a district of 100,000."""
STRANGERS_LIMIT = 20_000
"""Windows kept for unregistered or unentitled scopes; beyond it they are judged without memory."""


def shard_of(scope: str) -> int:
    """The shard of a scope; stable for ever."""
    return crc32(scope.encode()) % SHARDS


_FORMAT = b"GWS3"
"""Begins a shard: then a checksum of the rest, the length of the compressed table of windows, the table, and their dedup
keys as they are.

Keys are most of it and cannot be made smaller; the first format had them as text in the table, compressed with it, which
took six times as long. The second one had no checksum.
"""
_SECOND_FORMAT = b"GWS2"
_CHECKSUM = struct.Struct("<I")
_LENGTH = struct.Struct("<I")


def _unpacked(body: bytes) -> Iterator[tuple[str, list[Any], bytes]]:
    """Scope, dump and keys of each window of a shard; also of one that an older version has stored."""
    if body.startswith(_FORMAT):
        begin = len(_FORMAT) + _CHECKSUM.size
        if crc32(memoryview(body)[begin:]) != _CHECKSUM.unpack_from(body, len(_FORMAT))[0]:
            msg = "checksum does not match"
            raise ValueError(msg)
    elif body.startswith(_SECOND_FORMAT):
        begin = len(_SECOND_FORMAT)
    else:
        for scope, dumped in from_json(decompress(body)).items():
            yield scope, dumped, bytes(RecentKeys.of_first_format(b85decode(dumped[4])))
        return
    length = _LENGTH.unpack_from(body, begin)[0]
    begin += _LENGTH.size
    end = begin + length
    for scope, dumped in from_json(decompress(body[begin:end])).items():
        begin, end = end, end + dumped[4]
        yield scope, dumped, body[begin:end]


class Windows:
    """What core remembers of every device."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}
        self._members: list[list[str]] = [[] for _ in range(SHARDS)]
        self._strangers = 0
        self._next_shard = 0
        self.rated: Mapping[str, frozenset[str]] = {}
        """Kind to the fields whose rate its rules ask for."""
        self.settling = Settling()
        self.offsets = [0] * SHARDS
        """Offset each shard's stored snapshot is true at; 0: none stored."""
        self.broken: dict[int, str] = {}
        """Stored snapshots that could not be read, with the reason: their devices are known from the blocks alone."""
        self.damaged: dict[int, str] = {}
        """Offsets of blocks that could not be read, with the reason: what was in them was not observed."""

    def use(self, rules: RuleSet) -> None:
        """Keep from now on what ``rules`` ask for."""
        self.rated = rules.rated
        self.settling.use(rules.lateness, rules.rated, self.each())

    @property
    def strangers(self) -> int:
        """How many of them are of unregistered or unentitled scopes."""
        return self._strangers

    def __len__(self) -> int:
        return len(self._windows)

    def get(self, reading: Reading) -> Window:
        """The window of the reading's device, made at its first reading."""
        scope = reading.scope
        window = self._windows.get(scope)
        if window is None:
            window = Window(stranger=not reading.verified)
            if not window.stranger or self._strangers < STRANGERS_LIMIT:
                self._add(scope, window)
        return window

    def knows(self, reading: Reading) -> bool:
        """Whether this very reading was taken before; asked without making a window."""
        window = self._windows.get(reading.scope)
        return window is not None and window.knows(reading)

    def find(self, scope: str) -> Window | None:
        """The window of this scope, if there is one."""
        return self._windows.get(scope)

    def heard_at_ms(self, device_id: str) -> int:
        """When a device was last heard on our own clock; -1: never."""
        window = self._windows.get(device_id)
        return -1 if window is None else window.received_at_ms

    def observe(self, window: Window, reading: Reading) -> None:
        """Let ``window``, got for this reading, take it in. Only what is stored is observed: so it can be repeated."""
        if window.stranger and reading.verified:  # registered meanwhile
            window.stranger = False
            self._strangers -= 1
        if reading.verified:
            self.settling.prepare(window, reading.kind)
        window.observe(reading, self.rated.get(reading.kind, ()))

    def due(self, now_ms: int) -> Iterator[tuple[str, Window]]:
        """Scope and window of the devices of which readings may be settled, see :meth:`Settling.due`."""
        return ((scope, self._windows[scope]) for scope in self.settling.due(now_ms))

    def _add(self, scope: str, window: Window) -> None:
        self._windows[scope] = window
        self._members[shard_of(scope)].append(scope)
        self._strangers += window.stranger

    def each(self) -> Iterator[tuple[str, Window]]:
        """Every scope and its window."""
        return iter(self._windows.items())

    def latest_at_ms(self) -> int:
        """The latest device time seen, 0 when none was: where a replay clock goes on."""
        return max((window.occurred_at_ms for window in self._windows.values()), default=0)

    def snapshot(self) -> Snapshot:
        """The next shard in turn, as it stands."""
        shard = self._next_shard
        self._next_shard = (shard + 1) % SHARDS
        windows = [(scope, self._windows[scope]) for scope in self._members[shard]]
        table = compress(to_json({scope: window.dump() for scope, window in windows}), 1)
        keys = (bytes(window.keys) for _, window in windows)
        rest = b"".join((_LENGTH.pack(len(table)), table, *keys))
        return Snapshot(shard, b"".join((_FORMAT, _CHECKSUM.pack(crc32(rest)), rest)))

    def load(self, shard: int, offset: int, body: bytes) -> None:
        """Take in a stored snapshot, whole or not at all. The next one to be made is of the shard whose own is oldest.

        Raises:
            CorruptBlock: the bytes are damaged, or of a later version than this program knows.
        """
        try:
            found = [(scope, Window.load(dumped, keys)) for scope, dumped, keys in _unpacked(body)]
        except (zlib.error, struct.error, ValueError, TypeError, LookupError, AttributeError) as error:
            raise CorruptBlock(f"shard {shard}: {error}") from error
        self.offsets[shard] = offset
        self._next_shard = min(range(SHARDS), key=self.offsets.__getitem__)
        for scope, window in found:
            self._add(scope, window)

    def replay(self, blocks: Iterable[tuple[int, bytes]]) -> int:
        """Observe the blocks that came after the snapshots; returns the readings observed.

        A block that a shard has already passed is not observed by its devices again; a damaged one is left out.
        """
        observed = 0
        for offset, body in blocks:
            for reading in self._decoded(offset, body):
                if offset > self.offsets[shard_of(reading.scope)]:
                    window = self.get(reading)
                    self.observe(window, reading)
                    if window.settled is not None:
                        deque(self.settling.take(window.settled, reading), maxlen=0)  # they have been judged
                    observed += 1
        return observed

    def _decoded(self, offset: int, body: bytes) -> Sequence[Reading]:
        try:
            return block.decode(body) if body else ()
        except block.CorruptBlock as reason:
            self.damaged[offset] = str(reason)
            return ()

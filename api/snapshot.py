"""All devices that somebody may see, in columns, for a map: encoded once per version of the registry and kept packed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from api.packed import Packed, pack
from gridwarden.errors import Unavailable
from gridwarden.office.registry import DevicePoint, Office

KEPT = 8
"""Encoded snapshots in memory, one per set of scopes: about 1 MB each for 60,000 devices."""
ATTEMPTS = 5
"""How often reading starts again because the registry changed meanwhile, before it gives up for now."""
DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An encoded answer."""

    version: int
    body: Packed


class Snapshots:
    """The snapshots of an office. Calls block: make them from threads."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._kept: OrderedDict[tuple[str, ...], Snapshot] = OrderedDict()
        self._making = threading.Lock()

    def get(self, scopes: Sequence[str]) -> Snapshot:
        """The devices within ``scopes`` as they stand now. Who comes while it is made waits and gets the same.

        Raises:
            Unavailable: the registry changed all the time, or cannot be read.
        """
        key = tuple(scopes)
        with self._making:
            kept = self._kept.pop(key, None)
            if kept is None or kept.version != self._office.version():
                kept = self._make(scopes)
            self._kept[key] = kept
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return kept

    def _make(self, scopes: Sequence[str]) -> Snapshot:
        for _ in range(ATTEMPTS):
            version = self._office.version()
            columns = _Columns()
            after = ""
            while points := self._office.device_points(scopes, after=after):
                columns.add(points)
                after = points[-1].device_id
            if self._office.version() == version:
                return columns.packed(version)
        raise Unavailable(f"the registry changed {ATTEMPTS} times while it was read")


@dataclass(slots=True)
class _Columns:
    """Columns as JSON without their brackets, a piece per page of rows: no object per device outlives its page."""

    kinds: dict[str, int] = field(default_factory=dict)
    areas: dict[str, int] = field(default_factory=dict)
    pieces: dict[str, list[bytes]] = field(
        default_factory=lambda: {name: [] for name in ("id", "k", "a", "lon", "lat", "name")}
    )

    def add(self, points: Sequence[DevicePoint]) -> None:
        ids, kinds, areas, lons, lats, names = zip(*points, strict=True)
        page: dict[str, list[Any] | tuple[Any, ...]] = {
            "id": ids,
            "k": [self.kinds.setdefault(kind, len(self.kinds)) for kind in kinds],
            "a": [self.areas.setdefault(area, len(self.areas)) for area in areas],
            "lon": [None if lon is None else round(lon, DECIMALS) for lon in lons],
            "lat": [None if lat is None else round(lat, DECIMALS) for lat in lats],
            "name": names,
        }
        for name, values in page.items():
            self.pieces[name].append(to_json(values)[1:-1])

    def packed(self, version: int) -> Snapshot:
        return Snapshot(version, pack(self._parts(version)))

    def _parts(self, version: int) -> Iterator[bytes]:
        head = to_json({"version": version, "kinds": list(self.kinds), "areas": list(self.areas)})
        yield head[:-1]
        for name, pieces in self.pieces.items():
            yield f',"{name}":['.encode()
            for number, piece in enumerate(pieces):
                yield b"," + piece if number else piece
            yield b"]"
        yield b"}"

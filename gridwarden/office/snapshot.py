"""The registry as core reads it: from web's file, read-only, in short read transactions. No SQLAlchemy here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from types import MappingProxyType
from typing import Any, overload

from gridwarden.errors import Unavailable
from gridwarden.model import Device

CHUNK_ROWS = 5_000
"""Rows of one read transaction: about 10 ms, where 100 ms are allowed (a long reader lets the WAL grow)."""
ATTEMPTS = 20
"""How often reading starts again because the registry changed meanwhile, before it gives up for now."""
_BUSY_S = 5.0
_CHUNK = """
SELECT device_id, kind, area, name, profile, gateway, building, water_main, power_feeder, lon, lat, attributes
FROM device WHERE device_id > ? ORDER BY device_id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """All devices as they stood at one version of the registry. Never changes; a newer one takes its place."""

    version: int = 0
    devices: Mapping[str, Device] = field(default_factory=lambda: MappingProxyType({}))
    besides: int = 0
    """How many of them are known without standing in it."""

    @property
    def registered(self) -> int:
        """How many devices stand in it."""
        return len(self.devices) - self.besides


@overload
def read_registry(path: Path) -> Registry: ...
@overload
def read_registry(path: Path, after_version: int, besides: Mapping[str, Device] = ...) -> Registry | None: ...
def read_registry(
    path: Path, after_version: int = -1, besides: Mapping[str, Device] = MappingProxyType({})
) -> Registry | None:
    """The registry of ``office.db`` at ``path``; a missing or still empty file is an empty one of version 0.

    Args:
        path: web's file; opened read-only.
        after_version: the version one has; ``None`` comes back where there is none newer.
        besides: devices that are known whatever stands in the file.

    Raises:
        Unavailable: the file cannot be read (now), or changed all the time while it was read.
    """
    registry = _read(path, after_version, besides) if path.exists() else Registry(0, besides, len(besides))
    return registry if registry is not None and registry.version > after_version else None


def _read(path: Path, after_version: int, besides: Mapping[str, Device]) -> Registry | None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as connection:
            connection.isolation_level = None  # every SELECT is a read transaction of its own
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'registry_version'").fetchone():
                return Registry(0, besides, len(besides))
            for _ in range(ATTEMPTS):
                before = _version(connection)
                if before <= after_version:
                    return None
                devices = _devices(connection, before)
                if devices is not None:
                    return Registry(before, MappingProxyType(devices | dict(besides)), len(besides))
    except sqlite3.DatabaseError as error:
        raise Unavailable(f"{path}: {error}") from error
    raise Unavailable(f"{path}: the registry changed {ATTEMPTS} times while it was read")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT version FROM registry_version").fetchone()[0])


def _devices(connection: sqlite3.Connection, version: int) -> dict[str, Device] | None:
    """All devices, or ``None`` where the registry is no longer at ``version``."""
    devices: dict[str, Device] = {}
    last = ""
    while rows := connection.execute(_CHUNK, (last, CHUNK_ROWS)).fetchall():
        if _version(connection) != version:
            return None
        for row in rows:
            devices[row[0]] = _device(row)
        last = rows[-1][0]
    return devices if _version(connection) == version else None


def _device(row: tuple[Any, ...]) -> Device:
    (device_id, kind, area, name, profile, gateway, building, water_main, power_feeder, lon, lat, attributes) = row
    # A hundred thousand devices share a few words: one copy of each.
    return Device(
        device_id, intern(kind), intern(area), name, intern(profile), gateway and intern(gateway), intern(building),
        intern(water_main), intern(power_feeder), lon, lat, {} if attributes == "{}" else json.loads(attributes),
    )  # fmt: skip

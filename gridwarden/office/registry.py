"""The registry: areas, devices, resources, with a version that every change raises. Plain calls, made from threads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    and_,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from gridwarden.errors import NotFound, Refused
from gridwarden.model import Area, Device, Resource
from gridwarden.office import schema
from gridwarden.office.coordinates import box_around, distance_m
from gridwarden.office.database import Database
from gridwarden.office.migrate import migrate
from gridwarden.office.rows import AREAS, DEVICES, RESOURCES, Entity
from gridwarden.office.snapshot import Registry, read_registry

__all__ = ["Office", "Registry", "read_registry"]

PAGE_LIMIT = 1_000
"""Most rows of one page."""
_RADII_M = (1_000.0, 4_000.0, 16_000.0, 64_000.0, 256_000.0)
"""Growing circles around a place, so that a search in a city does not sort the country."""
_AFTER_CODES = "\x7f"
"""Sorts after every character of an area code."""

EVERYWHERE = ("",)


class Office:
    """The repository over ``office.db``. ``scopes`` are the area prefixes of the one who asks; none: nothing."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, path: Path) -> Self:
        """The office of the file at ``path``, created or upgraded where needed."""
        migrate(path)
        return cls(Database(path))

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def version(self) -> int:
        """How many times the registry has changed."""
        with self.database.read() as connection:
            return registry_version(connection)

    # Areas

    def upsert_area(self, area: Area, *, valid_from: date | None = None, valid_to: date | None = None) -> None:
        """Add or change an area; raises :class:`Refused` where it cannot be one."""
        self._upsert(AREAS, {**asdict(area), "valid_from": valid_from, "valid_to": valid_to})

    def areas(self, scopes: Sequence[str] = EVERYWHERE, *, on: date | None = None) -> list[Area]:
        """The areas within ``scopes`` by code; with ``on`` those only that are valid on that day."""
        table = schema.area
        query = select(table.c.code, table.c.name, table.c.name_en).where(_within(table.c.code, scopes))
        if on is not None:
            query = query.where(
                or_(table.c.valid_from.is_(None), table.c.valid_from <= on),
                or_(table.c.valid_to.is_(None), table.c.valid_to >= on),
            )
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(table.c.code)).all()
        return [Area(*row) for row in rows]

    # Devices

    def upsert_device(self, device: Device) -> None:
        """Add or change a device; raises :class:`Refused` where it cannot be one."""
        self._upsert(DEVICES, asdict(device))

    def delete_device(self, device_id: str) -> None:
        """Take a device out of the registry; raises :class:`NotFound`."""
        self._delete(DEVICES, device_id)

    def device(self, device_id: str) -> Device:
        """One device; raises :class:`NotFound`."""
        return _device(self._one(DEVICES, device_id))

    def devices(
        self,
        scopes: Sequence[str] = EVERYWHERE,
        *,
        q: str = "",
        kind: str = "",
        area: str = "",
        after: str = "",
        limit: int = 100,
    ) -> list[Device]:
        """A page of devices by id, those after the id ``after``; ``q`` is part of an id or a name."""
        return [_device(row) for row in self._page(DEVICES, scopes, q, kind, area, after, limit)]

    # Resources

    def upsert_resource(self, resource: Resource) -> None:
        """Add or change a resource; raises :class:`Refused` where it cannot be one."""
        self._upsert(RESOURCES, asdict(resource))

    def delete_resource(self, resource_id: str) -> None:
        """Take a resource out of the registry; raises :class:`NotFound`."""
        self._delete(RESOURCES, resource_id)

    def resource(self, resource_id: str) -> Resource:
        """One resource; raises :class:`NotFound`."""
        return _resource(self._one(RESOURCES, resource_id))

    def resources(
        self,
        scopes: Sequence[str] = EVERYWHERE,
        *,
        q: str = "",
        kind: str = "",
        area: str = "",
        after: str = "",
        limit: int = 100,
    ) -> list[Resource]:
        """A page of resources by id, as :meth:`devices`."""
        return [_resource(row) for row in self._page(RESOURCES, scopes, q, kind, area, after, limit)]

    def nearest_resources(
        self, lon: float, lat: float, *, limit: int = 3, kind: str = "", scopes: Sequence[str] = EVERYWHERE
    ) -> list[tuple[Resource, float]]:
        """The resources nearest to a place (WGS-84) with their great-circle distance in metres, nearest first.

        None further away than 256 km.
        """
        here = (lon, lat)
        found: list[tuple[float, RowMapping]] = []
        for radius_m in _RADII_M:
            query = select(schema.resource).where(_in_box(schema.resource, here, radius_m))
            query = query.where(_within(schema.resource.c.area, scopes))
            if kind:
                query = query.where(schema.resource.c.kind == kind)
            with self.database.read() as connection:
                rows = connection.execute(query).mappings().all()
            measured = ((distance_m(here, (row["lon"], row["lat"])), row) for row in rows)
            # The corners of the box lie outside the circle: something nearer may lie outside the box.
            found = [pair for pair in measured if pair[0] <= radius_m]
            if len(found) >= limit:
                break
        found.sort(key=lambda pair: (pair[0], pair[1]["resource_id"]))
        return [(_resource(row), metres) for metres, row in found[: max(0, limit)]]

    def counts(self, scopes: Sequence[str] = EVERYWHERE) -> dict[str, dict[str, int]]:
        """How many ``devices`` and ``resources`` there are, by kind, and how many ``areas``."""
        with self.database.read() as connection:
            areas = select(func.count()).select_from(schema.area).where(_within(schema.area.c.code, scopes))
            return {
                "areas": {"": int(connection.execute(areas).scalar_one())},
                "devices": _by_kind(connection, schema.device, scopes),
                "resources": _by_kind(connection, schema.resource, scopes),
            }

    # Followers

    def cursor(self, follower: str) -> int:
        """The offset up to which ``follower`` is done; 0 for a new one."""
        query = select(schema.cursor.c.position).where(schema.cursor.c.follower == follower)
        with self.database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def set_cursor(self, follower: str, position: int) -> None:
        """Note that ``follower`` is done up to ``position``."""
        statement = insert(schema.cursor).values(follower=follower, position=position)
        with self.database.write() as connection:
            connection.execute(statement.on_conflict_do_update(["follower"], set_={"position": position}))

    def _upsert(self, entity: Entity, values: dict[str, Any]) -> None:
        row, problems = entity.checked(values)
        if problems:
            column, reason = problems[0]
            raise Refused("invalid", f"{column}: {reason}")
        rest = {name: value for name, value in row.items() if name != entity.key}
        statement = insert(entity.table).values(row)
        changed = or_(*(entity.table.c[name].is_distinct_from(statement.excluded[name]) for name in rest))
        with self.database.write() as connection:
            done = connection.execute(statement.on_conflict_do_update([entity.key], set_=rest, where=changed))
            if done.rowcount:
                raise_version(connection)

    def _delete(self, entity: Entity, key: str) -> None:
        with self.database.write() as connection:
            done = connection.execute(entity.table.delete().where(entity.table.c[entity.key] == key))
            if not done.rowcount:
                raise NotFound("not_found", key)
            raise_version(connection)

    def _one(self, entity: Entity, key: str) -> RowMapping:
        with self.database.read() as connection:
            row = connection.execute(select(entity.table).where(entity.table.c[entity.key] == key)).mappings().first()
        if row is None:
            raise NotFound("not_found", key)
        return row

    def _page(
        self, entity: Entity, scopes: Sequence[str], q: str, kind: str, area: str, after: str, limit: int
    ) -> Sequence[RowMapping]:
        columns = entity.table.c
        query: Select[Any] = select(entity.table).where(columns[entity.key] > after, _within(columns.area, scopes))
        if area:
            query = query.where(_within(columns.area, (area,)))
        if kind:
            query = query.where(columns.kind == kind)
        if q:
            query = query.where(
                or_(columns[entity.key].icontains(q, autoescape=True), columns.name.icontains(q, autoescape=True))
            )
        query = query.order_by(columns[entity.key]).limit(max(1, min(limit, PAGE_LIMIT)))
        with self.database.read() as connection:
            return connection.execute(query).mappings().all()


def registry_version(connection: Connection) -> int:
    """The version as this transaction sees it."""
    return int(connection.execute(select(schema.registry_version.c.version)).scalar_one())


def raise_version(connection: Connection) -> int:
    """Count one more change of the registry, in the transaction that makes it; the new version."""
    connection.execute(update(schema.registry_version).values(version=schema.registry_version.c.version + 1))
    return registry_version(connection)


def _within(column: ColumnElement[str], scopes: Iterable[str]) -> ColumnElement[bool]:
    """Area prefixes as ranges, which an index serves; a row without an area is in ``""`` only."""
    parts = [true() if scope == "" else and_(column >= scope, column < scope + _AFTER_CODES) for scope in scopes]
    return or_(false(), *parts)


def _in_box(table: Table, here: tuple[float, float], radius_m: float) -> ColumnElement[bool]:
    south, north, ranges = box_around(here, radius_m)
    return and_(table.c.lat.between(south, north), or_(*(table.c.lon.between(west, east) for west, east in ranges)))


def _by_kind(connection: Connection, table: Table, scopes: Sequence[str]) -> dict[str, int]:
    query = select(table.c.kind, func.count()).where(_within(table.c.area, scopes)).group_by(table.c.kind)
    return {str(kind): int(count) for kind, count in connection.execute(query.order_by(table.c.kind))}


def _device(row: RowMapping) -> Device:
    return Device(**{**row, "attributes": json.loads(row["attributes"])})


def _resource(row: RowMapping) -> Resource:
    return Resource(**{**row, "attributes": json.loads(row["attributes"])})

"""The registry: areas, devices, resources, with a version that every change raises. Plain calls, made from threads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, RowMapping, Select, Table, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from gridwarden.errors import NotFound, Refused
from gridwarden.model import Area, Device, Resource
from gridwarden.office import schema
from gridwarden.office.database import Database
from gridwarden.office.migrate import migrate
from gridwarden.office.places import in_scopes, nearest
from gridwarden.office.rows import AREAS, DEVICES, RESOURCES, Entity
from gridwarden.office.snapshot import Registry, read_registry

__all__ = ["Office", "Registry", "read_registry"]

PAGE_LIMIT = 1_000
"""Most rows of one page."""
POINTS_LIMIT = 5_000
"""Most rows of one page of points: about 20 ms of the 100 that a read transaction may take."""

EVERYWHERE = ("",)


class DevicePoint(NamedTuple):
    """What a map shows of a device."""

    device_id: str
    kind: str
    area: str
    lon: float | None
    lat: float | None
    name: str


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
        query = select(table.c.code, table.c.name, table.c.name_en).where(in_scopes(table.c.code, scopes))
        if on is not None:
            query = query.where(
                or_(table.c.valid_from.is_(None), table.c.valid_from <= on),
                or_(table.c.valid_to.is_(None), table.c.valid_to >= on),
            )
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(table.c.code)).all()
        return [Area(*row) for row in rows]

    def outlines(
        self, scopes: Sequence[str] = EVERYWHERE, *, after: str = "", limit: int = 100
    ) -> list[tuple[Area, str]]:
        """A page by code of the areas that have an outline, each with its GeoJSON text."""
        table = schema.area.c
        query = select(table.code, table.name, table.name_en, table.geometry).where(
            table.code > after, in_scopes(table.code, scopes), table.geometry.is_not(None)
        )
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(table.code).limit(limit)).all()
        return [(Area(*row[:3]), row.geometry) for row in rows]

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

    def nearest_devices(
        self, lon: float, lat: float, *, limit: int = 5, kind: str = "", scopes: Sequence[str] = EVERYWHERE
    ) -> list[tuple[Device, float]]:
        """The devices nearest to a place, as :meth:`nearest_resources`."""
        with self.database.read() as connection:
            found = nearest(connection, DEVICES, (lon, lat), limit=limit, kind=kind, scopes=scopes)
        return [(_device(row), metres) for row, metres in found]

    def device_points(
        self, scopes: Sequence[str] = EVERYWHERE, *, after: str = "", limit: int = POINTS_LIMIT
    ) -> list[DevicePoint]:
        """A page of what a map shows of devices, by id, those after the id ``after``."""
        table = schema.device.c
        query = select(table.device_id, table.kind, table.area, table.lon, table.lat, table.name)
        query = query.where(table.device_id > after, in_scopes(table.area, scopes))
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(table.device_id).limit(max(1, min(limit, POINTS_LIMIT)))).all()
        return [DevicePoint(*row) for row in rows]

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
        with self.database.read() as connection:
            found = nearest(connection, RESOURCES, (lon, lat), limit=limit, kind=kind, scopes=scopes)
        return [(_resource(row), metres) for row, metres in found]

    def counts(self, scopes: Sequence[str] = EVERYWHERE) -> dict[str, dict[str, int]]:
        """How many ``devices`` and ``resources`` there are, by kind, and how many ``areas``."""
        with self.database.read() as connection:
            areas = select(func.count()).select_from(schema.area).where(in_scopes(schema.area.c.code, scopes))
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
        query: Select[Any] = select(entity.table).where(columns[entity.key] > after, in_scopes(columns.area, scopes))
        if area:
            query = query.where(in_scopes(columns.area, (area,)))
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


def _by_kind(connection: Connection, table: Table, scopes: Sequence[str]) -> dict[str, int]:
    query = select(table.c.kind, func.count()).where(in_scopes(table.c.area, scopes)).group_by(table.c.kind)
    return {str(kind): int(count) for kind, count in connection.execute(query.order_by(table.c.kind))}


def _device(row: RowMapping) -> Device:
    return Device(**{**row, "attributes": json.loads(row["attributes"])})


def _resource(row: RowMapping) -> Resource:
    return Resource(**{**row, "attributes": json.loads(row["attributes"])})

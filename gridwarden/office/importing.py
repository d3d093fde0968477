"""Areas, devices and resources from files: every fault found is told with its place; a file is taken whole or not at all.

Rows are checked one by one and gathered in a temporary table, which locks nobody. Then one set-based upsert moves
them into the registry, in a transaction that lasts for tenths of a second, not for as long as the file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, select

from gridwarden import areas
from gridwarden.errors import ConfigError
from gridwarden.office import schema
from gridwarden.office.coordinates import Crs, to_wgs84
from gridwarden.office.geometry import moved
from gridwarden.office.mapping import ColumnMapping, load_mapping, same_names
from gridwarden.office.registry import Office
from gridwarden.office.rows import AREAS, ENTITIES, Entity
from gridwarden.office.sources import ROW_LIMIT, UNUSABLE, Source, SourceRow, describe, open_source
from gridwarden.office.staging import STEP_ROWS, Stage

ERRORS_KEPT = 50
"""Faults told one by one; further ones are counted."""
_ROOTS = frozenset({areas.Level.CITY, areas.Level.DISTRICT})

What = Literal["areas", "devices", "resources"]
Progress = Callable[[float, int], None]
"""Called with the share of the file that is done, 0 to 1, and the rows read."""


@dataclass(frozen=True, slots=True)
class RowError:
    """One fault of one row."""

    place: str
    """``line 17`` or ``feature 3``."""
    column: str
    """Our name of the column; ``""`` where the whole row is meant."""
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.column, self.reason) if part)


@dataclass(slots=True)
class ImportReport:
    """What an import did, or with ``dry_run`` would do. With errors nothing was written."""

    path: str
    dry_run: bool
    rows: int = 0
    """Rows read; each of them was skipped, refused, or is added, changed or unchanged."""
    skipped: int = 0
    """Rows the mapping's ``where`` leaves out."""
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    error_count: int = 0
    errors: list[RowError] = field(default_factory=list)
    """The first ``ERRORS_KEPT`` of them."""
    version: int | None = None
    """The registry's version after the import; ``None`` where nothing was written."""

    @property
    def ok(self) -> bool:
        """Whether the file was taken."""
        return not self.error_count

    def refuse(self, place: str, column: str, reason: str) -> None:
        """Note a fault."""
        self.error_count += 1
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(RowError(place, column, reason))


def import_file(
    office: Office,
    what: What,
    path: Path,
    *,
    mapping: str | Path | Mapping[str, Any] | None = None,
    crs: Crs = Crs.WGS84,
    encoding: str = "utf-8",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Add and change the areas, devices or resources of a CSV or GeoJSON file.

    A column that neither the file nor the mapping has is left as it is in rows that exist already. What the file
    does not name stays. Coordinates of ``crs`` are stored as WGS-84.

    Raises:
        ConfigError: the file or the mapping cannot be used at all. Faults of single rows are in the report.
        OfficeUnavailable: the database cannot be written now.
    """
    entity = ENTITIES[what]
    columns = None if mapping is None else load_mapping(mapping, entity)
    report = ImportReport(str(path), dry_run)
    with open_source(path, encoding) as source, office.database.own_connection() as connection:
        reader = _Reader(entity, source, columns, crs, report)
        stage = Stage(connection, entity)
        _gather(connection, stage, reader, progress or (lambda _share, _rows: None), path)
        if entity is AREAS:
            _check_parents(connection, reader)
        if report.ok:
            provided = sorted(reader.provided)
            tally = (
                stage.compare(connection, provided) if dry_run else stage.merge(office.database, connection, provided)
            )
            report.added, report.changed, report.unchanged, report.version = tally
    return report


class _Reader:
    """Rows of a file to rows of a table; keeps count and remembers what went wrong."""

    def __init__(
        self, entity: Entity, source: Source, mapping: ColumnMapping | None, crs: Crs, report: ImportReport
    ) -> None:
        self._entity = entity
        self.source = source
        self._mapping = mapping
        self._crs = crs
        self._report = report
        self.last = 0
        """The line or feature read last."""
        self.seen: dict[str, int] = {}
        """Key to line or feature."""
        self.provided: set[str] = set(mapping.fields if mapping else ())
        if source.columns is not None:
            self._check_columns(source.columns)

    @property
    def read(self) -> int:
        """Rows read."""
        return self._report.rows

    def _check_columns(self, columns: list[str]) -> None:
        if self._mapping is None:
            self._mapping = same_names(columns, self._entity)
            self.provided = set(columns)
            missing = self._entity.required - set(columns)
        else:
            missing = self._mapping.columns - set(columns)
        if missing:
            raise ConfigError(f"column {min(missing)!r} is missing", place="line 1")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The good rows."""
        for source_row in self.source.rows():
            self._report.rows += 1
            if self._report.rows > ROW_LIMIT:
                raise ConfigError(f"more than {ROW_LIMIT} rows")
            self.last = source_row.number
            if self._skips(source_row):
                self._report.skipped += 1
                continue
            row = self._row(source_row)
            if row is not None:
                yield row

    def _skips(self, source_row: SourceRow) -> bool:
        if self._mapping is None or (source_row.problem and not source_row.properties):
            return False
        return not self._mapping.wants(source_row.properties)

    def _row(self, source_row: SourceRow) -> dict[str, Any] | None:
        number = source_row.number
        if source_row.problem and (self._entity.placed or not source_row.properties):
            self.refuse(number, "", source_row.problem)
            return None
        try:
            raw = self._raw(source_row)
        except (ValueError, ConfigError) as error:
            self.refuse(number, "", str(error))
            return None
        row, problems = self._entity.checked(raw)
        problems += [(name, "is missing") for name in sorted(self._entity.required - raw.keys())]
        for column, reason in problems:
            self.refuse(number, column, reason)
        if problems:
            return None
        first = self.seen.setdefault(row[self._entity.key], number)
        if first != number:
            self.refuse(number, self._entity.key, f"stands in {self.source.unit} {first} already")
            return None
        return self._placed(row)

    def _raw(self, source_row: SourceRow) -> dict[str, Any]:
        mapping = self._mapping or same_names(source_row.properties.keys() - {"id"}, self._entity)
        raw = mapping.apply(source_row.properties)
        if source_row.point is not None and self._entity.placed and "lon" not in raw:
            raw["lon"], raw["lat"] = source_row.point
        if self._entity is AREAS and self.source.columns is None and "geometry" not in raw:
            raw["geometry"] = source_row.geometry
        self.provided.update(raw)
        return raw

    def _placed(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._crs is not Crs.WGS84 and row.get("lon") is not None:
            row["lon"], row["lat"] = to_wgs84((row["lon"], row["lat"]), self._crs)
        if self._crs is not Crs.WGS84 and row.get("geometry") is not None:
            row["geometry"] = moved(row["geometry"], self._crs)
        return row

    def refuse(self, number: int, column: str, reason: str) -> None:
        """Note a fault of the row ``number``."""
        self._report.refuse(f"{self.source.unit} {number}", column, reason)


def _gather(connection: Connection, stage: Stage, reader: _Reader, progress: Progress, path: Path) -> None:
    rows = reader.rows()
    try:
        while chunk := list(islice(rows, STEP_ROWS)):
            stage.add(connection, chunk)
            progress(reader.source.share(), reader.read)
    except UNUSABLE as error:
        raise ConfigError(describe(error), path=path, place=f"{reader.source.unit} {reader.last}") from error
    progress(1.0, reader.read)


def _check_parents(connection: Connection, reader: _Reader) -> None:
    """Every area but a city or a district, which may be the root of an installation, needs its parent."""
    parents = {code: areas.parent_of(code) for code in reader.seen if areas.level_of(code) not in _ROOTS}
    absent = sorted({parent for parent in parents.values() if parent is not None} - reader.seen.keys())
    known: set[str] = set()
    for start in range(0, len(absent), STEP_ROWS):
        with connection.begin():
            query = select(schema.area.c.code).where(schema.area.c.code.in_(absent[start : start + STEP_ROWS]))
            known.update(connection.execute(query).scalars())
    for code, parent in parents.items():
        if parent is not None and parent not in reader.seen and parent not in known:
            reader.refuse(
                reader.seen[code], "code", f"{code!r}: its parent {parent!r} is neither known nor in this file"
            )

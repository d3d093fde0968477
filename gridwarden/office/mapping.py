"""Which column of somebody's file goes into which of ours. Pure, apart from reading the mapping's own small file.

For example::

    device_id: {column: "@id", prefix: osm-, replace: {"/": "-"}}
    kind: {const: hydrant}
    name: ref
    attributes: [operator, diameter]      # or {diameter_mm: diameter}
    where: {emergency: fire_hydrant}      # other rows are skipped; a list means any of these
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gridwarden.errors import ConfigError, quoted
from gridwarden.office.rows import Entity, as_text
from gridwarden.plain_yaml import read_yaml

FILE_LIMIT_BYTES = 64 * 1024
PRESETS = Path(__file__).parent / "presets"
"""Mappings that come with the program, one file each."""

Properties = Mapping[str, Any]
"""One row or feature as the file has it."""


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str | None = None
    const: str | bool | int | float | None = None
    prefix: str = ""
    replace: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of(self) -> _Source:
        if (self.column is None) == (self.const is None):
            msg = "either column or const is expected"
            raise ValueError(msg)
        return self

    def read(self, properties: Properties) -> Any:
        raw = self.const if self.column is None else properties.get(self.column)
        if not self.prefix and not self.replace:
            return raw
        text = as_text(raw)
        for old, new in self.replace.items():
            text = text.replace(old, new)
        return self.prefix + text if text else ""


_Scalar = str | bool | int | float
_FIELD = TypeAdapter[str | _Source](str | _Source)
_ATTRIBUTES = TypeAdapter[list[str] | dict[str, str]](list[str] | dict[str, str])
_WHERE = TypeAdapter[dict[str, _Scalar | list[_Scalar]]](dict[str, _Scalar | list[_Scalar]])


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """A mapping that was checked against the entity it fills."""

    fields: Mapping[str, Callable[[Properties], Any]]
    columns: frozenset[str]
    """Columns it reads, which a CSV file must have."""
    where: Mapping[str, frozenset[str]]

    def wants(self, properties: Properties) -> bool:
        """Whether the row is meant at all."""
        return all(_key(properties.get(column)) in values for column, values in self.where.items())

    def apply(self, properties: Properties) -> dict[str, Any]:
        """Our columns with raw values. Raises ValueError where a value cannot be made into text."""
        return {name: read(properties) for name, read in self.fields.items()}


def load_mapping(source: str | Path | Mapping[str, Any], entity: Entity) -> ColumnMapping:
    """The mapping of a YAML file, of a preset by its name (``osm_hydrants``), or of a dict.

    Raises:
        ConfigError: no such file, not YAML, a column we do not have, a required one left out.
    """
    where = None if isinstance(source, Mapping) else source
    data = source if isinstance(source, Mapping) else _read_yaml(source)
    try:
        return _mapping(data, entity)
    except ConfigError as error:
        raise ConfigError(error.reason, path=where or "mapping", place=error.place) from error


def same_names(columns: Collection[str], entity: Entity) -> ColumnMapping:
    """The mapping of a file that uses our own names.

    Raises:
        ConfigError: a column of the file is none of ours (misspelt, or a mapping is needed).
    """
    unknown = sorted(set(columns) - set(entity.checks))
    if unknown:
        known = ", ".join(entity.checks)
        raise ConfigError(f"unknown column {unknown[0]!r}; known: {known}; other names need a mapping")
    return ColumnMapping({name: _reader(name) for name in columns}, frozenset(columns), {})


def _read_yaml(source: str | Path) -> Mapping[str, Any]:
    preset = PRESETS / f"{source}.yaml"
    path = preset if isinstance(source, str) and source.isidentifier() and preset.exists() else Path(source)
    data = read_yaml(path, FILE_LIMIT_BYTES)
    if not isinstance(data, dict):
        raise ConfigError("a mapping of our columns to the file's is expected", path=path)
    return data


def _mapping(data: Mapping[str, Any], entity: Entity) -> ColumnMapping:
    unknown = [name for name in data if name not in entity.checks and name != "where"]
    if unknown:
        raise ConfigError(f"unknown; known: {', '.join(entity.checks)}, where", place=str(unknown[0]))
    missing = sorted(entity.required - set(data))
    if missing:
        raise ConfigError("is required", place=missing[0])
    fields: dict[str, Callable[[Properties], Any]] = {}
    columns: set[str] = set()
    for name, given in data.items():
        if name == "attributes":
            chosen = _checked(_ATTRIBUTES, given, name)
            pairs = chosen if isinstance(chosen, dict) else {column: column for column in chosen}
            fields[name] = _attributes_reader(pairs)
            columns.update(pairs.values())
        elif name != "where":
            source = _checked(_FIELD, given, name)
            source = _Source(column=source) if isinstance(source, str) else source
            fields[name] = (
                source.read if source.prefix or source.replace or source.column is None else _reader(source.column)
            )
            columns.update([source.column] if source.column is not None else [])
    conditions = _checked(_WHERE, data.get("where", {}), "where")
    where = {
        column: frozenset(_key(value) for value in (values if isinstance(values, list) else [values]))
        for column, values in conditions.items()
    }
    return ColumnMapping(fields, frozenset(columns | set(where)), where)


def _checked(adapter: TypeAdapter[Any], given: Any, place: str) -> Any:
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        raise ConfigError(f"{error.errors()[0]['msg']} (got {quoted(given)})", place=place) from error


def _reader(column: str) -> Callable[[Properties], Any]:
    return lambda properties: properties.get(column)


def _attributes_reader(pairs: Mapping[str, str]) -> Callable[[Properties], Any]:
    def read(properties: Properties) -> dict[str, Any]:
        values = ((name, properties.get(column)) for name, column in pairs.items())
        return {name: value for name, value in values if value not in (None, "")}

    return read


def _key(raw: Any) -> str:
    try:
        return as_text(raw)
    except ValueError:
        return "\0"  # a list or an object equals no value that a mapping can name

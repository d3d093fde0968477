"""How the columns of somebody's file become readings: a small YAML mapping, strict. Pure but for :func:`load`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gridwarden.errors import ConfigError, GridwardenError, quoted
from gridwarden.kinds import SENSORS, FieldType
from gridwarden.model import Value
from gridwarden.plain_yaml import read_yaml

SHIPPED = Path(__file__).parent / "mappings"
Row = Mapping[str, Any]
Lane = Literal["up", "alarm"]
FILE_LIMIT_BYTES = 64 * 1024
_GATEWAY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BOOLS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class RowError(GridwardenError):
    """A row that cannot be mapped: which column, and why."""

    def __init__(self, column: str, reason: str) -> None:
        self.column = column
        self.reason = reason
        super().__init__(f"column {column}: {reason}")


@dataclass(frozen=True, slots=True)
class Mapped:
    """One reading as it goes on the wire, and on which topic."""

    gateway: str
    lane: Lane
    device_id: str
    at_ms: int | None
    seq: int | None
    values: dict[str, Value]

    def topic(self) -> str:
        """The native topic of its gateway and lane."""
        return f"gridwarden/v1/{self.gateway}/{self.lane}"

    def body(self, shift_ms: int = 0) -> dict[str, Any]:
        """The native body of one reading, its time moved by ``shift_ms``."""
        body: dict[str, Any] = {"device": self.device_id}
        if self.at_ms is not None:
            body["at"] = self.at_ms + shift_ms
        if self.seq is not None:
            body["seq"] = self.seq
        body["values"] = self.values
        return body


def native(row: Row) -> Mapped:
    """A row that already is a reading of the native body, with ``gateway`` (and ``lane``) beside it.

    Raises:
        RowError: a name is missing or holds what it may not.
    """
    wanted = (("device", str), ("values", dict), ("at", int | str | None), ("seq", int | None))
    for name, type_ in wanted:
        if not isinstance(row.get(name), type_):
            raise RowError(name, "missing" if name not in row else f"{row[name]!r} is not usable here")
    gateway, lane = row.get("gateway", "replay"), row.get("lane", "up")
    if lane not in ("up", "alarm") or not (isinstance(gateway, str) and _GATEWAY.fullmatch(gateway)):
        raise RowError("gateway", f"{gateway!r}, lane {lane!r}: no topic can be made of these")
    at = row.get("at")
    at_ms = At(column="at").read(row) if isinstance(at, str) else at
    return Mapped(gateway, lane, row["device"], at_ms, row.get("seq"), row["values"])


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        msg = f"no time zone {name!r}"
        raise ValueError(msg) from error
    return name


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class At(_Section):
    """Where the device's time stands."""

    column: str
    format: Literal["iso", "epoch_s", "epoch_ms"] = "iso"
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Zone of ISO times that carry no offset of their own."""

    def read(self, row: Row) -> int:
        """Milliseconds since the epoch."""
        cell = _cell(row, self.column)
        try:
            if self.format == "iso":
                at = datetime.fromisoformat(str(cell).strip())
                at = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(self.zone))
                return round(at.timestamp() * 1000)
            return round(float(cell) * (1000 if self.format == "epoch_s" else 1))
        except (TypeError, ValueError, OverflowError) as error:
            raise RowError(self.column, f"{cell!r} is no time of format {self.format}") from error


class Source(_Section):
    """Where one field's value stands and how it is read."""

    column: str
    type: Literal["text", "float", "int", "bool"] = "text"
    map: dict[str, str | int | float | bool] | None = None
    default: Literal["skip", "keep"] | None = None
    """A value that ``map`` does not name: ``skip`` the field, ``keep`` it as it is; without either, a row error."""

    def read(self, row: Row) -> Value:
        """The value; ``None`` where there is none to send (an empty number, a skipped one)."""
        cell = _cell(row, self.column)
        if self.map is not None:
            if str(cell) in self.map:
                return self.map[str(cell)]
            if self.default == "skip":
                return None
            if self.default is None:
                raise RowError(self.column, f"{cell!r} is not in the map ({', '.join(self.map)})")
        if cell is None or (cell == "" and self.type != "text"):
            return None
        try:
            return _CONVERT[self.type](cell)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RowError(self.column, f"{cell!r} is no {self.type}") from error


def _finite(cell: Any) -> float:
    number = float(cell)
    if not math.isfinite(number):
        msg = "not finite"
        raise ValueError(msg)
    return number


def _whole(cell: Any) -> int:
    number = _finite(cell)
    if number != int(number):
        msg = "not whole"
        raise ValueError(msg)
    return int(number)


_CONVERT: dict[str, Callable[[Any], Value]] = {
    "text": str,
    "float": _finite,
    "int": _whole,
    "bool": lambda cell: _BOOLS[str(cell).strip().lower()],
}


def _cell(row: Row, column: str) -> Any:
    try:
        return row[column]
    except KeyError:
        raise RowError(column, "missing") from None


def _short_form(source: Any) -> Any:
    return {"column": source} if isinstance(source, str) else source


class FileMapping(_Section):
    """The whole mapping; an unknown key is an error."""

    kind: str = ""
    """Kind of the devices; when given, field names and mapped values are checked against it."""
    gateway: str = Field("replay", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    lane: Lane = "up"
    device: str
    at: At | None = None
    where: dict[str, str] = {}
    """Only rows whose columns equal these are taken."""
    seq: Literal["file order"] | None = None
    values: dict[str, Annotated[Source, BeforeValidator(_short_form)]] = Field(min_length=1)

    @model_validator(mode="after")
    def _fields_of_kind(self) -> FileMapping:
        if not self.kind:
            return self
        if self.kind not in SENSORS:
            msg = f"no kind {self.kind!r}; known: {', '.join(SENSORS)}"
            raise ValueError(msg)
        for name, source in self.values.items():
            field = SENSORS[self.kind].fields.get(name)
            if field is None:
                msg = f"kind {self.kind} has no field {name!r}"
                raise ValueError(msg)
            wrong = set((source.map or {}).values()) - set(field.choices)
            if field.type is FieldType.ENUM and wrong:
                msg = f"{name} may be {', '.join(field.choices)}, not {', '.join(map(str, wrong))}"
                raise ValueError(msg)
        return self

    @property
    def columns(self) -> set[str]:
        """Every column it reads."""
        at = {self.at.column} if self.at else set()
        return {self.device, *self.where, *at, *(source.column for source in self.values.values())}

    def apply(self, row: Row, number: int) -> Mapped | None:
        """The reading of ``row``, the ``number``-th of its file; ``None`` where ``where`` leaves it out.

        Raises:
            RowError: the row is meant but cannot be read.
        """
        if any(_cell(row, column) != wanted for column, wanted in self.where.items()):
            return None
        device_id = str(_cell(row, self.device) or "").strip()
        if not device_id:
            raise RowError(self.device, "no device")
        read = {name: source.read(row) for name, source in self.values.items()}
        values: dict[str, Value] = {name: value for name, value in read.items() if value is not None}
        if not values:
            raise RowError(", ".join(source.column for source in self.values.values()), "no value")
        at_ms = self.at.read(row) if self.at else None
        return Mapped(self.gateway, self.lane, device_id, at_ms, number if self.seq else None, values)


def load(path: Path) -> FileMapping:
    """Read a mapping file; a bare name such as ``db_lifts`` is one of the shipped ones.

    Raises:
        ConfigError: no such file, not YAML, unknown key, or a value that is none; with the place.
    """
    shipped = SHIPPED / f"{path}.yaml"
    if not path.exists() and path.name == str(path) and shipped.exists():
        path = shipped
    content = read_yaml(path, FILE_LIMIT_BYTES)
    try:
        return FileMapping.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        reason = (
            "unknown key" if first["type"] == "extra_forbidden" else f"{first['msg']} (got {quoted(first['input'])})"
        )
        raise ConfigError(reason, path=path, place=".".join(map(str, first["loc"]))) from error

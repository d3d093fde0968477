"""The rows of a CSV or GeoJSON file, one at a time, within bounds. Nothing here knows what the rows mean."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from pydantic_core import from_json

from gridwarden.errors import ConfigError

FILE_LIMIT_BYTES = 200 * 2**20
"""Largest file, also once unpacked."""
ROW_LIMIT = 1_000_000
FIELD_LIMIT = 16_384
"""Longest single value, characters: enough for attributes as JSON, too little for a lost quotation mark."""
COLUMN_LIMIT = 1_000

UNUSABLE = (OSError, EOFError, zlib.error, UnicodeError, csv.Error)
"""What reading a damaged or foreign file raises."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One record as the file has it."""

    number: int
    """Line of a CSV file, number of the feature (from 1) of a GeoJSON file."""
    properties: dict[str, Any]
    point: tuple[Any, Any] | None = None
    """GeoJSON: the raw coordinates of a point."""
    geometry: Any = None
    """GeoJSON: the raw geometry, whatever it is."""
    problem: str = ""
    """Why the record cannot be read at all."""


class Source(Protocol):
    """An opened file."""

    unit: str
    """What ``SourceRow.number`` counts: ``line`` or ``feature``."""
    columns: list[str] | None
    """The header; ``None`` where every record has its own properties."""

    def rows(self) -> Iterator[SourceRow]:
        """Every record once."""
        ...

    def share(self) -> float:
        """How much has been read, 0 to 1."""
        ...


@contextmanager
def open_source(path: Path, encoding: str, limit_bytes: int | None = None) -> Iterator[Source]:
    """The file at ``path``: ``.csv``, ``.geojson`` or ``.json``, each also with ``.gz``; at most ``limit_bytes`` of it.

    What the block finds wrong with it is told with its name too.

    Raises:
        ConfigError: missing, too large, another kind of file, or its beginning cannot be read.
    """
    try:
        with _open_source(path, encoding, limit_bytes or FILE_LIMIT_BYTES) as source:
            yield source
    except ConfigError as error:
        if error.path is not None:
            raise
        raise ConfigError(error.reason, path=path, place=error.place) from error


@contextmanager
def _open_source(path: Path, encoding: str, limit_bytes: int) -> Iterator[Source]:
    name = path.name.lower().removesuffix(".gz")
    opener = _OPENERS.get(Path(name).suffix)
    if opener is None:
        raise ConfigError("a .csv, .geojson or .json file is expected (also with .gz)", path=path)
    with ExitStack() as stack:
        try:
            size = _bounded_size(path, limit_bytes)
            raw = stack.enter_context(path.open("rb"))
            packed = path.name.lower().endswith(".gz")
            unpacked = stack.enter_context(gzip.GzipFile(fileobj=raw)) if packed else raw
            source = opener(_Bounded(unpacked, path, limit_bytes), lambda: raw.tell() / max(1, size), encoding)
        except UNUSABLE as error:
            raise ConfigError(describe(error), path=path) from error
        yield source


def _bounded_size(path: Path, limit_bytes: int) -> int:
    size = path.stat().st_size
    if size > limit_bytes:
        raise ConfigError(f"{size} bytes, at most {limit_bytes} are allowed")
    return size


def describe(error: BaseException) -> str:
    """What is wrong with a file, in words for the one who made it."""
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding} near byte {error.start}; name the encoding (gb18030?) or save it as UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"cannot be read: {error}"


class _Bounded(io.RawIOBase):
    """A stream that ends with an error, not with all memory, when a small file unpacks into a large one."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, path: Path, limit_bytes: int) -> None:
        self._stream = stream
        self._path = path
        self._limit = self._left = limit_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise ConfigError(f"more than {self._limit} bytes once unpacked", path=self._path)
        buffer[: len(data)] = data
        return len(data)


class _Csv:
    unit = "line"

    def __init__(self, stream: _Bounded, share: Callable[[], float], encoding: str) -> None:
        try:
            text = io.TextIOWrapper(
                io.BufferedReader(stream), "utf-8-sig" if encoding == "utf-8" else encoding, newline=""
            )
        except LookupError as error:
            raise ConfigError(f"unknown encoding {encoding!r}") from error
        self.share = share
        self._reader = csv.reader(_short_lines(text), strict=True)
        header = next(self._reader, None)
        if not header:
            raise ConfigError("is empty; a line with the names of the columns is expected", place="line 1")
        self.columns: list[str] | None = [name.strip() for name in header]
        _check_header(self.columns)

    def rows(self) -> Iterator[SourceRow]:
        names = self.columns or []
        line = self._reader.line_num + 1
        for record in self._reader:
            if len(record) == len(names):
                yield SourceRow(line, dict(zip(names, record, strict=True)))
            elif record:
                yield SourceRow(line, {}, problem=f"{len(record)} values for {len(names)} columns")
            line = self._reader.line_num + 1


def _short_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines, with a bound on their length: a file without line ends is no CSV file."""
    limit = FIELD_LIMIT * 16
    while line := text.readline(limit):
        if len(line) == limit:
            raise csv.Error(f"a line of more than {limit} characters")
        yield line


def _check_header(names: list[str]) -> None:
    if len(names) > COLUMN_LIMIT:
        raise ConfigError(f"{len(names)} columns, at most {COLUMN_LIMIT} are allowed", place="line 1")
    for position, name in enumerate(names, start=1):
        if not name:
            raise ConfigError(f"column {position} has no name", place="line 1")
        if name in names[: position - 1]:
            raise ConfigError(f"column {name!r} stands there twice", place="line 1")


class _GeoJson:
    unit = "feature"
    columns: list[str] | None = None

    def __init__(self, stream: _Bounded, _share: Callable[[], float], _encoding: str) -> None:
        try:
            document = from_json(io.BufferedReader(stream).read(), allow_inf_nan=False, cache_strings="keys")
        except ValueError as error:
            raise ConfigError(f"not JSON: {error}") from error
        features = document.get("features") if isinstance(document, dict) else None
        if not isinstance(features, list):
            raise ConfigError("not GeoJSON: a FeatureCollection with features is expected")
        self._features = features
        self._done = 0

    def share(self) -> float:
        return self._done / max(1, len(self._features))

    def rows(self) -> Iterator[SourceRow]:
        for number, feature in enumerate(self._features, start=1):
            self._done = number
            yield _feature_row(number, feature)


def _feature_row(number: int, feature: Any) -> SourceRow:
    if not isinstance(feature, dict):
        return SourceRow(number, {}, problem="a Feature object is expected")
    properties = feature.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        return SourceRow(number, {}, problem="properties: an object is expected")
    if "id" in feature:
        properties = {"id": feature["id"], **properties}
    geometry = feature.get("geometry")
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        kind = geometry.get("type") if isinstance(geometry, dict) else geometry
        problem = "" if geometry is None else f"geometry {kind!r:.40}: a Point is expected"
        return SourceRow(number, properties, problem=problem, geometry=geometry)
    match geometry.get("coordinates"):
        case [lon, lat, *_]:
            return SourceRow(number, properties, (lon, lat), geometry=geometry)
        case _:
            problem = "coordinates: longitude and latitude are expected"
            return SourceRow(number, properties, problem=problem, geometry=geometry)


_OPENERS: dict[str, Callable[[_Bounded, Callable[[], float], str], Source]] = {
    ".csv": _Csv,
    ".geojson": _GeoJson,
    ".json": _GeoJson,
}

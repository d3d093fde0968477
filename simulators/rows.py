"""Rows of a CSV or JSON Lines file, plain or gzipped, each with its line number."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from pydantic_core import from_json

from gridwarden.errors import ConfigError

_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError, csv.Error)


class BadLine(Exception):
    """A line that is no row at all."""


class RowFile:
    """An open file of rows; iterate over ``(line number, row or BadLine)``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        self._raw: io.BufferedReader | None = None
        self._text: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self._raw = self.path.open("rb")
        except OSError as error:
            raise ConfigError(error.strerror or "cannot be read", path=self.path) from error
        self._size = self.path.stat().st_size
        plain = gzip.GzipFile(fileobj=self._raw) if self.path.suffix == ".gz" else self._raw
        # A byte order mark, as spreadsheets write it, is no part of the first column's name.
        self._text = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._text is not None:
            self._text.close()
        if self._raw is not None:
            self._raw.close()

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1 (by the bytes on disk)."""
        return min(1.0, self._raw.tell() / self._size) if self._raw and self._size else 0.0

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
        name = self.path.name.removesuffix(".gz")
        rows = self._csv() if name.endswith(".csv") else self._json_lines()
        try:
            yield from rows
        except _DAMAGED as error:
            raise ConfigError(f"damaged: {error}", path=self.path) from error

    def header(self) -> list[str] | None:
        """The column names of a CSV file; ``None`` for JSON Lines. Call it before iterating."""
        if not self.path.name.removesuffix(".gz").endswith(".csv"):
            return None
        with RowFile(self.path) as twin:
            assert twin._text is not None  # noqa: S101 - entered above
            try:
                return next(csv.reader(twin._text), [])
            except _DAMAGED as error:
                raise ConfigError(f"damaged: {error}", path=self.path) from error

    def _csv(self) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
        assert self._text is not None  # noqa: S101 - entered
        reader = csv.reader(self._text)
        names = next(reader, [])
        for cells in reader:
            if len(cells) == len(names):
                yield reader.line_num, dict(zip(names, cells, strict=True))
            elif cells:
                yield reader.line_num, BadLine(f"{len(cells)} cells, {len(names)} columns")

    def _json_lines(self) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
        assert self._text is not None  # noqa: S101 - entered
        for number, line in enumerate(self._text, 1):
            if not line.strip():
                continue
            try:
                row = from_json(line, allow_inf_nan=False)
            except ValueError as error:
                yield number, BadLine(f"not JSON: {error}")
                continue
            yield number, row if isinstance(row, dict) else BadLine("not a JSON object")

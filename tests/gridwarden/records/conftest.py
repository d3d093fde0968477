"""A records file with one of everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gridwarden.records import database
from gridwarden.records.reader import Reader
from gridwarden.records.writer import Writer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    database.migrate(tmp_path)
    return tmp_path


@pytest.fixture
def writer(data: Path) -> Iterator[Writer]:
    writer = Writer(data)
    writer.start()
    yield writer
    writer.close()


@pytest.fixture
def reader(data: Path) -> Iterator[Reader]:
    reader = Reader(data)
    yield reader
    reader.close()

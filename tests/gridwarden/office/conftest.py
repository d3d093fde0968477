"""A real office.db in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridwarden.office.registry import Office

WriteFile = Callable[[str, str | bytes], Path]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with Office.open(tmp_path / "office.db") as opened:
        yield opened


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def real_data() -> Path:
    """The folder of real input: skipped where it is not named, failing where it is named but missing."""
    named = os.environ.get("GRIDWARDEN_REAL_DATA")
    if not named:
        pytest.skip("GRIDWARDEN_REAL_DATA names no folder of real input")
    folder = Path(named)
    assert folder.is_dir(), f"GRIDWARDEN_REAL_DATA names {named}, which is no folder"
    return folder

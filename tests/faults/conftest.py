"""What is wrong is told in full, in the helpers too; and ``--resume`` for a book that was begun."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import book


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--resume", action="store_true", help="leave out what the book has a run of already")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place = Path(os.environ.get(book.PLACE, ""))
    if config.getoption("--resume", default=False) and place.is_file():
        done = {run.test for run in book.read(place)}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
        items[:] = [item for item in items if item.nodeid not in done]

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from gridwarden import supervised
from gridwarden.supervised import FILE, OLD_MS, Supervised, keep_saying, read
from tests.conftest import Until

NOW_MS = 1_800_000_000_000
SAID = Supervised(NOW_MS, {"core": 1, "broker": 3}, 5, 100)


async def test_what_is_said_is_read_until_nobody_says_it(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "EVERY_S", 0.01)
    times = 0

    async def say() -> Supervised:
        nonlocal times
        times += 1
        return Supervised(NOW_MS, {"core": times})

    task = asyncio.create_task(keep_saying(tmp_path, say))
    await until(lambda: (said := read(tmp_path, NOW_MS)) is not None and said.restarts["core"] >= 3)
    task.cancel()
    await asyncio.wait([task])
    assert list(tmp_path.iterdir()) == []


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(asdict(SAID)))
    assert read(tmp_path, NOW_MS) == SAID
    assert read(tmp_path, NOW_MS + OLD_MS) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"at_ms": "x"}', '{"at_ms": 1, "restarts": 3}', "[" * 10**5]
)
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert read(tmp_path, NOW_MS) is None
    assert read(tmp_path / "nowhere", NOW_MS) is None


async def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path, until: Until) -> None:
    said = asyncio.Event()

    async def say() -> Supervised:
        said.set()
        return SAID

    task = asyncio.create_task(keep_saying(tmp_path / "nowhere", say))
    await asyncio.wait_for(said.wait(), 60)
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])

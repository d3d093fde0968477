"""Web's part in a backup: what core is told meanwhile, one at a time, an end when nobody wants it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gridwarden.backup import lately
from gridwarden.clock import SystemClock
from gridwarden.config import load
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.link import LinkClient, LinkServer
from gridwarden.office.registry import Office
from gridwarden.records import database
from gridwarden.web.backups import Backups, Pin, by_core, by_ourselves
from tests.conftest import Until


def test_what_is_told_stays_while_it_is_pinned_and_moves_on_afterwards() -> None:
    pin = Pin()
    pin.followed = 5
    assert pin.told == 5
    with suppress(ZeroDivisionError), pin.held():
        pin.followed = 9
        assert pin.told == 5
        pin.followed = 3  # rebuilt: it needs more blocks than before
        assert pin.told == 3
        pin.followed = 9
        raise ZeroDivisionError
    assert pin.told == 9


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    database.migrate(path)
    Office.open(path / "office.db").close()
    return path


async def taken(backups: Backups, folder: Path) -> dict[str, Any]:
    return [step async for step in backups.take(folder)][-1]


async def test_steps_then_what_it_holds_or_what_was_wrong(data: Path, tmp_path: Path) -> None:
    history = DuckDBHistory(data / "history")
    backups = Backups(load(None, {}, data=str(data)), None, history, by_ourselves(data))
    steps = [step async for step in backups.take(tmp_path / "b")]
    assert {"what", "share"} == set(steps[0])
    assert steps[-1]["backup"]["folder"] == str(tmp_path / "b")
    age_h = lately.age_h(data, SystemClock().now_ms())
    assert age_h is not None
    assert age_h < 0.1
    assert await taken(backups, tmp_path / "b") == {"error": str(tmp_path / "b"), "code": "backup_exists"}
    told = await taken(backups, tmp_path / "nowhere" / "b")
    assert told["code"] == "unavailable"
    history.close()


async def test_a_second_one_is_refused_and_one_nobody_waits_for_is_broken_off(
    data: Path, tmp_path: Path, until: Until
) -> None:
    history = DuckDBHistory(data / "history")
    go = threading.Event()
    began = threading.Event()

    def copy(path: Path, copied: Callable[[int], None]) -> None:
        began.set()
        assert go.wait(20)
        copied(1)
        by_ourselves(data)(path, copied)

    backups = Backups(load(None, {}, data=str(data)), None, history, copy)
    first = asyncio.create_task(taken(backups, tmp_path / "b"))
    await until(began.is_set)
    assert (await taken(backups, tmp_path / "c"))["code"] == "backup_under_way"
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    await until(lambda: not (tmp_path / "b.part").exists())
    assert not (tmp_path / "b").exists()
    history.close()


async def test_core_is_asked_and_its_progress_seen_by_the_size(tmp_path: Path, until: Until) -> None:
    go = asyncio.Event()

    async def answer(_command_id: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        assert name == "copy"
        Path(params["path"]).write_bytes(b"x" * 7)
        await go.wait()
        Path(params["path"]).write_bytes(b"x" * 10)
        return {}

    server = LinkServer(answer, lambda _frame: None)
    async with server.serve(tmp_path / "sock"):
        link = LinkClient(tmp_path / "sock", lambda _frame: None)
        running = asyncio.create_task(link.run())
        await until(lambda: link.connected)
        copy = by_core(link, asyncio.get_running_loop())
        sizes: list[int] = []
        copying = asyncio.create_task(asyncio.to_thread(copy, tmp_path / "copy", sizes.append))
        await until(lambda: sum(sizes) == 7)
        go.set()
        await copying
        assert sum(sizes) == 10
        running.cancel()

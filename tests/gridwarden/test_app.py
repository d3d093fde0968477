"""The composition root: who may hold a data directory, and how an instance is asked to end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gridwarden import app
from gridwarden.broker import EmbeddedBroker
from gridwarden.errors import ConfigError, Unavailable
from gridwarden.part import owned, owner

# --- the lock -----------------------------------------------------------------------------------------------------


def test_the_second_one_is_told_who_holds_the_data(tmp_path: Path) -> None:
    with (
        app.data_lock(tmp_path),
        pytest.raises(app.AlreadyRunning, match=f"in use by process {os.getpid()}"),
        app.data_lock(tmp_path),
    ):
        pass


def test_the_lock_ends_with_the_block(tmp_path: Path) -> None:
    with app.data_lock(tmp_path):
        assert app.is_running(tmp_path)
    assert not app.is_running(tmp_path)
    with app.data_lock(tmp_path):
        pass


def test_what_a_killed_instance_left_holds_the_data_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "ORPHANS_S", 0.1)
    with owned(tmp_path, "core"):
        left = f"in use by core \\(process {os.getpid()}\\), left over from an instance that was killed"
        with pytest.raises(app.AlreadyRunning, match=left), app.data_lock(tmp_path):
            pass
        assert app.is_running(tmp_path)
    with app.data_lock(tmp_path):
        pass


def test_there_is_one_core_on_a_directory(tmp_path: Path) -> None:
    with owned(tmp_path, "core"), owned(tmp_path, "web"):
        with (
            pytest.raises(Unavailable, match=f"another core \\(process {os.getpid()}\\) still runs"),
            owned(tmp_path, "core"),
        ):
            pass
        assert owner(tmp_path, "core") == str(os.getpid())
    assert owner(tmp_path, "core") is None
    assert owner(tmp_path / "never", "core") is None


def test_a_directory_that_never_was_used_is_not_running_and_is_not_made(tmp_path: Path) -> None:
    assert not app.is_running(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_directory_that_cannot_be_made_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used") as refused, app.data_lock(tmp_path / "file" / "data"):
        pass
    assert app.explain(refused.value)[1] == 2


def test_without_an_instance_there_is_no_broker_to_publish_to(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not up yet"):
        app.embedded_address(tmp_path)


# --- asked to end -------------------------------------------------------------------------------------------------


def ask(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_breaks_off_a_start_in_order(number: signal.Signals) -> None:
    ended: list[str] = []
    async with asyncio.timeout(10), app.ended_by_signal():
        try:
            ask(number)
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")
    assert ended == ["cleaned up"]
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_who_waits_for_the_signal_is_told_and_not_cancelled() -> None:
    told = False
    async with asyncio.timeout(10), app.ended_by_signal() as asked_to_end:
        asyncio.get_running_loop().call_soon(ask, signal.SIGTERM)
        await asked_to_end()
        told = True
        ask(signal.SIGTERM)  # again: what is being ended in order goes on
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert told


async def test_any_other_cancellation_is_not_swallowed() -> None:
    async def block() -> None:
        async with app.ended_by_signal():
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_the_block_signals_are_nobodys() -> None:
    async with app.ended_by_signal():
        pass
    assert not asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


async def test_the_supervisor_says_what_its_parts_cannot_know(broker: EmbeddedBroker) -> None:
    running = app.Running(app.Installation(None), broker)
    said = await running.supervised()
    assert said.restarts == {"core": 0, "web": 0, "broker": 0}
    assert said.store_bytes is not None
    assert said.store_limit_bytes == 48 * 2**20
    alone = await app.Running(app.Installation(None), None).supervised()
    assert (alone.restarts, alone.store_bytes) == ({"core": 0, "web": 0}, None)

"""The link over a real Unix socket: commands, refusals, broken links, slow and garbling peers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gridwarden import link as module
from gridwarden.errors import ConfigError, CoreUnavailable, Forbidden, NotFound, RecordsUnavailable, Refused
from gridwarden.link import LinkClient, LinkServer, socket_path

Until = Callable[[Callable[[], object]], Awaitable[None]]


class Core:
    """Answers commands; remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.greeting: list[dict[str, Any]] = []
        self.server = LinkServer(self.answer, self.heard.append, lambda: self.greeting)

    async def answer(self, command_id: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(command_id)
        await self.go.wait()
        match name:
            case "missing":
                raise NotFound("no_such_alarm", "A1")
            case "refused":
                raise Refused("not_open", "E1")
            case "forbidden":
                raise Forbidden("forbidden", "x")
            case "down":
                raise RecordsUnavailable("disk full")
        return {"name": name, **params}


class Web:
    """A client with what it heard."""

    def __init__(self, path: Path) -> None:
        self.heard: list[dict[str, Any]] = []
        self.client = LinkClient(path, self.heard.append)
        self.command = self.client.command

    def said(self, name: str) -> list[Any]:
        return [frame[name] for frame in self.heard if name in frame]


@asynccontextmanager
async def connected(core: Core, path: Path, until: Until) -> AsyncIterator[Web]:
    web = Web(path)
    task = asyncio.create_task(web.client.run())
    try:
        await until(lambda: web.client.connected)
        yield web
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def core() -> Core:
    return Core()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "core.sock"


async def test_commands_are_answered_and_refusals_keep_their_kind(core: Core, path: Path, until: Until) -> None:
    async with core.server.serve(path), connected(core, path, until) as web:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await web.command("1", "echo", {"x": "水"}) == {"name": "echo", "x": "水"}
        for name, kind in (("missing", NotFound), ("refused", Refused), ("down", CoreUnavailable)):
            with pytest.raises(kind):
                await web.command(name, name, {})
        with pytest.raises(Refused) as refused:
            await web.command("f", "forbidden", {})
        assert (refused.value.code, refused.value.detail) == ("forbidden", "x")
    assert not path.exists()


async def test_one_id_asked_twice_at_once_goes_out_once(core: Core, path: Path, until: Until) -> None:
    async with core.server.serve(path), connected(core, path, until) as web:
        core.go.clear()
        both = [asyncio.create_task(web.command("1", "echo", {})) for _ in range(2)]
        await until(lambda: core.asked)
        core.go.set()
        assert await asyncio.gather(*both) == [{"name": "echo"}, {"name": "echo"}]
        assert core.asked == ["1"]


async def test_a_slow_command_holds_up_no_other_and_ends_in_time(core: Core, path: Path, until: Until) -> None:
    async with core.server.serve(path), connected(core, path, until) as web:
        core.go.clear()
        with pytest.raises(CoreUnavailable, match="no answer"):
            await web.command("slow", "echo", {}, timeout_s=0.05)
        waiting = asyncio.create_task(web.command("slow", "echo", {}))
        core.go.set()
        assert await waiting == {"name": "echo"}
        assert core.asked == ["slow"]


async def test_without_core_there_is_no_waiting(path: Path) -> None:
    with pytest.raises(CoreUnavailable):
        await LinkClient(path, lambda _frame: None).command("1", "echo", {})


async def test_a_link_that_breaks_fails_what_waits_and_comes_back(core: Core, path: Path, until: Until) -> None:
    async with core.server.serve(path), connected(core, path, until) as web:
        core.go.clear()
        waiting = asyncio.create_task(web.command("1", "echo", {}))
        given_up = asyncio.create_task(web.command("2", "echo", {}, timeout_s=0.01))
        await until(lambda: given_up.done() and len(core.asked) == 2)
        with pytest.raises(CoreUnavailable):
            given_up.result()
        for peer in core.server._peers:
            peer.cut()
        with pytest.raises(CoreUnavailable, match="broke"):
            await waiting
        await until(lambda: web.said("link") == ["up", "down", "up"])
        core.go.set()
        assert await web.command("1", "echo", {}) == {"name": "echo"}


async def test_web_waits_for_a_core_that_comes_later_and_comes_again(core: Core, path: Path, until: Until) -> None:
    web = Web(path)
    task = asyncio.create_task(web.client.run())
    for _ in range(2):
        async with core.server.serve(path):
            await until(lambda: web.client.connected)
            assert await web.command("1", "echo", {}) == {"name": "echo"}
        await until(lambda: not web.client.connected)
    task.cancel()
    await asyncio.wait([task])


async def test_pushes_come_in_order_and_of_wakes_the_newest_counts(core: Core, path: Path, until: Until) -> None:
    async with core.server.serve(path), connected(core, path, until) as web:
        await until(lambda: core.server._peers)
        for number in range(100):
            core.server.push({"provisional": [number]})
            core.server.wake(number, number)
        await until(lambda: web.said("wake") and web.said("wake")[-1]["offset"] == 99)
        assert web.said("provisional") == [[number] for number in range(100)]
        assert len(web.said("wake")) < 100
        web.client.tell({"followed": {"history": 7}})
        await until(lambda: core.heard == [{"followed": {"history": 7}}])


async def test_whoever_comes_later_hears_the_greeting_first(core: Core, path: Path, until: Until) -> None:
    core.greeting = [{"provisional": ["fire"]}]
    async with core.server.serve(path), connected(core, path, until) as web:
        await until(lambda: web.said("provisional") == [["fire"]])


GARBAGE = [
    b"hello\n", b"[]\n", b"7\n", b"null\n", b"\xff\xfe\n", b"\n", b"{}{}\n", b'{"command":"echo"}\n',
    b'{"id":1,"command":"echo"}\n', b'{"id":"1","command":["echo"]}\n', b'{"id":"1","command":"echo","params":[]}\n',
    b"[" * 100_000 + b"\n", b"x" * 3000 + b"\n",
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda line: repr(line[:40]))
async def test_garbage_ends_its_own_connection_and_nothing_else(
    core: Core, path: Path, until: Until, garbage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINE_LIMIT", 2000)
    async with core.server.serve(path), connected(core, path, until) as web:
        with capture_logs() as logs:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(garbage)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        assert [entry["log_level"] for entry in logs] == ["warning"]
        assert await web.command("1", "echo", {}) == {"name": "echo"}


async def test_a_line_without_end_or_half_a_line_is_no_harm(core: Core, path: Path, until: Until) -> None:
    async with core.server.serve(path), connected(core, path, until) as web:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"id":"9","comm')
        await writer.drain()
        writer.close()
        await until(lambda: len(core.server._peers) == 1)
        assert await web.command("1", "echo", {}) == {"name": "echo"}


async def test_garbage_from_core_opens_the_link_again(path: Path, until: Until) -> None:
    connections = []

    async def garble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(b"[1]\n" if len(connections) == 1 else b'{"wake":{"offset":1,"seq":1}}\n')

    server = await asyncio.start_unix_server(garble, path)
    web = Web(path)
    with capture_logs():
        task = asyncio.create_task(web.client.run())
        await until(lambda: web.said("wake"))
    task.cancel()
    await asyncio.wait([task])
    for writer in connections:
        writer.close()
    server.close()


async def test_a_peer_that_does_not_read_is_cut_off_and_the_others_hear_all(
    core: Core, path: Path, until: Until
) -> None:
    async with core.server.serve(path), connected(core, path, until) as web:
        _, writer = await asyncio.open_unix_connection(path, limit=1)
        await until(lambda: len(core.server._peers) == 2)
        count = 0
        with capture_logs() as logs:
            while len(core.server._peers) == 2 and count < 20_000:
                core.server.push({"provisional": ["x" * 2000]})
                count += 1
                await until(lambda count=count: len(web.said("provisional")) == count)
        assert len(core.server._peers) == 1
        assert "does not listen" in logs[0]["event"]
        writer.close()
        assert await web.command("1", "echo", {}) == {"name": "echo"}


def test_a_socket_s_path_fits_the_system_s_limit(tmp_path: Path) -> None:
    assert socket_path(tmp_path, "core") == tmp_path / "core.sock"
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    first, second = socket_path(deep, "core"), socket_path(deep, "web")
    assert len(str(first)) < 100
    assert first.parent == second.parent
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    first.parent.rmdir()


def test_a_folder_that_somebody_else_made_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    folder = socket_path(deep, "core").parent
    monkeypatch.setattr(module, "_mine", lambda _folder: os.getuid() + 1 == 0)
    with pytest.raises(ConfigError):
        socket_path(deep, "core")
    folder.rmdir()

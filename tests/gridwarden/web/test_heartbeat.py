"""The heartbeat, heard by a real server on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from api.counts import Counts
from gridwarden.config import Heartbeat as Settings
from gridwarden.config import load
from gridwarden.errors import ConfigError
from gridwarden.web.heartbeat import Heartbeat
from tests.conftest import Until

SECRET = "/ping/4f1c-secret?token=hunter2"


class Ear:
    """An HTTP server that writes down what it is asked, and answers as told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Ear]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heard.append(head.splitlines()[0])
                if not self.answer:
                    await asyncio.sleep(3600)
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Beating:
    """A heartbeat towards an ear, with what its log says."""

    def __init__(self, ear: Ear, **settings: Any) -> None:
        self.why_not = ""
        self.counts = Counts()
        url = SecretStr(f"http://127.0.0.1:{ear.port}{SECRET}")
        self._settings = Settings.model_validate({"every_s": 0.01, "timeout_s": 5} | settings).model_copy(
            update={"url": url}
        )

    async def _why_not(self) -> str:
        return self.why_not

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[Any]]:
        with capture_logs() as logs:
            task = asyncio.create_task(Heartbeat(self._settings, self._why_not, self.counts).run())
            yield logs
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled(), task.exception()
        assert "secret" not in json.dumps(logs)
        assert "hunter2" not in json.dumps(logs)


async def test_it_beats_while_all_is_well_and_is_silent_otherwise(until: Until) -> None:
    async with Ear().listening() as ear:
        beating = Beating(ear)
        async with beating.running() as logs:
            await until(lambda: len(ear.heard) >= 3)
            assert set(ear.heard) == {f"GET {SECRET} HTTP/1.1"}
            assert beating.counts.heartbeat_failing is False
            beating.why_not = "records_failing"
            await until(lambda: len(logs) == 1)
            silent = len(ear.heard)
            await asyncio.sleep(0.1)
            assert len(ear.heard) == silent
            assert beating.counts.heartbeat_failing is False  # it was not sent: nobody has failed to hear it
            beating.why_not = ""
            await until(lambda: len(ear.heard) > silent)
        assert [(one["event"], one.get("reason")) for one in logs] == [
            ("heartbeat withheld", "records_failing"), ("heartbeat again", None)
        ]  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 404 no\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"what?\r\n\r\n",
    ],
)
async def test_whoever_does_not_say_that_it_was_heard_has_not_heard_it(answer: bytes, until: Until) -> None:
    async with Ear().listening() as ear:
        beating = Beating(ear, method="POST")
        good, ear.answer = ear.answer, answer
        async with beating.running() as logs:
            await until(lambda: beating.counts.heartbeat_failing)
            await until(lambda: len(ear.heard) >= 3)
            assert len(logs) == 1
            ear.answer = good
            await until(lambda: beating.counts.heartbeat_failing is False)
        assert [one["event"] for one in logs] == ["heartbeat not heard", "heartbeat heard again"]
        assert ear.heard[0].startswith("POST ")


async def test_nobody_there_and_somebody_who_does_not_answer(until: Until) -> None:
    async with Ear().listening() as ear:
        ear.answer = b""
        silent = Beating(ear, timeout_s=0.05)
        async with silent.running() as logs:
            await until(lambda: silent.counts.heartbeat_failing)
            await until(lambda: len(ear.heard) >= 2)
        assert [one["event"] for one in logs] == ["heartbeat not heard"]
    gone = Beating(ear)
    async with gone.running() as logs:
        await until(lambda: gone.counts.heartbeat_failing)
    assert logs[0]["reason"] == "ConnectError"


async def test_it_goes_nowhere_else(until: Until) -> None:
    async with Ear().listening() as elsewhere, Ear().listening() as ear:
        ear.answer = (
            f"HTTP/1.1 302 go\r\nlocation: http://127.0.0.1:{elsewhere.port}/\r\ncontent-length: 0\r\n\r\n".encode()
        )
        beating = Beating(ear)
        async with beating.running():
            await until(lambda: len(ear.heard) >= 3)
            assert beating.counts.heartbeat_failing is True
        assert elsewhere.heard == []


async def test_an_endless_answer_is_not_read(until: Until) -> None:
    async with Ear().listening() as ear:
        ear.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx"
        beating = Beating(ear)
        async with beating.running():
            await until(lambda: len(ear.heard) >= 3)
            assert beating.counts.heartbeat_failing is False


async def test_no_proxy_of_the_environment_hears_it(until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Ear().listening() as ear:
        async with Beating(ear).running():
            await until(lambda: bool(ear.heard))
        assert ear.heard[0].startswith(f"GET {SECRET} ")


@pytest.mark.parametrize("url", ["ftp://a/secret", "file:///secret", "secret", "http://", "http://a b/secret"])
def test_only_an_address_of_the_web_is_taken_and_never_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"heartbeat\.url") as raised:
        load(None, {}, heartbeat__url=url)
    assert "secret" not in str(raised.value)


def test_the_address_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("https://hc.example/secret\n")
    config = load(None, {}, heartbeat__url_file=str(file))
    assert config.heartbeat.url.get_secret_value() == "https://hc.example/secret"
    assert "secret" not in repr(config)
    with pytest.raises(ConfigError, match="one of them must go"):
        load(None, {}, heartbeat__url_file=str(file), heartbeat__url="https://a")
    file.write_text("gopher://secret\n")
    with pytest.raises(ConfigError, match="https://") as raised:
        load(None, {}, heartbeat__url_file=str(file))
    assert "gopher" not in str(raised.value)

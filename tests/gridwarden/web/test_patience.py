"""Who is slow to say what they want is let go, and nobody else: a real listener, a real application behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import websockets
from fastapi import FastAPI, Request, WebSocket

from gridwarden.web import patience
from tests.api.conftest import serving

DEADLINE_S = 60


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Of an application that reads bodies, is slow to answer, and echoes frames."""
    monkeypatch.setattr(patience, "REQUEST_S", 0.1)
    app = FastAPI()

    @app.post("/")
    async def read(request: Request) -> str:
        body = await request.body()
        await asyncio.sleep(1)  # an answer may take its time: ten looks here
        return body.decode()

    @app.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())

    async with serving(app) as number:
        yield number


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"]
)
async def test_what_is_never_whole_is_ended(port: int, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_who_waits_for_an_answer_gets_it(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nwhole")
    async with asyncio.timeout(DEADLINE_S):
        assert (await reader.read()).endswith(b'"whole"')
    writer.close()


async def test_a_websocket_may_be_silent(port: int) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws") as socket, asyncio.timeout(DEADLINE_S):
        await asyncio.sleep(1)  # ten looks
        await socket.send("still here")
        assert await socket.recv() == "still here"

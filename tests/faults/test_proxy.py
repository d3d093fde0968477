"""The proxy does to connections what it is asked to: each fault, before an echo that is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.faults.proxy import Fault, Proxy, Way

SOON_S = 0.2
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as running:
        yield running


Dial = Callable[[], Awaitable[Ends]]


@pytest.fixture
async def dial(proxy: Proxy) -> AsyncIterator[Dial]:
    writers = []

    async def connect() -> Ends:
        ends = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(ends[1])
        assert await asked(ends, b"hello") == b"hello"
        return ends

    yield connect
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


async def asked(ends: Ends, data: bytes, patience_s: float = 60) -> bytes:
    """What comes back, or that nothing does."""
    reader, writer = ends
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(100), patience_s)
    except TimeoutError:
        return b"nothing"


async def test_a_reset_is_one_at_once_or_after_so_many_bytes(proxy: Proxy, dial: Dial) -> None:
    ends = await dial()
    proxy.strike(Fault.RESET)
    with pytest.raises(ConnectionResetError):
        await asked(ends, b"x")

    ends = await dial()
    proxy.strike(Fault.RESET, Way.UP, lambda: 3)
    assert await asked(ends, b"abc") == b"abc"
    with pytest.raises(ConnectionResetError):
        await asked(ends, b"d")
    assert proxy.struck == 2


async def test_a_cut_takes_the_rest_and_ends_the_connection(proxy: Proxy, dial: Dial) -> None:
    ends = await dial()
    proxy.strike(Fault.CUT, Way.DOWN, lambda: 2)
    assert await asked(ends, b"abcd") == b"ab"
    assert await asked(ends, b"") == b""
    assert len(proxy) == 0


async def test_half_open_means_silence_and_no_end(proxy: Proxy, dial: Dial) -> None:
    ends = await dial()
    proxy.strike(Fault.HALF_OPEN)
    assert await asked(ends, b"x", SOON_S) == b"nothing"
    assert len(proxy) == 1
    assert await asked(await dial(), b"y") == b"y", "who connects anew is well"


@pytest.mark.parametrize("way", Way)
async def test_a_black_hole_takes_one_way_only(proxy: Proxy, dial: Dial, way: Way) -> None:
    ends = await dial()
    proxy.strike(Fault.BLACK_HOLE, way)
    assert await asked(ends, b"x", SOON_S) == b"nothing"
    assert len(proxy) == 1


async def test_slow_is_late_and_whole(proxy: Proxy, dial: Dial) -> None:
    ends = await dial()
    proxy.slow_s = SOON_S
    assert await asked(ends, b"x", SOON_S) == b"nothing"
    assert await asyncio.wait_for(ends[0].read(100), 60) == b"x"


async def test_what_has_not_struck_may_be_called_off(proxy: Proxy, dial: Dial) -> None:
    ends = await dial()
    proxy.strike(Fault.RESET, Way.UP, lambda: 3)
    proxy.calm()
    assert await asked(ends, b"abcdef") == b"abcdef"
    assert proxy.struck == 0

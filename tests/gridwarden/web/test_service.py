"""Web as a whole, as it runs: its two doors, its end, and what may fail beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import websockets

import gridwarden.web.service as web_service
from gridwarden.access import Role
from gridwarden.clock import SystemClock
from gridwarden.config import Config, load
from gridwarden.history import HistoryUnavailable
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.influxdb import InfluxHistory
from gridwarden.link import LinkServer, socket_path
from gridwarden.office.accounts import Accounts
from gridwarden.office.registry import Office
from gridwarden.records import database
from gridwarden.web.absent import AbsentHistory
from gridwarden.web.service import Web, local_app
from rules.load import load as load_rules

RULES = load_rules((), shipped_packs=True)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A prepared data directory that others may look into, as a careless person made it."""
    data = tmp_path / "d"
    data.mkdir(mode=0o755)
    database.migrate(data)
    with Office.open(data / "office.db") as office:
        accounts = Accounts(office.database, SystemClock())
        user = accounts.create_user("operator", Role.OPERATOR, [""], "correct horse")
        (tmp_path / "token").write_text(accounts.create_token(user.user_id, "t")[1])
    return load(None, {}, data=str(data), http__port=_free_port())


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[asyncio.Task[None]]:
    ready = asyncio.Event()
    task = asyncio.create_task(Web(config, RULES, None).run(ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=20)
    assert ready.is_set(), task
    yield task
    task.cancel()
    await asyncio.wait([task])


async def test_the_owners_socket_is_for_the_owner_alone(config: Config) -> None:
    path = socket_path(config.data, "web")
    path.touch()  # what a killed process left
    async with running(config):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://local"
        ) as owner:
            assert (await owner.get("/api/v1/auth/session")).json()["user"]["role"] == "admin"
            assert (await owner.get("/api/v1/local/users")).json()["users"][0]["name"] == "operator"
            assert (await owner.get("/metrics")).status_code == 200
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{config.http.port}") as stranger:
            assert (await stranger.get("/api/v1/auth/session")).status_code == 401
            assert (await stranger.get("/api/v1/local/users")).status_code == 404
    assert not path.exists()
    mask = os.umask(0)
    os.umask(mask)
    assert mask != 0o177


async def test_it_ends_at_once_and_quietly_with_open_websockets(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    token = (tmp_path / "token").read_text()
    sockets = []
    async with running(config) as task:
        for _ in range(5):
            one = await websockets.connect(
                f"ws://127.0.0.1:{config.http.port}/api/v1/ws", subprotocols=[websockets.Subprotocol("gridwarden.v1")],
                additional_headers={"authorization": f"Bearer {token}"},
            )  # fmt: skip
            await one.send('{"t":"sub","id":1,"ch":"events"}')
            sockets.append(one)
        for one in sockets:
            while '"snap_end"' not in str(await one.recv()):
                pass
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done
        for one in sockets:
            await one.wait_closed()
            assert one.close_code == 1012
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError(), OSError("disk")])
async def test_a_follower_that_fails_takes_nobody_with_it(
    config: Config, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(web_service, "follow", fail)
    with structlog.testing.capture_logs() as logs:
        async with (
            running(config) as task,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{config.http.port}") as client,
        ):
            assert (await client.get("/healthz")).status_code == 200
            assert not task.done()
    assert [entry for entry in logs if entry["log_level"] == "critical"]


async def test_a_history_that_cannot_be_opened_is_absent(config: Config) -> None:
    (config.data / "history").write_text("this is no folder")
    with structlog.testing.capture_logs() as logs:
        async with (
            running(config) as task,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{config.http.port}") as client,
        ):
            assert (await client.get("/healthz")).status_code == 200
            assert not task.done()
    assert [entry for entry in logs if entry["log_level"] == "critical"]


def test_each_question_to_an_absent_history_says_why() -> None:
    absent = AbsentHistory("the disk is away")
    for question in ("latest", "offset", "series", "count"):
        with pytest.raises(web_service.GridwardenError, match="the disk is away"):
            getattr(absent, question)()
    absent.close()


async def test_at_rest_it_costs_next_to_nothing(config: Config) -> None:
    async with running(config):
        await asyncio.sleep(0.5)
        before, switches = _used_s(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        await asyncio.sleep(2)
        assert _used_s() - before < 0.4, "something spins"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - switches < 2000


async def test_the_application_for_one_command(config: Config) -> None:
    async with (
        local_app(config, RULES) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://local") as owner,
    ):
        assert (await owner.get("/api/v1/local/users")).status_code == 200
        assert (await owner.get("/pyproject.toml")).status_code == 503  # no page, least of all this folder


async def test_a_port_that_is_taken_is_told(config: Config) -> None:
    async with running(config):
        with pytest.raises(OSError, match="in use"):
            await Web(config, RULES, None).run()


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, DuckDBHistory),
        ({"kind": "influxdb", "url": "http://127.0.0.1:1", "org": "o", "bucket": "b", "token": "t"}, InfluxHistory),
    ],
    ids=["nothing said", "influxdb"],
)
def test_the_configuration_chooses_the_history(
    tmp_path: Path, settings: dict[str, str], kind: type[DuckDBHistory | InfluxHistory]
) -> None:
    history = web_service._open_history(load(None, {}, data=str(tmp_path), history=settings))
    assert type(history) is kind
    assert history.offset() == 0  # and nothing was asked of a server
    history.close()


def test_a_history_of_another_bucket_is_left_alone_and_web_goes_on_without_one(tmp_path: Path) -> None:
    told = {"kind": "influxdb", "url": "http://127.0.0.1:1", "org": "o", "token": "t"}
    first = web_service._open_history(load(None, {}, data=str(tmp_path), history=told | {"bucket": "a"}))
    first.begin("records-1")
    first.close()
    second = web_service._open_history(load(None, {}, data=str(tmp_path), history=told | {"bucket": "b"}))
    assert isinstance(second, AbsentHistory)
    with pytest.raises(HistoryUnavailable, match=r"it is about .* o a, not .* o b"):
        second.offset()


async def test_it_ends_when_core_comes_back_with_records_that_have_lost_something(config: Config) -> None:
    """What pages, hub and states remember is not true any more: they begin anew, with web."""

    async def answer(_command_id: str, _name: str, _params: dict[str, Any]) -> dict[str, Any]:
        return {}

    def renew() -> None:
        engine = database.connect(config.data)
        with engine.begin() as connection:
            database.renew_epoch(connection, 0)
        engine.dispose()

    async with running(config) as web:
        async with LinkServer(answer, lambda _frame: None).serve(socket_path(config.data, "core")):
            await asyncio.sleep(0.5)
            assert not web.done()  # the same records
        renew()
        async with LinkServer(answer, lambda _frame: None).serve(socket_path(config.data, "core")):
            await asyncio.wait([web], timeout=60)
    error = web.exception()
    assert isinstance(error, ExceptionGroup)
    assert error.subgroup(web_service.RecordsSetBack)

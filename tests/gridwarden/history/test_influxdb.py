"""What is InfluxDB's own: faults of the server and of points, the books here, and writes to a real server."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gridwarden.clock import ReplayClock
from gridwarden.history import HistoryMismatch, HistoryUnavailable
from gridwarden.history.audit import audit
from gridwarden.history.follower import StoredBlock, follow
from gridwarden.history.influxdb import InfluxHistory
from gridwarden.history.points import NS_PER_MS, lines_of
from gridwarden.model import Reading
from gridwarden.records.block import encode
from tests.gridwarden.history.influx_stand_in import (
    TOKEN,
    Fault,
    StandIn,
    half,
    reset,
    silence,
    stand_in,
    status,
    usual,
)  # fmt: skip

START_MS = 1_800_000_000_000
ALWAYS = (0, 2**62)
VICTORIA = shutil.which("victoria-metrics")


def reading(number: int = 0, device_id: str = "H-1", **changes: object) -> Reading:
    at_ms = START_MS + number // 3  # three share a millisecond
    values = changes.pop("values", {"pressure_mpa": 0.4, "leak": False})
    return Reading(device_id, "hydrant", "gw", at_ms, at_ms, number, number, True, values, **changes)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as memory:
        yield memory


def opened(directory: Path, url: str, token: str = TOKEN, timeout_s: float = 10) -> InfluxHistory:
    return InfluxHistory(directory, url=url, org="o", bucket="b", token=token, timeout_s=timeout_s)


@pytest.fixture
def history(server: StandIn, tmp_path: Path) -> Iterator[InfluxHistory]:
    history = opened(tmp_path, server.url)
    yield history
    history.close()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(500, '{"message":"boom"}'), "answers 500: boom"),
        (status(503), "answers 503"),
        (status(429), "answers 429"),
        (status(401, '{"message":"unauthorized access"}'), "does not accept the token .401.*read and write the bucket 'b'"),
        (status(404, '{"message":"bucket \\"b\\" not found"}'), "no such organisation or bucket 'b'"),
        (half, "InfluxDB at http"),
        (reset(), "InfluxDB at http"),
    ],
)  # fmt: skip
def test_a_failed_request_is_told_and_moves_nothing(
    server: StandIn, history: InfluxHistory, fault: Fault, said: str
) -> None:
    for ask in (lambda: history.append([reading()], 1, 5), lambda: history.latest("H-1")):
        server.faults = [fault]
        with pytest.raises(HistoryUnavailable, match=said) as caught:
            ask()
        assert TOKEN not in str(caught.value)
    assert (history.offset(), history.complete_until_ms(), server.lines) == (0, 0, [])
    history.append([reading()], 1, 5)
    assert (history.offset(), history.count()) == (1, 1)


def test_a_silent_server_is_given_up(server: StandIn, tmp_path: Path) -> None:
    history = opened(tmp_path, server.url, timeout_s=0.2)
    over = threading.Event()
    server.faults = [silence(over)]
    with pytest.raises(HistoryUnavailable, match=r"[Tt]imed? ?out"):
        history.append([reading()], 1, 0)
    over.set()
    assert history.offset() == 0
    history.close()


def test_retry_after_is_obeyed(server: StandIn, history: InfluxHistory) -> None:
    server.faults = [status(429, Retry_After="60")]
    with pytest.raises(HistoryUnavailable, match="429"):
        history.append([reading()], 1, 0)
    with pytest.raises(HistoryUnavailable, match="left alone for another"):
        history.append([reading()], 1, 0)
    assert len(server.requests) == 1
    history._connection._not_before = 0.0  # a minute later
    history.append([reading()], 1, 0)
    assert history.offset() == 1


def test_a_wrong_token_says_so(server: StandIn, tmp_path: Path) -> None:
    history = opened(tmp_path, server.url, token="wrong-secret")
    with pytest.raises(HistoryUnavailable, match="does not accept the token") as caught:
        history.append([reading()], 1, 0)
    assert "wrong-secret" not in str(caught.value)
    history.close()


@pytest.mark.parametrize("partial", [False, True])
def test_bad_points_are_set_aside_one_by_one(
    server: StandIn, history: InfluxHistory, tmp_path: Path, partial: bool
) -> None:
    server.poison, server.before_refusal = "POISON", partial
    bad = {3, 4, 700, 999}
    readings = [reading(n, "POISON" if n in bad else "H-1") for n in range(1000)]
    history.begin_account(0, 1)
    history.append(readings, 9, 0)
    assert (history.offset(), history.counts()) == (9, {"H-1": 996})
    account = history.account()
    assert account is not None
    assert (account.written, account.refused, audit(account, 1000, 0).missing) == (996, 4, 0)
    kept = [json.loads(line) for line in (tmp_path / "influx-rejected.jsonl").read_text("utf-8").splitlines()]
    assert [point["line"] for point in kept] == [lines_of(readings, 0)[n] for n in sorted(bad)]
    assert {point["status"] for point in kept} == {422}
    assert all("field type conflict dropped=1" in point["reason"] for point in kept)
    assert len(server.requests) < 120


def test_what_is_older_than_the_bucket_keeps_is_left_out_without_a_search(
    server: StandIn, history: InfluxHistory, tmp_path: Path
) -> None:
    server.oldest_ns = (START_MS + 100) * NS_PER_MS
    with capture_logs() as logs:
        history.append([reading(n) for n in range(900)], 9, 0)
    assert (history.offset(), history.counts()) == (9, {"H-1": 600})
    assert len(server.requests) == 2
    (told,) = logs
    assert "dropped 300 points outside retention policy" in told["reason"]
    assert not (tmp_path / "influx-rejected.jsonl").exists()


def test_a_server_that_refuses_everything_is_no_bad_point(
    server: StandIn, history: InfluxHistory, tmp_path: Path
) -> None:
    server.faults = [status(400, "no")] * 2
    with pytest.raises(HistoryUnavailable, match="refuses every point"):
        history.append([reading()], 1, 0)
    assert history.offset() == 0
    assert not (tmp_path / "influx-rejected.jsonl").exists()


class Records:
    """Blocks in memory, some readings without ``at`` and ``seq``, all alike."""

    def __init__(self) -> None:
        alike = Reading("H-2", "hydrant", "gw", START_MS, START_MS, None, 7, False, {"pressure_mpa": 0.5})
        self.readings = [[reading(block * 50 + n) for n in range(50)] + [alike] for block in range(40)]
        self.stored = [StoredBlock(n, START_MS + n, encode(block)) for n, block in enumerate(self.readings, start=1)]

    def epoch(self) -> str:
        return "records-1"

    def ancestors(self) -> dict[str, int]:
        return {}

    def gone(self, after: int) -> None:
        return None

    def head(self) -> int:
        return len(self.stored)

    def readings_through(self, offset: int) -> int:
        return sum(map(len, self.readings[:offset]))

    def blocks(self, after: int, limit_bytes: int) -> list[StoredBlock]:
        return self.stored[after : after + 4]


class Undamaged:
    """A witness of records that lack nothing."""

    async def block_damaged(self, block: StoredBlock, reason: str) -> None:
        raise AssertionError(reason)

    async def readings_gone(self, gone: object, readings: int) -> None:
        raise AssertionError(readings)


async def test_through_all_faults_the_follower_loses_nothing_and_doubles_nothing(
    server: StandIn, history: InfluxHistory
) -> None:
    server.faults = [
        status(500), usual, reset(server), reset(), half, usual, status(429, Retry_After="0"), reset(server),
        status(401), reset(server), status(503),
    ]  # fmt: skip
    records, done = Records(), asyncio.Event()

    async def followed(offset: int) -> None:
        if offset == len(records.stored):
            done.set()

    task = asyncio.create_task(
        follow(records, history, woken=asyncio.Event(), clock=ReplayClock(), on_followed=followed,
               witness=Undamaged(), pause_s=0, waits=lambda: iter([0.0] * 100))
    )  # fmt: skip
    async with asyncio.timeout(30):
        await done.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert server.faults == []
    assert len(server.lines) > 40 * 51  # some were written twice or more
    assert len(server.points()) == 40 * 51
    assert history.counts() == {"H-1": 2000, "H-2": 40}
    assert history.offset() == 40


def test_opening_needs_no_server_and_another_bucket_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    history = opened(tmp_path, url)
    history.begin("records-1")
    with pytest.raises(HistoryUnavailable):
        history.append([reading()], 1, 0)
    history.close()
    with pytest.raises(HistoryMismatch, match=r"it is about .* o b, not "):
        opened(tmp_path, "http://elsewhere")
    (tmp_path / "influx.json").write_text("{}")
    with pytest.raises(HistoryMismatch, match="not the books"):
        opened(tmp_path, url)


def test_the_client_is_imported_only_where_it_is_used() -> None:
    code = "import sys, gridwarden.web.service; sys.exit('influxdb_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

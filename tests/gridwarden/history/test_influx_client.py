"""The connection: how long it keeps away, who may wait for it, and what a real server makes of our lines."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gridwarden.history import HistoryUnavailable, influx_client
from gridwarden.history.influx_client import LONGEST_PAUSE_S, READS_AT_ONCE, REST_S, Connection
from gridwarden.history.points import lines_of
from gridwarden.model import Reading
from tests.gridwarden.history.influx_stand_in import TOKEN, silence, stand_in, status

VICTORIA = shutil.which("victoria-metrics")


@pytest.mark.parametrize(
    ("said", "pause_s"), [("60", 60), ("99999", LONGEST_PAUSE_S), ("Wed, 21 Oct 2037 07:28:00 GMT", 0), ("-1", 0)]
)
def test_it_keeps_away_as_long_as_it_was_asked_to(said: str, pause_s: float) -> None:
    now = [1000.0]
    with stand_in() as server:
        connection = Connection(server.url, "o", "b", TOKEN, timeout_s=10, monotonic=lambda: now[0])
        server.faults = [status(503, Retry_After=said)]
        with pytest.raises(HistoryUnavailable, match="503"):
            connection.write(["m f=1 1"])
        if pause_s:
            now[0] += pause_s - 0.1
            with pytest.raises(HistoryUnavailable, match="left alone"):
                connection.write(["m f=1 1"])
            now[0] += 0.2
        assert connection.write(["m f=1 1"]) == []
        assert server.lines == ["m f=1 1"]
        connection.close()


KNOWN = 'from(bucket: "b") |> range(start: 1970-01-01T00:00:00.000Z, stop: 1970-01-02T00:00:00.000Z) |> filter(fn: (r) => true) |> count()'


def test_after_a_timeout_reads_are_refused_at_once_for_a_while_and_writes_are_not() -> None:
    now = [1000.0]
    over = threading.Event()
    with stand_in() as server:
        connection = Connection(server.url, "o", "b", TOKEN, timeout_s=0.2, monotonic=lambda: now[0])
        server.faults = [silence(over)]
        with pytest.raises(HistoryUnavailable, match="does not answer"):
            list(connection.query(KNOWN))
        over.set()
        with pytest.raises(HistoryUnavailable, match="did not answer a moment ago"):
            list(connection.query(KNOWN))
        assert len(server.requests) == 1
        assert connection.write(["m f=1 1"]) == []
        now[0] += REST_S + 0.1
        assert [row["_value"] for row in connection.query(KNOWN)] == [1]
        connection.close()


def test_only_some_may_wait_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influx_client, "TURN_S", 0.01)
    over = threading.Event()
    answers: list[list[Any]] = []
    with stand_in() as server:
        connection = Connection(server.url, "o", "b", TOKEN, timeout_s=20)
        server.faults = [silence(over)] * READS_AT_ONCE

        def ask() -> None:
            with suppress(HistoryUnavailable):
                answers.append(list(connection.query(KNOWN)))

        waiting = [threading.Thread(target=ask) for _ in range(READS_AT_ONCE)]
        for thread in waiting:
            thread.start()
        deadline = time.monotonic() + 20
        while len(server.requests) < READS_AT_ONCE and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(HistoryUnavailable, match=f"busy with {READS_AT_ONCE} other"):
            list(connection.query(KNOWN))
        over.set()
        for thread in waiting:
            thread.join()
        assert list(connection.query(KNOWN)) == []
        connection.close()


# --- a real server: it takes writes, speaks no Flux, and skips lines that it cannot read, counting them -----------------


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[str]:
    if VICTORIA is None:
        pytest.skip("needs the Debian package victoria-metrics")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [VICTORIA, f"-storageDataPath={tmp_path / 'vm'}", f"-httpListenAddr={address}", "-retentionPeriod=100y",
               "-dedup.minScrapeInterval=1ms"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError):
                asked(f"http://{address}/health")
                break
            time.sleep(0.05)
        yield f"http://{address}"
        process.terminate()


@pytest.fixture
def connection(victoria: str) -> Iterator[Connection]:
    connection = Connection(victoria, "o", "b", TOKEN, timeout_s=20)
    yield connection
    connection.close()


def yesterday_ms() -> int:
    return int(time.time() * 1000) - 86_400_000  # it takes no points of the future


def reading(at_ms: int, device_id: str = "H 1,=", **values: Any) -> Reading:
    return Reading(device_id, "hydrant", "网关", at_ms, at_ms + 40, at_ms, at_ms, True, values)


@pytest.mark.process
@pytest.mark.parametrize("times", [1, 3])
def test_a_real_server_takes_what_we_write_however_often(victoria: str, connection: Connection, times: int) -> None:
    start_ms = yesterday_ms()
    readings = [
        reading(start_ms + n, pressure_mpa=n / 100, rsrp_dbm=-n, leak=n % 2 == 0, firmware="1.0") for n in range(6000)
    ]
    for _ in range(times):
        assert connection.write(lines_of(readings, 0)) == []
    assert told(victoria, "vm_rows_invalid_total") == 0
    found = exported(victoria, "readings_pressure_mpa")
    assert [(series["metric"]["device"], series["metric"]["kind"]) for series in found] == [("H 1,=", "hydrant")]
    assert found[0]["timestamps"] == [r.occurred_at_ms for r in readings]
    assert found[0]["values"] == [n / 100 for n in range(6000)]
    for name, values in {
        "rsrp_dbm": [-n for n in range(6000)],
        "leak": [1 - n % 2 for n in range(6000)],
        "meta.rx_delay_ms": [40] * 6000,
        "meta.seq": [r.seq for r in readings],
    }.items():
        assert exported(victoria, f"readings_{name}")[0]["values"] == values


HOSTILE = ["a b", "a,b=c", 'a"b', "a\\", "\\,", "100%", "${x}", "烟 感", "a\nb", "#a", "=", "\t", "🔥"]


@pytest.mark.process
def test_a_real_server_reads_whatever_name_a_device_has(victoria: str, connection: Connection) -> None:
    start_ms = yesterday_ms()
    readings = [reading(start_ms, name, pressure_mpa=0.5, address=name, stranger=name) for name in HOSTILE]
    assert connection.write(lines_of(readings, 0)) == []
    assert told(victoria, "vm_rows_invalid_total") == 0
    assert len(exported(victoria, "readings_pressure_mpa")) == len(HOSTILE)


@pytest.mark.process
def test_a_bad_line_costs_a_real_server_no_other(victoria: str, connection: Connection) -> None:
    start_ms = yesterday_ms()
    lines = lines_of([reading(start_ms + n, pressure_mpa=0.5) for n in range(100)], 0)
    assert connection.write([*lines[:50], "no line at all", *lines[50:]]) == []
    assert told(victoria, "vm_rows_invalid_total") == 1
    (series,) = exported(victoria, "readings_pressure_mpa")
    assert series["timestamps"] == [start_ms + n for n in range(100)]


def exported(url: str, name: str) -> list[dict[str, Any]]:
    asked(f"{url}/internal/force_flush")
    query = urllib.parse.quote(f'{{__name__="{name}"}}')
    return [json.loads(line) for line in asked(f"{url}/api/v1/export?match={query}").splitlines()]


def told(url: str, name: str) -> int:
    """A count of its own, of lines in the protocol we speak."""
    lines = asked(f"{url}/metrics").decode().splitlines()
    return sum(int(line.split()[-1]) for line in lines if line.startswith(name) and 'type="influx"' in line)


def asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
        body: bytes = answer.read()
    return body

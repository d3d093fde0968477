"""Sums: used where they hold, and only there; whatever comes late or fails, the answer is that of the readings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gridwarden.history import Buckets, HistoryUnavailable, influx_sums
from gridwarden.history.influx_sums import WINDOW_MS
from gridwarden.history.influxdb import InfluxHistory
from gridwarden.model import Reading
from tests.gridwarden.history.influx_stand_in import TOKEN, StandIn, stand_in, status, usual

HOUR_MS = 3_600_000
START_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS
END_MS = START_MS + 6 * HOUR_MS
RAW = "b"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as memory:
        yield memory


def opened(directory: Path, server: StandIn) -> InfluxHistory:
    return InfluxHistory(directory, url=server.url, org="o", bucket=RAW, token=TOKEN)


@pytest.fixture
def history(server: StandIn, tmp_path: Path) -> Iterator[InfluxHistory]:
    history = opened(tmp_path, server)
    yield history
    history.close()


def reading(at_ms: int, value: float | None, **changes: object) -> Reading:
    number = changes.pop("seq", at_ms)
    kind = changes.pop("kind", "hydrant")
    return Reading("H-1", kind, "gw", at_ms, at_ms + 40, number, at_ms, True, {"pressure_mpa": value}, **changes)  # type: ignore[arg-type]


def readings() -> list[Reading]:
    """One a minute, with a gap of an hour in the middle."""
    times = (START_MS + minute * 60_000 for minute in range(360) if not 120 <= minute < 180)
    return [reading(at_ms, at_ms // 60_000 % 17 / 10) for at_ms in times]


def asked(history: InfluxHistory, step_ms: int = HOUR_MS, from_ms: int = START_MS, to_ms: int = END_MS) -> Buckets:
    return history.buckets("H-1", "pressure_mpa", from_ms, to_ms, step_ms)


def forget_readings(server: StandIn) -> None:
    server.buckets[RAW].clear()


def test_what_is_summed_up_needs_no_readings(server: StandIn, history: InfluxHistory) -> None:
    history.append(readings(), 1, 0)
    before = {step_ms: asked(history, step_ms) for step_ms in (WINDOW_MS, HOUR_MS, 24 * HOUR_MS)}
    report = history.seal(END_MS)
    assert (report.files, report.rows) == (6, 5)  # the first empty window shows where the gap begins
    forget_readings(server)
    for step_ms, answer in before.items():
        found = asked(history, step_ms)
        assert found.mean == pytest.approx(answer.mean)
        assert (found.t_ms, found.min, found.max, found.last, found.count) == (
            answer.t_ms, answer.min, answer.max, answer.last, answer.count)  # fmt: skip
    assert asked(history, 60_000).t_ms == []  # a shorter step asks for the readings


def test_the_edges_of_an_interval_are_read(server: StandIn, history: InfluxHistory) -> None:
    history.append(readings(), 1, 0)
    edges = (START_MS + 61_000, END_MS - 61_000)
    before = asked(history, HOUR_MS, *edges)
    history.seal(END_MS - HOUR_MS)
    after = asked(history, HOUR_MS, *edges)
    assert after.mean == pytest.approx(before.mean)
    assert (after.t_ms, after.min, after.max, after.last, after.count) == (
        before.t_ms, before.min, before.max, before.last, before.count)  # fmt: skip
    forget_readings(server)
    assert sum(asked(history, HOUR_MS, *edges).count) == 3 * 60  # all but the first hour and the last


def test_a_late_reading_counts_at_once_and_is_summed_up_later(server: StandIn, history: InfluxHistory) -> None:
    history.append(readings(), 1, 0)
    history.seal(END_MS)
    history.append([reading(START_MS + HOUR_MS + 1, 9.0), reading(START_MS + 130 * 60_000, 8.0)], 2, 0)
    assert (asked(history).max[1:3], asked(history).count[1:3]) == ([9.0, 8.0], [61, 1])
    report = history.seal(END_MS)
    assert (report.files, report.rows) == (2, 2)
    forget_readings(server)
    assert (asked(history).max[1:3], asked(history).count[1:3]) == ([9.0, 8.0], [61, 1])


def test_a_reading_that_comes_while_its_window_is_summed_up_is_not_forgotten(
    server: StandIn, history: InfluxHistory
) -> None:
    history.append([reading(START_MS, 1.0)], 1, 0)

    def meanwhile(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        summed_up = server.query(json.loads(body)["query"])
        assert summed_up
        history.append([reading(START_MS + 1, 5.0), reading(START_MS - HOUR_MS, 7.0)], 2, 0)
        return status(200, summed_up)(handler, body)

    server.faults = [usual, meanwhile]
    history.seal(END_MS)
    for _ in range(2):
        found = asked(history, HOUR_MS, START_MS - HOUR_MS)
        assert (found.max, found.count) == ([7.0, 5.0], [1, 2])
        history.seal(END_MS)
    forget_readings(server)
    assert asked(history, HOUR_MS, START_MS - HOUR_MS).count == [1, 2]


def test_of_one_millisecond_the_counter_tells_the_last(server: StandIn, history: InfluxHistory) -> None:
    last_ms = START_MS + 7_000
    history.append(
        [reading(START_MS, 0.1), reading(last_ms, 0.2, seq=3), reading(last_ms, 0.3, seq=2), reading(last_ms, 0.9, seq=1)],
        1,
        0,
    )  # fmt: skip
    history.append([reading(last_ms, 0.4, seq=5, kind=""), reading(START_MS + HOUR_MS, 0.5)], 2, 0)
    history.seal(END_MS)
    assert asked(history).last == [0.4, 0.5]
    assert asked(history).count == [5, 1]


def test_a_sealing_that_fails_spoils_nothing(server: StandIn, history: InfluxHistory) -> None:
    history.append(readings(), 1, 0)
    expected = asked(history)
    server.faults = [usual, usual, status(500)]
    with pytest.raises(HistoryUnavailable, match="500"):
        history.seal(END_MS)
    assert server.faults == []
    assert asked(history).count == expected.count
    assert history.seal(END_MS).files == 6
    forget_readings(server)
    assert asked(history).count == expected.count


def test_sums_hold_after_a_restart_and_not_those_of_a_bucket_made_anew(server: StandIn, tmp_path: Path) -> None:
    server.strict = True
    history = opened(tmp_path, server)
    history.append(readings(), 1, 0)
    history.seal(END_MS)
    history.close()
    readings_there = dict(server.buckets[RAW])
    history = opened(tmp_path, server)
    forget_readings(server)
    assert sum(asked(history).count) == 300
    server.buckets[RAW].update(readings_there)
    server.sums.clear()
    del server.keeps_s["b_1h"]
    assert history.seal(END_MS).files == 6
    assert sum(asked(history).count) == 300
    history.close()


def test_without_a_bucket_for_sums_the_readings_answer(server: StandIn, history: InfluxHistory) -> None:
    server.keeps_s["b"], server.strict, server.may_manage = 0, True, False
    history.append(readings(), 1, 0)
    with capture_logs() as logs:
        for _ in range(2):
            assert history.seal(END_MS).files == 0
    assert [entry["event"][:22] for entry in logs] == ["history.not_summed_up:"]
    assert "b_1h" in logs[0]["reason"]
    assert sum(asked(history).count) == 300
    assert history.retain(END_MS) == 0


def test_too_much_that_is_stale_is_summed_up_from_there_on(
    server: StandIn, history: InfluxHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influx_sums, "STALE_LIMIT", 2)
    history.append(readings(), 1, 0)
    history.seal(END_MS)
    late = [reading(START_MS + hour * HOUR_MS + 1, 3.0) for hour in (1, 3, 4, 5)]
    history.append(late, 2, 0)
    assert history._books.page.summed_until_ms == START_MS + HOUR_MS
    assert asked(history).max == [1.6, 3.0, 3.0, 3.0, 3.0]
    history.seal(END_MS)
    forget_readings(server)
    assert asked(history).max == [1.6, 3.0, 3.0, 3.0, 3.0]


def test_one_sealing_goes_so_far_and_the_next_goes_on(
    server: StandIn, history: InfluxHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influx_sums, "AT_ONCE", 4)
    history.append(readings(), 1, 0)
    assert [history.seal(END_MS).files for _ in range(3)] == [4, 2, 0]
    forget_readings(server)
    assert sum(asked(history).count) == 300


def test_days_that_are_dropped_take_their_sums_along(server: StandIn, history: InfluxHistory) -> None:
    day_ms = 24 * HOUR_MS
    history.append([reading(START_MS, 1.0), reading(START_MS + day_ms, 2.0)], 1, 0)
    history.seal(START_MS + 2 * day_ms)
    assert history.retain(START_MS + day_ms) == 1
    assert asked(history, day_ms, 0, START_MS + 2 * day_ms).max == [2.0]
    assert [len(sums) for sums in server.sums["b_1h"].values()] == [1]

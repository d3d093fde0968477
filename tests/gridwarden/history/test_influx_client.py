"""The connection: what a Retry-After makes of the next request. Its other faults: test_influxdb.py."""

from __future__ import annotations

import pytest

from gridwarden.history import HistoryUnavailable
from gridwarden.history.influx_client import LONGEST_PAUSE_S, Connection
from tests.gridwarden.history.influx_stand_in import TOKEN, stand_in, status


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

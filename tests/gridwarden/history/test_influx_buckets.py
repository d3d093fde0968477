"""Buckets: made where they are missing, kept long enough, and words for a person where neither may be done."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from structlog.testing import capture_logs

from gridwarden.history import HistoryUnavailable
from gridwarden.history.influx_buckets import DAY_S
from gridwarden.history.influxdb import InfluxHistory
from gridwarden.model import Reading
from tests.gridwarden.history.influx_stand_in import TOKEN, StandIn, stand_in

BUCKETS = "/api/v2/buckets"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as memory:
        yield memory


def opened(directory: Path, url: str, keep_days: int = 31, token: str = TOKEN) -> InfluxHistory:
    return InfluxHistory(directory, url=url, org="o", bucket="b", token=token, keep_days=keep_days)


def test_a_bucket_that_is_missing_is_made_once(server: StandIn, tmp_path: Path) -> None:
    server.strict = True
    history = opened(tmp_path, server.url)
    assert server.managed == []  # opening needs no server
    for _ in range(2):
        history.append([], 0, 0)
    assert server.managed == [f"GET {BUCKETS}", "GET /api/v2/orgs", f"POST {BUCKETS}"]
    assert server.keeps_s == {"b": 31 * DAY_S}
    history.close()


def test_a_bucket_that_may_not_be_made_is_asked_for_until_somebody_makes_it(server: StandIn, tmp_path: Path) -> None:
    server.strict, server.may_manage = True, False
    history = opened(tmp_path, server.url)
    with pytest.raises(HistoryUnavailable, match=r"no bucket 'b' in an organisation 'o'.* at least 31 days, or give"):
        history.append([], 3, 5)
    assert (history.offset(), history.complete_until_ms()) == (0, 0)
    server.keeps_s["b"] = 0
    history.append([], 3, 5)
    assert history.offset() == 3
    history.close()


@pytest.mark.parametrize(
    ("keeps_days", "becomes"), [(0, 0), (400, 400), (31, 31), (7, 31)], ids=["for ever", "longer", "as long", "shorter"]
)
def test_what_a_bucket_keeps_is_lengthened_and_never_shortened(
    server: StandIn, tmp_path: Path, keeps_days: int, becomes: int
) -> None:
    server.keeps_s["b"] = keeps_days * DAY_S
    history = opened(tmp_path, server.url)
    history.append([], 0, 0)
    assert server.keeps_s == {"b": becomes * DAY_S}
    assert server.managed == [f"GET {BUCKETS}", *([f"PATCH {BUCKETS}/b"] if becomes != keeps_days else [])]
    history.close()


def test_a_bucket_that_keeps_too_short_and_may_not_be_changed_is_told_and_used(server: StandIn, tmp_path: Path) -> None:
    server.keeps_s["b"], server.may_manage = DAY_S, False
    history = opened(tmp_path, server.url)
    with capture_logs() as logs:
        history.append([], 3, 0)
    assert history.offset() == 3
    (told,) = logs
    assert told["event"].startswith("history.bucket_forgets_too_early: lengthen its retention")
    assert (told["bucket"], told["kept_days"], told["keep_days"]) == ("b", 1.0, 31)
    history.close()


def test_a_wrong_token_is_not_taken_for_a_missing_bucket(server: StandIn, tmp_path: Path) -> None:
    history = opened(tmp_path, server.url, token="wrong")
    with pytest.raises(HistoryUnavailable, match="does not accept the token"):
        history.append([], 0, 0)
    history.close()


@pytest.mark.skipif(
    "GRIDWARDEN_TEST_INFLUX_URL" not in os.environ, reason="needs an InfluxDB that the environment names"
)
def test_a_real_influxdb_makes_lengthens_and_leaves_out_as_the_stand_in_does(tmp_path: Path) -> None:
    url, token, org = (os.environ[f"GRIDWARDEN_TEST_INFLUX_{name}"] for name in ("URL", "TOKEN", "ORG"))
    bucket, now_ms = f"gridwarden-test-{secrets.token_hex(6)}", time.time_ns() // 10**6
    said = Reading("H-1", "hydrant", "gw", now_ms, now_ms, 1, 1, True, {"pressure_mpa": 0.5})
    old = replace(said, occurred_at_ms=now_ms - 40 * DAY_S * 1000)
    kept_s = []
    with InfluxDBClient(url, token, org=org) as client:
        try:
            for keep_days in (31, 62, 31):
                directory = tmp_path / str(len(kept_s))
                history = InfluxHistory(directory, url=url, org=org, bucket=bucket, token=token, keep_days=keep_days)
                readings = [replace(said, seq=n, key=n) for n in range(10)] + [old] * (keep_days == 31 and not kept_s)
                history.append(readings, 1, 0)
                assert history.count() == 10
                history.close()
                kept_s.append(client.buckets_api().find_bucket_by_name(bucket).retention_rules[0].every_seconds)
        finally:
            client.buckets_api().delete_bucket(client.buckets_api().find_bucket_by_name(bucket))
    assert kept_s == [31 * DAY_S, 62 * DAY_S, 62 * DAY_S]

"""What every history must do, whatever stores it: a further implementation is one more entry of IMPLEMENTATIONS."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from influxdb_client.client.bucket_api import BucketsApi
from influxdb_client.client.influxdb_client import InfluxDBClient

from gridwarden.errors import Refused
from gridwarden.history import Buckets, History, HistoryMismatch, Latest, Series
from gridwarden.history.audit import audit
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.influxdb import InfluxHistory
from gridwarden.kinds import KINDS, FieldType
from gridwarden.model import Reading, Value
from tests.gridwarden.history.influx_stand_in import TOKEN, stand_in


@cache
def buckets_api() -> BucketsApi:
    """Of the InfluxDB that the environment names."""
    url, token, org = (os.environ[f"GRIDWARDEN_TEST_INFLUX_{name}"] for name in ("URL", "TOKEN", "ORG"))
    return InfluxDBClient(url, token, org=org).buckets_api()


def real_influxdb(directory: Path) -> History:
    """In a bucket of the directory's own."""
    url, token, org = (os.environ[f"GRIDWARDEN_TEST_INFLUX_{name}"] for name in ("URL", "TOKEN", "ORG"))
    bucket = f"gridwarden-test-{blake2b(str(directory).encode(), digest_size=6).hexdigest()}-{os.getpid()}"
    if buckets_api().find_bucket_by_name(bucket) is None:
        buckets_api().create_bucket(bucket_name=bucket, org=org)
        atexit.register(lambda: [buckets_api().delete_bucket(one) for name in (bucket, f"{bucket}_1h")
                                 if (one := buckets_api().find_bucket_by_name(name))])  # fmt: skip
    return InfluxHistory(directory, url=url, org=org, bucket=bucket, token=token)


@cache
def stand_in_url() -> str:
    """One for all tests of this process; each directory is a bucket."""
    running = stand_in()
    atexit.register(lambda: running.__exit__(None, None, None))
    return running.__enter__().url


def stand_in_influxdb(directory: Path) -> History:
    """Our own queries, answered by our own server: what is worked out here, not what InfluxDB makes of them."""
    return InfluxHistory(directory, url=stand_in_url(), org="o", bucket=str(directory), token=TOKEN)


IMPLEMENTATIONS: dict[str, Callable[[Path], History]] = {
    "duckdb": lambda directory: DuckDBHistory(directory, memory_limit="200MB"),
    "influxdb-stand-in": stand_in_influxdb,
}
if "GRIDWARDEN_TEST_INFLUX_URL" in os.environ:
    IMPLEMENTATIONS["influxdb"] = real_influxdb
DAY_MS = 86_400_000
START_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
ALWAYS = (0, 2**62)


@pytest.fixture(params=IMPLEMENTATIONS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], History]:
    return lambda: IMPLEMENTATIONS[request.param](tmp_path / "history")


@pytest.fixture
def history(opener: Callable[[], History]) -> Iterator[History]:
    history = opener()
    yield history
    history.close()


def reading(device_id: str = "H-1", kind: str = "hydrant", at_ms: int = START_MS, **changes: object) -> Reading:
    usual = Reading(device_id, kind, "gw-1", at_ms, at_ms + 40, None, at_ms, True, {"pressure_mpa": 0.42})
    return replace(usual, **changes)


def test_a_new_history_is_empty(history: History) -> None:
    assert (history.offset(), history.epoch(), history.complete_until_ms(), history.count()) == (0, "", 0, 0)
    assert history.counts() == {}
    assert history.latest("H-1") is None
    assert history.series("H-1", "pressure_mpa", *ALWAYS, 10) == Series([], [])
    assert history.buckets("H-1", "pressure_mpa", *ALWAYS, 1000) == Buckets(1000, [], [], [], [], [], [])
    assert history.seal(START_MS).rows == 0
    assert history.retain(START_MS) == 0


def test_the_books_survive_closing(opener: Callable[[], History]) -> None:
    history = opener()
    history.begin("records-1")
    history.append([reading()], 17, START_MS)
    history.append([], 17, START_MS + 5)
    history.append([], 18, START_MS - 5)
    history.close()
    history = opener()
    books = (history.offset(), history.epoch(), history.complete_until_ms(), history.counts())
    assert books == (18, "records-1", START_MS + 5, {"H-1": 1})
    history.close()


def test_records_of_another_epoch_are_refused(history: History) -> None:
    history.begin("records-1")
    history.begin("records-1")
    with pytest.raises(HistoryMismatch, match=r"records-1.*records-2"):
        history.begin("records-2")
    assert history.epoch() == "records-1"


@pytest.mark.parametrize("offset", [4, 5])
def test_an_offset_is_followed_once(history: History, offset: int) -> None:
    history.append([reading()], 5, START_MS)
    with pytest.raises(ValueError, match="already followed up to 5"):
        history.append([reading(at_ms=START_MS + 1)], offset, START_MS)
    assert (history.count(), history.offset()) == (1, 5)


def test_an_account_is_kept_of_what_is_written_and_dropped(opener: Callable[[], History]) -> None:
    history = opener()
    history.append([reading()], 3, START_MS)
    assert (history.account(), history.counts_itself()) == (None, False)
    history.begin_account(7, START_MS)
    assert history.counts_itself()
    history.append([reading(at_ms=START_MS - 3 * DAY_MS), reading(at_ms=START_MS + 1)], 5, START_MS)
    history.append([], 5, START_MS)
    history.seal(START_MS)
    assert history.retain(START_MS - DAY_MS) == 1
    history.close()
    history = opener()
    account = history.account()
    assert account is not None
    assert (account.offset, account.since_offset, account.since_at_ms, account.before) == (5, 3, START_MS, 7)
    assert (account.written, account.refused, account.dropped) == (2, 0, 1)
    assert account.held is None or (account.held_before, account.held) == (1, 2)
    found = audit(account, 9, START_MS)
    assert (found.expected, found.missing) == (2, 0)
    history.close()


SAMPLE: dict[FieldType, Value] = {
    FieldType.BOOL: True, FieldType.INT: 7, FieldType.FLOAT: 12.34, FieldType.ENUM: "", FieldType.TEXT: "故障 ⚠ \0 'x\"",
}  # fmt: skip


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_every_kind_comes_back(history: History, kind: str, sealed: bool) -> None:
    values = {
        name: field.choices[0] if field.choices else SAMPLE[field.type] for name, field in KINDS[kind].fields.items()
    }
    counters = {name: 2**53 - 1 for name, field in KINDS[kind].fields.items() if field.high == 2**53}
    said = reading("D-1", kind, seq=2**40, values=values | counters, gateway="网关 'a'")
    history.append([said], 1, START_MS)
    if sealed:
        history.seal(START_MS + DAY_MS)
    assert history.latest("D-1") == Latest("D-1", kind, "网关 'a'", START_MS, START_MS + 40, 2**40, said.values, {})
    for name, value in said.values.items():
        assert history.series("D-1", name, *ALWAYS, 10).values == [value]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("values", "quality"),
    [
        pytest.param({"pressure_mpa": None}, {"pressure_mpa": "out_of_range"}, id="null with its quality"),
        pytest.param({"pressure_mpa": None}, {}, id="null without quality"),
        pytest.param({"pressure_mpa": 0.5}, {"at": "clock"}, id="quality of the time"),
        pytest.param({"elsewhere": "値", "n": 2**60, "deep": None}, {}, id="fields the kind does not have"),
        pytest.param({"pressure_mpa": "high", "leak": 1, "rsrp_dbm": 2**40}, {}, id="values of another type"),
        pytest.param({}, {}, id="nothing at all"),
    ],
)
@pytest.mark.parametrize("kind", ["hydrant", "", "tram"])
def test_nothing_in_a_reading_is_lost(
    history: History, kind: str, values: dict[str, Value], quality: dict[str, str], sealed: bool
) -> None:
    history.append([reading(kind=kind, values=values, quality=quality)], 1, START_MS)
    if sealed:
        history.seal(START_MS + DAY_MS)
    latest = history.latest("H-1")
    assert latest is not None
    assert (latest.kind, latest.values, latest.quality) == (kind, values, quality)


def test_a_value_that_could_not_be_used_is_a_gap_in_the_series(history: History) -> None:
    history.append(
        [
            reading(at_ms=START_MS),
            reading(at_ms=START_MS + 1, values={"leak": True}),
            reading(at_ms=START_MS + 2, values={"pressure_mpa": None}, quality={"pressure_mpa": "out_of_range"}),
        ],
        1,
        START_MS,
    )
    assert history.series("H-1", "pressure_mpa", *ALWAYS, 10) == Series([START_MS, START_MS + 2], [0.42, None])
    assert history.buckets("H-1", "pressure_mpa", *ALWAYS, 1000).count == [1]


def test_two_readings_that_look_alike_are_two(history: History) -> None:
    same = reading(keyed=False)
    history.append([same, same, replace(same, key=1)], 1, START_MS)
    history.append([same], 2, START_MS)
    history.seal(START_MS + DAY_MS)
    history.append([same], 3, START_MS)
    history.seal(START_MS + DAY_MS)
    assert history.count() == 5
    assert history.series("H-1", "pressure_mpa", *ALWAYS, 10).values == [0.42] * 5


def test_a_gateway_without_the_right_is_kept_and_not_shown(history: History) -> None:
    history.append([reading(), reading(at_ms=START_MS + 1, entitled=False, values={"pressure_mpa": 0})], 1, START_MS)
    assert history.counts() == {"H-1": 2}
    assert history.series("H-1", "pressure_mpa", *ALWAYS, 10).t_ms == [START_MS]
    latest = history.latest("H-1")
    assert latest is not None
    assert latest.occurred_at_ms == START_MS


def test_a_device_whose_kind_became_known_keeps_its_past(history: History) -> None:
    history.append(
        [reading(kind="", values={"pressure_mpa": 0.1, "leak": False}), reading(at_ms=START_MS + 1)], 1, START_MS
    )
    assert history.series("H-1", "pressure_mpa", *ALWAYS, 10).values == [0.1, 0.42]
    assert history.buckets("H-1", "pressure_mpa", *ALWAYS, DAY_MS).min == [0.1]
    assert history.series("H-1", "leak", *ALWAYS, 10).values == [False]


@pytest.mark.parametrize(
    ("field", "code"),
    [("pressure", "unknown_field"), ("seq; DROP TABLE state", "unknown_field"), ("occurred_at", "unknown_field"),
     ("leak", "not_numeric"), ("state", "not_numeric")],
)  # fmt: skip
def test_what_is_no_number_has_no_buckets(history: History, field: str, code: str) -> None:
    with pytest.raises(Refused, match=code):
        history.buckets("H-1", field, *ALWAYS, 1000)
    if code == "unknown_field":
        with pytest.raises(Refused, match=code):
            history.series("H-1", field, *ALWAYS, 10)


def test_buckets_need_a_step(history: History) -> None:
    with pytest.raises(Refused, match="bad_step"):
        history.buckets("H-1", "pressure_mpa", *ALWAYS, 0)


def test_the_interval_is_half_open_and_the_limit_told(history: History) -> None:
    history.append([reading(at_ms=START_MS + n) for n in range(5)], 1, START_MS)
    assert history.series("H-1", "pressure_mpa", START_MS + 1, START_MS + 4, 10).t_ms == [
        START_MS + n for n in (1, 2, 3)
    ]
    limited = history.series("H-1", "pressure_mpa", START_MS, START_MS + 5, 2)
    assert (limited.t_ms, limited.truncated) == ([START_MS, START_MS + 1], True)
    assert not history.series("H-1", "pressure_mpa", START_MS, START_MS + 5, 5).truncated
    assert history.series("H-1", "pressure_mpa", START_MS + 5, START_MS, 5).t_ms == []


def test_a_chart_of_long_times_is_the_same_when_its_past_is_sealed(history: History) -> None:
    readings = [
        reading(kind="hydrant" if n % 50 else "", at_ms=START_MS + n // 2 * 40_000, seq=-n % 3, key=n,
                received_at_ms=START_MS + n * 100_000, values={"pressure_mpa": n % 31 / 16, "rsrp_dbm": -n})
        for n in range(1200)
    ]  # fmt: skip
    history.append(readings, 1, START_MS)
    asked = [
        (field, from_ms, to_ms, step_ms)
        for field in ("pressure_mpa", "rsrp_dbm")
        for from_ms, to_ms in (ALWAYS, (START_MS + 1_234_567, START_MS + 20_000_001))
        for step_ms in (1_800_000, 3_600_000, DAY_MS)
    ]
    before = [history.buckets("H-1", *one) for one in asked]
    assert sum(before[0].count) == 1200
    for until_ms in (START_MS + 7_000_000, START_MS + DAY_MS):
        history.seal(until_ms)
        for one, answer in zip(asked, before, strict=True):
            found = history.buckets("H-1", *one)
            assert found.mean == pytest.approx(answer.mean)
            assert replace(found, mean=[]) == replace(answer, mean=[])


@pytest.mark.parametrize("seal_after", [0, 1, 2])
@pytest.mark.parametrize("late_ms", [-1, -DAY_MS])
def test_a_late_reading_is_never_the_last(history: History, late_ms: int, seal_after: int) -> None:
    for number, at_ms in enumerate((START_MS + 5, START_MS + 5 + late_ms), start=1):
        history.append([reading(at_ms=at_ms)], number, START_MS)
        if number == seal_after:
            history.seal(START_MS + DAY_MS)
    latest = history.latest("H-1")
    assert latest is not None
    assert latest.occurred_at_ms == START_MS + 5


@pytest.mark.parametrize("seal_after", [None, 0, 1, 2, 3])
def test_of_one_moment_the_counter_tells_the_order_then_the_arrival(history: History, seal_after: int | None) -> None:
    # (seq, delay in ms, value) as they arrive
    arriving = [(2, 50, 0.5), (1, 60, 0.3), (None, 70, 0.1), (2, 40, 0.4), (1, 30, 0.2)]
    for number, (seq, delay_ms, value) in enumerate(arriving):
        said = reading(seq=seq, received_at_ms=START_MS + delay_ms, values={"pressure_mpa": value})
        history.append([said], number + 1, START_MS)
        if number == seal_after:
            history.seal(START_MS + DAY_MS)
    assert history.series("H-1", "pressure_mpa", *ALWAYS, 10).values == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert history.buckets("H-1", "pressure_mpa", *ALWAYS, DAY_MS).last == [0.5]
    latest = history.latest("H-1")
    assert latest is not None
    assert latest.values == {"pressure_mpa": 0.5}


def test_retention_drops_whole_days_hot_or_sealed(history: History) -> None:
    days = [[reading(f"H-{n}", at_ms=START_MS + day * DAY_MS + n) for n in range(3)] for day in range(4)]
    history.append(days[0] + days[1], 1, START_MS)
    history.seal(START_MS + 4 * DAY_MS)
    history.append(days[2] + days[3] + [reading("H-9")], 2, START_MS)
    assert history.retain(START_MS + 2 * DAY_MS + 5) == 7
    assert history.counts() == {"H-0": 2, "H-1": 2, "H-2": 2}
    assert history.series("H-1", "pressure_mpa", *ALWAYS, 10).t_ms == [START_MS + day * DAY_MS + 1 for day in (2, 3)]
    assert history.offset() == 2


# The same as a model in memory, whatever the order of appending, sealing and reopening.

DEVICES = {"H-1": "hydrant", "烟-2": "smoke", "L-3": "lift", "?": ""}
FIELD = {"hydrant": "pressure_mpa", "smoke": "temperature_c", "lift": "floor", "": "pressure_mpa"}
times = st.integers(0, 3 * DAY_MS // 3_600_000).map(lambda hour: START_MS + hour * 3_600_000)
said = st.tuples(
    st.sampled_from(sorted(DEVICES)), times, st.none() | st.integers(0, 3), st.sampled_from([0, 1, 7, 20, None])
)
steps = st.lists(st.lists(said, max_size=8) | times | st.just("reopen"), max_size=8)


def model_readings(drawn: list[tuple[str, int, int | None, int | None]], number: int) -> list[Reading]:
    readings = []
    for position, (device_id, at_ms, seq, value) in enumerate(drawn):
        kind = DEVICES[device_id]
        quality = {FIELD[kind]: "out_of_range"} if value is None else {}
        readings.append(
            Reading(device_id, kind, "gw", at_ms, at_ms + number * 100 + position, seq, number, True,
                    {FIELD[kind]: value}, quality)
        )  # fmt: skip
    return readings


def rank(r: Reading) -> tuple[int, int, int]:
    return r.occurred_at_ms, -1 if r.seq is None else r.seq, r.received_at_ms


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=25, deadline=None)
@given(steps=steps, window=st.tuples(times, times), step_ms=st.sampled_from([7_200_000, DAY_MS]))
def test_it_agrees_with_a_list(implementation: str, steps: list[object], window: tuple[int, int], step_ms: int) -> None:
    everything: list[Reading] = []
    with tempfile.TemporaryDirectory() as directory:
        history = IMPLEMENTATIONS[implementation](Path(directory))
        for number, step in enumerate(steps, start=1):
            if isinstance(step, int):
                history.seal(step)
            elif isinstance(step, list):
                readings = model_readings(step, number)
                everything += readings
                history.append(readings, number, START_MS)
            else:
                history.close()
                history = IMPLEMENTATIONS[implementation](Path(directory))
            assert history.count() == len(everything)
        for device_id in DEVICES:
            agrees(history, device_id, [r for r in everything if r.device_id == device_id], window, step_ms)
        history.close()


def agrees(history: History, device_id: str, mine: list[Reading], window: tuple[int, int], step_ms: int) -> None:
    field = FIELD[DEVICES[device_id]]
    mine = sorted(mine, key=rank)
    assert history.counts().get(device_id, 0) == len(mine)
    latest = history.latest(device_id)
    assert (latest is None) == (not mine)
    if latest is not None:
        assert (latest.received_at_ms, latest.values) == (mine[-1].received_at_ms, mine[-1].values)
    within = [r for r in mine if window[0] <= r.occurred_at_ms < window[1]]
    expected = Series([r.occurred_at_ms for r in within], [r.values[field] for r in within])
    assert history.series(device_id, field, *window, 1000) == expected
    groups: dict[int, list[float]] = {}
    for r in within:
        value = r.values[field]
        if isinstance(value, int):
            groups.setdefault(r.occurred_at_ms // step_ms * step_ms, []).append(value)
    buckets = history.buckets(device_id, field, *window, step_ms)
    assert (buckets.t_ms, buckets.count) == (list(groups), [len(group) for group in groups.values()])
    assert buckets.min == [min(group) for group in groups.values()]
    assert buckets.max == [max(group) for group in groups.values()]
    assert buckets.last == [group[-1] for group in groups.values()]
    assert buckets.mean == pytest.approx([sum(group) / len(group) for group in groups.values()])

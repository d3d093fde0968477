"""All readings of an interval, as columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from gridwarden.history import HistoryUnavailable
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.past import NO_SEQ, UNKNOWN, Chunk, Past, as_written
from gridwarden.kinds import KINDS, Field
from gridwarden.model import Reading

DAY_MS = 86_400_000
START_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
FIELDS = ("state", "temperature_c", "heat_alarm", "alarm_count", "fault_text")


def said(device_id: str = "S-1", at_ms: int = 0, **values: Any) -> Reading:
    return Reading(device_id, "smoke", "gw", START_MS + at_ms, START_MS + at_ms + 7, at_ms, abs(at_ms), True, values)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[DuckDBHistory]:
    opened = DuckDBHistory(tmp_path / "history")
    opened.begin("here")
    yield opened
    opened.close()


def past_of(
    history: DuckDBHistory,
    readings: list[Reading],
    *,
    seal: bool = False,
    days: int = 3,
    fields: tuple[str, ...] = FIELDS,
) -> Past:
    history.append(readings, history.offset() + 1, START_MS)
    if seal:
        history.seal(START_MS + 9 * DAY_MS)
    return Past(history.snapshot(["smoke"], START_MS, START_MS + days * DAY_MS), {"smoke": fields})


def texts(past: Past, chunk: Chunk, name: str) -> list[str | None]:
    words = list(past.codes)
    return [None if code == UNKNOWN else words[code] for code in chunk.values[name].tolist()]


@pytest.mark.parametrize("seal", [False, True])
def test_values_come_in_the_columns_of_their_types(history: DuckDBHistory, seal: bool) -> None:
    past = past_of(
        history,
        [
            said(at_ms=5, state="alarm", temperature_c=57.1, heat_alarm=True, alarm_count=3, fault_text="a'b"),
            said(at_ms=6, heat_alarm=False),
            said(at_ms=7, state="normal", temperature_c=-0.5, fault_text=""),
        ],
        seal=seal,
    )
    (chunk,) = past.chunks()
    assert past.rows == 3
    assert texts(past, chunk, "state") == ["alarm", None, "normal"]
    assert texts(past, chunk, "fault_text") == ["a'b", None, ""]
    assert chunk.values["heat_alarm"].tolist() == [1, 0, -1]
    np.testing.assert_array_equal(chunk.values["temperature_c"], [57.1, np.nan, -0.5])
    np.testing.assert_array_equal(chunk.values["alarm_count"], [3, np.nan, np.nan])
    assert (chunk.device_ids, chunk.starts.tolist(), chunk.said) == (("S-1",), [0, 3], {})
    assert chunk.occurred_at_ms.tolist() == [START_MS + 5, START_MS + 6, START_MS + 7]
    assert (chunk.received_at_ms - chunk.occurred_at_ms).tolist() == [7, 7, 7]
    assert [past.gateways[key] for key in chunk.gateways.tolist()] == ["gw"] * 3


def test_rows_come_by_device_and_then_as_its_clock_went(history: DuckDBHistory) -> None:
    many = [said(f"S-{number % 40}", at_ms) for at_ms, number in enumerate((7 * n) % 200 for n in range(200))]
    sealed, late = many[:150], [said("S-3", 1), said("S-3", 0, state="test")]
    history.append(sealed, 1, START_MS)
    history.seal(START_MS + DAY_MS)
    past = past_of(history, many[150:] + late)
    seen = []
    for chunk in past.chunks():
        assert chunk.device_keys.tolist() == sorted(set(chunk.device_keys.tolist()))
        for place, device_id in enumerate(chunk.device_ids):
            mine = chunk.occurred_at_ms[chunk.starts[place] : chunk.starts[place + 1]].tolist()
            assert mine == sorted(mine)
            seen += [(device_id, at_ms) for at_ms in mine]
    assert sorted(seen) == sorted((one.device_id, one.occurred_at_ms) for one in [*many, *late])


def test_only_the_interval_is_read(history: DuckDBHistory) -> None:
    past_of(history, [said(at_ms=-1), said(at_ms=0), said(at_ms=DAY_MS - 1), said(at_ms=DAY_MS)], seal=True)
    snapshot = history.snapshot(["smoke"], START_MS + 1, START_MS + DAY_MS)
    (chunk,) = Past(snapshot, {"smoke": FIELDS}).chunks()
    assert chunk.occurred_at_ms.tolist() == [START_MS + DAY_MS - 1]


def test_days_come_one_after_the_other(history: DuckDBHistory) -> None:
    past = past_of(history, [said(at_ms=day * DAY_MS) for day in (2, 0, 1)])
    assert [chunk.occurred_at_ms.tolist() for chunk in past.chunks()] == [[START_MS + day * DAY_MS] for day in range(3)]


def test_flags_and_a_missing_counter(history: DuckDBHistory) -> None:
    odd = replace(said(at_ms=1), seq=None, late=True, registered=False, entitled=False, keyed=False)
    (chunk,) = past_of(history, [said(at_ms=0), odd]).chunks()
    assert chunk.flags.tolist() == [7, 8]
    assert chunk.seq.tolist() == [0, NO_SEQ]


def test_what_no_column_holds_is_said_beside_them(history: DuckDBHistory) -> None:
    unusable = replace(
        said(at_ms=1, temperature_c=None, smoke_dbm=None), quality={"temperature_c": "not_finite", "at": "clock"}
    )
    odd = said(at_ms=2, temperature_c="warm", state=None)
    (chunk,) = past_of(history, [said(), unusable, odd]).chunks()
    assert chunk.said == {1: {"temperature_c": None}, 2: {"temperature_c": "warm", "state": None}}
    assert np.isnan(chunk.values["temperature_c"]).all()


def test_a_choice_that_is_none_any_more_is_still_told(history: DuckDBHistory) -> None:
    past = past_of(history, [said(at_ms=0, state="smouldering"), said(at_ms=1, state="alarm"), said(at_ms=2)])
    (chunk,) = past.chunks()
    assert texts(past, chunk, "state") == ["smouldering", "alarm", None]


def test_a_field_that_came_later_is_unknown_in_older_files(tmp_path: Path) -> None:
    smoke = KINDS["smoke"]
    younger = {name: field for name, field in smoke.fields.items() if name != "heat_alarm"}
    old = DuckDBHistory(tmp_path / "history", kinds={"smoke": replace(smoke, fields=younger)})
    old.begin("here")
    old.append([said(state="alarm")], 1, START_MS)
    old.seal(START_MS + DAY_MS)
    old.close()
    history = DuckDBHistory(tmp_path / "history")
    (chunk,) = Past(history.snapshot(["smoke"], START_MS, START_MS + DAY_MS), {"smoke": FIELDS}).chunks()
    assert chunk.values["heat_alarm"].tolist() == [UNKNOWN]
    history.close()


def test_kinds_that_nobody_wants_are_left_out(history: DuckDBHistory) -> None:
    history.append([said()], 1, START_MS)
    past = Past(history.snapshot(["smoke"], START_MS, START_MS + DAY_MS), {"lift": ("floor",)})
    assert (list(past.chunks()), past.rows) == ([], 0)
    past.close()


def test_fields_are_names_of_their_kind() -> None:
    assert all(isinstance(KINDS["smoke"].fields[name], Field) for name in FIELDS)


@given(st_np.arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32, allow_nan=True, allow_infinity=False)))
def test_short_floats_are_read_as_they_were_written(numbers: Any) -> None:
    want = [float(str(number)) for number in numbers]
    np.testing.assert_array_equal(as_written(numbers), want)


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 4)), max_size=30))
def test_decimal_numbers_come_back_as_they_were_sent(sent: list[tuple[int, int]]) -> None:
    numbers = [float(f"{whole}e-{places}") for whole, places in sent]
    np.testing.assert_array_equal(as_written(np.array(numbers, np.float32)), numbers)


def test_a_file_without_a_reading_of_the_interval_is_an_empty_chunk(history: DuckDBHistory) -> None:
    history.append([said(at_ms=5)], 1, START_MS)
    history.seal(START_MS + DAY_MS)
    (chunk,) = Past(history.snapshot(["smoke"], START_MS + 6, START_MS + DAY_MS), {"smoke": FIELDS}).chunks()
    assert (len(chunk.occurred_at_ms), chunk.device_ids, chunk.starts.tolist()) == (0, (), [0])


def test_files_that_are_gone_are_said_to_be(history: DuckDBHistory) -> None:
    history.append([said()], 1, START_MS)
    snapshot = history.snapshot(["smoke"], START_MS, START_MS + DAY_MS)
    past = Past(snapshot, {"smoke": FIELDS})
    snapshot.remove()
    with pytest.raises(HistoryUnavailable, match="No files found"):
        list(past.chunks())
    with pytest.raises(HistoryUnavailable, match="No files found"):
        Past(snapshot, {"smoke": FIELDS})

"""Rows of a chunk: some of them, by device, and as readings again."""

from dataclasses import replace

import numpy as np
import pytest

from gridwarden.model import Reading
from rules.readings import Readings, Texts, plain
from tests.rules.past import chunks

FIELDS = {"lift": ("floor", "door", "occupied")}


def said(device_id: str, at_ms: int, **values: object) -> Reading:
    return Reading(device_id, "lift", "gw", at_ms, at_ms + 5, None if at_ms % 2 else at_ms, 0, True, values)


READINGS = [
    said("L-1", 2, floor=3, door="open"), said("L-1", 4, occupied=True), said("L-2", 6, floor=None),
    replace(said("L-3", 7, door="closed"), late=True, entitled=False, registered=False), said("L-3", 8),
]  # fmt: skip


@pytest.fixture
def texts() -> Texts:
    return Texts({}, {0: "gw"})


def test_all_rows_come_back_as_the_readings_they_were(texts: Texts) -> None:
    (chunk,) = chunks(READINGS, FIELDS, texts)
    readings = Readings.of(chunk)
    assert readings.size == 5
    ids = readings.of_device(np.array(chunk.device_ids)).tolist()
    again = [readings.reading(row, ids[row], texts, texts.words(), 0) for row in range(5)]
    assert again == READINGS


def test_some_rows_are_counted_by_their_devices(texts: Texts) -> None:
    (chunk,) = chunks(READINGS, FIELDS, texts)
    some = Readings.of(chunk, np.array([False, True, True, False, True]))
    assert some.keys.tolist() == [0, 1, 2]
    assert some.starts.tolist() == [0, 1, 2, 3]
    assert some.column(chunk.occurred_at_ms).tolist() == [4, 6, 8]
    assert some.said() == {1: {"floor": None}}
    assert some.reading(1, "L-2", texts, texts.words(), 0) == READINGS[2]


def test_a_device_without_a_wanted_row_is_left_out(texts: Texts) -> None:
    (chunk,) = chunks(READINGS, FIELDS, texts)
    some = Readings.of(chunk, np.array([False, False, False, True, False]))
    assert (some.keys.tolist(), some.starts.tolist(), some.said()) == ([2], [0, 1], {})
    assert Readings.of(chunk, np.zeros(5, bool)).size == 0


def test_values_of_columns_are_plain_again() -> None:
    words = ["a", "b"]
    assert plain(np.float64(2.5), words) == 2.5
    assert plain(np.float64("nan"), words) is None
    assert plain(np.int8(1), words) is True
    assert plain(np.int8(-1), words) is None
    assert plain(np.int32(1), words) == "b"


def test_a_text_keeps_its_code(texts: Texts) -> None:
    assert [texts.code(text) for text in ("x", "y", "x")] == [0, 1, 0]
    assert texts.words() == ["x", "y"]
    texts.code("z")
    assert texts.words() == ["x", "y", "z"]

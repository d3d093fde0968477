"""Marks, times and scopes of a query: what comes back is what was meant, and nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.paging import mark, narrow, read_mark, read_time
from gridwarden.errors import Refused


@given(st.integers(0, 2**53 - 1), st.text(min_size=1, max_size=64))
def test_a_mark_comes_back_as_it_was(at_ms: int, key: str) -> None:
    assert read_mark(mark(at_ms, key)) == (at_ms, key)


@given(st.text(max_size=60).filter(lambda text: not text.partition("~")[0].isdecimal()))
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Refused, match="bad_mark"):
        read_mark(text)


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        (None, None),
        ("1000", 1000),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T08:00:01+08:00", 1000),
        ("1970-01-01T00:00:01", 1000),
    ],
)
def test_times_are_rfc_3339_or_epoch_milliseconds(text: str | None, at_ms: int | None) -> None:
    assert read_time(text) == at_ms


@pytest.mark.parametrize("text", ["yesterday", "", "1e9", "-1", "9" * 30])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(Refused, match="bad_time"):
        read_time(text)


@pytest.mark.parametrize(
    ("scopes", "area", "seen"),
    [
        ([""], "", [""]),
        ([""], "330106", ["330106"]),
        (["330106"], "", ["330106"]),
        (["330106"], "330106003", ["330106003"]),
        (["330106003"], "330106", ["330106003"]),
        (["330106"], "330107", []),
        ([], "", []),
    ],
)
def test_nobody_sees_more_by_asking_for_more(scopes: list[str], area: str, seen: list[str]) -> None:
    assert narrow(scopes, area) == seen

"""The back-test bench in its smallest form: it makes a history and tells every figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridwarden.history.duckdb import DuckDBHistory
from tests.bench.backtest_bench import district_of, measure
from tests.bench.district_history import SHARES, write

READINGS = 20_000


def test_it_measures_what_it_has_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    district = district_of(READINGS)
    history = DuckDBHistory(tmp_path / "history")
    days = write(history, district, READINGS)
    made = history.count()
    assert made >= READINGS
    assert sum(history.counts().values()) == made
    measure(history, district, days)
    said = capsys.readouterr().out
    assert f"{made:,} readings" in said
    for figure in ("readings/s by the clock", "shown to the engine", "episodes", "yardstick", "memory"):
        assert figure in said


def test_the_district_has_the_shares_of_the_made_up_city() -> None:
    whole = district_of(100_000_000)
    assert {kind: len(keys) for kind, keys in whole.keys.items()} == SHARES
    assert whole.rows_a_day() == 3_000 * 96 + 20_000 * 48 + 7_000 * (65 * 4 + 48)

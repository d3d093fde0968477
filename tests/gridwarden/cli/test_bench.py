"""The whole of ``gridwarden bench``, short: what it finds, not how fast that is."""

from pathlib import Path
from typing import Any

import pytest

from gridwarden.cli import bench, bench_latency, bench_load


@pytest.mark.process
async def test_measures_everything_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LIFTS", 200)
    monkeypatch.setattr(bench_load, "WARM_UP_S", 0.2)
    monkeypatch.setattr(bench_latency, "WARM_UP_S", 0.2)
    facts = await bench.measure(tmp_path, 1.0)
    chain = facts["chain"]
    assert chain["lost"] == 0
    assert chain["ledger"]["stored"] == chain["published"] > 0
    assert chain["evaluations_per_reading"] >= bench.RULES_WANTED
    assert {kept["readings"] > 0 for kept in facts["yardstick"]} == {True}
    for lane in facts["latency"].values():
        assert lane["changes"] > 0
        assert lane["missing"] == 0
        assert 0 < lane["p50_ms"] <= lane["p99_ms"] <= lane["max_ms"]
    bench._print(facts)


GOOD: dict[str, Any] = {
    "ratio": 0.6,
    "chain": {"lost": 0, "evaluations_per_reading": 8.0},
    "latency": {"up": {"p99_ms": 20.0, "missing": 0}, "alarm": {"p99_ms": 99.9, "missing": 0}},
}


@pytest.mark.parametrize(
    ("part", "values", "reason"),
    [
        (None, {"ratio": 0.49}, "ratio"),
        ("chain", {"lost": 1}, "1 readings lost"),
        ("chain", {"evaluations_per_reading": 2.9}, "fewer than 3 rules"),
        ("latency", {"up": {"p99_ms": 100.0, "missing": 0}}, "p99 of up"),
        ("latency", {"alarm": {"missing": 0}}, "p99 of alarm"),
        ("latency", {"alarm": {"p99_ms": 5.0, "missing": 2}}, "2 changes were never told"),
    ],
)
def test_says_what_it_falls_short_of(part: str | None, values: dict[str, Any], reason: str) -> None:
    assert bench.short_of(GOOD) == []
    bad = {**GOOD, **values} if part is None else {**GOOD, part: {**GOOD[part], **values}}
    assert any(reason in found for found in bench.short_of(bad))
    assert len(bench.short_of(bad)) == 1

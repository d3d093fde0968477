"""What is told of delays. The measuring itself is tested with the whole command."""

import pytest

from gridwarden.cli.bench_latency import CHANGING, LANES, READINGS_PER_S, Delays
from rules.load import load


def test_quantiles_are_delays_that_were_seen() -> None:
    delays = Delays(changes=201, missing=1, delays_ms=[float(n) for n in range(200, 0, -1)])
    assert delays.quantile_ms(0.5) == 101.0
    assert delays.quantile_ms(0.99) == 199.0
    facts = {"changes": 201, "missing": 1, "mean_ms": 100.5, "p50_ms": 101.0, "p99_ms": 199.0, "max_ms": 200.0}
    assert delays.facts() == facts


def test_nothing_seen_is_no_good_sign() -> None:
    assert Delays(changes=3, missing=3).quantile_ms(0.99) == float("inf")
    assert "p99_ms" not in Delays(changes=3, missing=3).facts()


@pytest.mark.parametrize("lane", LANES)
def test_a_change_is_an_alarm_at_once(lane: object) -> None:
    """Without hold and without latch: else the delay would not be ours, or the alarm would never end."""
    rules = [rule for rule in load((), shipped_packs=True) if rule.kind == "lift"]
    values = {lane.field: True}  # type: ignore[attr-defined]
    fired = [rule for rule in rules if rule.when.evaluate(values, {}, {})]
    assert len(fired) == 1
    assert (fired[0].terms.fire_ms, fired[0].terms.clear_ms, fired[0].latched) == (0, 0, False)


def test_the_changes_are_a_small_part() -> None:
    assert sum(lane.per_second for lane in LANES) < READINGS_PER_S / 10
    assert sum(lane.lifts for lane in LANES) == CHANGING

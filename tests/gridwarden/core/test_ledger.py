"""Core's totals, and the bound on gateways that are kept apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridwarden.core.ledger import NAME_LIMIT, OTHER, Gateways, Totals
from gridwarden.records.lines import By
from gridwarden.records.transaction import Tally, Transaction

NOW_MS = 1_800_000_000_000
FATES = ("stored", "duplicate", "dead_lettered", "quarantined")


def test_totals_add_up_over_gateways() -> None:
    totals = Totals({("b", "alarm", "g"): Tally(stored=1, received=1), ("b", "alarm", ""): Tally(stored=4, received=4)})
    transaction = Transaction(1)
    transaction.tally("b", "alarm", "h").stored = 2
    transaction.tally("b", "alarm", "h").received = 2
    transaction.tally("b", "telemetry", "g").duplicate = 3
    transaction.tally("b", "telemetry", "g").received = 3
    totals.add(transaction)
    assert [(line["lane"], line["stored"], line["duplicate"]) for line in totals.lanes()] == [
        ("alarm", 7, 0), ("telemetry", 0, 3)
    ]  # fmt: skip
    assert totals.total() == Tally(stored=7, duplicate=3, received=10)
    assert totals.imbalance == 0


def test_two_lines_that_are_off_both_ways_do_not_make_up_for_each_other() -> None:
    totals = Totals({("b", "alarm", "g"): Tally(stored=1, received=3)})
    transaction = Transaction(1)
    transaction.tally("b", "alarm", "h").stored = 2
    totals.add(transaction)
    assert totals.total().received == totals.total().accounted
    assert totals.imbalance == 4


def test_so_many_gateways_of_a_broker_are_kept_apart_and_the_others_together() -> None:
    gateways = Gateways(kept=2)
    assert [gateways.name("b", name) for name in ("one", "two", "three", "one")] == ["one", "two", OTHER, "one"]
    assert gateways.name("c", "three") == "three"


def test_who_has_a_line_keeps_it_after_a_restart() -> None:
    gateways = Gateways(kept=2)
    gateways.restore(
        [("b", "alarm", "three"), ("b", "telemetry", "three"), ("b", "telemetry", "four"), ("b", "up", OTHER)]
    )
    assert [gateways.name("b", name) for name in ("three", "four", "one")] == ["three", "four", OTHER]


@pytest.mark.parametrize("name", ["x" * (NAME_LIMIT + 1), "a\nb", "\x1b[2J"])
def test_names_that_are_none_are_not_kept(name: str) -> None:
    assert Gateways().name("b", name) == OTHER


def test_nobody_is_not_a_gateway() -> None:
    gateways = Gateways(kept=0)
    assert (gateways.name("b", ""), gateways.name("b", "g")) == ("", OTHER)


BODIES = (
    {"device": "SMK-1", "at": NOW_MS, "seq": 1, "values": {"state": "normal"}},
    {"device": "LIFT-2", "at": NOW_MS, "seq": 2, "values": {"floor": 3}},
    {"device": "HYD-1", "at": NOW_MS, "seq": 3, "values": {"pressure_mpa": 99}},
    {"device": "nobody's", "values": {"x": 1}},
    [{"device": "SMK-2", "at": NOW_MS, "seq": 4, "values": {}}, 7, {"device": ""}],
    {"readings": []},
    b"garbage",
    [],
)
TOPICS = ("gridwarden/v1/gw1/up", "gridwarden/v1/gw2/up", "gridwarden/v1/gw2/alarm", "gridwarden/v1//up", "elsewhere")
Heard = tuple[int, int, bool]
heard = st.tuples(st.integers(0, len(BODIES) - 1), st.integers(0, len(TOPICS) - 1), st.booleans())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(heard, max_size=12), max_size=5))
def test_every_line_balances_whatever_comes_and_whenever_we_restart(
    make_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, batches: list[list[Heard]]
) -> None:
    site = make_site(str(tmp_path_factory.mktemp("ledger")))
    totals = Totals()
    sent: Counter[str] = Counter()
    for batch in batches:
        messages = [
            (site.alarms if on_alarm_lane else site.source).message(BODIES[body], topic=TOPICS[topic])
            for body, topic, on_alarm_lane in batch
        ]
        for body, topic, _ in batch:
            sent[(TOPICS[topic].split("/") + [""] * 3)[2]] += readings_in(BODIES[body])
        transaction = site.judge.batch(messages)
        transaction.tally("b", "telemetry").redelivered += len(batch)
        site.commit(transaction)
        totals.add(transaction)
        site.restart()
    reader = site.reader()
    lines = reader.ledger_lines(By.GATEWAY)
    recount, ledger = reader.aside.recount(), reader.ledger()
    reader.close()
    assert all(line["received"] == sum(line[fate] for fate in FATES) for line in lines)
    by_gateway: Counter[str] = Counter()
    for line in lines:
        by_gateway[line["gateway"]] += line["received"]
    # Of a topic that names nobody the payload is one dead letter, whatever is in it.
    assert {name: count for name, count in by_gateway.items() if name} == {n: c for n, c in sent.items() if n}
    assert totals.imbalance == Totals(site.start.ledger).imbalance == 0
    assert totals.lanes() == Totals(site.start.ledger).lanes()
    assert ledger["redelivered"] == sum(len(batch) for batch in batches)
    assert recount == {name: ledger[name] for name in recount}


def readings_in(body: Any) -> int:
    return len(body) or 1 if isinstance(body, list) else 1

from __future__ import annotations

from api.auditor import Findings
from api.counts import Counts
from gridwarden.web.health import history_values, records_values, web_values


def test_pages_cut_off_are_counted_from_the_last_time_on() -> None:
    counts = Counts(clients_cut=5)
    values = web_values(counts, 3, websockets=7, hub_behind_s=0.5)
    assert values.pop("memory_mb") > 1
    assert values == {"websockets": 7, "clients_cut": 2, "hub_behind_s": 0.5}
    counts.heartbeat_failing = True
    assert web_values(counts, 3, websockets=7, hub_behind_s=0.5)["heartbeat_failing"] is True


def test_a_history_that_answers() -> None:
    lag = {"transactions": 12, "complete_until": "…", "lag_s": 3.5}
    assert history_values(lag, None, ended=False) == {
        "history_failing": False, "history_behind_s": 3.5, "history_behind": 12,
    }  # fmt: skip
    assert history_values(lag, None, ended=True)["history_failing"] is True


def test_a_history_that_does_not_answer() -> None:
    refused = {"transactions": None, "complete_until": None, "lag_s": None, "reason": "gone"}
    assert history_values(refused, None, ended=False) == {"history_failing": True}
    assert history_values(None, None, ended=False) == {}
    assert history_values(None, None, ended=True) == {"history_failing": True}


def test_lines_and_what_was_set_aside_that_do_not_add_up_are_told_together() -> None:
    assert records_values(None) == {}
    assert records_values(Findings(None, lines=2, aside=3)) == {"ledger_imbalance": 5}


def test_what_is_missing_is_told_once_somebody_has_looked() -> None:
    assert history_values(None, 0, ended=False) == {"history_missing": 0}
    assert history_values({"lag_s": None}, 7, ended=False) == {"history_missing": 7, "history_failing": True}

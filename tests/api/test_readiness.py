from __future__ import annotations

from typing import Any

import pytest

from api.readiness import HUB_BEHIND_S, why_no_heartbeat, why_not_ready, why_not_well
from tests.api.conftest import Site

UP, DOWN = {"connected": True}, {"connected": False}
WELL: dict[str, Any] = {"records": "ok", "sessions": [UP, UP], "provisional": False, "ledger_imbalance": 0,
                        "broker_illness": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "ready", "well"),
    [
        ({}, "", ""),
        ({"records": "failing", "provisional": True}, "records_failing", "records_failing"),
        ({"sessions": [UP, DOWN]}, "broker_unavailable", "broker_unavailable"),
        ({"sessions": []}, "", ""),
        ({"broker_illness": "no space left"}, "broker_cannot_store", "broker_cannot_store"),
        ({"provisional": True}, "", "provisional"),
        ({"ledger_imbalance": 1}, "", "ledger_imbalance"),
    ],
)
def test_each_thing_on_the_way_of_an_alarm_counts(changed: dict[str, Any], ready: str, well: str) -> None:
    status = WELL | changed
    assert (why_not_ready(status), why_not_well(status, 0.0)) == (ready, well)


def test_a_core_that_does_not_answer_and_a_hub_that_stands_still() -> None:
    assert (why_not_ready(None), why_not_well(None, 0.0)) == ("core_unavailable", "core_unavailable")
    assert why_not_well(WELL, HUB_BEHIND_S) == ""
    assert why_not_well(WELL, HUB_BEHIND_S + 0.1) == "hub_behind"


async def test_without_core_there_is_no_heartbeat(site: Site) -> None:
    assert await why_no_heartbeat(site.services) == ""
    await site.link.aclose()
    assert await why_no_heartbeat(site.services) == "core_unavailable"

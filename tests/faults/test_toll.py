"""What counts the cost of a fault sees it: each kind of loss and of doubling, one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from simulators.publisher import Account
from tests.faults.evidence import Evidence
from tests.faults.toll import Rows, toll
from tests.faults.workload import Workload

WORKLOAD = Workload("w", 1_700_000_000_000)
KEY = next(iter(WORKLOAD.stored))
ASIDE = next(iter(WORKLOAD.quarantined))


@dataclass
class Scene:
    """What a fault left behind."""

    found: Evidence
    rows: Rows
    told: list[tuple[int, str, str]]


def perfect() -> Scene:
    """All there, once, and told."""
    found = Evidence(Counter(dict.fromkeys(WORKLOAD.stored, 1)), Counter(dict.fromkeys(WORKLOAD.quarantined, 1)))
    found.dead = Counter(dict.fromkeys(WORKLOAD.dead, 1))
    for seq, incident in enumerate(sorted(WORKLOAD.incidents), 1):
        found.events[incident] = {"alarms": [f"alarm-{seq}"]}
        found.rows_of[incident] = 1
        found.journal[seq] = ("alarm.fired", f"alarm-{seq}")
    rows = Counter({(*key, True): 1 for key in WORKLOAD.stored} | {(*key, False): 1 for key in WORKLOAD.quarantined})
    return Scene(found, rows, [(seq, *told) for seq, told in found.journal.items()])


def lose_event(found: Evidence) -> None:
    incident = min(found.events)
    del found.events[incident], found.rows_of[incident]


def repeat_dead_letter(found: Evidence) -> None:
    found.dead[next(iter(found.dead))] += 1


@pytest.mark.parametrize(
    ("harm", "want"),
    [
        (lambda _: None, (0, 0, 0, 0)),
        (lambda x: x.found.stored.pop(KEY), (1, 0, 0, 0)),
        (lambda x: x.found.quarantined.pop(ASIDE), (1, 0, 0, 0)),
        (lambda x: x.rows.pop((*KEY, True)), (1, 0, 0, 0)),
        (lambda x: (x.rows.pop((*KEY, True)), x.found.stored.pop(KEY)), (1, 0, 0, 0)),
        (lambda x: x.found.dead.popitem(), (1, 0, 0, 0)),
        (lambda x: x.found.stored.update([KEY]), (0, 1, 0, 0)),
        (lambda x: x.found.quarantined.update([ASIDE, ASIDE]), (0, 2, 0, 0)),
        (lambda x: x.rows.update([(*KEY, True)]), (0, 1, 0, 0)),
        (lambda x: repeat_dead_letter(x.found), (0, 1, 0, 0)),
        (lambda x: lose_event(x.found), (0, 0, 1, 0)),
        (lambda x: x.told.pop(), (0, 0, 1, 0)),
        (lambda x: x.found.rows_of.update([min(x.found.events)]), (0, 0, 0, 1)),
        (lambda x: x.told.append(x.told[0]), (0, 0, 0, 1)),
        (lambda x: x.found.journal.update({99: ("alarm.fired", "alarm-1")}), (0, 0, 1, 1)),
    ],
)  # fmt: skip
def test_each_loss_and_each_doubling_is_counted(
    harm: Callable[[Scene], object], want: tuple[int, int, int, int]
) -> None:
    scene = perfect()
    harm(scene)
    account = Account(readings=WORKLOAD.readings, readings_acknowledged=WORKLOAD.readings)

    run = toll("fault", WORKLOAD, account, scene.found, rows=scene.rows, told=scene.told)

    assert (run.lost, run.doubled, run.events_lost, run.events_doubled) == want
    assert (run.acknowledged, run.events) == (WORKLOAD.readings, 22)


def test_what_was_never_acknowledged_is_not_lost() -> None:
    found = perfect().found
    del found.stored[KEY]
    account = Account(readings=WORKLOAD.readings, readings_acknowledged=WORKLOAD.readings - 1)
    assert toll("fault", WORKLOAD, account, found).lost == 0

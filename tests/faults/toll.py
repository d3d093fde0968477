"""What a fault has cost: readings and events, lost and doubled, counted from what lies there and what was told.

It only counts, so that a run that went wrong can be entered in the book before anything is asserted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from simulators.publisher import Account
from tests.faults.book import Run
from tests.faults.evidence import Evidence
from tests.faults.workload import Key, Values


class Script(Protocol):
    """What was published, and what it must lead to: a workload, or something like it."""

    @property
    def stored(self) -> Mapping[Key, Values]:
        """What must lie there once each, entitled."""
        ...

    @property
    def quarantined(self) -> Mapping[Key, Values]:
        """Likewise, not entitled."""
        ...

    @property
    def dead(self) -> AbstractSet[tuple[str, bytes]]:
        """Topic and bytes of what cannot be decoded."""
        ...

    @property
    def incidents(self) -> AbstractSet[str]:
        """The incident key of each grid event that there must be."""
        ...


Rows = Counter[tuple[str, int, int, bool]]
Told = Iterable[tuple[int, str, str]]
"""Changes as a dashboard was told them: number, operation, alarm."""


def toll(
    fault: str, workload: Script, account: Account, found: Evidence, *, rows: Rows | None = None, told: Told | None = None
) -> Run:  # fmt: skip
    """The run as it goes into the book.

    Args:
        fault: what was done.
        workload: what was published.
        account: the publisher's.
        found: what lies in the records.
        rows: what lies in the history, if that was looked at.
        told: what a dashboard was told that watched it all, if one did.
    """
    missing, doubled = _readings(workload, found, rows)
    unacknowledged = account.readings - account.readings_acknowledged
    lost_events, doubled_events = _events(workload, found, None if told is None else list(told))
    return Run(
        fault, account.readings_acknowledged, max(0, missing - unacknowledged), doubled,
        len(workload.incidents), lost_events, doubled_events,
    )  # fmt: skip


def _readings(workload: Script, found: Evidence, rows: Rows | None) -> tuple[int, int]:
    """A reading counts once, be it missing in the records or in the history; so does a doubled one, by its most."""
    records = {(*key, True): count for key, count in found.stored.items()}
    records |= {(*key, False): count for key, count in found.quarantined.items()}
    published = [(*key, True) for key in workload.stored] + [(*key, False) for key in workload.quarantined]
    missing, doubled = len(workload.dead - found.dead.keys()), sum(found.dead.values()) - len(found.dead)
    for key in published:
        counts = [records.get(key, 0), *([] if rows is None else [rows[key]])]
        missing += min(counts) == 0
        doubled += max(0, max(counts) - 1)
    return missing, doubled


def _events(workload: Script, found: Evidence, told: list[tuple[int, str, str]] | None) -> tuple[int, int]:
    incident_of = {alarm: incident for incident, event in found.events.items() for alarm in event["alarms"]}
    fired = Counter(alarm for operation, alarm in found.journal.values() if operation == "alarm.fired")
    lost = workload.incidents - found.events.keys()
    twice = {incident_of[alarm] for alarm, times in fired.items() if times > 1 and alarm in incident_of}
    if told is not None:
        heard = Counter(told)
        lost |= {incident_of.get(alarm, alarm) for seq, (operation, alarm) in found.journal.items()
                 if (seq, operation, alarm) not in heard}  # fmt: skip
        twice |= {incident_of.get(alarm, alarm) for (_, _, alarm), times in heard.items() if times > 1}
    return len(lost), len(twice) + sum(count - 1 for count in found.rows_of.values() if count > 1)

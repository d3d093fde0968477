"""What an instance has to show, read back from its files past its own queries: records with SQLite, history with DuckDB.

Everything is kept per tag of a workload, so that one instance can be held against several.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from gridwarden.kinds import KINDS, PLATFORM
from gridwarden.records.block import decode
from tests.faults.workload import Key, Truth, Values, Workload

ALARM_COLUMNS = (
    "alarm_id", "rule_id", "scope", "device_id", "kind", "area", "severity", "state", "pending_at_ms", "fired_at_ms",
    "clear_since_ms", "cleared_at_ms", "resolved_at_ms", "latched", "life_safety", "unverified", "evidence",
)  # fmt: skip
"""What must be equal in two runs of one workload."""
FATES = ("stored", "duplicate", "dead_lettered", "quarantined")


@dataclass
class Evidence:
    """Of one tag."""

    stored: Counter[Key] = field(default_factory=Counter)
    quarantined: Counter[Key] = field(default_factory=Counter)
    values: dict[Key, Values] = field(default_factory=dict)
    dead: Counter[tuple[str, bytes]] = field(default_factory=Counter)
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By incident key; ``alarms`` are the ids of those in it."""
    rows_of: Counter[str] = field(default_factory=Counter)
    """By incident key, how many events there are of it; one, if all is well."""
    journal: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Number to operation and alarm."""

    def take_readings(self, workload: Workload, rows: Counter[tuple[str, int, int, bool]]) -> None:
        """Where blocks have gone by and by: the history holds what they held, and its values are not looked at."""
        flat = [(*row, count) for row, count in rows.items()]
        self.stored = Counter({tuple(key): count for *key, entitled, count in flat if entitled})
        self.quarantined = Counter({tuple(key): count for *key, entitled, count in flat if not entitled})
        self.values = workload.stored | workload.quarantined


def records(data: Path) -> dict[str, Evidence]:
    """What lies in the records, per tag."""
    found: defaultdict[str, Evidence] = defaultdict(Evidence)
    with closing(sqlite3.connect(f"file:{data / 'records.db'}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        for (body,) in connection.execute("SELECT body FROM intake_block ORDER BY offset"):
            for reading in decode(body) if body else ():
                evidence = found[_tag(reading.device_id)]
                key = (reading.device_id, reading.occurred_at_ms, reading.seq)
                (evidence.stored if reading.entitled else evidence.quarantined)[key] += 1
                evidence.values[key] = reading.values
        for row in connection.execute("SELECT topic, payload FROM dead_letter"):
            found[_tag_of_topic(row["topic"])].dead[row["topic"], row["payload"]] += 1
        _read_alarms(connection, found)
        for row in connection.execute("SELECT * FROM journal WHERE alarm_id IS NOT NULL ORDER BY seq"):
            device = json.loads(row["body"])["alarm"]["device_id"]
            found[_tag(device)].journal[row["seq"]] = (row["operation"], row["alarm_id"])
    return found


def _read_alarms(connection: sqlite3.Connection, found: defaultdict[str, Evidence]) -> None:
    keys: dict[str, dict[str, Any]] = {}
    for row in connection.execute("SELECT * FROM grid_event"):
        event = {name: row[name] for name in ("category", "severity", "state", "area", "kind", "unverified",
                                              "alarm_count", "firing_count", "unacknowledged_count")}  # fmt: skip
        evidence = found[_tag(row["device_id"])]
        evidence.rows_of[row["incident_key"]] += 1
        keys[row["event_id"]] = event | {"alarms": [], "event_id": row["event_id"]}
        evidence.events.setdefault(row["incident_key"], keys[row["event_id"]])
    for row in connection.execute("SELECT * FROM alarm ORDER BY alarm_id"):
        evidence = found[_tag(row["device_id"])]
        evidence.alarms[row["alarm_id"]] = {name: row[name] for name in ALARM_COLUMNS}
        if row["event_id"] is not None:  # else it is pending: where readings are missing it may stay so
            keys[row["event_id"]]["alarms"].append(row["alarm_id"])
    for event in keys.values():
        # Which of several alarms opened the event depends on which came first; the event of a single one does not.
        if len(event["alarms"]) > 1:
            del event["event_id"]


def recount(data: Path) -> dict[str, int]:
    """Blocks and dead letters counted anew, to hold against the ledger; ``ledger_*`` is the ledger as it is stored.

    What the instance says of itself came from no broker, and is left out of both.
    """
    with closing(sqlite3.connect(f"file:{data / 'records.db'}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        bodies = [body for (body,) in connection.execute("SELECT body FROM intake_block")]
        readings = (reading for body in bodies if body for reading in decode(body))
        entitled = Counter(reading.entitled for reading in readings if reading.kind != PLATFORM or not reading.entitled)
        (dead,) = connection.execute("SELECT coalesce(sum(count), 0) FROM dead_letter").fetchone()
        (aside,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
        told = connection.execute(
            f"SELECT {', '.join(f'sum({fate})' for fate in FATES)} FROM ledger WHERE broker != 'gridwarden'"  # noqa: S608
        ).fetchone()
    assert aside == entitled[False], "the list of what is in quarantine is not what lies in the blocks"
    counted = {"stored": entitled[True], "quarantined": entitled[False], "dead_lettered": dead}
    return counted | {f"ledger_{fate}": total or 0 for fate, total in zip(FATES, told, strict=True)}


def history(data: Path) -> dict[str, Counter[tuple[str, int, int, bool]]]:
    """Every row of the history with its count, per tag: device, time, number, entitled. Nothing may have it open."""
    found: defaultdict[str, Counter[tuple[str, int, int, bool]]] = defaultdict(Counter)
    with duckdb.connect(str(data / "history" / "history.duckdb"), read_only=True) as connection:
        for table in (*KINDS, "other"):
            query = f"""SELECT d.device_id, epoch_ms(h.occurred_at), h.seq, (h.flags & 4) > 0, count(*)
                        FROM hot_{table} h JOIN devices d USING (device_key) GROUP BY ALL"""  # noqa: S608
            for device, at_ms, seq, entitled, count in connection.execute(query).fetchall():
                found[_tag(device)][device, at_ms, seq, entitled] += count
        assert connection.execute("SELECT count(*) FROM sealed").fetchone() == (0,)
    return found


def _tag(device: str) -> str:
    return device.partition(".")[0]


def _tag_of_topic(topic: str) -> str:
    return topic.split("/")[2].partition("-")[2]


# --- held against what was published ------------------------------------------------------------------------------


def check_readings(workload: Workload, evidence: Evidence) -> None:
    """Every published reading lies in the records exactly once, with its values, and nothing else does."""
    assert _differences(evidence.stored, workload.stored) == {}
    assert _differences(evidence.quarantined, workload.quarantined) == {}
    published = workload.stored | workload.quarantined
    assert {key: value for key, value in evidence.values.items() if published[key] != value} == {}
    assert _differences(evidence.dead, workload.dead) == {}


def check_history(workload: Workload, rows: Counter[tuple[str, int, int, bool]]) -> None:
    """Every published reading is a row of the history exactly once, and nothing else is."""
    published = {(*key, True) for key in workload.stored} | {(*key, False) for key in workload.quarantined}
    assert _differences(rows, published) == {}


def check_truth(workload: Workload, evidence: Evidence) -> None:
    """The alarms are those of the script, each once; each is in exactly one event and was told once."""
    alarms = evidence.alarms.values()
    assert evidence.rows_of == dict.fromkeys(workload.incidents, 1)
    told = {Truth(one["rule_id"], one["scope"], one["pending_at_ms"], one["fired_at_ms"], one["cleared_at_ms"],
                  one["resolved_at_ms"], bool(one["unverified"])) for one in alarms}  # fmt: skip
    wanted = set(workload.truths)
    assert (told - wanted, wanted - told) == (set(), set())
    assert len(alarms) == len(workload.truths)
    fired = Counter(alarm for operation, alarm in evidence.journal.values() if operation == "alarm.fired")
    assert fired == dict.fromkeys(evidence.alarms, 1)
    ended = Counter(alarm for operation, alarm in evidence.journal.values() if operation == "alarm.resolved")
    assert ended == {one["alarm_id"]: 1 for one in alarms if one["resolved_at_ms"] is not None}


def check_equal(evidence: Evidence, clean: Evidence) -> None:
    """Alarms and events are those of a clean run of the same workload."""
    assert evidence.alarms == clean.alarms
    assert evidence.events == clean.events
    assert Counter(evidence.journal.values()) == Counter(clean.journal.values())


def forgive_redelivery(workload: Workload, evidence: Evidence, clean: Evidence | None = None) -> None:
    """Let the one alarm whose source repeats it on the alarm lane have begun with any of its readings.

    The alarm lane does not wait until older messages have come again, so the newest may be judged first. There is
    still one alarm, with an identity of its own.
    """
    ours = _repeated(workload, evidence)
    (truth,) = [truth for truth in workload.truths if truth.scope == workload.repeats]
    true_times = {"pending_at_ms": truth.pending_at_ms, "fired_at_ms": truth.fired_at_ms}
    theirs = _repeated(workload, clean) if clean else ours | true_times
    began = {at_ms for (device, at_ms, _), values in workload.stored.items()
             if device == workload.repeats and values["state"] == "alarm"}  # fmt: skip
    assert ours["pending_at_ms"] == ours["fired_at_ms"] in began
    old, new = ours["alarm_id"], theirs["alarm_id"]
    del evidence.alarms[old]
    evidence.alarms[new] = theirs
    for event in evidence.events.values():
        event["alarms"] = sorted(new if alarm == old else alarm for alarm in event["alarms"])
    evidence.journal = {seq: (operation, new if alarm == old else alarm)
                        for seq, (operation, alarm) in evidence.journal.items()}  # fmt: skip


def _repeated(workload: Workload, evidence: Evidence) -> dict[str, Any]:
    (alarm,) = [alarm for alarm in evidence.alarms.values() if alarm["scope"] == workload.repeats]
    return alarm


def check_ledger(ledger: dict[str, Any], data: Path) -> None:
    """The ledger is balanced and equal to a recount of what lies there, live and as stored."""
    assert ledger["balanced"], ledger
    counted = recount(data)
    assert {name: ledger[name] for name in FATES} == {name: counted[f"ledger_{name}"] for name in FATES}
    assert {name: ledger[name] for name in ("stored", "quarantined", "dead_lettered")} == {
        name: counted[name] for name in ("stored", "quarantined", "dead_lettered")
    }


def _differences(found: Counter[Any], wanted: Iterable[Any]) -> dict[Any, int]:
    """What is there other than once: the times too often, or -1 where it is missing; a few of them."""
    wanted = set(wanted)
    off = {key: count - 1 for key, count in found.items() if count != 1}
    extra = {key: count for key, count in found.items() if key not in wanted}
    missing = {key: -1 for key in wanted if key not in found}
    return dict(list((off | extra | missing).items())[:10])

"""How long core's work takes, counted while it works: for its own health and for the metrics. Bounded numbers only."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any

from gridwarden.model import Operation
from gridwarden.records.transaction import Transaction
from ingest.session import Lane, Message

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
"""Upper bounds of the histograms' buckets, inclusive; above the last one there is one more bucket."""


class Histogram:
    """Durations by size."""

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self._sum_s += seconds

    def state(self) -> dict[str, Any]:
        """Plain values: bounds, how many fell into each bucket (the last is above all bounds), and their sum."""
        return {"bounds_s": SECONDS, "counts": list(self._counts), "sum_s": self._sum_s}


class Measures:
    """What is counted from the start of core on."""

    def __init__(self) -> None:
        self.commit = Histogram()
        self.batch = Histogram()
        self.alarm_delay = Histogram()
        """From the receipt of a message of the alarm lane until its readings were durable."""
        self._batches: Counter[str] = Counter()
        self._alarms: Counter[tuple[str, str]] = Counter()
        self._slowest_commit_s = 0.0
        self._delay_ms: Counter[Lane] = Counter()

    def judged(self, messages: list[Message], now_ms: int, took_s: float) -> None:
        """A batch of messages of one lane was judged."""
        lane = messages[0].session.lane
        self._batches[lane] += 1
        self.batch.add(took_s)
        oldest_ms = min(message.received_at_ms for message in messages)
        self._delay_ms[lane] = max(self._delay_ms[lane], now_ms - oldest_ms)

    def committed(self, transaction: Transaction, now_ms: int, took_s: float) -> None:
        """A transaction is durable."""
        self.commit.add(took_s)
        self._slowest_commit_s = max(self._slowest_commit_s, took_s)
        for message in transaction.messages:
            if message.session.lane is Lane.ALARM:
                self.alarm_delay.add(max(0, now_ms - message.received_at_ms) / 1000)
        for change in transaction.changes:
            if change.alarm and change.operation in {Operation.ALARM_FIRED, Operation.ALARM_RESOLVED}:
                self._alarms[change.operation.removeprefix("alarm."), change.alarm.severity] += 1

    def interval(self) -> dict[str, float]:
        """The worst since the last call, in seconds: the slowest commit, and how late a message of each lane was taken."""
        worst = {
            "commit_slowest_s": self._slowest_commit_s,
            "telemetry_delay_s": self._delay_ms[Lane.TELEMETRY] / 1000,
            "alarm_delay_s": self._delay_ms[Lane.ALARM] / 1000,
        }
        self._slowest_commit_s = 0.0
        self._delay_ms.clear()
        return worst

    def state(self) -> dict[str, Any]:
        """Plain values for the status answer."""
        return {
            "commit": self.commit.state(), "batch": self.batch.state(), "alarm_delay": self.alarm_delay.state(),
            "batches": dict(self._batches),
            "alarms": [{"what": what, "severity": severity, "count": count}
                       for (what, severity), count in sorted(self._alarms.items())],
        }  # fmt: skip

"""What becomes of alarms and grid events in a rule test, line by line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gridwarden.model import FOREIGN, Alarm, AlarmState, EventState, GridEvent

_UNITS = ((3_600_000, "h"), (60_000, "m"), (1000, "s"))
EVENT = "event "
STAGES = (
    "pending", "fired", "severity", "quieted", "told", "cleared", "returned", "resolved",
    "event opened", "event joined", "event merged", "event closed",
)  # fmt: skip
"""What can become of an alarm, or of its grid event, in the order in which it does."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: when (milliseconds since the beginning of the case), which rule, what became of it."""

    DETAILS: ClassVar = frozenset({"severity", "quieted_by", "ended_by", "flapping", "unverified", "shadow", "count"})
    """What can be said besides."""
    REASONS: ClassVar = ("quieted_by", "ended_by")
    """Details that must be expected where they are: an alarm nobody is told of is another than one that is told."""

    at_ms: int
    rule_id: str
    what: str
    """One of :data:`STAGES`."""
    who: str = ""
    """The device, or what else the alarm stands for; empty where there is only one."""
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.text({name: value for name, value in self.details.items() if name in self.REASONS})

    def text(self, details: Mapping[str, Any]) -> str:
        """As it stands in a test file, with these of its details."""
        words = [write_duration(self.at_ms), *filter(None, (self.who,)), self.rule_id, self.what.removeprefix(EVENT)]
        shown = [f"{name}: {_plain(value)}" for name, value in details.items() if value]
        return f"[{', '.join([*words, *(['{' + ', '.join(shown) + '}'] if shown else [])])}]"

    @property
    def order(self) -> tuple[int, int, str, str, int]:
        """By time; of one time alarms before events."""
        stage = STAGES.index(self.what)
        return self.at_ms, int(self.what.startswith(EVENT)), self.who, self.rule_id, stage

    def is_met_by(self, got: Entry) -> bool:
        """Whether ``got`` is what this line expects. Details that it does not name are as they like, reasons are not."""
        reasons = {name: got.details[name] for name in self.REASONS if got.details.get(name)}
        named = {**dict.fromkeys(reasons, ""), **self.details}
        return self == got and all(_is_same(value, got.details.get(name, "")) for name, value in named.items())


def compare(expected: Iterable[Entry], got: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
    """Both timelines as one: what was expected and happened (`` ``), did not (``-``), was not expected (``+``)."""
    left = sorted(got, key=lambda entry: entry.order)
    lines: list[tuple[str, Entry]] = []
    for entry in expected:
        met = next((other for other in left if entry.is_met_by(other)), None)
        if met is not None:
            left.remove(met)
        lines.append(("-", entry) if met is None else (" ", met))
    lines += [("+", entry) for entry in left]
    return iter(sorted(lines, key=lambda line: (line[1].order, "-+ ".index(line[0]))))


def of_alarm(before: Alarm | None, after: Alarm, at_ms: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """What has become of an alarm between two commits, the second at ``at_ms``: when, what, details."""
    fires = after.fired_at_ms is not None and (before is None or before.fired_at_ms is None)
    waited = after.fired_at_ms is None or after.fired_at_ms > after.pending_at_ms
    if before is None and waited and _can_be_pending(after):
        yield after.pending_at_ms, "pending", {}
    if fires:
        yield after.fired_at_ms or at_ms, "fired", _facts(after)
    elif before is not None and after.fired_at_ms is not None:
        yield from _of_firing(before, after, at_ms)
    was_over = before is not None and before.cleared_at_ms is not None
    if after.state is AlarmState.RESOLVED:
        reason = after.evidence.get("ended_by", "")
        yield after.resolved_at_ms or at_ms, "resolved", {"ended_by": reason}
    elif after.cleared_at_ms is not None and not was_over:
        yield after.cleared_at_ms, "cleared", {}
    elif was_over and after.cleared_at_ms is None:
        yield at_ms, "returned", {}


def _of_firing(before: Alarm, after: Alarm, at_ms: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
    if after.severity is not before.severity:
        yield at_ms, "severity", {"severity": str(after.severity)}
    if after.quieted_by != before.quieted_by:
        yield at_ms, "quieted" if after.quieted_by else "told", {"quieted_by": after.quieted_by}


def of_event(before: GridEvent | None, after: GridEvent) -> str:
    """What has become of a grid event between two commits, besides the alarms that joined it; empty: nothing."""
    if before is not None and before.state is after.state:
        return ""
    return {EventState.MERGED: "event merged", EventState.CLOSED: "event closed"}.get(after.state, "")


def who(alarm: Alarm) -> str:
    """The device an alarm is about, or what else it stands for."""
    return alarm.device_id if alarm.scope.startswith(FOREIGN) else alarm.scope


def _facts(alarm: Alarm) -> dict[str, Any]:
    return {
        "severity": str(alarm.severity), "quieted_by": alarm.quieted_by, "flapping": alarm.flapping,
        "unverified": alarm.unverified, "shadow": alarm.shadow, "count": alarm.evidence.get("count", ""),
    }  # fmt: skip


def _can_be_pending(alarm: Alarm) -> bool:
    """Not one of silence or of a group: until the limit is over, or the number full, there is nothing."""
    return "group" not in alarm.evidence and "heard_at" not in alarm.evidence.get("values", {})


def _is_same(expected: Any, got: Any) -> bool:
    """A reason may leave out whose alarm it names: ``inhibited:smoke.fire`` stands for ``inhibited:smoke.fire@A``."""
    return bool(expected == got) or (isinstance(got, str) and expected != "" and got.startswith(f"{expected}@"))


def write_duration(duration_ms: int) -> str:
    """``90s``, ``5m``, ``250ms``: the largest unit that needs no fraction."""
    for unit_ms, unit in _UNITS:
        if duration_ms and duration_ms % unit_ms == 0:
            return f"{duration_ms // unit_ms}{unit}"
    return f"{duration_ms}ms" if duration_ms else "0s"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

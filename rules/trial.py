"""What a back-test found out, and how it is told: text and JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gridwarden.clock import rfc3339
from rules.correlation import Correlation
from rules.episodes import Difference, Episode, RuleSum, difference, sums
from rules.report import write_duration
from rules.rule import Head, Rule, RuleSet

SHOWN = 20
"""Episodes of a difference that people are shown; programs get all of them."""
_COLUMNS = ("rule", "episodes", "devices", "total", "median", "delay", "/1000 dev-days", "open")


@dataclass(frozen=True, slots=True)
class Trial:
    """One rule set over one interval."""

    rules: tuple[Head, ...]
    """Those that were tried: the enabled ones of one device, and correlations of these."""
    left_out: tuple[Head, ...]
    """Enabled rules that look at silence."""
    version: str
    sums: tuple[RuleSum, ...]
    episodes: tuple[Episode, ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """What a back-test read."""

    from_ms: int
    to_ms: int
    complete_until_ms: int
    """The history holds everything that was received until then."""
    readings: int
    device_days: dict[str, int]
    """Per kind: a device counts one for each day on which it was heard."""

    @property
    def end_ms(self) -> int:
        """Until when time went."""
        return min(self.to_ms, max(self.complete_until_ms, self.from_ms))

    @property
    def is_complete(self) -> bool:
        """Whether the history reaches to the end."""
        return self.complete_until_ms >= self.to_ms


@dataclass(frozen=True, slots=True)
class Result:
    """A back-test, perhaps against another rule set."""

    extent: Extent
    trial: Trial
    against: Trial | None = None

    def difference(self) -> Difference | None:
        """What the rules say that the others do not; ``None`` where there are no others."""
        if self.against is None:
            return None
        return difference(self.trial.episodes, self.against.episodes, self.extent.end_ms)


def trial(rules: RuleSet, episodes: Iterable[Episode], extent: Extent) -> Trial:
    """What ``rules`` would have done; what fired before the beginning of the extent does not count."""
    found = tuple(episode for episode in episodes if episode.fired_at_ms >= extent.from_ms)
    enabled = [rule for rule in rules.by_id.values() if rule.enabled]
    tried = tuple(rule for rule in enabled if isinstance(rule, Rule | Correlation))
    others = tuple(rule for rule in enabled if not isinstance(rule, Rule | Correlation))
    days = {rule.id: float(extent.device_days.get(rule.kind, 0)) for rule in tried}
    summed = sums(found, [rule.id for rule in tried], days, extent.end_ms)
    return Trial(tried, others, rules.version, tuple(summed), found)


def as_text(result: Result) -> str:
    """For people: what was read, one line a rule, and the difference."""
    extent = result.extent
    amount = f"{extent.readings:,} readings, {sum(extent.device_days.values()):,} device-days"
    lines = [f"{rfc3339(extent.from_ms)} to {rfc3339(extent.to_ms)}: {amount}"]
    if not extent.is_complete:
        until = rfc3339(extent.complete_until_ms) if extent.complete_until_ms > 0 else "nowhere yet"
        lines.append(f"INCOMPLETE: the history has followed the records until {until}; what came later is not in it")
    for told in (result.trial, result.against):
        if told is not None:
            lines += [] if told is result.trial else ["", f"against rules {told.version}:"]
            lines += _table([_COLUMNS, *(_row(one) for one in told.sums)])
            if told.left_out:
                others = ", ".join(rule.id for rule in told.left_out)
                lines.append(f"not tried, since they look at silence: {others}")
    return "\n".join([*lines, *_difference_lines(result.difference())])


def _row(one: RuleSum) -> tuple[str, ...]:
    return (
        one.rule_id, f"{one.episodes:,}", f"{one.devices:,}", rounded(one.total_ms), rounded(one.median_ms),
        rounded(one.delay_ms), f"{one.per_1000_device_days:g}", f"{one.open_at_end:,}",
    )  # fmt: skip


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def rounded(duration_ms: int) -> str:
    """A duration in its two largest units: ``1d 3h``, ``5m``, ``90s`` as ``1m 30s``."""
    if duration_ms < 1000:  # noqa: PLR2004 - below a second
        return write_duration(duration_ms)
    parts, rest = [], duration_ms // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
        elif parts:
            break
    return " ".join(parts[:2])


def _difference_lines(found: Difference | None) -> list[str]:
    if found is None:
        return []
    lines = [
        "",
        f"{len(found.added):,} added, {len(found.gone):,} gone, {len(found.changed):,} changed, {found.same:,} the same",
    ]
    for sign, episodes in (("+", found.added), ("-", found.gone), ("~", [one for one, _ in found.changed])):
        lines += [f"{sign} {rfc3339(one.fired_at_ms)} {one.rule_id} {one.scope}" for one in episodes[:SHOWN]]
        lines += [f"{sign} … and {len(episodes) - SHOWN:,} more"] if len(episodes) > SHOWN else []
    return lines


def as_json(result: Result) -> dict[str, Any]:
    """For programs: plain values, all episodes."""
    extent, found = result.extent, result.difference()
    told: dict[str, Any] = {
        "from": rfc3339(extent.from_ms), "to": rfc3339(extent.to_ms), "complete": extent.is_complete,
        "complete_until": rfc3339(extent.complete_until_ms) if extent.complete_until_ms > 0 else None,
        "readings": extent.readings, "device_days": extent.device_days, **_trial_json(result.trial),
    }  # fmt: skip
    if result.against is not None and found is not None:
        told["against"] = _trial_json(result.against)
        told["difference"] = {
            "same": found.same,
            "added": [_plain(one) for one in found.added],
            "gone": [_plain(one) for one in found.gone],
            "changed": [{"now": _plain(one), "before": _plain(other)} for one, other in found.changed],
        }
    return told


def _trial_json(told: Trial) -> dict[str, Any]:
    return {
        "version": told.version,
        "rules": [asdict(one) for one in told.sums],
        "not_tried": [rule.id for rule in told.left_out],
        "episodes": [_plain(one) for one in told.episodes],
    }


def _plain(one: Episode) -> dict[str, Any]:
    times = {
        "pending_at": one.pending_at_ms, "fired_at": one.fired_at_ms, "cleared_at": one.cleared_at_ms,
        "resolved_at": one.resolved_at_ms,
    }  # fmt: skip
    at = {name: None if at_ms is None else rfc3339(at_ms) for name, at_ms in times.items()}
    return {"rule_id": one.rule_id, "scope": one.scope, "severity": one.severity, "flapping": one.flapping, **at}

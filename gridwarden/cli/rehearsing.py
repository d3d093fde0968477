"""Made-up streams judged by core alone, on virtual time, and what each rule made of them.

No broker, no process: what a scored run of an instance tells of scenarios this tells of rules, for many seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from secrets import randbelow
from typing import Any

import typer

from gridwarden.cli.output import bar, out, print_json
from gridwarden.clock import SystemClock
from gridwarden.core.rehearsal import Rehearsal
from gridwarden.model import Alarm, Device, Operation
from gridwarden.records.transaction import Transaction
from rules.correlation import Correlation
from rules.rule import Rule, RuleSet
from simulators.world import ordinary, programme, stage
from simulators.world.by_rule import RuleScore, add_up, score_rules
from simulators.world.scenario import Scenario
from simulators.world.stream import Sent
from simulators.world.truth import Fired

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
FROM_MS = 5 * HOUR_MS
"""Runs begin at five in the morning (Asia/Shanghai)."""
LARGEST_SEED = 2**31
_COLUMNS = {
    "device_days": "device-days", "expected": "expected", "found": "found", "recall": "recall", "alarms": "alarms",
    "false": "false", "precision": "precision", "delay_p50_s": "delay p50 s", "delay_max_s": "delay max s",
    "false_per_1000_device_days": "false/1,000 d-d",
}  # fmt: skip


def rehearse(stream: Iterable[Sent], devices: Iterable[Device], rules: RuleSet, end_ms: int) -> list[Fired]:
    """The alarms that are told until ``end_ms``, each reading judged when it is sent."""
    fired: list[Fired] = []

    def told(transaction: Transaction) -> None:
        for change in transaction.changes:
            alarm = change.alarm
            if change.operation is Operation.ALARM_FIRED and alarm is not None and alarm.fired_at_ms is not None:
                fired.append(_fired(alarm, alarm.fired_at_ms))

    play: Rehearsal | None = None
    registry = {device.device_id: device for device in devices}
    for sent in stream:
        play = play or Rehearsal(rules, registry, sent.sent_at_ms, told, restarts=False)
        play.until(sent.sent_at_ms)
        play.hear(sent.gateway, [sent.body()])
    if play is not None:
        play.until(end_ms)
    return fired


def _fired(alarm: Alarm, at_ms: int) -> Fired:
    listed = alarm.evidence.get("members", ())
    members = tuple(Fired(one["rule_id"], one["device_id"], one["fired_at_ms"]) for one in listed)
    return Fired(alarm.rule_id, alarm.device_id, at_ms, members)


def fresh_seeds(count: int, first: int | None) -> list[int]:
    """So many seeds; nobody has seen them, unless the first one is given."""
    begin = randbelow(LARGEST_SEED) if first is None else first
    return list(range(begin, begin + count))


def score_seeds(
    scenarios: Sequence[Scenario], devices: Sequence[Device], rules: RuleSet, seeds: Sequence[int], hours: float = 0
) -> dict[str, Any]:
    """What each rule made of the scenarios and of ordinary life, all seeds added up.

    Args:
        scenarios: each is played once a seed.
        devices: the registry.
        rules: those under test; those about silence are not judged, since it is not known here who falls silent.
        seeds: decide all that is left to chance.
        hours: each run lasts at least so long; default: until the last scenario is over.
    """
    from_ms = ordinary.midnight_ms(SystemClock().now_ms() - DAY_MS) + FROM_MS
    of_kind = Counter(device.kind for device in devices)
    told_of = (*rules.of(Rule), *rules.of(Correlation))
    judged = sorted((rule.id, rule.kind) for rule in told_of if rule.enabled and of_kind[rule.kind])
    sums: dict[str, RuleScore] = {}
    fired_in_all, days = 0, 0.0
    with bar("rehearsing") as progress:
        for seed in progress.track(seeds, task_id=progress.add_task("", note="")):
            plan = programme.programme(scenarios, devices, seed, from_ms, lasts_ms=round(hours * HOUR_MS))
            fired = rehearse(programme.perform(plan), devices, rules, plan.to_ms)
            truths = [truth for act in (*plan.acts, *plan.anyway) for truth in stage.truth(act)]
            days = (plan.to_ms - plan.from_ms) / DAY_MS
            add_up(sums, score_rules(truths, fired, {rule_id: days * of_kind[kind] for rule_id, kind in judged}))
            fired_in_all += len(fired)
    scores = list(sums.values())
    return {
        "seeds": list(seeds),
        "hours": round(days * 24, 2),
        "devices": len(devices),
        "alarms": fired_in_all,
        "rules": [score.facts() for score in scores],
        "missed_life_safety": sum(score.missed for score in scores if score.life_safety),
    }


def show(facts: dict[str, Any], *, as_json: bool) -> None:
    """The table, or one JSON object; the exit code 1 where a fire or an entrapment was missed."""
    if as_json:
        print_json(facts)
    else:
        _show(facts)
    if facts["missed_life_safety"]:
        raise typer.Exit(1)


def _show(facts: dict[str, Any]) -> None:
    rows = [[_cell(one[name]) for name in _COLUMNS] for one in facts["rules"]]
    width = max(len("rule"), *(len(one["rule"]) for one in facts["rules"]))
    lines = [
        ("rule", list(_COLUMNS.values())),
        *((one["rule"], row) for one, row in zip(facts["rules"], rows, strict=True)),
    ]
    for name, cells in lines:
        padded = (cell.rjust(len(title)) for cell, title in zip(cells, _COLUMNS.values(), strict=True))
        out.print(f"{name.ljust(width)}  {'  '.join(padded)}", soft_wrap=True, highlight=False)
    out.print(f"seeds {', '.join(map(str, facts['seeds']))}: {facts['hours']} hours each of {facts['devices']:,} devices, "
              f"{facts['alarms']:,} alarms; {facts['missed_life_safety']} fires and entrapments missed", soft_wrap=True)  # fmt: skip


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,}"

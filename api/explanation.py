"""Why an alarm fired: its rule as it stood then, what each condition saw, and the readings around it."""

from __future__ import annotations

from typing import Any

from api import wire
from api.services import Services
from gridwarden.clock import rfc3339
from gridwarden.errors import ConfigError, NotFound, Unavailable
from gridwarden.kinds import KINDS
from gridwarden.model import Alarm
from gridwarden.records.transaction import RuleText
from rules.condition import compile_condition

BEFORE_MS = 10 * 60_000
"""How much of the time before an alarm began is shown with it."""
POINTS_LIMIT = 500
"""Most readings shown of one field."""


def explain(services: Services, alarm: Alarm) -> dict[str, Any]:
    """Everything that is known of why ``alarm`` fired. Blocking: reads records, registry and history."""
    text = services.reader.rule_text(alarm.rule_id, alarm.rule_version)
    present = services.rules.by_id.get(alarm.rule_id)
    return {
        "alarm": wire.alarm_of(alarm, services.rules),
        "rule": {
            "id": alarm.rule_id, "version": alarm.rule_version, "kind": alarm.kind,
            "in_force": present is not None and present.version == alarm.rule_version,
            "content": text.content if text else None,
        },
        "conditions": _conditions(text, alarm, _attributes(services, alarm)),
        "seen": alarm.memory,
        "window": _window(services, alarm),
    }  # fmt: skip


def _attributes(services: Services, alarm: Alarm) -> dict[str, Any]:
    """The device's attributes as they are now: alarms do not keep them."""
    try:
        return services.office.device(alarm.device_id).attributes
    except NotFound:
        return {}


def _conditions(text: RuleText | None, alarm: Alarm, attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Each condition of the rule with what it makes of the values that the alarm fired on."""
    if text is None:
        return []
    written = [(key, text.content.get(key)) for key in ("first", "when", "clear", "suppressed_when")]
    for number, level in enumerate(text.content.get("levels") or (), start=1):
        written += [(f"levels.{number}.when", level["when"]), (f"levels.{number}.reset", level.get("reset"))]
    return [_condition(key, str(one), text.kind, alarm, attributes) for key, one in written if one]


def _condition(key: str, text: str, kind: str, alarm: Alarm, attributes: dict[str, Any]) -> dict[str, Any]:
    values, previous = alarm.evidence.get("values", {}), alarm.evidence.get("previous", {})
    try:
        truth = compile_condition(text, KINDS[kind]).evaluate(values, previous, attributes)
    except (ConfigError, KeyError):  # the language or the kind is another by now
        truth = None
    return {"key": key, "text": text, "truth": truth}


def _window(services: Services, alarm: Alarm) -> dict[str, Any] | None:
    """The values that the rule looks at, from some time before the alarm began until it fired."""
    known = KINDS[alarm.kind].fields if alarm.kind in KINDS else {}
    fields = sorted(name for name in alarm.evidence.get("values", {}) if name in known)  # an absence tells of no field
    from_ms, to_ms = alarm.pending_at_ms - BEFORE_MS, (alarm.fired_at_ms or alarm.pending_at_ms) + 1
    try:
        series = {
            name: services.history.series(alarm.device_id, name, max(0, from_ms), to_ms, POINTS_LIMIT)
            for name in fields
        }
        complete_until_ms = services.history.complete_until_ms()
    except Unavailable:
        return None
    return {
        "from": rfc3339(max(0, from_ms)), "to": rfc3339(to_ms), "complete_until": rfc3339(complete_until_ms),
        "fields": {
            name: {"t_ms": one.t_ms, "value": one.values, "truncated": one.truncated} for name, one in series.items()
        },
    }  # fmt: skip

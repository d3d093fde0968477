"""The JSON the outside sees, apart from the model so that either can change. Versioned by the path ``/api/v1``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridwarden import kinds
from gridwarden.areas import level_of, parent_of
from gridwarden.clock import rfc3339
from gridwarden.model import Alarm, Area, Device, GridEvent, Resource
from gridwarden.quieting import Quieting
from gridwarden.records import rows
from rules.decisions import stage_of
from rules.rule import RuleSet

Json = dict[str, Any]
_ALARM_HIDDEN = frozenset({"wake_at_ms", "clear_since_ms", "scope", "memory", "rule_shape"})
_EVENT_HIDDEN = frozenset({"incident_key"})
_QUIETING_HIDDEN = frozenset({"author_id", "approved_by_id", "matchers"})
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _times(row: Mapping[str, Any], hidden: frozenset[str]) -> Json:
    """Fields ``…_at_ms`` become RFC 3339 texts in ``…_at``; the hidden ones stay inside."""
    out: Json = {}
    for name, value in row.items():
        if name in hidden:
            continue
        if name.endswith("_at_ms"):
            out[name.removesuffix("_ms")] = None if value is None else rfc3339(value)
        else:
            out[name] = value
    return out


def rule_name(rules: RuleSet, rule_id: str) -> Json:
    """Both names of a rule; its id where the rule is gone."""
    rule = rules.by_id.get(rule_id)
    return {"zh": rule.name.zh, "en": rule.name.en} if rule else {"zh": rule_id, "en": rule_id}


def alarm(row: Mapping[str, Any], rules: RuleSet, *, provisional: bool = False) -> Json:
    """An alarm from its row or its journal body."""
    return {**_times(row, _ALARM_HIDDEN), "rule_name": rule_name(rules, row["rule_id"]), "provisional": provisional}


def alarm_of(value: Alarm, rules: RuleSet) -> Json:
    """An alarm."""
    return alarm(rows.alarm_row(value), rules)


def event(row: Mapping[str, Any], rules: RuleSet) -> Json:
    """A grid event from its row or its journal body."""
    return {**_times(row, _EVENT_HIDDEN), "title": rule_name(rules, row["rule_id"])}


def event_of(value: GridEvent, rules: RuleSet) -> Json:
    """A grid event."""
    return event(rows.event_row(value), rules)


def entry_body(body: Mapping[str, Any], rules: RuleSet, *, provisional: bool = False) -> Json:
    """Alarm and event of a journal entry."""
    return {
        "alarm": alarm(body["alarm"], rules, provisional=provisional) if body["alarm"] else None,
        "event": event(body["event"], rules) if body["event"] else None,
    }


def detail(value: Mapping[str, Any]) -> Json:
    """The detail of a journal entry."""
    return {
        name: detail(part) if isinstance(part, Mapping) else part for name, part in _times(value, frozenset()).items()
    }


def quieting_of(value: Quieting, now_ms: int, quiets: int) -> Json:
    """A silence or its like; ``quiets``: firing alarms that it quiets now."""
    row = rows.quieting_row(value)
    weekly = row.pop("weekly")
    return {
        **_times(row, _QUIETING_HIDDEN),
        "matchers": {name: list(wanted) for name, wanted in row["matchers"].items() if wanted},
        "weekly": weekly and {"days": [WEEKDAYS[day] for day in weekly["days"]], "from": weekly["start"],
                              "to": weekly["end"], "zone": weekly["zone"]},
        "stage": stage_of(value, now_ms), "reason": value.reason, "quiets": quiets,
    }  # fmt: skip


def device_of(value: Device) -> Json:
    """A registered device."""
    return {
        "device_id": value.device_id, "kind": value.kind, "name": value.name, "area": value.area,
        "profile": value.profile, "gateway": value.gateway, "building": value.building, "lon": value.lon,
        "lat": value.lat, "registered": True, "attributes": value.attributes,
    }  # fmt: skip


def unregistered_device(row: Mapping[str, Any]) -> Json:
    """A device that was heard and is not registered."""
    return {
        "device_id": row["device_id"], "kind": row["kind"], "name": "", "area": "", "profile": "",
        "gateway": row["gateway"], "building": "", "lon": None, "lat": None, "registered": False,
        "attributes": {"first_seen_at": rfc3339(row["first_seen_at_ms"]), "reading_count": row["reading_count"]},
    }  # fmt: skip


def area_of(value: Area) -> Json:
    """A node of the area tree."""
    return {
        "code": value.code, "name": value.name, "name_en": value.name_en, "level": level_of(value.code),
        "parent": parent_of(value.code),
    }  # fmt: skip


def resource_of(value: Resource, distance_m: float | None = None) -> Json:
    """A resource, with its distance where one was asked for."""
    out: Json = {
        "resource_id": value.resource_id, "kind": value.kind, "name": value.name, "area": value.area,
        "lon": value.lon, "lat": value.lat, "attributes": value.attributes,
    }  # fmt: skip
    return out if distance_m is None else {**out, "distance_m": round(distance_m)}


def fields_of(kind: str) -> list[Json]:
    """The fields of a kind, for units and bounds on the page."""
    if kind not in kinds.KINDS:
        return []
    return [
        {"name": field.name, "type": field.type, "unit": field.unit, "low": field.low, "high": field.high,
         "choices": list(field.choices)}
        for field in kinds.KINDS[kind].fields.values()
    ]  # fmt: skip

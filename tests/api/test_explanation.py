"""Why an alarm fired, over HTTP, for alarms that no field tells of. What rules explain: tests/gridwarden/cli/test_rulebook.py."""

from __future__ import annotations

from gridwarden.model import Alarm, AlarmState, Change, Operation, Severity
from tests.api.conftest import NOW_MS, Site

VALUES = {"heard_at": "2026-11-22T06:00:00.000Z", "limit_s": 120}


async def test_an_absence_explains_itself_without_a_field(site: Site) -> None:
    blind = Alarm("B1", "platform.blind", "1", "broker:embedded", "embedded", "platform", "", Severity.HIGH, AlarmState.FIRING,
                  NOW_MS, fired_at_ms=NOW_MS + 1, evidence={"values": VALUES, "gateway": ""})  # fmt: skip
    site.book.commit(Change(Operation.ALARM_FIRED, NOW_MS, "", blind))
    async with site.client("operator") as client:
        answer = await client.get("/api/v1/alarms/B1/explanation")
        assert answer.status_code == 200, answer.text
        assert answer.json()["alarm"]["evidence"]["values"] == VALUES
        assert answer.json()["window"]["fields"] == {}

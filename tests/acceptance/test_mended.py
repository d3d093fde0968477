"""What was set aside on a whole instance, mended and retried; and a device that is registered after it was heard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gridwarden.clock import rfc3339
from simulators.publisher import Publisher
from tests.faults.evidence import check_ledger
from tests.faults.harness import Instance, until

pytestmark = pytest.mark.process
NOW_MS = int(time.time()) * 1000
UP = "gridwarden/v1/{}/up"
EARLY_MS = NOW_MS - 3_600_000


def body(device: str, seq: int, at_ms: int, **values: Any) -> dict[str, Any]:
    return {"device": device, "seq": seq, "at": at_ms, "values": values}


async def publish(publisher: Publisher, gateway: str, *readings: dict[str, Any], padding: int = 0) -> None:
    payload = json.dumps(list(readings)).encode() + b" " * padding
    await publisher.publish(UP.format(gateway), payload, [one["device"] for one in readings])


async def register(instance: Instance, *rows: str) -> None:
    file = instance.folder / "devices.csv"
    file.write_text("device_id,kind,gateway\n" + "".join(f"{row}\n" for row in rows))
    before = (await instance.ledger())["registry_version"]
    await instance.import_devices(file)

    async def taken() -> bool:
        ledger = await instance.ledger()
        return bool(ledger["registry_version"] > before and not ledger["newly_registered"] and not ledger["in_flight"])

    await until("core has the registry and has looked at who is new", taken)


async def retry(instance: Instance, what: str, **body: Any) -> dict[str, Any]:
    answer = await instance.client.post(f"/api/v1/{what}/retry", json={"all": True, **body}, timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["outcomes"])


async def test_what_was_too_large_is_read_with_its_own_times_once_the_limit_is_raised(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "instance", GRIDWARDEN_INGEST__MAX_PAYLOAD_BYTES="1024")
    async with instance.running():
        await register(instance, "HYD-1,hydrant,gw", "SMK-1,smoke,gw", "SMK-2,smoke,other")
        async with Publisher(instance.mqtt("gw")) as publisher:
            large = (body("HYD-1", 1, EARLY_MS, pressure_mpa=0.31), body("SMK-1", 1, EARLY_MS, state="alarm"))
            await publish(publisher, "gw", *large, padding=2_000)
            await publish(publisher, "gw", body("HYD-1", 2, NOW_MS, pressure_mpa=0.33))
            await publish(publisher, "gw", body("SMK-2", 1, NOW_MS, state="normal"))
            await publisher.publish(UP.format("gw"), b"rubbish", ["rubbish"])
            await publisher.drain()
        ledger = await instance.drained()
        assert (ledger["dead_lettered"], ledger["stored"], ledger["quarantined"]) == (2, 1, 1)
        assert await retry(instance, "dead-letters", dry_run=True) == {"too_large": 1, "not_json": 1}
        assert (await instance.get("/alarms"))["alarms"] == []
        arrived_at = next(one for one in (await instance.get("/dead-letters?code=too_large"))["dead_letters"])[
            "received_at"
        ]

        await instance.stop()
        instance.set(GRIDWARDEN_INGEST__MAX_PAYLOAD_BYTES="65536")
        await instance.start()
        assert await retry(instance, "dead-letters") == {"stored": 1, "not_json": 1}
        assert await retry(instance, "dead-letters") == {"not_json": 1}
        await register(instance, "HYD-1,hydrant,gw", "SMK-1,smoke,gw", "SMK-2,smoke,gw")
        assert await retry(instance, "quarantine") == {"stored": 1}
        assert await retry(instance, "quarantine") == {}
        ledger = await instance.drained()

        assert ledger["balanced"]
        check_ledger(ledger, instance.data)
        lines = {line["broker"]: line for line in (await instance.get("/ledger?by=broker"))["lines"]}
        assert {name: lines["retry"][name] for name in ("received", "stored", "dead_lettered")} == {
            "received": 3, "stored": 3, "dead_lettered": 0,
        }  # fmt: skip
        (alarm,) = (await instance.get("/alarms"))["alarms"]
        assert (alarm["device_id"], alarm["fired_at"], alarm["unverified"]) == ("SMK-1", rfc3339(EARLY_MS), False)
        points = await instance.get(f"/devices/HYD-1/readings?field=pressure_mpa&from={EARLY_MS - 1000}")
        assert (points["t_ms"], points["value"]) == ([EARLY_MS, NOW_MS], [0.31, 0.33])
        assert (await instance.get("/devices/SMK-1"))["received_at"] == arrived_at
        assert (await instance.get("/devices/SMK-2"))["values"] == {"state": "normal"}
        journal = (await instance.get("/journal?limit=1000"))["entries"]
        assert [entry["detail"]["outcomes"] for entry in journal if entry["op"].endswith(".retried")] == [
            {"stored": 1, "not_json": 1}, {"not_json": 1}, {"stored": 1},
        ]  # fmt: skip


async def test_a_device_registered_later_has_the_readings_it_sent_and_its_alarms_that_are_still_true(
    tmp_path: Path,
) -> None:
    async with Instance(tmp_path / "instance").running() as instance:
        async with Publisher(instance.mqtt("gw")) as publisher:
            await publish(publisher, "gw", body("HYD-9", 1, EARLY_MS, pressure_mpa=0.31))
            await publish(publisher, "gw", body("HYD-9", 2, NOW_MS, pressure_mpa=0.30, leak=True))
            await publish(publisher, "gw", body("SMK-9", 1, NOW_MS, state="alarm"))
            await publish(publisher, "gw", body("ODD-9", 1, NOW_MS, pressure_mpa=0.5, battery_pct=40))
            await publisher.drain()
        await instance.drained()
        listed = (await instance.get("/devices?registered=false"))["devices"]
        assert [one["device_id"] for one in listed] == ["HYD-9", "ODD-9", "SMK-9"]
        (before,) = (await instance.get("/events"))["events"]
        assert before["unverified"]

        await register(instance, "HYD-9,hydrant,gw", "SMK-9,smoke,gw", "ODD-9,lift,gw")
        assert (await instance.get("/devices?registered=false"))["devices"] == []
        alarms = {alarm["device_id"]: alarm for alarm in (await instance.get("/alarms"))["alarms"]}
        assert {name: alarm["unverified"] for name, alarm in alarms.items()} == {"HYD-9": False, "SMK-9": False}
        events = {event["event_id"]: event for event in (await instance.get("/events"))["events"]}
        assert (events[before["event_id"]]["state"], events[alarms["SMK-9"]["event_id"]]["unverified"]) == (
            "merged",
            False,
        )
        assert events[before["event_id"]]["merged_into"] == alarms["SMK-9"]["event_id"]
        points = await instance.get(f"/devices/HYD-9/readings?field=pressure_mpa&from={EARLY_MS - 1000}")
        assert points["t_ms"] == [EARLY_MS, NOW_MS]

        # Guessed to be a hydrant, and a lift in truth: what it sent as a hydrant is shown by its field.
        odd = await instance.get("/devices/ODD-9")
        assert (odd["kind"], odd["values"]) == ("lift", {"pressure_mpa": 0.5, "battery_pct": 40})
        points = await instance.get(f"/devices/ODD-9/readings?field=pressure_mpa&from={EARLY_MS}")
        assert points["value"] == [0.5]

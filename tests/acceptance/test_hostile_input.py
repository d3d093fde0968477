"""Whatever a gateway sends: it finds its place in the ledger, takes nothing else with it, and hides no fire."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from simulators.publisher import Publisher
from tests.acceptance.brokers import Site, arrived, each_site
from tests.faults.evidence import check_ledger
from tests.faults.harness import Instance

pytestmark = pytest.mark.process
NOW_MS = int(time.time()) * 1000
UP, ROGUE = "gridwarden/v1/gw/up", "gridwarden/v1/rogue/up"

DEAD = {
    "not JSON": (UP, b"fire!", "not_json"),
    "nothing": (UP, b"", "not_json"),
    "not UTF-8": (UP, b'{"device": "SMK-1", "values": {"state": "\xff\xfe"}}', "not_json"),
    "too deep": (UP, b"[" * 5_000 + b"]" * 5_000, "too_deep"),
    "too large": (UP, b'{"device": "SMK-1", "values": {"fault_text": "' + b"x" * 300_000 + b'"}}', "too_large"),
    "a number": (UP, b"17", "not_a_reading"),
    "an empty array": (UP, b"[]", "no_readings"),
    "no device": (UP, b'{"device": "", "values": {}}', "no_device"),
    "device is a number": (UP, b'{"device": 7, "values": {}}', "no_device"),
    "no values": (UP, b'{"device": "SMK-1", "at": 1}', "no_values"),
    "values are a list": (UP, b'{"device": "SMK-1", "values": [1]}', "no_values"),
    "too many fields": (UP, ('{"device": "SMK-1", "values": {' + ",".join(f'"f{n}": 1' for n in range(99)) + "}}").encode(),
                        "too_many_fields"),
}  # fmt: skip

LIVE: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    # name: field values as sent, the values as stored, the quality
    "NaN": ("SMK-1", '"temperature_c": NaN, "state": "normal"',
            {"temperature_c": None, "state": "normal"}, {"temperature_c": "not_finite"}),
    "1e400": ("SMK-2", '"temperature_c": 1e400, "state": "normal"',
              {"temperature_c": None, "state": "normal"}, {"temperature_c": "not_finite"}),
    "wrong types": ("SMK-3", '"temperature_c": "hot", "heat_alarm": "yes", "state": 5',
                    {"temperature_c": None, "heat_alarm": None, "state": None},
                    {"temperature_c": "wrong_type", "heat_alarm": "wrong_type", "state": "wrong_type"}),
    "out of range": ("SMK-4", '"temperature_c": 900, "state": "normal"',
                     {"temperature_c": None, "state": "normal"}, {"temperature_c": "out_of_range"}),
}  # fmt: skip


@each_site()
async def test_everything_hostile_has_its_place_and_a_fire_is_seen_all_the_same(site: Site, tmp_path: Path) -> None:
    devices = tmp_path / "devices.csv"
    names = [*(device for device, *_ in LIVE.values()), "SMK-5", "SMK-6", "SMK-7", "SMK-8"]
    devices.write_text("device_id,kind,gateway\n" + "".join(f"{name},smoke,gw\n" for name in names))
    async with site.instance(tmp_path / "instance").running() as instance:
        await instance.import_devices(devices)
        async with Publisher(site.gateways(instance)) as publisher:
            for topic, payload, _ in DEAD.values():
                await publisher.publish(topic, payload, ["dead"])
            for device, values, *_ in LIVE.values():
                await publisher.publish(
                    UP, b'{"device": "%s", "values": {%s}}' % (device.encode(), values.encode()), [device]
                )
            for device, at in (("SMK-5", "0"), ("SMK-6", str(NOW_MS + 365 * 86_400_000)), ("SMK-7", '"yesterday"')):
                body = f'{{"device": "{device}", "at": {at}, "values": {{"state": "normal"}}}}'
                await publisher.publish(UP, body.encode(), [device])
            # One that burns, says a sensible thing and a senseless one: the senseless takes nothing along.
            await publisher.publish(
                UP, b'{"device": "SMK-8", "values": {"state": "alarm", "temperature_c": NaN}}', ["SMK-8"]
            )
            await publisher.publish(ROGUE, b'{"device": "SMK-1", "values": {"state": "normal"}}', ["SMK-1"])
            await publisher.publish(UP, b'{"device": "WHO-1", "values": {"state": "alarm"}}', ["WHO-1"])
            await publisher.publish(ROGUE, b'{"device": "SMK-2", "values": {"state": "alarm"}}', ["SMK-2"])
            readings = publisher.account.readings
        ledger = await arrived(instance, readings)

        assert ledger["received"] == readings
        assert ledger["dead_lettered"] == len(DEAD)
        assert ledger["quarantined"] == 2
        assert ledger["stored"] == readings - len(DEAD) - 2
        check_ledger(ledger, instance.data)
        await _check_dead_letters(instance)
        await _check_values(instance)
        await _check_fires(instance)
        assert (await instance.client.get("/readyz")).json()["status"] == "ready"
        assert await instance.stop() == 0
    assert "Traceback" not in instance.log.read_text()


async def _check_dead_letters(instance: Instance) -> None:
    letters = (await instance.get("/dead-letters?limit=100"))["dead_letters"]
    told = {(one["code"], one["bytes"], one["payload_hex"][:200]) for one in letters}
    assert told == {(code, len(payload), payload.hex()[:200]) for _, payload, code in DEAD.values()}


async def _check_values(instance: Instance) -> None:
    for name, (device, _, values, quality) in LIVE.items():
        found = await instance.get(f"/devices/{device}")
        assert (name, found["values"], found["quality"]) == (name, values, quality)
    for device in ("SMK-5", "SMK-6", "SMK-7"):
        found = await instance.get(f"/devices/{device}")
        assert (found["values"], found["quality"]) == ({"state": "normal"}, {"at": "clock"})
        assert found["occurred_at"] == found["received_at"]
    assert [one["device_id"] for one in (await instance.get("/quarantine"))["quarantine"]] == ["SMK-2", "SMK-1"]
    assert not (await instance.get("/devices/WHO-1"))["registered"]


async def _check_fires(instance: Instance) -> None:
    events = (await instance.get("/events?limit=100"))["events"]
    assert {(one["device_id"], one["unverified"]) for one in events} == {
        ("SMK-8", False), ("WHO-1", True), ("SMK-2", True)}  # fmt: skip
    assert {one["category"] for one in events} == {"fire"}

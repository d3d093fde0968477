"""A gateway is told over MQTT what was wrong with its payloads, and finds the same in the API."""

from __future__ import annotations

import asyncio
import json
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gridwarden.broker.credentials import add_gateway
from simulators.publisher import Address
from tests.acceptance.brokers import Site, arrived, each_site
from tests.faults.evidence import check_ledger
from tests.faults.harness import Instance, until

pytestmark = pytest.mark.process
BAD = b'[{"device":"SMK-1","seq":1,"values":{"state":"normal","temperature_c":900}},{"device":""}]'
DEVICES = "device_id,kind,gateway\nSMK-1,smoke,gw\nSMK-2,smoke,other\n"


async def address(site: Site, instance: Instance) -> Address:
    """Where the gateway ``gw`` comes in, as itself where the broker knows it."""
    known = site.gateways(instance)
    if site.outlives_us:
        return known
    password = await asyncio.to_thread(add_gateway, instance.data / "broker", "gw")
    place = Address(known.host, known.port, "gw", "gw", password)
    await until("the broker knows the gateway", lambda: lets_in(place))
    return place


async def lets_in(place: Address) -> bool:
    try:
        async with aiomqtt.Client(place.host, place.port, username=place.username, password=place.password):
            return True
    except aiomqtt.MqttError:
        return False


@each_site("embedded", "mosquitto", "mosquitto-tls")
async def test_a_gateway_is_told_what_was_wrong(site: Site, tmp_path: Path) -> None:
    (tmp_path / "devices.csv").write_text(DEVICES)
    async with site.instance(tmp_path / "instance").running() as instance:
        await instance.import_devices(tmp_path / "devices.csv")
        place = await address(site, instance)
        client = aiomqtt.Client(place.host, place.port, username=place.username, password=place.password)
        async with client as gateway:
            await gateway.subscribe("gridwarden/v1/gw/errors", qos=1)
            await gateway.publish("gridwarden/v1/gw/up", BAD, qos=1)
            told = await next_of(gateway)
            assert set(told) == {"at", "lane", "rejected", "replaced", "quarantined", "more"}
            assert [(one["code"], one["place"], one["payload_sha256_16"]) for one in told["rejected"]] == [
                ("no_device", "readings[1]", sha256(BAD).hexdigest()[:16])
            ]
            assert [(one["device"], one["field"], one["quality"]) for one in told["replaced"]] == [
                ("SMK-1", "temperature_c", "out_of_range")
            ]
            assert (told["lane"], told["quarantined"], told["more"]) == ("telemetry", 0, 0)
            alien = {"device": "SMK-2", "at": round(time.time() * 1000), "values": {"state": "normal"}}
            began_s = time.monotonic()
            for _ in range(30):
                await gateway.publish("gridwarden/v1/gw/alarm", json.dumps(alien), qos=1)
            messages, quarantined = 0, 0
            while quarantined < 30:
                told = await next_of(gateway)
                messages, quarantined = messages + 1, quarantined + told["quarantined"]
                assert told["lane"] == "alarm"
            assert messages <= time.monotonic() - began_s + 1, "more than one a second"
        ledger = await arrived(instance, 32)
        check_ledger(ledger, instance.data)
        assert ledger["notices"]["lost"] == 0
        one = await instance.get("/gateways/gw")
        assert {line["lane"]: (line["dead_lettered"], line["quarantined"], line["duplicate"]) for line in one["lines"]} == {
            "alarm": (0, 1, 29), "telemetry": (1, 0, 0)
        }  # fmt: skip
        assert one["lines"][0]["balanced"]
        assert [row["device_id"] for row in one["newest_quarantined"]] == ["SMK-2"]
        history = await until("the history was looked at", lambda: audited(instance))
        assert (history["missing"], history["held"], history["written"]) == (
            0,
            history["expected"],
            history["expected"],
        )


async def next_of(gateway: aiomqtt.Client) -> dict[str, Any]:
    async with asyncio.timeout(60):
        message = await anext(gateway.messages)
    assert isinstance(message.payload, bytes)
    told: dict[str, Any] = json.loads(message.payload)
    return told


async def audited(instance: Instance) -> dict[str, Any] | None:
    """The audit's word once it has seen everything; our own parts' readings are in it as well."""
    history = (await instance.ledger())["history"]
    return dict(history) if history and history["expected"] >= 2 else None

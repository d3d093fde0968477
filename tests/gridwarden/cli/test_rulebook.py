"""A rule of one's own over its life: it fires, explains itself, is changed while the system runs, and refused if wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulators.publisher import Publisher
from tests.faults.harness import Instance, until

pytestmark = pytest.mark.process
RULES = """
kind: hydrant
rules:
  - id: hydrant.low
    name: {zh: 水压低, en: Low}
    source: ours
    severity: low
    category: water
    when: pressure_mpa < 0.14 and device.mount != 'cap'
    levels: [{severity: high, when: pressure_mpa < 0.05}]
    flapping: {count: 3, within: 1h, quiet: 10m}
"""
DEVICES = 'device_id,kind,gateway,attributes\nHYD-1,hydrant,,"{""mount"": ""riser""}"\n'


async def test_a_rule_fires_explains_itself_and_is_changed_while_the_system_runs(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    def type_in(*words: object) -> Any:
        return asyncio.to_thread(command, *words)

    rules, devices = tmp_path / "own.yaml", tmp_path / "devices.csv"
    rules.write_text(RULES, "utf-8")
    devices.write_text(DEVICES, "utf-8")
    instance = Instance(tmp_path, GRIDWARDEN_RULES=json.dumps([str(rules)]), GRIDWARDEN_SHIPPED_PACKS="false")
    async with instance.running():
        await instance.import_devices(devices)
        async with Publisher(instance.mqtt("rulebook")) as publisher:
            for seq, pressure_mpa in enumerate((0.3, 0.12)):
                body = {"device": "HYD-1", "seq": seq, "values": {"pressure_mpa": pressure_mpa}}
                await publisher.publish("gridwarden/v1/g/up", json.dumps(body).encode(), ["HYD-1"])
            await publisher.drain()

        async def fired() -> Any:
            return (await instance.get("/alarms"))["alarms"]

        (alarm,) = await until("the alarm fires", fired)
        await instance.drained()
        here = ("--data", instance.data)
        told = await type_in("rules", "explain", alarm["alarm_id"], *here)
        assert told.code == 0
        for part in (
            "水压低 · Low on HYD-1, firing",
            "pressure_mpa < 0.14",
            "→  true",
            "→  false",
            "values        pressure_mpa 0.12",
        ):
            assert part in told.out
        facts = (await type_in("rules", "explain", alarm["alarm_id"], *here, "--json")).json
        assert facts["rule"]["in_force"] is True
        assert {one["key"]: one["truth"] for one in facts["conditions"]} == {"when": True, "levels.1.when": False}
        assert len(facts["seen"]["fires"]) == 1
        assert facts["window"]["fields"]["pressure_mpa"]["value"] == [0.3, 0.12]

        assert "those of the files" in (await type_in("rules", "apply", *here)).err
        rules.write_text(RULES.replace("0.14", "0.16").replace("水压低", "水压过低"), "utf-8")
        tried = (await type_in("rules", "apply", "--dry-run", *here, "--json")).json
        assert (tried["applied"], [change["goes_on"] for change in tried["changes"]]) == (False, [True])
        shown = await type_in("rules", "apply", *here)
        assert (shown.code, "0.16" in shown.out, "go on" in shown.out) == (0, True, True)

        async def named() -> Any:
            found = (await instance.get("/rules"))["rules"]
            return found if found[0]["name"]["zh"] == "水压过低" else None

        await until("web has the rules too", named)
        old = (await type_in("rules", "explain", alarm["alarm_id"], *here, "--json")).json
        assert old["alarm"]["state"] == "firing"
        assert old["rule"]["content"]["when"] == "pressure_mpa < 0.16 and device.mount != 'cap'"

        rules.write_text(RULES.replace("pressure_mpa < 0.14", "presure < 1"), "utf-8")
        refused = await type_in("rules", "apply", *here)
        assert refused.code == 2
        assert "own.yaml: rule hydrant.low: when: column 1: a hydrant has no field 'presure'" in refused.err
        assert await named(), "nothing of it was taken over"
    stopped = await type_in("rules", "apply", *here)
    assert (stopped.code, "read at its next start" in stopped.err) == (1, True)

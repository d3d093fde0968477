"""The running instance against its own description (schemathesis): no 500, and no answer that the description does not have."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.publisher import Publisher
from tests.faults.harness import Instance, until

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"
PASSWORD = "a password of the fuzzed instance"
ROLES = {"nobody": None, "viewer": [""], "operator": [""], "admin": [""], "west-operator": ["330106"]}
DEVICES = "device_id,kind,area,gateway\nSMK-1,smoke,330106,gw\nLIFT-1,lift,330107,gw\n"
AREAS = "code,name\n3301,A\n330106,B\n330107,C\n"


@dataclass
class Described:
    """What one role came to."""

    name: str
    """The role."""
    inputs: int
    failed: bool
    said: str = ""
    """What schemathesis says, where it found something."""


def describe(examples: int, seed: int) -> list[Described]:
    """Ask as every role in turn, ``examples`` times per operation at most and phase."""
    return asyncio.run(_describe(examples, seed))


async def _describe(examples: int, seed: int) -> list[Described]:
    with tempfile.TemporaryDirectory(prefix="gridwarden-described-") as folder:
        instance = Instance(Path(folder), GRIDWARDEN_EMBEDDED__GATEWAYS='["gw"]')
        async with instance.running():
            tokens = await _furnish(instance)
            (instance.folder / "openapi.json").write_text(json.dumps(await _description(instance)), "utf-8")
            found = []
            for role in ROLES:
                found.append(await asyncio.to_thread(_ask, instance, role, tokens.get(role), examples, seed))
                await instance.ready()
        if "Traceback" in instance.log.read_text("utf-8"):
            found.append(Described("log", 0, True, instance.last_words()))
        return found


async def _furnish(instance: Instance) -> dict[str, str]:
    """Areas, devices, a fire, and a token for each role."""
    for what, text in (("areas", AREAS), ("devices", DEVICES)):
        path = instance.folder / f"{what}.csv"
        path.write_text(text, "utf-8")
        await _post(instance, "import", {"what": what, "path": str(path)})
    async with Publisher(instance.mqtt("fuzz")) as publisher:
        await publisher.publish(
            "gridwarden/v1/gw/up", b'{"device":"SMK-1","seq":1,"values":{"state":"alarm"}}', ["SMK-1"]
        )
        await publisher.publish("gridwarden/v1/gw/up", b"no JSON", ["SMK-1"])
    tokens = {}
    for role, areas in ROLES.items():
        if areas is not None:
            name = f"fuzzed-{role}"  # the first account has one of the plain names
            await _post(
                instance,
                "users",
                {"name": name, "role": role.removeprefix("west-"), "areas": areas, "password": PASSWORD},
            )
            tokens[role] = (await _post(instance, f"users/{name}/tokens", {"name": "fuzz"}))["secret"]
    return tokens


async def _description(instance: Instance) -> dict[str, Any]:
    """What the instance says of itself, with ids that exist as examples."""
    alarm = (await until("it burns", lambda: _alarms(instance)))[0]
    known = {
        "alarm_id": alarm["alarm_id"],
        "event_id": alarm["event_id"],
        "device_id": "SMK-1",
        "field": "state",
        "quieting_id": 1,
    }
    described: dict[str, Any] = await instance.get("/openapi.json")
    for operations in described["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in known:
                    parameter["example"] = known[parameter["name"]]
    return described


async def _alarms(instance: Instance) -> list[dict[str, Any]]:
    alarms: list[dict[str, Any]] = (await instance.get("/alarms"))["alarms"]
    return alarms


async def _post(instance: Instance, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await instance.client.post(f"/api/v1/local/{path}", json=body)
    answer.raise_for_status()
    with suppress(ValueError):
        found: dict[str, Any] = answer.json()
        return found
    return {}


def _ask(instance: Instance, role: str, token: str | None, examples: int, seed: int) -> Described:
    report = instance.folder / f"{role}.json"
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", str(instance.folder / "openapi.json"), "--url", _address(instance), "--checks", CHECKS,
        "--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--no-shrink", "--report", "json",
        "--report-json-path", str(report), "--output-sanitize", "true", *(["--header", f"Authorization:Bearer {token}"] if token else []),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, check=False, cwd=instance.folder)
    said = ended.stdout.decode("utf-8", "replace")
    counted = re.findall(r"([\d,]+) (?:generated|test cases)", said)
    failed = ended.returncode != 0
    return Described(
        role, int(counted[-1].replace(",", "")) if counted else 0, failed, said[-12_000:] if failed else ""
    )


def _address(instance: Instance) -> str:
    found = re.search(r"Gridwarden is at (\S+)", instance.log.read_text("utf-8"))
    assert found
    return found[1]

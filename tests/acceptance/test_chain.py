"""The whole way of a reading, over MQTT into records, history, alarms and events, in each way it can be set up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.make_secrets import make_certificates
from simulators.publisher import Publisher
from tests.acceptance.brokers import MosquittoSite, Site, arrived, each_site
from tests.faults import evidence
from tests.faults.harness import Instance, until
from tests.faults.watcher import Watcher
from tests.faults.workload import ROUNDS, Workload

pytestmark = pytest.mark.process
PAUSE_S = 0.02
"""Between two rounds, so that they are several batches."""
WEB_DIES_IN, BROKER_DIES_IN, CORE_DIES_IN, AWAY_IN = 3, 5, 13, 16
"""Rounds in which nothing begins on the alarm lane. Each lane comes back in its own time, and telemetry that overtakes
the alarm before it is when the alarm then begins."""
DESK = "desk.smoke-1"
"""The detector whose fire people handle: apart from the workload, which knows nothing of people."""


def workload() -> Workload:
    return Workload("chain", (int(time.time()) - 3_600) * 1000)


async def register(instance: Instance, workload: Workload) -> None:
    """Make the devices known."""
    file = instance.folder / "devices.csv"
    workload.register([workload], file)
    with file.open("a") as out:
        out.write(f"{DESK},smoke,{workload.gateway},\n")
    await instance.import_devices(file)


async def publish(publisher: Publisher, workload: Workload, number: int) -> None:
    for sent in workload.rounds[number]:
        await publisher.publish(sent.topic, sent.payload, sent.readings)


def check_evidence(instance: Instance, workload: Workload, *, redelivered: bool = False) -> None:
    """Hold what lies there, now that it has ended, against the script."""
    found = evidence.records(instance.data)[workload.tag]
    evidence.check_readings(workload, found)
    if redelivered:
        evidence.forgive_redelivery(workload, found)
    evidence.check_truth(workload, found)
    evidence.check_history(workload, evidence.history(instance.data)[workload.tag])
    assert "Traceback" not in instance.log.read_text()


async def play(instance: Instance, workload: Workload, publisher: Publisher) -> None:
    """Publish everything, wait for it, and hold the ledger against it."""
    for number in range(ROUNDS):
        await publish(publisher, workload, number)
        await publisher.drain()
        await asyncio.sleep(PAUSE_S)
    ledger = await arrived(instance, workload.readings)
    assert ledger["received"] == workload.readings
    assert ledger["duplicate"] == workload.repeated
    evidence.check_ledger(ledger, instance.data)


async def test_core_and_web_in_one_process_do_the_same(tmp_path: Path) -> None:
    chain = workload()
    async with Instance(tmp_path, "--single").running() as instance:
        assert instance.children().keys() == {"broker"}
        await register(instance, chain)
        async with Publisher(instance.mqtt("gateways")) as publisher:
            await play(instance, chain, publisher)
    check_evidence(instance, chain)


@each_site()
async def test_every_reading_and_every_alarm_is_there_and_people_close_the_case(site: Site, tmp_path: Path) -> None:
    chain = workload()
    async with site.instance(tmp_path).running() as instance:
        assert instance.children().keys() == site.parts
        await register(instance, chain)
        async with Watcher(instance.socket).watching() as watcher, Publisher(site.gateways(instance)) as publisher:
            await play(instance, chain, publisher)
            await handle_a_fire(instance, watcher, publisher, f"gridwarden/v1/{chain.gateway}")
            assert told(watcher.changes) == await told_by_journal(instance)
        assert await instance.stop() == 0
    check_evidence(instance, chain)


async def handle_a_fire(instance: Instance, watcher: Watcher, publisher: Publisher, topic: str) -> None:
    """What a control room does: sees it, acknowledges it, confirms it, and closes the case when it is over."""
    await publisher.publish(f"{topic}/alarm", smoke("alarm", 1), [DESK])
    fired = await heard(watcher, "alarm.fired")
    event, alarm = f"/events/{fired['event']['event_id']}", f"/alarms/{fired['alarm']['alarm_id']}"
    assert (fired["event"]["category"], fired["event"]["state"]) == ("fire", "open")

    assert (await act(instance, f"{event}/ack"))["unacknowledged_count"] == 0
    await heard(watcher, "alarm.acknowledged")
    await publisher.publish(f"{topic}/up", smoke("normal", 2), [DESK])
    assert (await heard(watcher, "alarm.cleared"))["alarm"]["state"] == "firing"  # latched
    assert (await act(instance, f"{alarm}/confirm", outcome="true"))["state"] == "resolved"
    assert (await heard(watcher, "alarm.confirmed"))["alarm"]["state"] == "resolved"
    await act(instance, f"{event}/close", note="put out")
    closed = await heard(watcher, "event.closed")
    assert closed["event"]["state"] == (await instance.get(event))["state"] == "closed"


def smoke(state: str, seq: int) -> bytes:
    """What the detector says."""
    return json.dumps(
        {"device": DESK, "at": time.time_ns() // 1_000_000, "seq": seq, "values": {"state": state}}
    ).encode()


async def heard(watcher: Watcher, operation: str) -> dict[str, Any]:
    """The change on the websocket."""

    def change() -> dict[str, Any] | None:
        return next((one for one in watcher.changes if one["op"] == operation and _device(one) == DESK), None)

    return dict(await until(f"{operation} is told", change))


async def act(instance: Instance, path: str, **body: str) -> dict[str, Any]:
    """Do something, twice under one key: it is done once."""
    answers = [
        await instance.client.post(f"/api/v1{path}", json=body, headers={"Idempotency-Key": path}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [httpx.codes.OK] * 2, answers[0].text
    assert answers[0].json() == answers[1].json()
    return dict(answers[0].json())


def _device(change: dict[str, Any]) -> str:
    return str((change["alarm"] or change["event"] or {}).get("device_id"))


def told(changes: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Number and operation of all that concerns an alarm or an event, in order."""
    return [(one["seq"], one["op"]) for one in changes if one.get("alarm") or one.get("event")]


async def told_by_journal(instance: Instance) -> list[tuple[int, str]]:
    """The same as it is written."""
    return told([entry async for entry in instance.journal()])


@each_site("mosquitto", "mosquitto-tls")
async def test_nothing_is_lost_and_nothing_twice_whatever_is_restarted(site: Site, tmp_path: Path) -> None:
    chain = workload()
    async with site.instance(tmp_path).running() as instance:
        await register(instance, chain)
        async with Watcher(instance.socket).watching() as watcher, Publisher(site.gateways(instance)) as publisher:
            for number in range(ROUNDS):
                await publish(publisher, chain, number)
                await disturb(site, instance, publisher, number)
                await publisher.drain()
                await asyncio.sleep(PAUSE_S)
            assert publisher.account.connections > 1, "the broker was not away"
            ledger = await all_there(instance, chain)
            journal = await told_by_journal(instance)
            await until("the dashboard has heard everything", lambda: told(watcher.changes)[-1:] == journal[-1:])
            assert told(watcher.changes) == journal
            assert watcher.snapshots == 1, "it was not told what it had missed, but to begin anew"
        evidence.check_ledger(ledger, instance.data)
        assert await instance.stop() == 0
    check_evidence(instance, chain, redelivered=True)


async def disturb(site: Site, instance: Instance, publisher: Publisher, number: int) -> None:
    """What happens while a round is on its way; afterwards both lanes are connected again."""
    if number == WEB_DIES_IN:
        await instance.kill("web")
    elif number == BROKER_DIES_IN:
        await site.restart_broker(instance)
    elif number == CORE_DIES_IN:
        await instance.kill("core")
    elif number == AWAY_IN and site.outlives_us:
        assert await instance.stop() == 0
        await publisher.drain()  # it is the broker that has it now
        await instance.start()
    else:
        return
    await publisher.drain()
    await instance.drained()


async def all_there(instance: Instance, workload: Workload) -> dict[str, Any]:
    """Wait for everything; what came again is counted as received again, so that the sum alone says nothing."""

    async def ledger_of_all() -> dict[str, Any] | None:
        ledger = await instance.drained()
        wanted = {"stored": len(workload.stored), "quarantined": len(workload.quarantined),
                  "dead_lettered": len(workload.dead), "duplicate": workload.repeated}  # fmt: skip
        return ledger if all(ledger[name] >= count for name, count in wanted.items()) else None

    return dict(await until("everything has arrived", ledger_of_all))


@pytest.mark.parametrize("site", ["mosquitto-tls"], indirect=True)
async def test_a_broker_with_a_certificate_of_somebody_unknown_gets_no_connection(
    site: MosquittoSite, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    make_certificates(stranger, ["127.0.0.1"])
    site.lead_to(stranger / "ca.crt")
    await check_not_ready(site.instance(tmp_path), lambda log: "CERTIFICATE_VERIFY_FAILED" in log)


async def test_a_broker_that_refuses_the_password_is_told_of_and_nothing_is_ready(
    tmp_path: Path, mosquitto: Any
) -> None:
    mosquitto.stop()
    mosquitto.lines = ["allow_anonymous false"]
    mosquitto.start()
    broker = f'[{{"name": "district", "host": "{mosquitto.host}", "port": {mosquitto.port}, "username": "nobody"}}]'
    instance = Instance(tmp_path, GRIDWARDEN_EMBEDDED__ENABLED="false", GRIDWARDEN_BROKER=broker)
    await check_not_ready(instance, lambda log: "connection refused" in log)


async def check_not_ready(instance: Instance, says_why: Callable[[str], bool]) -> None:
    """It runs, says why it has no broker, and is not ready."""
    try:
        instance.launch()
        await until("it says why", lambda: says_why(instance.last_words()))

        async def broker_is_missed() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                response = await instance.client.get("/readyz")
                assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE
                return bool(response.json() == {"status": "broker_unavailable"})
            return False

        await until("it is not ready", broker_is_missed)
        assert await instance.stop() == 0
    finally:
        await instance.end()

"""A device that is registered after it was heard: its alarms, if they are still true, and an end of being a stranger."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gridwarden.core import newcomers
from gridwarden.core.newcomers import Newcomers, welcome
from gridwarden.model import AlarmState, Device, EventState, Operation
from gridwarden.records.transaction import Transaction
from gridwarden.window import Window

NOW_MS = 1_800_000_000_000
AREA = "330106009"


def say(device: str, seq: int, at_ms: int = NOW_MS, **values: Any) -> dict[str, Any]:
    return {"device": device, "at": at_ms, "seq": seq, "values": values}


def register(site: Any, *devices: Device, gateway: str = "gw1") -> Transaction:
    """Take them into the registry, and commit what follows for those heard before."""
    site.devices |= {device.device_id: device for device in devices}
    heard = site.writer.unregistered_among([device.device_id for device in devices])
    transaction = welcome(site.judge, heard)
    site.commit(transaction)
    return transaction


def hydrant(device_id: str = "NEW", **more: Any) -> Device:
    return Device(device_id, "hydrant", AREA, **{"gateway": "gw1", **more})


def smoke(device_id: str = "NEW", **more: Any) -> Device:
    return Device(device_id, "smoke", AREA, **{"gateway": "gw1", "building": "B7", **more})


def active(site: Any) -> list[tuple[str, bool, str]]:
    return sorted((alarm.rule_id, alarm.unverified, alarm.area) for alarm in site.judge.engine._alarms.values())


def events_of(site: Any) -> dict[str, Any]:
    """By incident key."""
    reader = site.reader()
    try:
        return {event.incident_key: event for event in reader.events()}
    finally:
        reader.close()


def unregistered(site: Any) -> list[str]:
    reader = site.reader()
    try:
        return [row["device_id"] for row in reader.unregistered()]
    finally:
        reader.close()


def test_what_is_still_true_is_raised_where_the_device_stands(site: Any) -> None:
    site.hear(say("NEW", 1, leak=True, pressure_mpa=0.3))
    assert (active(site), unregistered(site)) == ([], ["NEW"])
    transaction = register(site, hydrant())
    (rule, unverified, area) = active(site)[0]
    assert (rule.split(".")[0], unverified, area) == ("hydrant", False, AREA)
    assert unregistered(site) == []
    fired = transaction.alarms.values()
    assert {alarm.pending_at_ms for alarm in fired} == {NOW_MS}
    site.restart()
    assert active(site)[0][2] == AREA


def test_what_is_over_is_not_raised(site: Any) -> None:
    site.hear(say("NEW", 1, leak=True, pressure_mpa=0.3))
    site.hear(say("NEW", 2, NOW_MS + 1000, leak=False))
    transaction = register(site, hydrant())
    assert (active(site), transaction.changes) == ([], [])


def test_of_a_gateway_that_may_not_speak_for_it_nothing_is_believed(site: Any) -> None:
    site.hear(say("NEW", 1, leak=True), gateway="gw2")
    site.hear(say("FIRE", 1, state="alarm"), gateway="gw2")
    register(site, hydrant(), smoke("FIRE"))
    assert active(site) == [("smoke.fire", True, "")]
    assert unregistered(site) == []


def test_a_device_that_spoke_since_has_been_judged(site: Any) -> None:
    site.hear(say("NEW", 1, leak=True))
    site.devices["NEW"] = hydrant()
    site.hear(say("NEW", 2, NOW_MS + 1000, leak=False))
    evaluations = site.judge.engine.evaluations
    assert welcome(site.judge, {"NEW": "gw1"}).changes == []
    assert site.judge.engine.evaluations == evaluations, "no reading is judged twice"


def test_twice_is_the_same_as_once(site: Any) -> None:
    site.hear(say("NEW", 1, leak=True))
    register(site, hydrant())
    before = active(site)
    assert welcome(site.judge, {"NEW": "gw1"}).changes == []
    site.restart()
    assert not site.writer.unregistered_among(["NEW"])
    assert active(site) == before


def test_an_unverified_fire_becomes_verified_in_a_case_of_its_building(site: Any) -> None:
    site.hear(say("NEW", 1, state="alarm"))
    ((rule, unverified, area),) = active(site)
    assert (rule, unverified, area) == ("smoke.fire", True, "")
    transaction = register(site, smoke())
    assert active(site) == [("smoke.fire", False, AREA)]
    verified, *merged = transaction.changes
    assert (verified.operation, verified.area, verified.event.incident_key) == (
        Operation.ALARM_VERIFIED, AREA, "fire/building:B7",
    )  # fmt: skip
    assert (verified.event.unverified, verified.event.alarm_count, verified.event.firing_count) == (False, 1, 1)
    states = {change.event.incident_key: change.event.state for change in merged}
    assert states == {"fire/unverified:gw1": EventState.MERGED, "fire/building:B7": EventState.OPEN}
    assert merged[-1].event.alarm_count == 1
    site.restart()
    (alarm,) = site.start.alarms
    assert (alarm.unverified, alarm.area, alarm.event_id) == (False, AREA, verified.event.event_id)
    ended = site.hear(say("NEW", 2, NOW_MS + 1000, state="normal"))
    assert all(change.event.event_id == verified.event.event_id for change in ended.changes if change.event)


def test_it_leaves_the_others_in_the_case_they_shared(site: Any) -> None:
    site.hear(say("NEW", 1, state="alarm"), say("ALSO", 1, state="alarm"))
    transaction = register(site, smoke())
    assert [change.event.incident_key for change in transaction.changes] == ["fire/building:B7", "fire/unverified:gw1"]
    left = transaction.changes[1].event
    assert (left.alarm_count, left.firing_count, left.unacknowledged_count, left.state) == (1, 1, 1, EventState.OPEN)
    assert active(site) == [("smoke.fire", False, AREA), ("smoke.fire", True, "")]
    register(site, smoke("ALSO", building="B8"))
    events = events_of(site)
    assert (events["fire/building:B8"].alarm_count, events["fire/building:B8"].firing_count) == (1, 1)
    assert events["fire/unverified:gw1"].merged_into == events["fire/building:B8"].event_id


def test_two_in_one_building_are_a_confirmed_fire(site: Any) -> None:
    site.hear(say("NEW", 1, state="alarm"), say("ALSO", 1, state="alarm"))
    transaction = register(site, smoke(), smoke("ALSO"))
    confirmed = [change for change in transaction.changes if change.operation is Operation.ALARM_FIRED]
    assert [change.alarm.rule_id for change in confirmed] == ["smoke.fire_confirmed"]
    opened = {event.event_id for event in events_of(site).values() if event.state is EventState.OPEN}
    assert opened == {confirmed[0].event.event_id}


def test_an_acknowledged_one_stays_acknowledged_in_its_new_case(site: Any) -> None:
    site.hear(say("NEW", 1, state="alarm"))
    (alarm,) = site.judge.engine._alarms.values()
    transition = site.judge.acknowledge(alarm.alarm_id, "op", NOW_MS, "")
    noted = Transaction(NOW_MS)
    site.judge.tell(Operation.ALARM_ACKNOWLEDGED, transition.alarm, noted)
    site.commit(noted)
    event = register(site, smoke()).changes[0].event
    assert (event.alarm_count, event.unacknowledged_count) == (1, 0)


def test_an_alarm_that_had_its_life_is_not_raised_again(site: Any) -> None:
    site.hear(say("NEW", 1, state="alarm"))
    (alarm,) = site.judge.engine._alarms.values()
    over = site.judge.engine.confirm(alarm.alarm_id, "op", NOW_MS, "false", "")
    assert over.alarm.state is AlarmState.FIRING
    site.judge.engine.discard(alarm.alarm_id)  # as if a person had ended it
    register(site, smoke())
    assert [rule for rule, _, _ in active(site)] == []


def test_another_kind_than_was_guessed_is_judged_as_what_it_is(site: Any) -> None:
    site.hear(say("NEW", 1, pressure_mpa=0.3, leak=True, state="alarm"))
    register(site, smoke())
    assert active(site) == [("smoke.fire", False, AREA)]


def test_without_a_window_only_the_row_goes(site: Any) -> None:
    site.hear(say("NEW", 1, leak=True))
    del site.judge.windows._windows["NEW"]
    transaction = register(site, hydrant())
    assert (transaction.changes, unregistered(site)) == ([], [])


def test_the_key_of_the_last_reading_is_found() -> None:
    window = Window()
    assert window.keys.newest_of(5) is None
    for key, at_ms in ((1, 5), (2, 7), (3, 7), (4, 6)):
        window.keys.put(key, at_ms, 9)
    assert [window.keys.newest_of(at_ms) for at_ms in (5, 7, 6, 8)] == [1, 3, 4, None]


# --- the task ---------------------------------------------------------------------------------------------------


class Commits:
    """A committer that commits at once, or is busy."""

    def __init__(self, site: Any) -> None:
        self.site = site
        self.failing, self.waiting = False, 0
        self.not_durable: list[Transaction] = []
        self.sizes: list[int] = []

    def pending(self) -> list[Transaction]:
        return self.not_durable

    async def read(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def submit(self, transaction: Transaction) -> None:
        self.sizes.append(len(transaction.registered))
        self.site.commit(transaction)


async def attend(site: Any, commits: Commits, names: list[str], done: Any) -> Newcomers:
    attending = Newcomers(commits, site.writer, commits.submit)  # type: ignore[arg-type]
    attending.registered(names)
    task = asyncio.create_task(attending.run(site.judge))
    async with asyncio.timeout(60):
        while not done(attending):  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return attending


async def test_a_whole_district_is_attended_to_some_at_a_time(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "PAUSE_S", 0)
    names = [f"N{number:04}" for number in range(1200)]
    site.hear(*(say(name, 1, leak=True) for name in names[:130]))
    site.devices |= {name: hydrant(name) for name in names}
    commits = Commits(site)
    await attend(site, commits, names, lambda attending: not attending.left)
    assert commits.sizes == [50, 50, 30]
    assert (unregistered(site), len(active(site))) == ([], 130)


async def test_it_waits_while_commits_lag(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "PAUSE_S", 0)
    site.hear(say("NEW", 1, leak=True))
    site.devices["NEW"] = hydrant()
    commits = Commits(site)
    commits.failing = True
    attending = Newcomers(commits, site.writer, commits.submit)  # type: ignore[arg-type]
    attending.registered(["NEW"])
    task = asyncio.create_task(attending.run(site.judge))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (commits.sizes, attending.left) == ([], 1)
    commits.failing = False
    async with asyncio.timeout(60):
        while attending.left:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert commits.sizes == [1]


async def test_what_was_heard_and_is_not_durable_yet_counts(site: Any) -> None:
    commits = Commits(site)
    heard = site.judged(say("NEW", 1, leak=True))
    commits.not_durable = [heard]
    site.devices["NEW"] = hydrant()

    def done(attending: Newcomers) -> bool:
        return not attending.left

    original = commits.submit

    def in_order(transaction: Transaction) -> None:
        site.commit(heard)
        original(transaction)

    commits.submit = in_order  # type: ignore[method-assign]
    await attend(site, commits, ["NEW"], done)
    assert (unregistered(site), len(active(site))) == ([], 1)

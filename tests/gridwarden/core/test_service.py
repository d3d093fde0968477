"""Core as a whole, over its link: commands beside the work, lanes, a full spool, a full disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gridwarden.clock import SystemClock
from gridwarden.config import Broker, Config
from gridwarden.core import service as module
from gridwarden.core.service import Core
from gridwarden.errors import CoreUnavailable, NotFound, Refused
from gridwarden.link import LinkClient, socket_path
from gridwarden.records import database
from gridwarden.records.block import decode
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from ingest.session import Lane
from rules.rule import RuleSet

Until = Callable[[Callable[[], object]], Awaitable[None]]
MIB = 2**20


def fire(device: str, seq: int = 1) -> dict[str, Any]:
    return {"device": device, "seq": seq, "values": {"state": "alarm"}}


def note(number: int, size: int = 180) -> dict[str, Any]:
    return {"device": "HYD-1", "seq": number, "values": {"fault_text": f"{number:0{size}}"}}


class Running:
    """A core with two sessions in memory, and web's end of its link."""

    def __init__(self, core: Core, config: Config, up: Any, alarm: Any) -> None:
        self.core, self.up, self.alarm = core, up, alarm
        self.heard: list[dict[str, Any]] = []
        self.link = LinkClient(socket_path(config.data, "core"), self.heard.append)
        self.reader = Reader(config.data)

    def put(self, session: Any, *bodies: Any) -> None:
        session.put(*bodies, at_ms=SystemClock().now_ms())
        self.core._arrived.set()

    async def ask(self, name: str, command_id: str = "", **params: Any) -> dict[str, Any]:
        return await self.link.command(command_id or f"{name}{params}", name, {"actor": "op", **params})

    async def status(self) -> dict[str, Any]:
        return await self.ask("status")

    def provisional(self) -> list[str]:
        told = [change["alarm"] for frame in self.heard for change in frame.get("provisional", ())]
        return [alarm["device_id"] for alarm in told if alarm]

    def resize(self, pages: int) -> None:
        with self.core._writer._engine.connect().execution_options(reads=True) as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


@pytest.fixture
def start(tmp_path: Path, rules: RuleSet, source: Any, until: Until) -> Any:
    """What starts a core on a data directory."""

    @asynccontextmanager
    async def started(brokers: tuple[Broker, ...] = (), **settings: Any) -> AsyncIterator[Running]:
        config = Config.model_validate({"data": tmp_path, **settings})
        database.migrate(tmp_path)
        core = Core(config, brokers, rules)
        up, alarm = source(Lane.TELEMETRY), source(Lane.ALARM)
        core._sources.sessions += [up, alarm]
        ready = asyncio.Event()
        running = Running(core, config, up, alarm)
        tasks = [asyncio.create_task(core.run(ready)), asyncio.create_task(running.link.run())]
        try:
            async with asyncio.timeout(20):
                await ready.wait()
            await until(lambda: running.link.connected)
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            running.reader.close()
        assert tasks[0].cancelled(), tasks[0].exception()

    return started


async def test_readings_are_stored_acknowledged_and_counted(start: Any, until: Until, is_balanced: Any) -> None:
    async with start() as running:
        running.put(running.up, *(note(n) for n in range(5000)), b"garbage")
        running.put(running.alarm, fire("SMK-9"))
        await until(lambda: len(running.up.acknowledged) == 5001 and running.alarm.acknowledged)
        status = await running.status()
        assert (status["received"], status["stored"], status["dead_lettered"], status["in_flight"]) == (
            5002,
            5001,
            1,
            0,
        )
        assert is_balanced(status)
        assert {lane["lane"]: lane["received"] for lane in status["lanes"]} == {"telemetry": 5001, "alarm": 1}
    async with start() as running:
        again = await running.status()
        assert (again["received"], again["stored"]) == (5002, 5001)
        assert is_balanced(running.reader.ledger())


async def test_commands_act_once_and_are_answered_after_their_commit(start: Any, until: Until) -> None:
    async with start() as running:
        running.put(running.alarm, fire("SMK-9"))
        await until(running.reader.alarms)
        (alarm,) = running.reader.alarms()
        answers = await asyncio.gather(
            running.ask("acknowledge", "k1", alarm_id=alarm.alarm_id, note="seen"),
            running.ask("acknowledge", "k1", alarm_id=alarm.alarm_id, note="seen"),
        )
        assert answers[0] == answers[1]
        assert running.reader.alarm(alarm.alarm_id).acknowledged_by == "op"
        again = await running.ask("acknowledge", "k1", alarm_id=alarm.alarm_id)
        assert again["alarm"]["note"] == "seen"
        with pytest.raises(Refused, match="unconfirmed_alarms"):
            await running.ask("close", event_id=alarm.event_id, note="done")
        await running.ask("confirm", alarm_id=alarm.alarm_id, outcome="true")
        assert (await running.ask("close", "k2", event_id=alarm.event_id, note="done"))["event"]["state"] == "closed"
        for name, params, kind in (
            ("acknowledge", {"alarm_id": "nobody"}, NotFound), ("close", {"event_id": "nobody"}, NotFound),
            ("confirm", {"alarm_id": alarm.alarm_id, "outcome": "perhaps"}, Refused), ("acknowledge", {}, Refused),
            ("acknowledge", {"alarm_id": [1]}, Refused), ("acknowledge", {"alarm_id": "x", "note": 7}, Refused),
            ("dance", {}, NotFound),
        ):  # fmt: skip
            with pytest.raises(kind):
                await running.ask(name, **params)
    async with start() as running:
        assert (await running.ask("acknowledge", "k1", alarm_id=alarm.alarm_id))["alarm"]["note"] == "seen"
        operations = [entry.operation for entry in running.reader.journal(0)]
        assert operations == ["rules.loaded", "alarm.fired", "alarm.acknowledged", "alarm.confirmed", "event.closed"]


async def test_what_core_says_of_itself_goes_the_way_of_every_reading(
    start: Any, until: Until, is_balanced: Any
) -> None:
    async with start(health={"every_s": 1}, spool={"quota_bytes": 16 * MIB}) as running:
        running.link.tell({"health": {"web": {"websockets": 4, "nonsense": 1}, "history": "gone"}})
        forged = {"device": "gridwarden:core", "values": {"records_failing": True}}
        running.up.put(forged, gateway="gridwarden")
        running.put(running.up, note(1))

        def said() -> dict[str, Any]:
            blocks = [block for block in running.reader.blocks(0, MIB) if block.body]
            readings = [reading for block in blocks for reading in decode(block.body)]
            return {
                reading.device_id: reading for reading in readings if reading.verified and reading.kind == "platform"
            }

        await until(lambda: {"gridwarden:core", "gridwarden:web"} <= set(said()))
        core, web = said()["gridwarden:core"], said()["gridwarden:web"]
        assert core.quality == {}
        assert (core.values["records_failing"], core.values["web_connected"]) == (False, True)
        assert 0 < core.values["disk_free_share"] < 1
        assert web.values == {"websockets": 4}
        status = await running.status()
        lanes = {lane["broker"]: lane for lane in status["lanes"]}
        assert lanes["gridwarden"]["received"] >= 2
        assert (status["received"], status["stored"], status["quarantined"]) == (2, 1, 1)
        assert is_balanced(status)
        assert running.reader.alarms() == []
        assert [one["device_id"] for one in running.reader.unregistered()] == ["HYD-1"]


async def test_the_log_holds_decisions_and_batches_and_nothing_that_anybody_has_said(start: Any, until: Until) -> None:
    words = ("room 703", "hunter2", "he smokes in bed")
    with capture_logs() as logs:
        async with start() as running:
            told = {"device": "SMK-1", "seq": 1, "values": {"state": "alarm", "fault_text": words[0]}}
            running.put(running.alarm, told, f"not JSON {words[1]}".encode())
            await until(lambda: len(running.alarm.acknowledged) == 2)
            (alarm,) = running.reader.alarms()
            await running.ask("acknowledge", alarm_id=alarm.alarm_id, note=words[2])
            await running.ask("confirm", alarm_id=alarm.alarm_id, outcome="false", note=words[2])
    text = repr(logs)
    assert [word for word in words if word in text] == []
    lines = {line["event"]: line for line in logs}
    assert lines["batch"]["log_level"] == "debug"
    assert (lines["batch"]["messages"], lines["batch"]["dead_letters"]) == (2, 1)
    assert (lines["alarm.fired"]["rule"], lines["alarm.fired"]["log_level"]) == ("smoke.fire", "info")
    assert lines["alarm.acknowledged"]["actor"] == lines["alarm.confirmed"]["actor"] == "op"


async def test_core_that_shall_not_says_nothing(start: Any) -> None:
    async with start(health={"every_s": 0}) as running:
        assert not {task for task in asyncio.all_tasks() if task.get_name() == "core-health"}
        assert "gridwarden:core" not in running.core._judge.devices


async def test_a_core_that_reaches_no_broker_answers(start: Any) -> None:
    nowhere = Broker(name="nowhere", host="127.0.0.1", port=1)
    with capture_logs():
        async with start((nowhere,)) as running:
            status = await running.status()
            assert [one["connected"] for one in status["sessions"] if one["broker"] == "nowhere"] == [False, False]
            assert (await running.ask("registry", version=1))["devices"] == 0


async def test_while_the_disk_is_full_fires_are_announced_and_nothing_is_acknowledged(
    start: Any, until: Until, is_balanced: Any
) -> None:
    with capture_logs():
        async with start() as running:
            running.resize(1)
            running.put(running.up, *(note(n) for n in range(3000)))
            await until(lambda: running.core._committer.failing)
            running.put(running.alarm, fire("SMK-9"))
            await until(lambda: running.provisional() == ["SMK-9"])
            with pytest.raises(CoreUnavailable):
                await running.ask("registry", version=1)
            status = await running.status()
            assert status["records"] == "failing"
            assert status["in_flight"] >= 1
            assert is_balanced(status)
            assert (running.up.acknowledged, running.alarm.acknowledged) == ([], [])
            for peer in running.core._link._peers:  # web is started again: it hears of the fire too
                peer.cut()
            await until(lambda: running.provisional() == ["SMK-9", "SMK-9"])
            running.resize(1_000_000)
            await until(lambda: len(running.up.acknowledged) == 3000 and running.alarm.acknowledged)
            assert is_balanced(await running.status())
            (alarm,) = running.reader.alarms()
            assert alarm.device_id == "SMK-9"


async def test_alarms_that_wait_for_the_disk_are_bounded_and_the_rest_stays_with_the_broker(
    start: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs():
        async with start() as running:
            running.resize(1)
            running.put(running.up, *(note(number) for number in range(3000)))
            await until(lambda: running.core._committer.failing)
            limit = running.core._committer.messages_waiting + 3
            monkeypatch.setattr(module, "ALARMS_WAITING_LIMIT", limit)
            for number in range(3):
                running.put(running.alarm, fire(f"SMK-{number}"))
                await until(lambda number=number: len(running.provisional()) == number + 1)
            running.put(running.alarm, fire("SMK-3"))
            await running.status()
            assert running.alarm.waiting == 1
            running.resize(1_000_000)
            await until(lambda: len(running.alarm.acknowledged) == 4)
            assert {one.device_id for one in running.reader.alarms()} >= {f"SMK-{number}" for number in range(4)}


async def test_a_command_that_waits_for_the_disk_holds_up_no_alarm(
    start: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as running:
        go = threading.Event()
        commit = running.core._writer.commit
        monkeypatch.setattr(running.core._writer, "commit", lambda one: (go.wait(20), commit(one))[1])
        running.put(running.up, note(1))
        await until(lambda: running.core._committer.waiting)
        command = asyncio.create_task(running.ask("registry", version=1))
        await until(lambda: running.core._orders.answering)
        running.put(running.alarm, fire("SMK-9"))
        await until(lambda: running.provisional() == ["SMK-9"])
        assert not command.done()
        go.set()
        assert (await command)["version"] == 0


async def test_telemetry_waits_while_commits_lag_and_alarms_do_not(
    start: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as running:
        monkeypatch.setattr(running.core, "_telemetry_welcome", lambda: False)
        running.put(running.up, note(1))
        running.put(running.alarm, fire("SMK-9"))
        await until(lambda: running.alarm.acknowledged)
        assert running.up.waiting == 1
        monkeypatch.undo()
        running.core._arrived.set()
        await until(lambda: running.up.acknowledged)


async def test_a_session_that_holds_is_not_asked_again_and_again(start: Any, until: Until) -> None:
    async with start(ingest={"tick_ms": 0}) as running:
        running.up.holding = True
        running.put(running.up, note(1))
        await until(lambda: running.up.takes)
        await running.status()
        await asyncio.sleep(0.1)
        assert running.up.takes < 5
        running.up.holding = False
        running.core._arrived.set()
        await until(lambda: running.up.acknowledged)


async def test_the_sessions_of_a_lane_take_turns_and_batches_are_bounded(start: Any, until: Until, source: Any) -> None:
    async with start(ingest={"batch_messages": 100}) as running:
        other = source(broker="c")
        running.core._sources.sessions.append(other)
        sizes: list[list[str]] = []
        batch = running.core._judge.batch
        running.core._judge.batch = lambda messages: (
            sizes.append([m.session.broker for m in messages]),
            batch(messages),
        )[1]
        other.put(*(note(n + 1000) for n in range(150)))
        running.put(running.up, *(note(n) for n in range(150)))
        await until(lambda: len(running.up.acknowledged) == len(other.acknowledged) == 150)
        assert max(map(len, sizes)) == 100
        assert {sizes[0].count("b"), sizes[0].count("c")} <= {48, 52}
        running.put(running.up, *([note(9000 + n * 1000 + m) for m in range(1000)] for n in range(20)))
        await until(lambda: len(running.up.acknowledged) == 170)
        assert max(len(size) for size in sizes[3:]) <= 12


async def test_a_full_spool_keeps_telemetry_out_lets_alarms_in_and_gets_room_again(
    start: Any, until: Until, monkeypatch: pytest.MonkeyPatch, is_balanced: Any
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_EVERY_S", 0.01)
    monkeypatch.setattr(module, "HURRY_S", 0.001)
    with capture_logs() as logs:
        async with start(spool={"quota_bytes": 16 * MIB}) as running:
            running.core._count_spool(15 * MIB)
            running.put(running.up, note(1))
            running.put(running.alarm, fire("SMK-9"))
            await until(lambda: running.alarm.acknowledged)
            status = await running.status()
            assert status["spool"]["full"]
            assert running.up.waiting == 1
            offset = running.reader.head()
            running.core._count_spool(-2 * MIB)  # as if trimmed
            await until(lambda: running.up.acknowledged)
            assert running.reader.head() > offset
            assert is_balanced(await running.status())
    assert [entry["event"][:13] for entry in logs if "spool" in entry["event"]] == ["spool is full", "spool has roo"]


async def test_blocks_are_trimmed_when_every_shard_and_follower_has_passed_them_and_room_is_scarce(
    start: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_EVERY_S", 0.0)
    monkeypatch.setattr(module, "HURRY_S", 0.001)
    with capture_logs():
        async with start(spool={"quota_bytes": 16 * MIB}) as running:
            for number in range(5):
                running.put(running.up, note(number))
                await until(lambda number=number: len(running.up.acknowledged) == number + 1)
            running.core._spool_bytes = 0
            running.core._count_spool(15 * MIB)
            await asyncio.sleep(0.05)
            assert running.reader.blocks(0, 1)[0].offset == 1  # nobody has followed
            running.link.tell({"followed": {"history": 3, "nobody": 9}})
            await until(lambda: running.core._trimmed == 3)  # without any telemetry: housekeeping of its own
            assert running.reader.blocks(0, 1)[0].offset == 4
            running.link.tell({"followed": {"history": 1}})  # it was rebuilt and needs its blocks again
            await until(lambda: running.core._followed == {"history": 1})
            running.link.tell({"followed": {"history": 10**9}})
            await until(lambda: running.core._followed["history"] > 1)
            assert running.core._followed["history"] <= running.reader.head()
    async with start() as running:
        assert running.core._trimmed >= 3
        running.put(running.up, note(3))  # a repeat, known from the snapshots though its block is gone
        await until(lambda: len(running.up.acknowledged) == 1)
        status = await running.status()
        assert (status["stored"], status["duplicate"]) == (5, 1)


async def test_redeliveries_are_counted_per_lane_and_outlive_a_restart(start: Any, until: Until) -> None:
    async with start() as running:
        running.up.redelivered = 3
        assert (await running.status())["redelivered"] == 3
        running.put(running.up, note(1))
        await until(lambda: running.up.acknowledged)
        running.up.redelivered = 4
        running.put(running.alarm, fire("SMK-9"))
        await until(lambda: running.alarm.acknowledged)
        assert (await running.status())["redelivered"] == 4
    async with start() as running:
        status = await running.status()
        assert status["redelivered"] == 4
        assert {lane["lane"]: lane["redelivered"] for lane in status["lanes"]} == {"alarm": 0, "telemetry": 4}


async def test_a_burst_after_a_reconnect_is_ordered_as_a_whole(start: Any, until: Until) -> None:
    """A broker that redelivers newer messages first must not make the older ones late."""
    async with start(ingest={"batch_messages": 100}) as running:
        running.core._sources._unordered = frozenset({"b"})
        now_ms = SystemClock().now_ms()
        sent = [{**note(n), "at": now_ms - 1000 + n} for n in range(500)]
        running.put(running.up, *reversed(sent))
        await until(lambda: len(running.up.acknowledged) == 500)
        readings = [one for block in running.reader.blocks(0, MIB) if block.body for one in decode(block.body)]
        assert [one.seq for one in readings] == list(range(500))
        assert not any(one.late for one in readings)


async def test_a_silence_that_runs_out_tells_without_new_data(start: Any, until: Until) -> None:
    async with start() as running:
        ahead_ms = SystemClock().now_ms() + 1_500
        made = await running.ask(
            "quiet", kind="silence", area="", matchers={"rules": ["smoke.*"]}, protected=True, comment="drill",
            until_at_ms=ahead_ms, actor_id="u1",
        )  # fmt: skip
        await running.ask("approve_quieting", actor="chief", actor_id="u2", quieting_id=made["quieting"]["quieting_id"])
        running.put(running.alarm, {"device": "HYD-1", "seq": 1, "values": {"leak": True}}, fire("SMK-9"))
        await until(running.reader.alarms)
        assert [entry.operation for entry in running.reader.journal(0)][1:3] == ["quieting.added", "quieting.approved"]
        assert [alarm.quieted_by for alarm in running.reader.alarms()] == [""]  # nobody knows the device: it rings
        await until(lambda: running.reader.quieting(1).ended_at_ms == ahead_ms)
    async with start() as running:
        assert running.core._judge.quieter.book.last_id == 1


async def test_a_clock_that_is_set_lets_what_waits_go_on_waiting(start: Any, until: Until) -> None:
    async with start() as running:
        trapped = {"occupied": True, "motion": "stopped", "mode": "normal", "door": "closed"}
        running.put(running.up, {"device": "LIFT-9", "seq": 1, "values": trapped})
        engine = running.core._judge.engine
        await until(engine.next_wake_ms)
        before_ms = engine.next_wake_ms()
        with capture_logs() as said:
            running.core._timekeeper._steps.ahead_ms -= 3_600_000  # as if it had been an hour behind until now
            running.core._arrived.set()
            await until(lambda: engine.next_wake_ms() != before_ms)
        assert abs(engine.next_wake_ms() - before_ms - 3_600_000) < 1_000
        assert [entry["event"] for entry in said if entry["log_level"] == "warning"] == ["the clock was set"]


async def test_nothing_is_trimmed_on_a_followers_word_of_an_earlier_run(start: Any, until: Until) -> None:
    """It may have been reset since, and need the blocks again."""
    async with start() as running:
        core = running.core
        core._judge.windows.offsets = [9] * len(core._judge.windows.offsets)
        core._followed["history"] = 9  # as the records remember it
        before, after = Transaction(1), Transaction(2)
        core._keep_house(before)
        running.link.tell({"followed": {"history": 0}})
        await until(lambda: core._followed["history"] == 0)
        core._offset = 9
        running.link.tell({"followed": {"history": 4}})
        await until(lambda: core._followed["history"] == 4)
        core._keep_house(after)
        assert (before.trim_through, after.trim_through) == (0, 4)
        assert after.followers == {"history": 4}


async def test_what_web_reports_as_lost_stands_in_journal_and_ledger(start: Any) -> None:
    report = {"what": "block", "offset": 3, "readings": 5, "reason": "checksum does not match"}
    async with start() as running:
        for _ in range(2):
            await running.ask("data_lost", "lost/e/block/3", **report)
        status = await running.status()
        assert (status["lost"]["readings"], status["lost"]["block_readings"]) == (5, 5)
        told = [entry.body["detail"] for entry in running.reader.journal(0) if entry.operation == "data.lost"]
        assert told == [report]
    async with start() as running:
        assert (await running.status())["lost"] == status["lost"]
        await running.ask("data_lost", "another id", **report)  # by another web, long after
        assert (await running.status())["lost"] == status["lost"]

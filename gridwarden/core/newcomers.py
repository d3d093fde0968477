"""Devices that were heard before they were registered: what is still true of them becomes an alarm at their place.

The row of an unregistered device is the note that this is still to be done; it goes with the transaction that does it, so
that a restart in between loses nothing. Some devices at a time: an import of a whole district holds up no alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import structlog

from gridwarden.core.committer import Committer
from gridwarden.core.judge import Judge
from gridwarden.errors import RecordsUnavailable
from gridwarden.model import Alarm, AlarmState, Change, Device, GridEvent, Operation, Reading
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from gridwarden.window import Window
from ingest import intake
from rules.alarm import Transition

ASKED_AT_ONCE = 500
"""Devices looked up in the records in one read."""
JUDGED_AT_ONCE = 50
"""Devices of one transaction."""
COMMITS_WAITING = 2
"""With so many transactions waiting for the disk the newcomers wait, too."""
PAUSE_S = 0.02
RETRY_S = 1.0
_log = structlog.get_logger("core")


class Newcomers:
    """Those whose registration is news, and the task that attends to them."""

    def __init__(self, committer: Committer, writer: Writer, submit: Callable[[Transaction], None]) -> None:
        self._committer = committer
        self._writer = writer
        self._submit = submit
        self._ids: list[str] = []
        self._waiting: dict[str, str] = {}
        """Heard in transactions that were not durable yet: device to gateway."""
        self._news = asyncio.Event()

    @property
    def left(self) -> int:
        """How many have not been looked at."""
        return len(self._ids)

    def registered(self, device_ids: Collection[str]) -> None:
        """These stand in the registry by which core judges from now on, and did not before."""
        self._ids += device_ids
        for transaction in self._committer.pending():
            self._waiting |= {name: seen.gateway for name, seen in transaction.unregistered.items()}
        self._news.set()

    async def run(self, judge: Judge) -> None:
        """Attend to them until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._ids:
                await self._attend(judge)
            self._waiting.clear()

    async def _attend(self, judge: Judge) -> None:
        some = self._ids[:ASKED_AT_ONCE]
        try:
            stored = await self._committer.read(self._writer.unregistered_among, some)
        except RecordsUnavailable as error:
            _log.warning("newly registered devices wait", reason=str(error))
            await asyncio.sleep(RETRY_S)
            return
        heard = stored | {name: self._waiting[name] for name in some if name in self._waiting}
        names = sorted(heard)
        for start in range(0, len(names), JUDGED_AT_ONCE):
            while self._committer.failing or self._committer.waiting >= COMMITS_WAITING:  # noqa: ASYNC110 - no hurry
                await asyncio.sleep(PAUSE_S)
            self._submit(welcome(judge, {name: heard[name] for name in names[start : start + JUDGED_AT_ONCE]}))
            await asyncio.sleep(PAUSE_S)
        del self._ids[: len(some)]


def welcome(judge: Judge, heard: Mapping[str, str]) -> Transaction:
    """What follows for devices that are registered by now: each is decided once, on its last reading.

    Args:
        judge: knows the devices.
        heard: the gateway that spoke last for each while it was not registered.
    """
    transaction = Transaction(judge.clock.now_ms())
    news: list[Transition] = []
    for device_id, gateway in heard.items():
        device = judge.devices.get(device_id)
        if device is None:
            continue
        transaction.registered.add(device_id)
        _verify(judge, device, transaction)
        window = judge.windows.find(device_id)
        if window is not None and window.stranger:  # else it has been judged as what it is since
            news += _decide(judge, device, gateway, window)
    judge.apply_present(news, transaction)
    return transaction


def _decide(judge: Judge, device: Device, gateway: str, window: Window) -> list[Transition]:
    """What the last reading of a device says by all rules of its kind; nothing, if its gateway is not entitled."""
    if window.occurred_at_ms < 0:
        return []
    reading = intake.anew(_last_reading(device, gateway, window), judge.devices, judge.bounds)
    if not reading.entitled:
        return []
    seen = replace(window, values=reading.values)
    active = judge.engine.active_of(reading.scope)
    transitions = judge.engine.decide(reading, seen, device) + judge.engine.decide_settled(reading, seen, device)
    return [one for one in transitions if one.alarm.alarm_id in active or not judge.is_over(one.alarm)]


def _last_reading(device: Device, gateway: str, window: Window) -> Reading:
    key = window.keys.newest_of(window.occurred_at_ms)
    seq = None if window.seq < 0 else window.seq
    return Reading(
        device.device_id, "", gateway, window.occurred_at_ms, window.received_at_ms, seq, key or 0, key is not None,
        dict(window.values),
    )  # fmt: skip


def _verify(judge: Judge, device: Device, transaction: Transaction) -> None:
    """Its active alarms are its own, and lie where it does; each of them leaves the case of what nobody could place."""
    for verified in judge.engine.verify(device, lambda gateway: intake.entitled(device, gateway, judge.bounds)):
        alarm = judge.quieter.book.stamped(verified)
        if alarm.state is AlarmState.PENDING or alarm.shadow:
            transaction.alarms[alarm.alarm_id] = alarm
            judge.quieter.book.heard(alarm)
        elif alarm.event_id is None:
            _tell(judge, alarm, None, transaction)
        else:
            _move(judge, alarm, transaction)
        judge.parents.heard(alarm, transaction)


def _move(judge: Judge, alarm: Alarm, transaction: Transaction) -> None:
    now_ms = judge.clock.now_ms()
    left = judge.cases.left(alarm, now_ms)
    alarm, event, merged = judge.in_case(replace(alarm, event_id=None), transaction)
    _tell(judge, alarm, event, transaction)
    judge.parents.tell_merged(merged, transaction)
    if left is None or event is None or left.event_id == event.event_id:
        return
    if left.alarm_count <= 0:
        parent, adopted = judge.cases.adopt(event.event_id, [left.event_id], now_ms)
        judge.parents.tell_merged([*adopted, parent], transaction)
        return
    transaction.events[left.event_id] = left
    transaction.changes.append(Change(Operation.ALARM_VERIFIED, now_ms, left.area, event=left))


def _tell(judge: Judge, alarm: Alarm, event: GridEvent | None, transaction: Transaction) -> None:
    judge.keep(alarm, transaction)
    transaction.changes.append(Change(Operation.ALARM_VERIFIED, judge.clock.now_ms(), alarm.area, alarm, event))
    judge.quieter.book.heard(alarm)

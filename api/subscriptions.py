"""The two channels of the websocket: changes (numbered, never dropped) and device states (latest wins)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic_core import to_json

from api import wire
from api.frames import Close, Frame, Resume
from api.hub import Change, Listener
from api.services import Services
from api.states import State
from gridwarden.access import Action, Principal, may
from gridwarden.clock import rfc3339
from gridwarden.errors import Unavailable
from gridwarden.model import Alarm, EventState, GridEvent
from gridwarden.records.reader import PAGE_LIMIT
from rules.rule import RuleSet

TOO_SLOW = "too slow"
"""Why a client is cut off that does not read what is sent to it."""
SNAPSHOT_LIMIT = 10_000
"""Open events, and alarms, a snapshot holds at most; more are told as ``truncated``."""
PART = 500
"""Events, alarms or device states in one frame: some hundred kilobytes."""
RESUME_LIMIT = 10_000
"""Entries one may be behind and still be told each; beyond it a snapshot is quicker for both."""
Send = Callable[[str], Awaitable[None]]


def encode(frame: dict[str, Any]) -> str:
    """A frame as text."""
    return to_json(frame).decode()


def change_text(number: int, change: Change, rules: RuleSet) -> str:
    """The frame of a change for the subscription ``number``; all but the number is made once for all clients."""
    if change.text is None:
        change.text = encode(_change_body(change, rules))[1:]
    return f'{{"t":"ev","id":{number},{change.text}'


def _change_body(change: Change, rules: RuleSet) -> dict[str, Any]:
    if change.entry is not None:
        entry = change.entry
        return {"seq": entry.seq, "through": entry.seq, "op": entry.operation, "at": rfc3339(entry.at_ms),
                **wire.entry_body(entry.body, rules)}  # fmt: skip
    item = change.provisional or {}
    return {"seq": None, "provisional": True, "op": item["operation"], "at": rfc3339(item["at_ms"]),
            **wire.entry_body(item, rules, provisional=True)}  # fmt: skip


class EventsSubscription:
    """A subscription to changes: first what was, then what comes, nothing twice and nothing between left out."""

    def __init__(
        self, number: int, scopes: Sequence[str], services: Services, send: Send, stir: Callable[[], None]
    ) -> None:
        self._number = number
        self._services = services
        self._send = send
        self._listener = Listener(scopes, stir)
        self._sent_seq = 0
        self._started = False
        self._trimmed = 0
        """Entries up to here are kept no longer, and the client has not seen them all."""

    @property
    def through(self) -> int | None:
        """Everything up to here has been said; ``None`` while the beginning is still on its way."""
        if not self._started:
            return None
        return self._sent_seq if self._listener.waiting else max(self._sent_seq, self._listener.through)

    async def start(self, frame: Frame) -> None:
        """Say where things stand; from then on :meth:`drain` goes on."""
        self._services.hub.listen(self._listener)  # first listen, then read: nothing falls between
        if not await self._resume(frame.resume):
            await self._snapshot()
        self._started = True

    def end(self) -> None:
        """No more."""
        self._started = False
        self._services.hub.leave(self._listener)

    async def drain(self) -> None:
        """Send what waits. Each change leaves the queue when it is written, so that :attr:`through` stays true."""
        waiting, rules = self._listener.waiting, self._services.rules
        while self._started and waiting:
            change = waiting[0]
            if change.seq is None or change.seq > self._sent_seq:
                await self._send(change_text(self._number, change, rules))
                self._sent_seq = change.seq or self._sent_seq
            waiting.popleft()
        if self._started and self._listener.overflowed:
            await self._send(encode({"t": "gap", "id": self._number, "reason": "overflow"}))
            raise Close(4429, TOO_SLOW)

    async def _begin(self, mode: str, seq: int) -> None:
        frame = {"t": "sub_ok", "id": self._number, "mode": mode, "epoch": self._services.epoch, "seq": seq}
        if self._trimmed:
            frame["trimmed_through"] = self._trimmed
        await self._send(encode(frame))

    async def _resume(self, resume: Resume | None) -> bool:
        services = self._services
        if resume is None or resume.epoch != services.epoch or resume.seq < 0:
            return False
        last = await asyncio.to_thread(services.reader.last_seq)
        if not 0 <= last - resume.seq <= RESUME_LIMIT:
            return False
        trimmed = await asyncio.to_thread(services.reader.journal_trimmed)
        if resume.seq < trimmed:  # some of what it has not seen is kept no longer: it must know
            self._trimmed = trimmed
            return False
        await self._begin("resumed", last)
        self._sent_seq = resume.seq
        while self._sent_seq < last:
            for entry in await asyncio.to_thread(services.reader.journal, self._sent_seq, PAGE_LIMIT):
                if self._listener.wants(entry.area):
                    await self._send(change_text(self._number, Change(entry.area, entry), services.rules))
                self._sent_seq = entry.seq
        return True

    async def _snapshot(self) -> None:
        services = self._services
        seq, events, alarms = await asyncio.to_thread(
            services.reader.open_situation, self._listener.scopes, SNAPSHOT_LIMIT
        )
        await self._begin("snapshot", seq)
        for start in range(0, max(len(events), len(alarms), 1), PART):
            part = slice(start, start + PART)
            await self._send(await asyncio.to_thread(self._part, events[part], alarms[part]))
        end: dict[str, Any] = {"t": "snap_end", "id": self._number, "seq": seq}
        opened = sum(event.state is EventState.OPEN for event in events)
        if SNAPSHOT_LIMIT in {opened, len(alarms)}:
            end["truncated"] = True
        await self._send(encode(end))
        self._sent_seq = seq

    def _part(self, events: list[GridEvent], alarms: list[Alarm]) -> str:
        rules = self._services.rules
        return encode(
            {"t": "snap", "id": self._number, "events": [wire.event_of(event, rules) for event in events],
             "alarms": [wire.alarm_of(alarm, rules) for alarm in alarms]}
        )  # fmt: skip


class DevicesSubscription:
    """A subscription to the latest states of devices."""

    def __init__(self, frame: Frame, scopes: Sequence[str], asker: Principal, services: Services, send: Send) -> None:
        self._number = frame.id
        self._named = None if frame.q.devices is None else frozenset(frame.q.devices)
        self._scopes = scopes
        self._everything = scopes == [""] and may(asker, Action.SEE_PLATFORM, "")
        """Unregistered devices too, as over HTTP."""
        self._services = services
        self._send = send
        self._version = 0
        self._started = False

    async def start(self, frame: Frame) -> None:
        """Say where things stand: with named devices their last known state, so that no page begins empty."""
        services = self._services
        states = services.states
        if not self._everything:
            await services.whereabouts.refresh()
        resume = frame.resume or Resume()
        resumed = states.can_resume(resume.version) and resume.epoch in {"", services.epoch}
        # With named devices 0: after what the history knows comes all that is known here of them.
        self._version = resume.version if resumed else 0 if self._named else states.version
        mode = "resumed" if resumed else "snapshot"
        await self._send(encode({"t": "sub_ok", "id": self._number, "mode": mode, "version": self._version}))
        if not resumed and self._named:
            await self._tell_last(sorted(self._named))
        self._started = True

    def end(self) -> None:
        """No more."""
        self._started = False

    async def send_news(self) -> None:
        """Send what is newer than the client's version, some at a time; only the last part carries the new version."""
        version = self._services.states.version
        if not self._started or version <= self._version:
            return
        news = [state.body() for state in self._services.states.newer(self._version, self._named) if self._sees(state)]
        before, self._version = self._version, version
        for start in range(0, len(news), PART):
            if not self._started:
                return
            last = start + PART >= len(news)
            await self._tell(version if last else before, news[start : start + PART])

    async def refresh(self) -> None:
        """Follow a registry that has changed."""
        if not self._everything:
            await self._services.whereabouts.refresh()

    def _sees(self, state: State) -> bool:
        return self._everything or self._services.whereabouts.sees(state.device_id, self._scopes)

    async def _tell(self, version: int, bodies: list[dict[str, Any]]) -> None:
        await self._send(encode({"t": "d", "id": self._number, "version": version, "up": bodies}))

    async def _tell_last(self, device_ids: list[str]) -> None:
        seen = [
            device_id
            for device_id in device_ids
            if self._everything or self._services.whereabouts.sees(device_id, self._scopes)
        ]
        for start in range(0, len(seen), PART):
            bodies = await asyncio.to_thread(self._last_known, seen[start : start + PART])
            if bodies:
                await self._tell(self._version, bodies)

    def _last_known(self, device_ids: list[str]) -> list[dict[str, Any]]:
        found = []
        for device_id in device_ids:
            try:
                latest = self._services.history.latest(device_id)
            except Unavailable:  # the history may be absent; what comes from now on is told all the same
                break
            if latest:
                state = State(0, device_id, latest.occurred_at_ms, latest.received_at_ms, latest.values, latest.quality)
                found.append(state.body())
        return found

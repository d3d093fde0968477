"""The websocket over a real server: sign-in, origins, close codes, invariants of the changes, slow clients."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

import api.hub
import api.stream
import api.subscriptions
from gridwarden import failpoints
from gridwarden.clock import SystemClock
from gridwarden.model import Change, Operation
from gridwarden.office.accounts import Accounts
from gridwarden.records import rows
from tests.api.conftest import EAST, HASHER, NOW_MS, WEST, Site, Socket, alarm, fired, grid_event
from tests.conftest import Until


async def subscribed(socket: Socket, number: int = 1, **frame: Any) -> list[dict[str, Any]]:
    """Subscribe to changes; everything up to the end of the snapshot."""
    await socket.send(t="sub", id=number, ch="events", **frame)
    return await socket.until("snap_end")


# --- who comes in ---------------------------------------------------------------------------------------------------


async def test_no_subprotocol_is_4406(served: Site) -> None:
    async with served.socket(subprotocols=None) as socket:
        assert await socket.closed() == 4406


async def test_wrong_origin_is_4403(served: Site) -> None:
    cookie = f"gridwarden_session={await served.cookie('operator')}"
    own = f"http://127.0.0.1:{served.port}"
    for headers in (
        {"cookie": cookie},
        {"cookie": cookie, "origin": "http://evil.test"},
        {"origin": "http://evil.test"},
    ):
        async with served.socket(None, headers=headers) as socket:
            assert await socket.closed() == 4403, headers
    async with served.socket(None, headers={"cookie": cookie, "origin": own}) as socket:
        assert (await socket.receive())["user"]["name"] == "operator"


async def test_programs_sign_in_by_header_or_frame(served: Site) -> None:
    async with served.socket("west-viewer") as socket:
        hello = await socket.receive()
        assert (hello["t"], hello["v"], hello["user"]["areas"]) == ("hello", 1, [WEST])
        assert hello["epoch"] == served.services.epoch
    async with served.socket(None) as socket:
        assert (await socket.receive())["user"] is None
        await socket.send(t="auth", token=served.secrets["viewer"])
        assert (await socket.receive())["user"]["name"] == "viewer"
        await subscribed(socket)


async def test_who_does_not_sign_in_is_sent_away(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served.socket(None) as socket:
        await socket.send(t="auth", token="gw_wrong")
        assert await socket.closed() == 4401
    async with served.socket(None) as socket:
        await socket.send(t="sub", id=1, ch="events")
        assert await socket.closed() == 4401
    monkeypatch.setattr(api.stream, "AUTH_S", 0.05)
    async with served.socket(None) as socket:
        assert await socket.closed() == 4408
    assert not served.services.strangers


async def test_strangers_keep_nobody_out(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.stream, "STRANGERS_LIMIT", 1)
    async with served.socket(None) as stranger:
        await stranger.receive()
        async with served.socket(None) as another:
            assert await another.closed() == 4429
        async with served.socket("viewer") as socket:
            assert (await socket.receive())["user"]["name"] == "viewer"
    monkeypatch.setattr(api.stream, "CONNECTIONS_LIMIT", 0)
    async with served.socket("viewer") as socket:
        assert await socket.closed() == 4429


async def test_signing_out_closes_every_socket_of_the_session_and_no_other(served: Site) -> None:
    mine, other = await served.cookie("operator"), await served.cookie("operator")
    async with socket_of(served, mine) as one, socket_of(served, mine) as two, socket_of(served, other) as third:
        async with served.client(origin="http://gw.test", cookie=f"gridwarden_session={mine}") as client:
            assert (await client.delete("/api/v1/auth/session")).status_code == 204
        assert await one.closed() == 4401
        assert await two.closed() == 4401
        await subscribed(third)


@pytest.mark.parametrize("way", ["disabled", "revoked", "expired", "rights"])
async def test_whoever_loses_the_right_loses_the_socket(
    served: Site, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(api.stream, "RECHECK_S", 0.05)
    accounts = served.services.accounts
    user = next(user for user in accounts.users() if user.name == "operator")
    cookie = await served.cookie("operator")
    async with socket_of(served, cookie) as by_cookie, served.socket("operator") as by_token:
        await by_cookie.receive()
        await by_token.receive()
        ended = [by_cookie, by_token]
        if way == "disabled":
            accounts.change_user(user.user_id, disabled=True)
        elif way == "rights":
            accounts.change_user(user.user_id, areas=[WEST])
        elif way == "revoked":
            accounts.revoke_token(accounts.tokens(user.user_id)[0].token_id)
            ended = [by_token]
        else:
            served.services.accounts = Accounts(served.services.office.database, Later(), HASHER)
            ended = [by_cookie]
        for socket in ended:
            assert await socket.closed() == (1012 if way == "rights" else 4401)
        for socket in (by_cookie, by_token):
            if not any(socket is one for one in ended):
                await subscribed(socket)


async def test_an_office_that_cannot_be_read_throws_nobody_out(
    served: Site, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(api.stream, "RECHECK_S", 0.02)
    asked = 0

    def unreadable(_secret: str) -> None:
        nonlocal asked
        asked += 1
        raise api.stream.Unavailable

    async with served.socket() as socket:
        await subscribed(socket)
        monkeypatch.setattr(served.services.accounts, "token_principal", unreadable)
        await until(lambda: asked > 2)
        served.book.fire(1)
        assert (await socket.receive())["op"] == "alarm.fired"


# --- frames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    ["", "no json", "[]", "7", '{"t":7}', '{"id":1}', '{"t":"nix"}', '{"t":"sub","id":1,"ch":"events","q":{"x":1}}',
     '{"t":"sub","id":99999999999999999999,"ch":"events"}', '{"t":"sub","q":{"area":"' + "1" * 40 + '"}}',
     '{"t":"auth","token":"\\ud800"}', '{"t":"sub","id":1,"resume":{"seq":1e300}}', '{"t":"auth"}',
     b'{"t":"pong"}', '{"t":"pong","x":"' + "x" * 70_000 + '"}', "[" * 5000],
)  # fmt: skip
async def test_bad_frames_are_4400(served: Site, frame: str | bytes) -> None:
    async with served.socket() as socket:
        await socket.receive()
        await socket.raw.send(frame)
        assert await socket.closed() == 4400
    assert not served.services.connections


async def test_too_many_subscriptions(served: Site) -> None:
    async with served.socket() as socket:
        for number in range(api.stream.SUBSCRIPTIONS_LIMIT + 1):
            await socket.send(t="sub", id=number, ch="events" if number % 2 else "devices")
        assert await socket.closed() == 4429
    assert len(served.services.hub) == 0


async def test_errors_of_a_subscription_leave_the_connection(served: Site) -> None:
    async with served.socket("west-viewer") as socket:
        await socket.receive()
        await socket.send(t="sub", id=4, ch="events", q={"area": EAST})
        assert await socket.receive() == {"t": "err", "id": 4, "code": "forbidden_area"}
        await socket.send(t="sub", id=5, ch="nix")
        assert await socket.receive() == {"t": "err", "id": 5, "code": "unknown_channel"}
        await socket.send(t="pong", later="fields are passed over")
        await subscribed(socket)


# --- changes --------------------------------------------------------------------------------------------------------


async def test_snapshot_in_parts(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.subscriptions, "PART", 2)
    served.book.commit(*(fired(number) for number in range(1, 6)))
    async with served.socket() as socket:
        frames = await subscribed(socket)
        parts = [frame for frame in frames if frame["t"] == "snap"]
        assert [len(part["events"]) for part in parts] == [2, 2, 1]
        assert sorted(one["alarm_id"] for part in parts for one in part["alarms"]) == ["A1", "A2", "A3", "A4", "A5"]
        assert frames[-1] == {"t": "snap_end", "id": 1, "seq": 5}
        monkeypatch.setattr(api.subscriptions, "SNAPSHOT_LIMIT", 3)
        assert (await subscribed(socket))[-1]["truncated"] is True


async def test_snapshot_then_changes_without_gap_or_double_under_concurrent_commits(served: Site) -> None:
    count = 150

    def commit() -> None:
        for number in range(1, count + 1):
            served.book.fire(number, WEST if number % 3 else EAST)

    async with served.socket() as everything, served.socket("west-viewer") as west:
        committing = asyncio.create_task(asyncio.to_thread(commit))
        for socket, last in ((everything, count), (west, count - 1)):
            for attempt in range(5):
                held = Held()
                for frame in await subscribed(socket, attempt):
                    held.take(frame)
                if attempt < 4:
                    await socket.send(t="unsub", id=attempt)
            while held.seq < last:
                frame = await socket.receive()
                if frame["id"] == 4:
                    held.take(frame, strict=socket is everything)
            wanted = {f"A{n}" for n in range(1, count + 1) if socket is everything or n % 3}
            assert set(held.alarms) == wanted
        await committing


async def test_a_scoped_client_hears_its_own_area_and_is_told_how_far(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.stream, "PING_S", 0.2)
    monkeypatch.setattr(api.stream, "RECHECK_S", 0.05)
    served.book.fire(1, EAST)
    async with served.socket("west-viewer") as socket:
        assert [frame["events"] for frame in await subscribed(socket, q={"area": "3301"}) if frame["t"] == "snap"] == [
            []
        ]
        served.book.fire(2, EAST)
        served.book.fire(3, WEST)
        served.book.fire(4, EAST)
        frames: list[dict[str, Any]] = []
        while not any(frame.get("through") == 4 for frame in frames):
            frames.append(await socket.receive())
        changes = [frame for frame in frames if frame["t"] == "ev"]
        assert [(frame["seq"], frame["through"], frame["alarm"]["area"]) for frame in changes] == [(3, 3, WEST)]


async def test_a_ping_does_not_claim_what_is_still_waiting_or_on_its_way(served: Site, until: Until) -> None:
    services = served.services
    sent: list[str] = []
    go = asyncio.Event()

    async def send(text: str) -> None:
        await go.wait()
        sent.append(text)

    subscription = api.subscriptions.EventsSubscription(1, [""], services, send, lambda: None)
    assert subscription.through is None  # a client with a cursor of its own must keep it
    go.set()
    await subscription.start(api.subscriptions.Frame(t="sub"))
    assert subscription.through == 0
    go.clear()
    served.book.fire(1)
    await until(lambda: services.hub.seq == 1)
    draining = asyncio.create_task(subscription.drain())
    await asyncio.sleep(0)
    assert subscription.through == 0
    go.set()
    await draining
    assert subscription.through == 1
    subscription.end()
    assert subscription.through is None


@pytest.mark.parametrize("resumes", [False, True])
async def test_what_commits_while_the_beginning_is_sent_comes_after_it(
    served: Site, until: Until, resumes: bool
) -> None:
    served.book.fire(1)
    services = served.services
    held = Held(epoch=services.epoch)

    async def send(text: str) -> None:
        held.take(from_json(text))
        if services.reader.last_seq() == 1:
            served.book.fire(2)
            await until(lambda: services.hub.seq == 2)  # the hub has told it to whoever listens by now

    subscription = api.subscriptions.EventsSubscription(1, [""], services, send, lambda: None)
    resume = {"epoch": services.epoch, "seq": 0} if resumes else None
    await subscription.start(api.subscriptions.Frame.model_validate({"t": "sub", "resume": resume}))
    await subscription.drain()
    subscription.end()
    assert set(held.alarms) == {"A1", "A2"}
    assert held.seq == 2


async def test_before_any_subscription_a_ping_claims_nothing(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.stream, "PING_S", 0.05)
    monkeypatch.setattr(api.stream, "RECHECK_S", 0.02)
    served.book.fire(1)
    async with served.socket() as socket:
        assert "through" not in (await socket.until("ping"))[-1]


@pytest.mark.parametrize(("epoch", "seq"), [("other", 1), (None, 99), (None, -1), (None, 0)])
async def test_a_snapshot_where_one_cannot_resume(
    served: Site, monkeypatch: pytest.MonkeyPatch, epoch: str | None, seq: int
) -> None:
    monkeypatch.setattr(api.subscriptions, "RESUME_LIMIT", 2)
    for number in (1, 2, 3):
        served.book.fire(number)
    async with served.socket() as socket:
        frames = await subscribed(socket, resume={"epoch": epoch or served.services.epoch, "seq": seq})
        assert next(frame for frame in frames if frame["t"] == "sub_ok")["mode"] == "snapshot"


async def test_who_has_not_seen_what_is_kept_no_longer_is_told_so_and_begins_anew(served: Site) -> None:
    for number in (1, 2, 3):
        served.book.fire(number)
    served.book.commit(remembered={"journal_trimmed": "2"})
    async with served.socket() as socket:
        for seq, told in ((1, ("snapshot", 2)), (2, ("resumed", None))):
            await socket.send(t="sub", id=1, ch="events", resume={"epoch": served.services.epoch, "seq": seq})
            begun = (await socket.until("sub_ok"))[-1]
            assert (begun["mode"], begun.get("trimmed_through")) == told
    async with served.client("operator") as client:
        answers = [(await client.get(f"/api/v1/journal?since={seq}")).json() for seq in (1, 2)]
    assert [answer.get("trimmed_through") for answer in answers] == [2, None]


@dataclass
class Held:
    """What a client holds: the newest revision of each, and how far it has heard."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    seq: int = -1
    epoch: str = ""

    def take(self, frame: dict[str, Any], *, strict: bool = False) -> None:
        match frame["t"]:
            case "sub_ok":
                self.epoch = frame["epoch"]
                if frame["mode"] == "snapshot":
                    self.events, self.alarms, self.seq = {}, {}, -1
            case "snap":
                self.events |= {one["event_id"]: one for one in frame["events"]}
                self.alarms |= {one["alarm_id"]: one for one in frame["alarms"]}
            case "snap_end":
                self.seq = frame["seq"]
            case "ev":
                assert frame["seq"] > self.seq, "told twice, or out of order"
                assert not strict or frame["seq"] == self.seq + 1, "left out"
                self.seq = frame["through"]
                for held, key in ((self.events, "event"), (self.alarms, "alarm")):
                    if frame[key]:
                        held[frame[key][f"{key}_id"]] = frame[key]

    @property
    def situation(self) -> tuple[dict[str, int], dict[str, int]]:
        """Open events and firing alarms with their revisions."""
        return ({one["event_id"]: one["revision"] for one in self.events.values() if one["state"] == "open"},
                {one["alarm_id"]: one["revision"] for one in self.alarms.values() if one["state"] == "firing"})  # fmt: skip


STEPS = st.lists(st.sampled_from(["fire", "fire", "acknowledge", "close", "cut", "late cut"]), min_size=3, max_size=14)
numbers = iter(range(1, 1_000_000))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, west=st.booleans())
async def test_resuming_after_any_cuts_equals_a_fresh_snapshot(served: Site, steps: list[str], west: bool) -> None:
    who = "west-viewer" if west else "operator"
    held, open_ = Held(), []
    connection = Reconnecting(served, who, held)
    await connection.connect()
    for step in steps:
        if step == "fire":
            number = next(numbers)
            open_.append((number, WEST if number % 2 else EAST))
            served.book.fire(*open_[-1])
        elif step == "acknowledge" and open_:
            acknowledge(served, *open_[0])
        elif step == "close" and open_:
            served.book.close(*open_.pop())
        elif step.endswith("cut"):
            if step == "cut":
                await connection.hear_some()
            await connection.connect()
    await connection.connect()
    await connection.close()
    fresh = Held()
    async with served.socket(who) as socket:
        for frame in await subscribed(socket):
            fresh.take(frame)
    assert held.situation == fresh.situation


class Reconnecting:
    """A client that comes back with what it last heard."""

    def __init__(self, site: Site, who: str, held: Held) -> None:
        self._site, self._who, self._held = site, who, held
        self._context: Any = None
        self._socket: Socket

    async def connect(self) -> None:
        """Cut the line, whatever is on it, and come back; returns when everything up to then is told."""
        await self.close()
        self._context = self._site.socket(self._who)
        self._socket = await self._context.__aenter__()
        resume = {"resume": {"epoch": self._held.epoch, "seq": self._held.seq}} if self._held.epoch else {}
        await self._socket.send(t="sub", id=1, ch="events", **resume)
        await self._socket.send(t="sub", id=2, ch="nix")  # its answer comes after everything of the first
        for frame in await self._socket.until("err"):
            self._held.take(frame)

    async def hear_some(self) -> None:
        try:
            async with asyncio.timeout(0.01):
                while True:
                    self._held.take(await self._socket.receive())
        except TimeoutError:
            return

    async def close(self) -> None:
        if self._context:
            await self._context.__aexit__(None, None, None)


def acknowledge(site: Site, number: int, area: str) -> None:
    seen = alarm(number, area, acknowledged_at_ms=NOW_MS, acknowledged_by="w", revision=2)
    event = grid_event(number, area, unacknowledged_count=0, revision=2)
    site.book.commit(Change(Operation.ALARM_ACKNOWLEDGED, NOW_MS, area, seen, event))


async def test_provisional_changes_come_without_seq_and_only_where_they_may(served: Site) -> None:
    async with served.socket() as socket, served.socket("west-viewer") as west:
        for one in (socket, west):
            await subscribed(one)
        shown = [{"operation": "alarm.fired", "at_ms": NOW_MS, "area": area, "detail": {}, "event": None,
                  "alarm": rows.alarm_row(replace(alarm(number, area), event_id=None))}
                 for number, area in ((1, EAST), (2, WEST))]  # fmt: skip
        served.services.hub.push_provisional(shown)
        first = await socket.receive()
        assert (first["seq"], first["provisional"], first["alarm"]["provisional"]) == (None, True, True)
        assert first["alarm"]["area"] == EAST
        assert (await west.receive())["alarm"]["area"] == WEST


async def test_the_failpoints_lie_on_the_way(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []
    monkeypatch.setattr(failpoints, "reach", passed.append)
    async with served.socket() as socket:
        await subscribed(socket)
        served.book.fire(1)
        await socket.receive()
    assert passed == ["push.before", "push.after"]


# --- slow clients, and the end --------------------------------------------------------------------------------------


async def test_who_reads_too_slowly_is_told_of_the_gap_and_delays_nobody(
    served: Site, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(api.hub, "QUEUE_LIMIT", 40)
    async with deaf(served) as slow, served.socket() as quick:
        await subscribed(slow)
        await subscribed(quick)
        seq = 0
        while not any(listener.overflowed for listener in served.services.hub._listeners):
            assert seq < 3000
            served.book.commit(*(bulky(seq + step) for step in range(1, 21)))
            for _ in range(20):
                seq += 1
                assert (await quick.receive())["seq"] == seq
        frames = []
        with pytest.raises(websockets.ConnectionClosed):  # noqa: PT012 - it ends so
            while True:
                frames.append(await slow.receive())
        assert frames.pop() == {"t": "gap", "id": 1, "reason": "overflow"}
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        assert slow.raw.close_code == 4429
        assert len(frames) < seq
        await until(lambda: len(served.services.connections) == 1)


async def test_who_reads_nothing_at_all_is_given_up(
    served: Site, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(api.stream, "SEND_S", 0.2)
    monkeypatch.setattr(api.stream, "CLOSE_S", 0.1)
    async with deaf(served) as slow:
        await subscribed(slow)
        for start in range(0, 1000, 20):
            if not served.services.connections:
                break
            served.book.commit(*(bulky(start + step) for step in range(20)))
            await asyncio.sleep(0.02)
        await until(lambda: not served.services.connections and len(served.services.hub) == 0)
        slow.raw.transport.abort()


async def test_a_client_that_goes_in_the_middle_of_its_snapshot_leaves_nothing_behind(
    served: Site, until: Until
) -> None:
    served.book.commit(*(bulky(number) for number in range(1, 200)))
    async with deaf(served) as socket:
        await socket.receive()
        await socket.send(t="sub", id=1, ch="events")
        await until(lambda: len(served.services.hub) == 1)
        socket.raw.transport.abort()
        await until(lambda: len(served.services.hub) == 0 and not served.services.connections)


@asynccontextmanager
async def deaf(site: Site) -> AsyncIterator[Socket]:
    """A client with as little room for what it does not read as there can be."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", site.port))
    async with site.socket(sock=raw, max_queue=1, close_timeout=0.5) as socket:
        yield socket


def bulky(number: int) -> Change:
    change = fired(number)
    assert change.alarm
    return replace(change, alarm=replace(change.alarm, evidence={"x": "x" * 20_000}))


@asynccontextmanager
async def socket_of(site: Site, cookie: str) -> AsyncIterator[Socket]:
    headers = {"cookie": f"gridwarden_session={cookie}", "origin": f"http://127.0.0.1:{site.port}"}
    async with site.socket(None, headers=headers) as socket:
        yield socket


class Later:
    """A clock eight days ahead."""

    def now_ms(self) -> int:
        return SystemClock().now_ms() + 8 * 86_400_000

    def observe(self, occurred_at_ms: int) -> None:
        """Nothing."""

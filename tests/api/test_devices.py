"""Devices over HTTP and the websocket: last values, readings, latest wins, areas."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import api.states
import api.subscriptions
from gridwarden.model import Device, Reading
from gridwarden.records.transaction import SeenUnregistered
from gridwarden.web.absent import AbsentHistory
from tests.api.conftest import EAST, NOW_MS, WEST, Site, Socket, reading
from tests.conftest import Until


def remember(site: Site, *readings: Reading) -> None:
    """The history has followed these readings, which lie in the records."""
    site.book.commit(readings=list(readings))
    history = site.services.history
    history.begin(site.services.epoch)
    history.append(list(readings), site.services.reader.head(), NOW_MS)


async def watching(socket: Socket, number: int = 1, **frame: Any) -> dict[str, Any]:
    await socket.send(t="sub", id=number, ch="devices", **frame)
    return (await socket.until("sub_ok"))[-1]


async def test_last_values_and_the_fields_of_the_kind(site: Site) -> None:
    remember(site, reading("SMK-1", smoke_dbm=0.1, state="normal"))
    async with site.client("west-viewer") as client:
        device = (await client.get("/api/v1/devices/SMK-1")).json()
        assert device["values"] == {"smoke_dbm": 0.1, "state": "normal"}
        assert (device["registered"], device["history"]) == (True, "ok")
        assert device["occurred_at"] == "2026-11-22T06:00:00.000Z"
        assert "smoke_dbm" in {field["name"] for field in device["fields"]}


async def test_without_a_history_a_device_is_still_shown(site: Site) -> None:
    site.services.history = AbsentHistory("away")  # type: ignore[assignment]
    async with site.client("viewer") as client:
        device = (await client.get("/api/v1/devices/SMK-1")).json()
        assert (device["history"], device["values"], device["occurred_at"]) == ("unavailable", {}, None)
        answer = await client.get("/api/v1/devices/SMK-1/readings?field=state")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    async with site.client("operator") as client:
        assert (await client.get("/api/v1/ledger")).json()["history_lag"]["transactions"] is None
        assert (await client.get("/metrics")).status_code == 200


async def test_readings_raw_and_by_step(site: Site) -> None:
    remember(site, *(reading("SMK-1", NOW_MS + step * 60_000, step, smoke_dbm=step / 10) for step in range(10)))
    async with site.client("viewer") as client:
        at = {"field": "smoke_dbm", "from": "2026-11-22T06:00:00Z", "to": str(NOW_MS + 9 * 60_000)}
        raw = (await client.get("/api/v1/devices/SMK-1/readings", params=at)).json()
        assert raw["t_ms"] == [NOW_MS + step * 60_000 for step in range(9)]
        assert raw["step_ms"] is None
        assert raw["complete_until"] == "2026-11-22T06:00:00.000Z"
        steps = (await client.get("/api/v1/devices/SMK-1/readings", params={**at, "step": "5m"})).json()
        assert (steps["step_ms"], steps["count"], steps["t_ms"]) == (300_000, [5, 4], [NOW_MS, NOW_MS + 300_000])
        assert steps["max"] == [0.4, 0.8]
        cut = (await client.get("/api/v1/devices/SMK-1/readings", params={**at, "limit": 2})).json()
        assert (len(cut["value"]), cut["truncated"]) == (2, True)


async def test_pages_of_devices_and_events_end_to_end(site: Site) -> None:
    for number in range(1, 8):
        site.book.fire(number)
    async with site.client("operator") as client:
        for path, key in (("events", "event_id"), ("alarms", "alarm_id"), ("devices", "device_id")):
            whole = [one[key] for one in (await client.get(f"/api/v1/{path}")).json()[path]]
            for size in (1, 2, 3, 7):
                found: list[str] = []
                after: str | None = None
                while True:
                    query = {"limit": size} | ({"after": after} if after else {})
                    page = (await client.get(f"/api/v1/{path}", params=query)).json()
                    found += [one[key] for one in page[path]]
                    after = page["next"]
                    if after is None:
                        break
                assert found == whole
    assert whole == ["SMK-1", "SMK-2"]


async def test_alarms_of_a_span(site: Site) -> None:
    site.book.fire(1)
    site.book.close(1)
    site.book.fire(5)
    async with site.client("viewer") as client:
        for query, wanted in (({}, ["A5", "A1"]), ({"from": NOW_MS + 3}, ["A5"]), ({"to": NOW_MS + 5}, ["A1"]),
                              ({"from": NOW_MS + 2, "to": "2026-11-22T06:00:00.003Z"}, ["A1"]),
                              ({"state": "resolved"}, ["A1"])):  # fmt: skip
            found = (await client.get("/api/v1/alarms", params=query)).json()["alarms"]
            assert [one["alarm_id"] for one in found] == wanted, query


async def test_a_device_page_never_begins_empty(served: Site) -> None:
    remember(served, reading("SMK-1", state="alarm"))
    async with served.socket("west-viewer") as socket:
        assert (await watching(socket, q={"devices": ["SMK-1", "SMK-2", "NIX"]}))["mode"] == "snapshot"
        first = await socket.receive()
        assert [(one["device_id"], one["values"]) for one in first["up"]] == [("SMK-1", {"state": "alarm"})]
        served.book.commit(readings=[reading("SMK-1", NOW_MS + 5, 2, state="normal"), reading("SMK-2", NOW_MS, 3)])
        news = await socket.receive()
        assert [(one["device_id"], one["values"]) for one in news["up"]] == [("SMK-1", {"state": "normal"})]
        assert news["version"] == served.services.reader.head()


async def test_what_the_history_has_not_yet_comes_from_the_records(served: Site) -> None:
    remember(served, reading("SMK-1", state="normal"))
    served.book.commit(readings=[reading("SMK-1", NOW_MS + 5, 2, state="alarm")])
    async with served.socket() as socket:
        await watching(socket, q={"devices": ["SMK-1"]})
        seen = [(await socket.receive())["up"][0]["values"]["state"] for _ in range(2)]
        assert seen == ["normal", "alarm"]


async def test_without_a_history_news_come_all_the_same(served: Site) -> None:
    served.services.history = AbsentHistory("away")  # type: ignore[assignment]
    async with served.socket() as socket:
        await watching(socket, q={"devices": ["SMK-1"]})
        served.book.commit(readings=[reading("SMK-1", state="alarm")])
        assert (await socket.receive())["up"][0]["values"] == {"state": "alarm"}


async def test_states_of_elsewhere_and_of_strangers_are_not_told(served: Site) -> None:
    everywhere = [reading("SMK-1"), reading("SMK-2"), reading("NEW-1")]
    everywhere[2].registered = False
    quarantined = reading("SMK-1", NOW_MS + 9, 9, state="alarm")
    quarantined.entitled = False
    late = reading("SMK-1", NOW_MS - 9, 8, state="fault")
    late.late = True
    async with (
        served.socket("operator") as operator,
        served.socket("viewer") as viewer,
        served.socket("west-admin") as west,
    ):
        for socket in (operator, viewer, west):
            await watching(socket)
        served.book.commit(readings=[*everywhere, quarantined, late],
                           unregistered={"NEW-1": SeenUnregistered("smoke", "gw1", NOW_MS, 1)})  # fmt: skip
        for socket, wanted in (
            (operator, ["NEW-1", "SMK-1", "SMK-2"]),
            (viewer, ["SMK-1", "SMK-2"]),
            (west, ["SMK-1"]),
        ):
            up = (await socket.receive())["up"]
            assert sorted(one["device_id"] for one in up) == wanted
            assert all(one["values"] == {"state": "normal"} for one in up)


async def test_a_device_that_moves_is_told_to_its_new_area(
    served: Site, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr("api.stream.RECHECK_S", 0.02)
    async with served.socket("west-viewer") as socket:
        await watching(socket)
        served.services.office.upsert_device(Device("SMK-2", "smoke", WEST))
        served.services.office.upsert_device(Device("SMK-1", "smoke", EAST))
        whereabouts = served.services.whereabouts
        await until(lambda: whereabouts.sees("SMK-2", [WEST]) and not whereabouts.sees("SMK-1", [WEST]))
        served.book.commit(readings=[reading("SMK-1"), reading("SMK-2")])
        assert [one["device_id"] for one in (await socket.receive())["up"]] == ["SMK-2"]


async def test_states_resume_by_version_and_latest_wins(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.subscriptions, "PART", 2)
    async with served.socket() as keeps, served.socket() as socket:
        await watching(keeps)
        await watching(socket)
        served.book.commit(readings=[reading(f"SMK-{number}") for number in range(1, 6)])
        frames = [await socket.receive() for _ in range(3)]
        assert [len(frame["up"]) for frame in frames] == [2, 2, 1]
        # cut between the parts, a client must not resume past what it never got
        assert frames[0]["version"] == frames[1]["version"] < frames[2]["version"] == 1
        await socket.send(t="unsub", id=1)
        for state in ("alarm", "fault", "normal"):
            served.book.commit(readings=[reading("SMK-3", NOW_MS + 5, 5, state=state)])
        assert (await watching(socket, 2, resume={"version": 1}))["mode"] == "resumed"
        told: list[dict[str, Any]] = []
        while not told or told[-1]["version"] < 4:
            told.append(await socket.receive())
        assert {one["device_id"] for frame in told for one in frame["up"]} == {"SMK-3"}
        assert told[-1]["up"][0]["values"]["state"] == "normal"
        assert (await watching(socket, 3, resume={"version": 99}))["mode"] == "snapshot"
        assert (await watching(socket, 4, resume={"version": 1, "epoch": "other"}))["mode"] == "snapshot"


async def test_news_during_a_slow_send_are_not_lost(site: Site) -> None:
    states = site.services.states
    sent: list[str] = []
    go = asyncio.Event()

    async def send(text: str) -> None:
        await go.wait()
        sent.append(text)

    frame = api.subscriptions.Frame(t="sub", id=1)
    asker = api.subscriptions.Principal("u", "n", "admin", ("",))  # type: ignore[arg-type]
    subscription = api.subscriptions.DevicesSubscription(frame, [""], asker, site.services, send)
    go.set()
    await subscription.start(frame)
    go.clear()
    states.version = 5
    states._take(5, reading("SMK-1", state="alarm"))
    sending = asyncio.create_task(subscription.send_news())
    await asyncio.sleep(0)
    states.version = 6
    states._take(6, reading("SMK-1", state="fault"))
    go.set()
    await sending
    await subscription.send_news()
    assert '"alarm"' in sent[1]
    assert '"fault"' in sent[2]


async def test_our_own_parts_are_devices_for_those_who_see_everything(site: Site) -> None:
    part = "gridwarden:broker:embedded"
    async with site.client("viewer") as client:
        shown = (await client.get("/api/v1/devices?kind=platform")).json()["devices"]
        assert [device["device_id"] for device in shown] == [
            part, "gridwarden:core", "gridwarden:history", "gridwarden:web"
        ]  # fmt: skip
        paged = await client.get("/api/v1/devices?kind=platform&after=gridwarden:core&limit=1")
        assert [device["device_id"] for device in paged.json()["devices"]] == ["gridwarden:history"]
        device = (await client.get(f"/api/v1/devices/{part}")).json()
        assert (device["kind"], device["area"], device["gateway"]) == ("platform", "", "gridwarden")
        assert "redelivered" in {field["name"] for field in device["fields"]}
        assert (await client.get(f"/api/v1/devices/{part}/readings?field=redelivered")).json()["t_ms"] == []
        assert (await client.get("/api/v1/devices/gridwarden:nobody")).status_code == 404
    async with site.client("west-admin") as client:
        assert (await client.get("/api/v1/devices?kind=platform")).json()["devices"] == []
        assert (await client.get(f"/api/v1/devices/{part}")).status_code == 404


async def test_states_of_our_own_parts_are_told_to_those_who_see_everything(served: Site) -> None:
    ours = Reading("gridwarden:core", "platform", "gridwarden", NOW_MS, NOW_MS, 1, 1, True, {"spool_fill": 0.1})
    async with served.socket("operator") as all_, served.socket("west-operator") as west:
        for socket in (all_, west):
            await watching(socket, q={"area": "", "devices": ["gridwarden:core"]})
        served.book.commit(readings=[ours])
        news = await all_.receive()
        assert [(one["device_id"], one["values"]) for one in news["up"]] == [("gridwarden:core", {"spool_fill": 0.1})]
        await west.send(t="sub", id=9, ch="nothing")
        assert [frame["t"] for frame in await west.until("err")] == ["err"]

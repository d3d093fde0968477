"""Acts of people: once per key, never without core, never in another's name."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.api.conftest import Site
from tests.conftest import Until


async def test_a_key_acts_once_and_gives_the_same_answer(site: Site) -> None:
    site.book.fire(1)
    site.book.fire(2)
    async with site.client("operator") as client:
        key = {"idempotency-key": "k" * 80}
        first = await client.post("/api/v1/alarms/A1/ack", json={"note": "seen"}, headers=key)
        again = await client.post("/api/v1/alarms/A1/ack", json={"note": "other"}, headers=key)
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()
        assert first.json()["acknowledged_by"] == "operator"
        assert len(site.core.acted) == 1
        # the same key for something else, or by somebody else, is another command
        await client.post("/api/v1/alarms/A2/ack", json={}, headers=key)
        await client.post("/api/v1/alarms/A1/confirm", json={"outcome": "true"}, headers=key)
        await client.post("/api/v1/events/E1/ack", json={}, headers=key)
        await client.post("/api/v1/events/E1/close", json={"note": "done"}, headers=key)
    async with site.client("admin") as other:
        await other.post("/api/v1/alarms/A1/ack", json={}, headers=key)
    assert [name for name, _ in site.core.acted] == [
        "acknowledge", "acknowledge", "confirm", "acknowledge_event", "close", "acknowledge"]  # fmt: skip


async def test_long_keys_that_differ_at_the_end_are_two(site: Site) -> None:
    site.book.fire(1)
    async with site.client("operator") as client:
        for end in "ab":
            key = {"idempotency-key": "k" * 79 + end}
            assert (await client.post("/api/v1/alarms/A1/ack", json={}, headers=key)).status_code == 200
        assert len(site.core.acted) == 2
        answer = await client.post("/api/v1/alarms/A1/ack", json={}, headers={"idempotency-key": "k" * 81})
        assert answer.status_code == 422
        for _ in range(2):
            await client.post("/api/v1/alarms/A1/ack", json={})
        assert len(site.core.acted) == 4


@pytest.mark.parametrize("body", [{"note": "x" * 2001}, {"note": 7}, {"more": 1}, {"note": "\ud800"}, []])
async def test_odd_notes_are_invalid(site: Site, body: object) -> None:
    site.book.fire(1)
    async with site.client("operator") as client:
        text = json.dumps(body).encode()
        answer = await client.post("/api/v1/alarms/A1/ack", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert site.core.acted == []


async def test_what_core_refuses_is_told(site: Site) -> None:
    site.book.fire(1)
    async with site.client("operator") as client:
        answer = await client.post("/api/v1/events/E1/close", json={"note": "refuse"})
        assert (answer.status_code, answer.json()["code"]) == (409, "note_required")


async def test_while_core_is_down_nothing_is_done_nor_queued(site: Site, until: Until) -> None:
    site.book.fire(1)
    await site.link.aclose()
    await until(lambda: not site.services.link.connected)
    async with site.client("operator") as client:
        for address, body in (
            ("alarms/A1/ack", {}),
            ("alarms/A1/confirm", {"outcome": "test"}),
            ("events/E1/close", {}),
        ):
            answer = await client.post(f"/api/v1/{address}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "core_unavailable")
            assert "retry-after" in answer.headers
        ledger = (await client.get("/api/v1/ledger")).json()
        assert (ledger["core"], ledger["balanced"]) == ("down", True)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/api/v1/events")).status_code == 200
    await site.start_core()
    await until(lambda: site.services.link.connected)
    await asyncio.sleep(0)
    assert site.core.acted == []

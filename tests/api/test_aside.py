"""What was set aside over HTTP: listed in pages, grouped, shown whole, and to nobody who may not see the platform."""

from __future__ import annotations

from typing import Any

import pytest

from api.aside import PAYLOAD_SHOWN, place_of
from gridwarden.model import DeadLetter, Reading

NOW_MS = 1_800_000_000_000
BIG = bytes(range(256)) * 300


def letter(number: int, code: str = "not_json", gateway: str = "gw1", payload: bytes | None = None) -> DeadLetter:
    topic = f"gridwarden/v1/{gateway}/up"
    body = b"\xffrubbish %d" % number if payload is None else payload
    detail = "readings[3]: values: an object is expected"
    return DeadLetter(NOW_MS + number, "b", topic, code, detail, body, "telemetry", gateway)


def foreign(number: int) -> Reading:
    return Reading(f"SMK-{number % 2}", "smoke", "gw9", NOW_MS, NOW_MS + number, 7, number, True, {"state": "alarm"},
                   entitled=False)  # fmt: skip


@pytest.fixture
def filled(site: Any) -> Any:
    letters = [letter(number) for number in range(4)] + [letter(9, "too_large", "gw2", BIG)]
    site.book.commit(dead_letters=[*letters, letter(5, payload=b"\xffrubbish 0")], quarantined=[foreign(n) for n in range(3)],
                     retried={2: "stored", 3: "not_json"})  # fmt: skip
    return site


async def test_letters_come_in_pages_without_those_that_are_settled(filled: Any) -> None:
    async with filled.client("operator") as client:
        first = (await client.get("/api/v1/dead-letters?limit=2")).json()
        second = (await client.get(f"/api/v1/dead-letters?limit=9&before={first['next']}")).json()
        every = (await client.get("/api/v1/dead-letters?settled=true&gateway=gw1&code=not_json")).json()
    assert [one["dead_letter_id"] for one in first["dead_letters"] + second["dead_letters"]] == [5, 4, 3, 1]
    assert second["next"] is None
    assert [one["dead_letter_id"] for one in every["dead_letters"]] == [4, 3, 2, 1]
    (failed, settled, repeated) = every["dead_letters"][1:]
    assert (settled["settled"], settled["retry_outcome"]) == (True, "stored")
    assert (failed["settled"], failed["retry_outcome"], bool(failed["retried_at"])) == (False, "not_json", True)
    assert repeated == {
        "dead_letter_id": 1, "received_at": "2027-01-15T08:00:00.000Z", "last_received_at": "2027-01-15T08:00:00.005Z",
        "count": 2, "broker": "b", "lane": "telemetry", "topic": "gridwarden/v1/gw1/up", "gateway": "gw1",
        "code": "not_json", "detail": "readings[3]: values: an object is expected", "place": "readings[3].values",
        "reason": "an object is expected", "bytes": 10, "payload_hex": b"\xffrubbish 0".hex(), "retried_at": None,
        "retry_outcome": "", "settled": False,
    }  # fmt: skip


async def test_one_letter_comes_cut_or_whole(filled: Any) -> None:
    async with filled.client("operator") as client:
        shown = (await client.get("/api/v1/dead-letters/5")).json()
        whole = await client.get("/api/v1/dead-letters/5?raw=true")
        missing = await client.get("/api/v1/dead-letters/77")
    assert (shown["bytes"], bytes.fromhex(shown["payload_hex"])) == (len(BIG), BIG[:PAYLOAD_SHOWN])
    assert whole.content == BIG
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_dead_letter")


async def test_groups_count_by_reason_and_gateway(filled: Any) -> None:
    async with filled.client("operator") as client:
        groups = (await client.get("/api/v1/dead-letters/groups")).json()
        devices = (await client.get("/api/v1/quarantine/groups")).json()
    assert [(one["code"], one["gateway"], one["count"], one["rows"], one["example"]) for one in groups["groups"]] == [
        ("not_json", "gw1", 4, 3, 4), ("too_large", "gw2", 1, 1, 5),
    ]  # fmt: skip
    assert groups["groups"][1]["bytes"] == len(BIG)
    assert groups["groups"][0]["last_at"] == "2027-01-15T08:00:00.005Z"
    assert [(one["device_id"], one["gateway"], one["count"]) for one in devices["groups"]] == [
        ("SMK-0", "gw9", 2), ("SMK-1", "gw9", 1),
    ]  # fmt: skip


async def test_quarantined_readings_are_listed_by_device(filled: Any) -> None:
    async with filled.client("operator") as client:
        found = (await client.get("/api/v1/quarantine?device=SMK-0")).json()["quarantine"]
        one = (await client.get(f"/api/v1/quarantine/{found[0]['quarantine_id']}")).json()
        missing = await client.get("/api/v1/quarantine/77")
    assert [each["quarantine_id"] for each in found] == [3, 1]
    assert one == found[0]
    assert (one["device_id"], one["gateway"], one["values"], one["seq"]) == ("SMK-0", "gw9", {"state": "alarm"}, 7)
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_quarantined")


@pytest.mark.parametrize("path", ["dead-letters", "dead-letters/groups", "dead-letters/1", "quarantine", "quarantine/groups",
                                  "quarantine/1"])  # fmt: skip
async def test_only_who_may_see_the_platform_sees_them(filled: Any, path: str) -> None:
    for who, status in (("operator", 200), ("viewer", 403), ("west-admin", 403), (None, 401)):
        async with filled.client(who) as client:
            assert (who, (await client.get(f"/api/v1/{path}")).status_code) == (who, status)


@pytest.mark.parametrize(
    ("detail", "place"),
    [
        ("readings[3]: values: an object is expected", "readings[3].values"),
        ("readings[12]: an object is expected, not int", "readings[12]"),
        ("device: a printable string", "device"),
        ("EOF while parsing a value at line 1 column 5", "line 1 column 5"),
        ("neither a reading nor an array of them", ""),
        ("70000 bytes, at most 65536", ""),
    ],
)
def test_where_a_fault_lies_is_told_apart_from_what_it_is(detail: str, place: str) -> None:
    assert place_of(detail)[0] == place


async def test_a_retry_goes_on_step_by_step_until_nothing_is_left(filled: Any) -> None:
    filled.book.commit(dead_letters=[letter(100 + n, payload=b"%d" % n) for n in range(430)])
    body, numbers, steps = {"all": True, "after": 0}, list[int](), 0
    async with filled.client("operator") as client:
        while body["after"] is not None:
            answer = (await client.post("/api/v1/dead-letters/retry", json=body)).json()
            numbers += [one["number"] for one in answer["retried"]]
            body["after"], steps = answer["next"], steps + 1
    assert numbers == [1, 3, 4, *range(5, 436)]
    assert steps == 3
    assert {name for name, _ in filled.core.acted} == {"retry_letters"}
    assert all(params["actor"] == "operator" and len(params["letters"]) <= 200 for _, params in filled.core.acted)


async def test_one_key_with_other_letters_is_another_command(filled: Any) -> None:
    async with filled.client("operator", **{"idempotency-key": "k"}) as client:
        for numbers in ([1], [3], [1]):
            await client.post("/api/v1/dead-letters/retry", json={"numbers": numbers})
    assert [params["letters"] for _, params in filled.core.acted] == [[1], [3]]


@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "matches_everything"), ({"after": 3}, "matches_everything"), ({"numbers": []}, "invalid"),
     ({"numbers": [0]}, "invalid"), ({"numbers": list(range(1, 202))}, "invalid"), ({"device": "x"}, "invalid")],
)  # fmt: skip
async def test_what_to_retry_must_be_said(filled: Any, body: dict[str, Any], code: str) -> None:
    async with filled.client("operator") as client:
        answer = await client.post("/api/v1/dead-letters/retry", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize("what", ["dead-letters", "quarantine"])
async def test_only_who_works_for_the_whole_installation_retries(filled: Any, what: str) -> None:
    for who, status in (("viewer", 403), ("west-operator", 403), (None, 401), ("operator", 200)):
        async with filled.client(who) as client:
            answer = await client.post(f"/api/v1/{what}/retry", json={"all": True})
        assert (who, answer.status_code) == (who, status)
    assert [params for name, params in filled.core.acted if name == "retry_quarantined"] in (
        [], [{"quarantined": [1, 2, 3], "dry_run": False, "actor": "operator"}],
    )  # fmt: skip

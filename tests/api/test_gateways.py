"""The ledger by line, and what is known of gateways."""

from __future__ import annotations

from hashlib import sha256

from gridwarden.model import DeadLetter
from gridwarden.records.transaction import Tally
from tests.api.conftest import NOW_MS, Site, reading

ODD = "网关 1"


async def test_the_ledger_in_pages_of_lines(site: Site) -> None:
    one = Tally(stored=1, received=1, last_received_at_ms=NOW_MS)
    names = ["", "a~b", "g 1", ODD, "~other"]
    site.book.commit(tallies={("b", lane, name): one for name in names for lane in ("alarm", "telemetry")})
    async with site.client("operator") as client:
        lines, after = [], None
        while True:
            params = {"by": "gateway", "limit": "3"} | ({"after": after} if after else {})
            page = (await client.get("/api/v1/ledger", params=params)).json()
            lines += page["lines"]
            after = page["next"]
            if after is None:
                break
        assert [(line["lane"], line["gateway"]) for line in lines] == [
            (lane, name) for lane in ("alarm", "telemetry") for name in sorted(names)
        ]
        assert all(line["balanced"] and line["last_heard_at"] == "2026-11-22T06:00:00.000Z" for line in lines)
        by_broker = (await client.get("/api/v1/ledger?by=broker")).json()
        assert (by_broker["lines"][0]["received"], by_broker["next"]) == (10, None)
        assert (await client.get("/api/v1/ledger?by=gateway&after=x")).status_code == 422
        assert (await client.get("/api/v1/ledger?by=colour")).status_code == 422


async def test_what_became_of_a_gateway_s_messages(site: Site) -> None:
    payload = b"\xff{oops"
    letter = DeadLetter(NOW_MS, "b", f"gridwarden/v1/{ODD}/up", "not_json", "line 1", payload, gateway=ODD)
    lines = {("b", "telemetry", ODD): Tally(dead_lettered=2, received=2), ("c", "alarm", "g2"): Tally(received=1)}
    site.book.commit(dead_letters=[letter] * 2, quarantined=[reading("SMK-1")], tallies=lines)
    async with site.client("operator") as client:
        listed = (await client.get("/api/v1/gateways")).json()
        assert [(one["gateway"], one["brokers"], one["balanced"]) for one in listed["gateways"]] == [
            ("g2", ["c"], False), (ODD, ["b"], True)
        ]  # fmt: skip
        assert listed["gateways"][0]["last_heard_at"] is None
        first = (await client.get("/api/v1/gateways?limit=1")).json()
        rest = (await client.get("/api/v1/gateways", params={"after": first["next"]})).json()
        assert [one["gateway"] for one in rest["gateways"]] == [ODD]
        one = (await client.get(f"/api/v1/gateways/{ODD}")).json()
        assert [(line["broker"], line["lane"], line["dead_lettered"]) for line in one["lines"]] == [
            ("b", "telemetry", 2)
        ]
        assert (one["open_dead_letters"], one["newest_quarantined"]) == (1, [])
        (told,) = one["newest_dead_letters"]
        assert (told["code"], told["count"], told["bytes"]) == ("not_json", 2, len(payload))
        assert told["payload_sha256_16"] == sha256(payload).hexdigest()[:16]
        missing = await client.get("/api/v1/gateways/nobody")
        assert (missing.status_code, missing.json()["code"]) == (404, "no_such_gateway")

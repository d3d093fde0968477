"""What became of what each gateway sent: the ledger by line, and every gateway with what is wrong with its payloads."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.auth import needs
from api.paging import After, Limit
from api.services import Given
from gridwarden.access import Action
from gridwarden.clock import rfc3339
from gridwarden.errors import Refused
from gridwarden.records.lines import By
from gridwarden.records.transaction import LEDGER_COLUMNS

router = APIRouter(tags=["platform"], dependencies=[needs(Action.SEE_PLATFORM)])
HASH_DIGITS = 16
"""First digits of SHA-256 by which a payload is told: here, and in what its gateway is told over MQTT."""
NEWEST = 20
"""Of a gateway's dead letters and quarantined readings so many are shown with it."""


def ledger_by(services: Given, by: By, after: str | None, limit: int) -> dict[str, Any]:
    """A page of the ledger's lines, as committed; ``next`` is where to go on."""
    key = tuple(after.split("/", len(by.columns) - 1)) if after else ()
    if after and len(key) != len(by.columns):
        raise Refused("bad_mark", after)
    found = services.reader.ledger_lines(by, key, limit)
    names = [column.name for column in by.columns]
    last = "/".join(found[-1][name] for name in names) if len(found) == limit else None
    return {"by": by, "lines": [{**{name: one[name] for name in names}, **_counts(one)} for one in found], "next": last}


@router.get("/gateways")
def gateways(
    services: Given,
    after: Annotated[After, Query(description="``next`` of the page before")] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Everybody who has ever sent something, by name: brokers, last word, counts, open dead letters."""
    found = services.reader.gateways(after or "", limit)
    shown = [
        {"gateway": one["gateway"], "brokers": one["brokers"], **_counts(one), "open_dead_letters": one["dead_letters"]}
        for one in found
    ]
    return {"gateways": shown, "next": found[-1]["gateway"] if len(found) == limit else None}


@router.get("/gateways/{name}")
def gateway(services: Given, name: str) -> dict[str, Any]:
    """One gateway: its lines of the ledger, its newest dead letters and quarantined readings."""
    found = services.reader.gateway(name, NEWEST)
    return {
        "gateway": name,
        "lines": [{"broker": one["broker"], "lane": one["lane"], **_counts(one)} for one in found["lines"]],
        "open_dead_letters": found["dead_letters"],
        "newest_dead_letters": [
            {"dead_letter_id": row["dead_letter_id"], "received_at": rfc3339(row["received_at_ms"]),
             "broker": row["broker"], "topic": row["topic"], "code": row["code"], "detail": row["detail"],
             "count": row["count"], "bytes": len(row["payload"]),
             "payload_sha256_16": sha256(row["payload"]).hexdigest()[:HASH_DIGITS]}
            for row in found["newest_dead_letters"]
        ],
        "newest_quarantined": [
            {"quarantine_id": row["quarantine_id"], "received_at": rfc3339(row["received_at_ms"]),
             "device_id": row["device_id"], "values": row["body"]["values"]}
            for row in found["newest_quarantined"]
        ],
    }  # fmt: skip


def _counts(one: Mapping[str, Any]) -> dict[str, Any]:
    accounted = sum(one[name] for name in ("stored", "duplicate", "dead_lettered", "quarantined"))
    heard_at_ms = one["last_received_at_ms"]
    return {
        **{name: one[name] for name in LEDGER_COLUMNS},
        "balanced": one["received"] == accounted,
        "last_heard_at": rfc3339(heard_at_ms) if heard_at_ms else None,
    }

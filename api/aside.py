"""What was set aside: dead letters and quarantined readings, listed, grouped, shown, retried. See docs/guide/dead-letters.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api import commands
from api.auth import Asker, needs
from api.commands import IdempotencyKey
from api.paging import NUMBER_MAX, Key, Limit
from api.services import Given, Services
from gridwarden.access import Action, Principal, require
from gridwarden.clock import rfc3339
from gridwarden.errors import Refused
from gridwarden.model import Retried
from gridwarden.records.aside import RETRIED_AT_ONCE, RETRIED_BYTES
from gridwarden.records.aside_reader import Group, Which

router = APIRouter(tags=["aside"], dependencies=[needs(Action.SEE_PLATFORM)])
PAYLOAD_SHOWN = 64 * 1024
"""Bytes of one letter's payload that come in JSON; all of them come with ``raw``."""
GROUPS_LIMIT = 1_000
Before = Annotated[int | None, Query(ge=1, le=NUMBER_MAX)]
Number = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
_ELEMENT = re.compile(r"(readings\[\d+\]): (.*)", re.DOTALL)
_PART = re.compile(r"([a-z]+): (.*)", re.DOTALL)
_LINE = re.compile(r"\bat (line \d+ column \d+)")
_UNSEEN = {"x-content-type-options": "nosniff", "content-disposition": "attachment"}


@router.get("/dead-letters")
def dead_letters(
    services: Given,
    code: Key = None,
    gateway: Key = None,
    settled: bool = False,
    before: Before = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Payloads that could not be decoded, newest first; long ones are cut here.

    ``settled``: also those that a retry has settled.
    """
    found = services.reader.aside.letters(Which(code, gateway, settled=settled), before, limit)
    shown = [_letter(row, row["head"], row["bytes"]) for row in found]
    return {"dead_letters": shown, "next": found[-1]["dead_letter_id"] if len(found) == limit else None}


@router.get("/dead-letters/groups")
def dead_letter_groups(services: Given, code: Key = None, gateway: Key = None, settled: bool = False) -> dict[str, Any]:
    """How many of which reason from which gateway, the most frequent first."""
    groups = services.reader.aside.letter_groups(Which(code, gateway, settled=settled))
    shown = [{"code": one.code, "gateway": one.gateway, **_group(one), "bytes": one.bytes} for one in groups]
    return {"groups": shown[:GROUPS_LIMIT], "truncated": len(shown) > GROUPS_LIMIT}


@router.get(
    "/dead-letters/{number}",
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def dead_letter(services: Given, number: Number, raw: bool = False) -> Any:
    """One dead letter; ``raw``: its bytes and nothing else."""
    row = services.reader.aside.letter(number)
    payload: bytes = row["payload"]
    if raw:
        return Response(payload, media_type="application/octet-stream", headers=_UNSEEN)
    return _letter(row, payload[:PAYLOAD_SHOWN], len(payload))


@router.get("/quarantine")
def quarantine(
    services: Given, device: Key = None, gateway: Key = None, settled: bool = False, before: Before = None,
    limit: Limit = 100,
) -> dict[str, Any]:  # fmt: skip
    """Readings from gateways that may not speak for the device, newest first."""
    which = Which(gateway=gateway, device_id=device, settled=settled)
    found = services.reader.aside.quarantined(which, before, limit)
    shown = [_quarantined(row) for row in found]
    return {"quarantine": shown, "next": found[-1]["quarantine_id"] if len(found) == limit else None}


@router.get("/quarantine/groups")
def quarantine_groups(services: Given, gateway: Key = None, settled: bool = False) -> dict[str, Any]:
    """How many of which device from which gateway, the most frequent first."""
    groups = services.reader.aside.quarantine_groups(Which(gateway=gateway, settled=settled))
    shown = [{"device_id": one.code, "gateway": one.gateway, **_group(one)} for one in groups]
    return {"groups": shown[:GROUPS_LIMIT], "truncated": len(shown) > GROUPS_LIMIT}


@router.get("/quarantine/{number}")
def quarantined_reading(services: Given, number: Number) -> dict[str, Any]:
    """One quarantined reading."""
    return _quarantined(services.reader.aside.quarantined_one(number))


class Retry(BaseModel):
    """Which to retry: what is named must fit. One step takes as many as one batch holds; ``after`` goes on."""

    model_config = ConfigDict(extra="forbid")
    numbers: list[Annotated[int, Field(ge=1, le=NUMBER_MAX)]] | None = Field(
        None, min_length=1, max_length=RETRIED_AT_ONCE
    )
    gateway: str | None = Field(None, max_length=128)
    all: bool = False
    """Whatever is open; a body that names nothing else must say so."""
    after: int = Field(0, ge=0, le=NUMBER_MAX)
    dry_run: bool = False
    """Only say what would become of each."""

    def which(self) -> Which:
        """What it names; raises :class:`Refused`."""
        if not self.all and self == type(self)(after=self.after, dry_run=self.dry_run):
            raise Refused("matches_everything", "name numbers or what they have in common, or say all")
        return Which(gateway=self.gateway, numbers=None if self.numbers is None else tuple(self.numbers))


class RetryLetters(Retry):
    """The same of dead letters."""

    code: str | None = Field(None, max_length=32)

    def which(self) -> Which:
        """See :class:`Retry`."""
        return replace(super().which(), code=self.code)


class RetryQuarantined(Retry):
    """The same of quarantined readings."""

    device: str | None = Field(None, max_length=128)

    def which(self) -> Which:
        """See :class:`Retry`."""
        return replace(super().which(), device_id=self.device)


@router.post("/dead-letters/retry")
async def retry_dead_letters(
    body: RetryLetters, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Decode dead letters again, oldest first, and judge what can be read now; ``next`` is where to go on."""
    return await _retry(services, asker, body, idempotency_key, "letters")


@router.post("/quarantine/retry")
async def retry_quarantine(
    body: RetryQuarantined, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Take over quarantined readings whose gateway may speak for their device by now."""
    return await _retry(services, asker, body, idempotency_key, "quarantined")


async def _retry(services: Services, asker: Principal, body: Retry, key: str | None, what: str) -> dict[str, Any]:
    require(asker, Action.RETRY, "")
    reader = services.reader.aside
    find = reader.letters_to_retry if what == "letters" else reader.quarantined_to_retry
    numbers, more = await run_in_threadpool(find, body.which(), body.after, RETRIED_AT_ONCE, RETRIED_BYTES)
    outcomes: list[list[Any]] = []
    if numbers:
        params = {what: numbers, "dry_run": body.dry_run}
        outcomes = (await commands.send(services, asker, key, f"retry_{what}", params))["outcomes"]
    return {
        "outcomes": dict(Counter(outcome for _, outcome in outcomes)),
        "retried": [{"number": number, "outcome": outcome} for number, outcome in outcomes],
        "dry_run": body.dry_run, "next": numbers[-1] if more else None,
    }  # fmt: skip


def _letter(row: Mapping[str, Any], head: bytes, size: int) -> dict[str, Any]:
    place, reason = place_of(row["detail"])
    return {
        "dead_letter_id": row["dead_letter_id"], "received_at": rfc3339(row["received_at_ms"]),
        "last_received_at": rfc3339(row["last_received_at_ms"]), "count": row["count"], "broker": row["broker"],
        "lane": row["lane"], "topic": row["topic"], "gateway": row["gateway"], "code": row["code"],
        "detail": row["detail"], "place": place, "reason": reason, "bytes": size, "payload_hex": head.hex(),
        **_retried(row),
    }  # fmt: skip


def _quarantined(row: Mapping[str, Any]) -> dict[str, Any]:
    body = row["body"]
    return {
        "quarantine_id": row["quarantine_id"], "received_at": rfc3339(row["received_at_ms"]),
        "occurred_at": rfc3339(body["occurred_at_ms"]), "seq": body["seq"], "gateway": row["gateway"],
        "device_id": row["device_id"], "values": body["values"], **_retried(row),
    }  # fmt: skip


def _retried(row: Mapping[str, Any]) -> dict[str, Any]:
    at_ms = row["retried_at_ms"]
    return {"retried_at": None if at_ms is None else rfc3339(at_ms), "retry_outcome": row["retry_outcome"],
            "settled": row["retry_outcome"] in set(Retried)}  # fmt: skip


def _group(group: Group) -> dict[str, Any]:
    return {"count": group.count, "rows": group.rows, "first_at": rfc3339(group.first_at_ms),
            "last_at": rfc3339(group.last_at_ms), "example": group.example}  # fmt: skip


def place_of(detail: str) -> tuple[str, str]:
    """Where in its payload a fault lies (``readings[3].values``, ``line 1 column 5``), and what it is."""
    element = _ELEMENT.fullmatch(detail)
    place, reason = (element[1], element[2]) if element else ("", detail)
    part = _PART.fullmatch(reason)
    if part:
        place, reason = f"{place}.{part[1]}" if place else part[1], part[2]
    line = _LINE.search(detail)
    return (line[1] if line and not place else place), reason

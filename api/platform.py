"""What the installation says of itself: ledger, journal, rules, health, metrics."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api import wire
from api.auth import Asker, needs
from api.gateways import ledger_by
from api.paging import NUMBER_MAX, After, Limit
from api.readiness import ask, why_not_ready
from api.services import Given, Services
from gridwarden.access import Action, scopes
from gridwarden.areas import within
from gridwarden.broker.mark import losses
from gridwarden.clock import rfc3339
from gridwarden.errors import CoreUnavailable, Unavailable
from gridwarden.records.lines import By

router = APIRouter(tags=["platform"])
health = APIRouter(tags=["health"])


@router.get("/ledger", dependencies=[needs(Action.SEE_PLATFORM)])
async def ledger(services: Given, by: By | None = None, after: After = None, limit: Limit = 100) -> dict[str, Any]:
    """What became of everything that was received, live from core; as last stored when core is down.

    With ``by`` the lines it consists of instead, as committed, a page of them.
    """
    if by is not None:
        return await run_in_threadpool(ledger_by, services, by, after, limit)
    return await ledger_of(services)


async def ledger_of(services: Services) -> dict[str, Any]:
    """See :func:`ledger`."""
    try:
        status = await services.link.command(secrets.token_hex(8), "status", {}, timeout_s=2)
        core = "up"
    except CoreUnavailable:
        status = await run_in_threadpool(services.reader.ledger)
        status["lost"] = (await run_in_threadpool(services.reader.losses)).told()
        core = "down"
    accounted = sum(status[name] for name in ("stored", "duplicate", "dead_lettered", "quarantined", "in_flight"))
    return {
        **status,
        "balanced": status["received"] == accounted,
        "core": core,
        "history": await _audited(services),
        "history_lag": await run_in_threadpool(history_lag, services),
        "broker_losses": await run_in_threadpool(losses, services.config.data / "broker"),
    }


async def _audited(services: Services) -> dict[str, Any] | None:
    if services.auditor.found is None:  # a command that runs alone asks before anybody has looked
        await run_in_threadpool(services.auditor.audit)
    return services.auditor.report()


def history_lag(services: Services) -> dict[str, Any]:
    """How far the history is behind the records; blocking."""
    try:
        head, followed = services.reader.head(), services.history.offset()
        complete_until_ms = services.history.complete_until_ms()
    except Unavailable as error:
        return {"transactions": None, "complete_until": None, "lag_s": None, "reason": str(error)}
    lag_s = max(0.0, (services.clock.now_ms() - complete_until_ms) / 1000) if head > followed else 0.0
    return {"transactions": head - followed, "complete_until": rfc3339(complete_until_ms), "lag_s": lag_s}


@router.get("/stats")
def stats(asker: Asker, services: Given) -> dict[str, Any]:
    """Counts for the top of the page."""
    return services.reader.counts(scopes(asker))


@router.get("/journal")
def journal(
    asker: Asker, services: Given, since: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0, limit: Limit = 100
) -> dict[str, Any]:
    """Changes after ``since``, in order; ``through`` is where to go on, also when nothing was for the asker."""
    entries = services.reader.journal(since, limit)
    mine = scopes(asker)
    shown = [
        {"seq": entry.seq, "at": rfc3339(entry.at_ms), "op": entry.operation, "area": entry.area,
         "actor": entry.actor, "detail": wire.detail(entry.body["detail"]), **wire.entry_body(entry.body, services.rules)}
        for entry in entries
        if any(within(entry.area, scope) for scope in mine)
    ]  # fmt: skip
    trimmed = services.reader.journal_trimmed()
    gap = {"trimmed_through": trimmed} if since < trimmed else {}
    return {"entries": shown, "through": entries[-1].seq if entries else since, "epoch": services.epoch, **gap}


@router.get("/rules")
def rules(_asker: Asker, services: Given) -> dict[str, Any]:
    """The rules in force."""
    return {
        "version": services.rules.version,
        "rules": [
            {"id": rule.id, "version": rule.version, "kind": rule.kind, "name": wire.rule_name(services.rules, rule.id),
             "severity": rule.severity, "category": rule.category, "life_safety": rule.life_safety,
             "latched": rule.latched, "shadow": rule.shadow, "source": rule.source}
            for rule in services.rules.all if rule.enabled
        ],
    }  # fmt: skip


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request, _asker: Asker) -> dict[str, Any]:
    """This surface, for machines."""
    described: dict[str, Any] = request.app.openapi()
    return described


@health.get("/healthz")
def healthz() -> dict[str, str]:
    """Web is alive."""
    return {"status": "ok"}


@health.get("/readyz")
async def readyz(services: Given) -> JSONResponse:
    """Everything on the way of an alarm is there: core answers, its sessions are connected, records commit."""
    status = await ask(services)
    reason = why_not_ready(status)
    if status is None or reason:
        return JSONResponse({"status": reason}, 503)
    holding = [session["name"] for session in status["sessions"] if session["holding"]]
    return JSONResponse({"status": "ready", "holding": holding})

"""Whether everything on the way of an alarm is well: one judgement for ``/readyz`` and for the heartbeat."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from api.services import Services
from gridwarden.broker.probe import illness_of
from gridwarden.errors import Unavailable

HUB_BEHIND_S = 5.0
"""Nobody was told for so long what is in the journal: then alarms do not reach the page."""
ASKING_S = 2.0


async def ask(services: Services) -> dict[str, Any] | None:
    """Core's status, and what keeps the embedded broker from storing; ``None`` where core does not answer."""
    try:
        status = await services.link.command(secrets.token_hex(8), "status", {}, timeout_s=ASKING_S)
    except Unavailable:
        return None
    return {**status, "broker_illness": await illness_of(services.config.data)}


def why_not_ready(status: Mapping[str, Any] | None) -> str:
    """A code for what is not there; ``""``: core answers, records commit, the broker stores, its sessions are connected."""
    if status is None:
        return "core_unavailable"
    if status["records"] != "ok":
        return "records_failing"
    if status["broker_illness"]:
        return "broker_cannot_store"
    return "" if all(session["connected"] for session in status["sessions"]) else "broker_unavailable"


def why_not_well(status: Mapping[str, Any] | None, hub_behind_s: float) -> str:
    """The same, and that nothing is provisional, nothing lost, and that pages are told; ``""``: all is well."""
    if (reason := why_not_ready(status)) or status is None:
        return reason
    if status["provisional"]:
        return "provisional"
    if status["ledger_imbalance"]:
        return "ledger_imbalance"
    return "hub_behind" if hub_behind_s > HUB_BEHIND_S else ""


async def why_no_heartbeat(services: Services) -> str:
    """Why nobody outside must hear now that all is well; ``""``: all is."""
    return why_not_well(await ask(services), services.hub.behind_s)

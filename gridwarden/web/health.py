"""How web and the history are, told to core, which makes readings of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from api.auditor import Findings
from api.counts import Counts
from api.platform import history_lag
from api.services import Services
from gridwarden.backup.lately import age_h
from gridwarden.looking import Look
from gridwarden.resident import resident_mb

MEASURING_S = 5.0
"""How long the history may take to answer before we speak without it."""
Values = dict[str, float]


def web_values(counts: Counts, clients_cut_before: int, *, websockets: int, hub_behind_s: float) -> Values:
    """How web is.

    Args:
        counts: what it has counted since its start.
        clients_cut_before: the same of slow clients at the beginning of the interval.
        websockets: how many are open.
        hub_behind_s: how long nobody has been handed what core has told of.
    """
    values: Values = {
        "websockets": websockets,
        "clients_cut": counts.clients_cut - clients_cut_before,
        "hub_behind_s": hub_behind_s,
        "memory_mb": resident_mb(),
    }
    return values if counts.heartbeat_failing is None else values | {"heartbeat_failing": counts.heartbeat_failing}


def records_values(found: Findings | None) -> Values:
    """Whether what lies in the records is what their ledger counts; ``None``: nobody has looked yet."""
    return {} if found is None else {"ledger_imbalance": found.lines + found.aside}


def history_values(lag: Mapping[str, Any] | None, missing: int | None, *, ended: bool) -> Values:
    """How the history is.

    Args:
        lag: how far it is behind, as the ledger shows it; ``None``: it did not say in time.
        missing: readings that records had and it has not; ``None``: nobody has looked yet.
        ended: whether it has stopped following for good.
    """
    values: Values = {} if missing is None else {"history_missing": missing}
    if lag is None:
        return values | ({"history_failing": True} if ended else {})
    if lag["lag_s"] is None:
        return values | {"history_failing": True}
    return values | {"history_failing": ended, "history_behind_s": lag["lag_s"], "history_behind": lag["transactions"]}


class WebHealth:
    """Tells core at every interval."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._clients_cut = 0
        self._backup = Look(lambda: asyncio.to_thread(self._age_h), "web-health-backup")
        self._lag = Look(lambda: asyncio.to_thread(history_lag, services), "web-health-history")

    async def run(self) -> None:
        """Tell until cancelled; what core does not hear is told anew the next time."""
        every_s = self._services.config.health.every_s
        while True:
            lag = await self._lag.within(min(every_s, MEASURING_S))
            since_h = await self._backup.within(min(every_s, MEASURING_S))
            backup: Values = {} if since_h is None else {"backup_age_h": since_h}
            self._services.link.tell({"health": {"web": self._web() | backup, "history": self._history(lag)}})
            await asyncio.sleep(every_s)

    def _age_h(self) -> float | None:
        return age_h(self._services.config.data, self._services.clock.now_ms())

    def _web(self) -> Values:
        services = self._services
        before, self._clients_cut = self._clients_cut, services.counts.clients_cut
        open_ones = len(services.connections) + len(services.strangers)
        open_values = web_values(services.counts, before, websockets=open_ones, hub_behind_s=services.hub.behind_s)
        return open_values | records_values(services.auditor.found)

    def _history(self, lag: Mapping[str, Any] | None) -> Values:
        found = self._services.auditor.found
        return history_values(lag, found.missing if found else None, ended=self._services.counts.history_ended)

"""Core's side of the ledger: what has been counted so far, and under which names gateways are kept apart. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gridwarden.platform import OURSELVES
from gridwarden.records.transaction import Key, Tally, Transaction

OTHER = "~other"
"""Where gateways are counted together that are not kept apart."""
GATEWAYS_KEPT = 20_000
"""Gateways of one broker that are kept apart. Their names come from topics: whoever may publish could make them up."""
NAME_LIMIT = 128


class Gateways:
    """Whose names have a line of their own. Those that have one keep it."""

    def __init__(self, kept: int = GATEWAYS_KEPT) -> None:
        self._kept = kept
        self._known: dict[str, set[str]] = {}

    def restore(self, keys: Iterable[Key]) -> None:
        """Go on with the names that the ledger has."""
        for broker, _, gateway in keys:
            self._known.setdefault(broker, set()).add(gateway)

    def name(self, broker: str, gateway: str) -> str:
        """What ``gateway`` is counted under."""
        known = self._known.setdefault(broker, set())
        if gateway in known or not gateway:
            return gateway
        if len(known) >= self._kept or len(gateway) > NAME_LIMIT or not gateway.isprintable():
            return OTHER
        known.add(gateway)
        return gateway


class Totals:
    """The committed ledger by broker and lane; the lines of gateways lie in the records alone."""

    def __init__(self, rows: Mapping[Key, Tally] | None = None) -> None:
        self._lanes: dict[tuple[str, str], Tally] = {}
        self.imbalance = 0
        """Readings that were received and are nowhere, or are somewhere and were not received, in any line."""
        for (broker, lane, _), tally in (rows or {}).items():
            self._add(broker, lane, tally)

    def add(self, transaction: Transaction) -> None:
        """Count what a committed transaction counted."""
        for (broker, lane, _), tally in transaction.tallies.items():
            self._add(broker, lane, tally)

    def _add(self, broker: str, lane: str, tally: Tally) -> None:
        self._lanes.setdefault((broker, lane), Tally()).add(tally)
        self.imbalance += abs(tally.received - tally.accounted)

    def total(self) -> Tally:
        """All of them together, without what we say of ourselves: that came from no broker."""
        total = Tally()
        for (broker, _), tally in self._lanes.items():
            if broker != OURSELVES:
                total.add(tally)
        return total

    def lanes(self) -> list[dict[str, Any]]:
        """A line for each broker and lane."""
        return [
            {"broker": broker, "lane": lane, **tally.counts()} for (broker, lane), tally in sorted(self._lanes.items())
        ]

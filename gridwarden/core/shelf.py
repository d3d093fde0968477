"""What core says of the room for what was set aside: how full it is, and when letters begin to go. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import structlog

from gridwarden.config import Aside, Config
from gridwarden.records.aside import Fill, Limits

HOUSEKEEPING_MS = 5_000
"""How often what was kept for long enough goes: some hundreds of rows at a time, three million a day."""
ROOM_AGAIN = 0.8
"""Share of the quota below which it is no longer called full."""
_DAY_MS = 86_400_000
_log = structlog.get_logger("records")


def limits_of(config: Config) -> Limits:
    """How much the records keep, as configured."""
    aside = config.aside
    return Limits(aside.quota_bytes, aside.days * _DAY_MS, aside.quarantine_rows, config.records.journal_days * _DAY_MS)


class Shelf:
    """How full it is, as the last commit left it."""

    def __init__(self, settings: Aside) -> None:
        self._settings = settings
        self._fill: Fill | None = None
        self._full = False
        self._kept_house_at_ms = 0

    def take(self, fill: Fill) -> None:
        """So it is by now; the log is told when letters begin to be dropped, and when there is room again."""
        before, self._fill = self._fill, fill
        full = self._full
        if before is not None and fill.dropped > before.dropped:
            full = True
        elif fill.bytes < self._settings.quota_bytes * ROOM_AGAIN:
            full = False
        if full and not self._full:
            _log.error(
                "dead letters are dropped: their quota is used up",
                bytes=fill.bytes,
                rows=fill.rows,
                dropped=fill.dropped,
            )
        elif self._full and not full:
            _log.warning("dead letters have room again", bytes=fill.bytes, rows=fill.rows, dropped=fill.dropped)
        self._full = full

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to let go of what is old; asked, it is done."""
        due = abs(now_ms - self._kept_house_at_ms) >= HOUSEKEEPING_MS
        if due:
            self._kept_house_at_ms = now_ms
        return due

    def status(self) -> dict[str, Any]:
        """For the ledger, and for the platform's own health."""
        fill, settings = self._fill or Fill(), self._settings
        share = max(fill.bytes / settings.quota_bytes, fill.quarantine_rows / settings.quarantine_rows)
        return {
            **asdict(fill), "quota_bytes": settings.quota_bytes, "quarantine_quota_rows": settings.quarantine_rows,
            "fill": round(share, 4), "dropping": self._full,
        }  # fmt: skip

"""Holds the history, the ledger's lines and what was set aside against each other, again and again while web runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog

from gridwarden.clock import Clock, rfc3339
from gridwarden.errors import Unavailable
from gridwarden.history import History
from gridwarden.history.audit import Audit, audit
from gridwarden.records.reader import Reader

EVERY_S = 60.0
"""Longest time between two audits …"""
PAUSE_S = 5.0
"""… and shortest, after the history has caught up."""
BEHIND_LIMIT = 20_000
"""Transactions that the history may be behind to be audited: the readings of each are added up."""
_log = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class Findings:
    """What does not add up; nothing: all is well."""

    history: Audit | None
    """``None``: the history keeps no account (yet)."""
    lines: int
    """Readings by which lines of the ledger are off."""
    aside: int
    """Dead letters and quarantined readings that the ledger counts and that are not there, or the other way round."""

    @property
    def missing(self) -> int:
        """Readings by which the history is off."""
        return self.history.missing if self.history else 0

    @property
    def well(self) -> bool:
        """Whether everything adds up."""
        return not (self.missing or self.lines or self.aside)


class Auditor:
    """Keeps the newest findings. :meth:`audit` blocks; everything else is for the event loop."""

    def __init__(self, reader: Reader, history: History, clock: Clock) -> None:
        self._reader = reader
        self._history = history
        self._clock = clock
        self.found: Findings | None = None
        """``None``: nothing could be looked at yet."""
        self.caught_up = asyncio.Event()
        """Set by whoever hears that the history has followed."""

    async def run(self) -> None:
        """Audit until cancelled."""
        while True:
            await asyncio.to_thread(self.audit)
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(EVERY_S):
                    await self.caught_up.wait()
            except TimeoutError:
                pass
            self.caught_up.clear()

    def audit(self) -> None:
        """Look once; what cannot be looked at now keeps its old findings."""
        try:
            found = Findings(self._audit_history(), *self._reader.imbalance())
        except (Unavailable, OSError) as error:
            _log.warning("audit.unavailable", reason=str(error))
            return
        was_well, self.found = self.found is None or self.found.well, found
        if found.well != was_well:
            report = self.report() or {}
            if found.well:
                _log.info("audit.well_again")
            else:
                _log.error("audit.imbalance", lines=found.lines, aside=found.aside, history=report)

    def _audit_history(self) -> Audit | None:
        before = self.found.history if self.found else None
        account = self._history.account()
        if account is None or self._reader.head() - account.offset > BEHIND_LIMIT:
            return before
        committed = self._reader.readings_through(account.offset)
        if self._reader.trimmed() > account.offset:  # it went on meanwhile: its blocks may have gone
            return before
        return audit(account, committed, self._clock.now_ms())

    def report(self) -> dict[str, Any] | None:
        """The newest audit of the history, for those who ask; ``None``: there is none."""
        found = self.found.history if self.found else None
        if found is None:
            return None
        return {
            "expected": found.expected, "written": found.written, "refused": found.refused, "held": found.held,
            "dropped": found.dropped, "missing": found.missing, "checked_at": rfc3339(found.checked_at_ms),
            "since": {"offset": found.since_offset, "at": rfc3339(found.since_at_ms)},
        }  # fmt: skip

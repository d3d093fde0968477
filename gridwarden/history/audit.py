"""Whether the history holds every reading that records committed: a sum over numbers that both keep of their own. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """What a history has counted itself, as of one moment."""

    offset: int
    """How far it had followed."""
    since_offset: int
    """It counts from here on; 0: from its beginning."""
    since_at_ms: int
    before: int
    """Readings that records had committed up to there."""
    held_before: int
    """Readings it held there."""
    written: int
    """Readings written since."""
    refused: int
    """Readings that its database would never take, set aside, since."""
    dropped: int
    """Readings that went with their age, since."""
    held: int | None
    """Readings it holds now; ``None``: counting them would be too much work."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found."""

    expected: int
    """Readings that records committed since the history counts, as far as it has followed."""
    written: int
    refused: int
    held: int | None
    dropped: int
    missing: int
    """Readings that do not add up, whichever way; 0: all are accounted for."""
    since_offset: int
    since_at_ms: int
    checked_at_ms: int


def audit(account: Account, committed: int, at_ms: int) -> Audit:
    """Hold the history's account against the records.

    Args:
        account: of the history.
        committed: readings that records have committed up to ``account.offset``, less those stated as lost.
        at_ms: now.
    """
    expected = committed - account.before
    unwritten = abs(expected - account.written - account.refused)
    gone = 0
    if account.held is not None:
        gone = abs(account.held_before + account.written - account.dropped - account.held)
    return Audit(
        expected, account.written, account.refused, account.held, account.dropped, unwritten + gone,
        account.since_offset, account.since_at_ms, at_ms,
    )  # fmt: skip

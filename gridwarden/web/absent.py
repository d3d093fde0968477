"""The history when it cannot be opened: every question is answered with why, so that alarms still reach the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from gridwarden.history import HistoryUnavailable


class AbsentHistory:
    """A :class:`gridwarden.history.History` that is not there: each of its methods raises why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, _method: str) -> Callable[..., NoReturn]:
        return self._refuse

    def _refuse(self, *_args: object, **_named: object) -> NoReturn:
        raise HistoryUnavailable(self._reason)

    def close(self) -> None:
        """Nothing is open."""

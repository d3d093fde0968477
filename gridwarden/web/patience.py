"""How long a client may take to say what it wants. uvicorn alone would wait for ever, and hold a file descriptor for each."""

from __future__ import annotations

import asyncio
from typing import Any

from h11 import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 30
"""For the head of a request and its body (at most 1 MiB), each; a websocket is watched by its own rules from then on."""


class PatientProtocol(H11Protocol):
    """uvicorn's, which ends a connection that has said nothing whole in :data:`REQUEST_S`, or at the latest in twice that."""

    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """See :class:`asyncio.Protocol`."""
        super().connection_made(transport)
        self._look = self.loop.call_later(REQUEST_S, self._look_again, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._leave_alone()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Request) -> None:
        """The handshake is whole."""
        self._leave_alone()
        super().handle_websocket_upgrade(event)

    def _look_again(self, before: Any) -> None:
        """``before``: what was waited for at the last look; ``None`` at the first, as long as there is no request."""
        waiting = self.cycle is None or (self.cycle.more_body and not self.cycle.response_complete)
        if waiting and self.cycle is before:
            self.transport.abort()
            return
        self._look = self.loop.call_later(REQUEST_S, self._look_again, self.cycle)

    def _leave_alone(self) -> None:
        if self._look is not None:
            self._look.cancel()

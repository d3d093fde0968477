"""What web counts, by what really happens to its websockets."""

from __future__ import annotations

import pytest

import api.hub
from tests.api.conftest import Site
from tests.conftest import Until


async def test_frames_and_slow_clients_are_counted(served: Site, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.hub, "QUEUE_LIMIT", 0)
    counts = served.services.counts
    async with served.socket("operator") as socket:
        await socket.send(t="sub", id=1, ch="events")
        await socket.until("snap_end")
        sent = counts.frames_sent
        assert sent >= 3
        assert counts.clients_cut == 0
        served.book.fire(1)
        await until(lambda: counts.clients_cut == 1)
        assert counts.frames_sent > sent

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridwarden.app import Installation
from gridwarden.cli import publishing
from gridwarden.errors import BrokerUnavailable, ConfigError, Unavailable


@pytest.mark.parametrize(("text", "speed"), [("max", "max"), ("1", 1.0), ("0.5", 0.5), ("1000000", 1e6)])
def test_a_speed(text: str, speed: float | str) -> None:
    assert publishing.speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf", "1000001", ""])
def test_what_is_no_speed(text: str) -> None:
    with pytest.raises(ConfigError, match="--speed"):
        publishing.speed(text)


def test_where_nothing_runs_there_is_no_broker(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="no instance runs on"):
        publishing.running_broker(Installation(None, {"data": tmp_path}), "me")
    with pytest.raises(ConfigError, match="embedded"):
        publishing.running_broker(Installation(None, {"data": tmp_path, "embedded__enabled": False}), "me")


class Ledger:
    """An API whose ledger comes closer each time it is asked."""

    def __init__(self, *entries: tuple[int, int, int]) -> None:
        self._entries = list(entries)

    async def call(self, _method: str, _path: str, _body: Any = None) -> Any:
        entry = self._entries.pop(0) if len(self._entries) > 1 else self._entries[0]
        return dict(zip(("received", "in_flight", "waiting_messages"), entry, strict=True))


async def test_what_was_published_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(0, 0, 4), (4, 6, 0), (10, 3, 0), (10, 0, 2), (11, 0, 0)]
    found = await publishing.until_received(Ledger(*entries), 10)  # type: ignore[arg-type]
    assert (found["received"], found["in_flight"]) == (10, 3)
    drained = await publishing.until_received(Ledger(*entries), 10, drained=True)  # type: ignore[arg-type]
    assert drained["received"] == 11
    monkeypatch.setattr(publishing, "JUDGED_S", 0)
    with pytest.raises(Unavailable, match="3 readings are still on the way"):
        await publishing.until_received(Ledger((7, 0, 0)), 10)  # type: ignore[arg-type]

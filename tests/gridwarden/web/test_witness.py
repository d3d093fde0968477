"""What web finds lost reaches core, however long core is away, and is told nobody else."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gridwarden.errors import CoreUnavailable
from gridwarden.link import LinkClient
from gridwarden.records.block import Gone, StoredBlock
from gridwarden.web import witness as module
from gridwarden.web.witness import CoreWitness


class Link:
    """Core's end, away for the first ``away`` commands."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.heard: list[tuple[str, str, dict[str, Any]]] = []

    async def command(self, command_id: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        if self.away:
            self.away -= 1
            raise CoreUnavailable("core is not there")
        self.heard.append((command_id, name, params))
        return {}


def witness(link: Link) -> CoreWitness:
    return CoreWitness(cast("LinkClient", link), lambda: "e1")


async def test_each_loss_has_its_own_command() -> None:
    link = Link()
    await witness(link).block_damaged(StoredBlock(7, 1, b"?", 3), "checksum does not match")
    await witness(link).readings_gone(Gone(1, 4, 9), 8)
    assert link.heard == [
        ("lost/e1/block/7", "data_lost",
         {"what": "block", "offset": 7, "readings": 3, "reason": "checksum does not match"}),
        ("lost/e1/history/1/4", "data_lost", {"what": "history", "from_offset": 1, "through_offset": 4, "readings": 8}),
    ]  # fmt: skip


async def test_without_readings_nothing_is_lost() -> None:
    link = Link()
    await witness(link).readings_gone(Gone(1, 4, 9), 0)
    assert link.heard == []


async def test_it_waits_for_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda: iter([0.0] * 10))
    link = Link(away=3)
    await witness(link).block_damaged(StoredBlock(7, 1, b"?", 3), "bad")
    assert len(link.heard) == 1

"""What web finds lost goes to core, which writes it down; nothing is passed over before that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from gridwarden.errors import CoreUnavailable
from gridwarden.history.follower import backoff
from gridwarden.link import LinkClient
from gridwarden.records.block import Gone, StoredBlock

_log = structlog.get_logger("web")


class CoreWitness:
    """See :class:`gridwarden.history.follower.Witness`. Waits for core as long as it takes: the history can be late."""

    def __init__(self, link: LinkClient, epoch: Callable[[], str]) -> None:
        """``epoch``: identity of the records, so that a loss is stated once however often it is told."""
        self._link = link
        self._epoch = epoch

    async def block_damaged(self, block: StoredBlock, reason: str) -> None:
        """See the protocol."""
        facts = {"what": "block", "offset": block.offset, "readings": block.reading_count, "reason": reason}
        await self._state(f"block/{block.offset}", facts)

    async def readings_gone(self, gone: Gone, readings: int) -> None:
        """See the protocol. What never held anything has lost nothing."""
        if readings:
            facts = {"what": "history", "from_offset": gone.from_offset, "through_offset": gone.through_offset,
                     "readings": readings}  # fmt: skip
            await self._state(f"history/{gone.from_offset}/{gone.through_offset}", facts)

    async def _state(self, name: str, facts: dict[str, Any]) -> None:
        _log.critical("the history has lost readings", **facts)
        for pause_s in backoff():
            try:
                await self._link.command(f"lost/{self._epoch()}/{name}", "data_lost", facts)
            except CoreUnavailable as error:
                _log.warning("the loss cannot be written down yet", error=str(error))
                await asyncio.sleep(pause_s)
            else:
                return

"""What the disk has lost, as core tells it: an entry of the journal each, and sums that the ledger shows for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from gridwarden.core.windows import Windows
from gridwarden.model import Change, Operation
from gridwarden.records.block import CorruptBlock
from gridwarden.records.damage import REMEMBERED, Losses
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Start, Writer

_log = structlog.get_logger("core")


class LossBook:
    """Everything stated as lost so far. What is added is stated in a transaction, or was stated before."""

    def __init__(self) -> None:
        self._losses = Losses()

    def restore(self, remembered: Mapping[str, str]) -> None:
        """Go on with what the records hold."""
        stored = remembered.get(REMEMBERED)
        self._losses = Losses(**from_json(stored)) if stored else Losses()

    def told(self) -> dict[str, int]:
        """The sums."""
        return self._losses.told()

    def block(self, offset: int, readings: int, reason: str, transaction: Transaction) -> None:
        """The block at ``offset``, with so many readings, cannot be read; told once, whoever comes upon it."""
        if self._losses.add_block(offset, readings):
            self._state({"what": "block", "offset": offset, "readings": readings, "reason": reason}, transaction)

    def windows(self, shard: int, reason: str, from_offset: int, transaction: Transaction) -> None:
        """What was remembered of a shard's devices is rebuilt from the blocks after ``from_offset``, and no older ones."""
        self._state({"what": "windows", "shard": shard, "from_offset": from_offset, "reason": reason}, transaction)

    def history(self, detail: Mapping[str, Any], readings: int, transaction: Transaction) -> None:
        """The history has so many readings no more, and their blocks are gone."""
        self._losses.add_history(readings)
        self._state({"what": "history", **detail, "readings": readings}, transaction)

    def _state(self, detail: dict[str, Any], transaction: Transaction) -> None:
        _log.critical("data is lost", **detail)
        transaction.changes.append(Change(Operation.DATA_LOST, transaction.at_ms, detail=detail))
        transaction.remembered[REMEMBERED] = to_json(self._losses).decode()


def restore_windows(windows: Windows, writer: Writer) -> int:
    """Load the shards and observe the blocks since; returns the readings observed. Damage is left in ``windows``."""
    for shard, offset, body in writer.shards():
        try:
            windows.load(shard, offset, body)
        except CorruptBlock as error:
            windows.broken[shard] = str(error)
    return windows.replay(writer.blocks_after(min(windows.offsets)))


def state_damage(windows: Windows, writer: Writer, start: Start, book: LossBook, transaction: Transaction) -> None:
    """State in ``transaction`` what :func:`restore_windows` could not read.

    Of a block that the history has followed no reading is lost: they were observed, and lie there.
    """
    for shard, reason in windows.broken.items():
        book.windows(shard, reason, start.trimmed, transaction)
    for offset, reason in windows.damaged.items():
        followed = offset <= start.followers.get("history", 0)
        book.block(offset, 0 if followed else writer.reading_count(offset), reason, transaction)

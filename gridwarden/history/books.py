"""What a remote history keeps here: how far it has followed, and the points its database refused.

Two files: ``influx.json``, replaced as a whole, and ``influx-rejected.jsonl``, one refused point a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gridwarden.files import replace_durably
from gridwarden.history import HistoryMismatch, HistoryUnavailable
from gridwarden.history.copying import copy_file

BOOKS = "influx.json"
REJECTED = "influx-rejected.jsonl"
REJECTED_BYTES = 64 << 20
"""From this size the file of refused points becomes ``….1``, and the ``….1`` before it goes: disk is finite."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where the history stands."""

    target: str
    """Address, organisation and bucket: in another bucket the offset would mean nothing."""
    epoch: str = ""
    offset: int = 0
    complete_until_ms: int = 0
    summed_until_ms: int = 0
    """Everything that occurred before is summed up,"""
    stale: tuple[int, ...] = ()
    """but the windows that begin at these times, in order: readings have come since."""
    since_offset: int = -1
    """What follows is counted from here on; -1: nothing is counted yet."""
    since_at_ms: int = 0
    before: int = 0
    """Readings that records had committed up to there."""
    written: int = 0
    refused: int = 0
    dropped: int = 0
    counted_offset: int = 0
    """The offset up to which it was counted: an older program may have followed further without counting."""

    @property
    def counts(self) -> bool:
        """Whether it is counted, without a gap."""
        return self.since_offset >= 0 and self.counted_offset == self.offset


@dataclass(frozen=True, slots=True)
class Rejected:
    """A point that the database will never take."""

    status: int
    reason: str
    line: str


class Books:
    """The two files. One thread at a time writes.

    Raises:
        HistoryMismatch: the file is of another bucket, or cannot be read.
    """

    def __init__(self, directory: Path, target: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.page = _read(directory / BOOKS, target)

    def turn(self, **changes: str | int | tuple[int, ...]) -> None:
        """Store the page with ``changes``, durably, or leave everything as it was."""
        page = replace(self.page, **changes)  # type: ignore[arg-type]
        if page == self.page:
            return
        try:
            replace_durably(self._directory / BOOKS, json.dumps(asdict(page)).encode())
        except OSError as error:
            raise HistoryUnavailable(f"{self._directory / BOOKS}: {error.strerror}") from error
        self.page = page

    def set_aside(self, points: Sequence[Rejected]) -> None:
        """Keep refused points, durably. After a crash a point may stand there twice."""
        path = self._directory / REJECTED
        try:
            if path.exists() and path.stat().st_size >= REJECTED_BYTES:
                path.replace(path.with_name(f"{REJECTED}.1"))
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(point), ensure_ascii=False) + "\n" for point in points)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise HistoryUnavailable(f"{path}: {error.strerror}") from error

    def copy(self, directory: Path) -> None:
        """Copy both files, as far as they are there, into ``directory``."""
        for name in (BOOKS, REJECTED, f"{REJECTED}.1"):
            if (self._directory / name).exists():
                copy_file(self._directory / name, directory / name)


def _read(path: Path, target: str) -> Page:
    try:
        page = Page(**json.loads(path.read_text("utf-8")))
        page = replace(page, stale=tuple(page.stale))
    except FileNotFoundError:
        return Page(target)
    except (ValueError, TypeError) as error:
        raise HistoryMismatch(f"not the books of a history: {error}", path=path) from error
    if page.target != target:
        msg = f"it is about {page.target}, not {target}: name the bucket it was, or move the file away to follow anew"
        raise HistoryMismatch(msg, path=path)
    return page

"""What the writer tells outside of the records with each commit. Fails softly: a commit is durable without it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from gridwarden.records import mark
from gridwarden.records.damage import Held, Loss, compare
from gridwarden.records.database import FILE
from gridwarden.records.log import Index
from gridwarden.records.mark import BadMark, Mark, MarkFile, Position
from gridwarden.records.transaction import Tally

_log = structlog.get_logger("records")


class Marker:
    """Compares once, then marks each commit. One thread at a time."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.records = data / FILE
        self._mark: Mark | None = None
        self._file: MarkFile | None = None
        self._index: Index | None = None
        self._failing = False

    def compare(self, held: Held) -> Loss | None:
        """What was lost since the last mark, as far as there is one; told to the log.

        Raises:
            Damaged: the records contradict the mark, or themselves.
        """
        try:
            marked = mark.read(self._data)
        except BadMark as error:
            _log.error("records.mark is damaged: whether transactions were lost cannot be told", error=str(error))
            marked = None
        loss = compare(marked, held, self.records)
        if marked and marked.epoch != held.epoch:
            _log.warning("records.mark is of other records: whether transactions were lost cannot be told",
                         marked=marked.epoch, records=held.epoch)  # fmt: skip
        if loss:
            _log.critical("transactions of the records are lost", **loss.facts())
        return loss

    def begin(self, held: Held) -> None:
        """Mark where the records stand; from now on they are at work."""
        totals = (held.totals[0], held.totals[1], held.totals[2], held.totals[3], held.totals[4])
        try:
            self._file = self._file or MarkFile(self._data)
            self._index = self._index or Index(self.records)
        except OSError as error:
            self._failed(error)
        self._mark = Mark(held.epoch, held.offset, held.seq, totals, self._position())
        self._write(self._mark)

    def mark(self, offset: int, seq: int, tallies: Iterable[Tally]) -> None:
        """A transaction is durable at ``offset``, and the journal reaches to ``seq``."""
        if self._mark is None:  # the one that states a loss: begin() follows
            return
        received, stored, duplicate, dead_lettered, quarantined = self._mark.totals
        for tally in tallies:
            received += tally.received
            stored += tally.stored
            duplicate += tally.duplicate
            dead_lettered += tally.dead_lettered
            quarantined += tally.quarantined
        totals = (received, stored, duplicate, dead_lettered, quarantined)
        self._mark = Mark(self._mark.epoch, offset, seq, totals, self._position())
        self._write(self._mark)

    def _position(self) -> Position:
        return self._index.position() if self._index else Position()

    def _write(self, marked: Mark) -> None:
        if self._file is None:
            return
        try:
            self._file.write(marked)
        except OSError as error:
            self._failed(error)
        else:
            self._failing = False

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            _log.error("records.mark cannot be written: a loss of transactions could go unnoticed", error=str(error))

    def close(self) -> None:
        """Mark a clean end; to be called after the last connection is closed."""
        if self._index is not None:
            self._index.close()
        if self._file is not None and self._mark is not None:
            moved = not self.records.with_name(f"{FILE}-wal").exists()  # all of it, by the last to leave
            self._write(replace(self._mark, clean=True, log=Position() if moved else self._mark.log))
            with suppress(OSError):  # then the next start looks longer
                self._file.sync()
            self._file.close()
        self._mark = self._file = self._index = None

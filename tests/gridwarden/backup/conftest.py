"""A small installation at rest: records with everything, a followed history, an office, a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from gridwarden.backup.taking import Source, take
from gridwarden.config import Config, load
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.model import Change, DeadLetter, Operation, Reading
from gridwarden.office.registry import Office
from gridwarden.records import database
from gridwarden.records.block import rows_json
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from gridwarden.web.backups import by_ourselves

DAY_MS = 86_400_000
NOW_MS = 1_795_327_200_000


def reading(number: int, at_ms: int = NOW_MS, *, entitled: bool = True) -> Reading:
    return Reading(f"HYD-{number % 7}", "hydrant", "gw", at_ms + number, at_ms + number, number, number, True,
                   {"pressure_mpa": 0.3}, entitled=entitled)  # fmt: skip


def batch(first: int, count: int = 10, at_ms: int = NOW_MS) -> Transaction:
    """A transaction of so many readings, one of them in quarantine, and a dead letter, all of them counted."""
    readings = [reading(first + n, at_ms, entitled=n != 0) for n in range(count)]
    transaction = Transaction(at_ms, rows=rows_json(readings), reading_count=count)
    transaction.quarantined.append(readings[0])
    transaction.dead_letters.append(DeadLetter(at_ms, "b", "t", "not_json", "", b"%d" % first))
    tally = transaction.tally("b", "telemetry")
    tally.received, tally.stored, tally.quarantined, tally.dead_lettered = count + 1, count - 1, 1, 1
    transaction.changes.append(Change(Operation.REGISTRY_CHANGED, at_ms, detail={"version": first}))
    return transaction


class Site:
    """The installation; what is written to it is followed by hand."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        database.migrate(self.data)
        Office.open(self.data / "office.db").close()
        self.writer = Writer(self.data)
        self.writer.start()
        (self.data / "broker").mkdir()
        (self.data / "broker" / "secrets.json").write_text("{}")
        (self.data / "broker" / "js").mkdir()
        (self.data / "broker" / "js" / "message").write_text("waits")
        self.config_path = folder / "gridwarden.toml"
        (folder / "my-rules").mkdir()
        (folder / "my-rules" / "one.yaml").write_text("rules: []\n")
        (folder / "token").write_text("secret\n")
        self.config_path.write_text(
            f'data = "{self.data}"\nrules = ["{folder}/my-rules"]\n[history]\ntoken_file = "{folder}/token"\n'
        )
        self.config: Config = load(self.config_path, {})
        self.history = DuckDBHistory(self.data / "history")
        with_reader = Reader(self.data)
        self.history.begin(with_reader.epoch())
        self.history.begin_account(0, NOW_MS)
        with_reader.close()

    def write(self, first: int, *, follow: bool = True, at_ms: int = NOW_MS) -> int:
        """Ten readings; the offset they came to lie at."""
        offset = self.writer.commit(batch(first, at_ms=at_ms)).offset
        if follow:
            readings = [reading(first + n, at_ms, entitled=n != 0) for n in range(10)]
            self.history.append(readings, offset, at_ms)
        return offset

    def seal(self) -> None:
        self.history.seal(NOW_MS + DAY_MS)

    def source(self, **changed: Any) -> Source:
        values = {"config": self.config, "config_path": self.config_path, "history": self.history,
                  "copy_records": by_ourselves(self.data), "pinned": nullcontext} | changed  # fmt: skip
        return Source(**values)

    def backup(self, folder: Path, **changed: Any) -> dict[str, Any]:
        return take(self.source(**changed), folder, lambda _what, _share: None)

    def close(self) -> None:
        self.history.close()
        self.writer.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Twenty sealed readings, ten hot ones, ten that are not followed."""
    (tmp_path / "site").mkdir()
    made = Site(tmp_path / "site")
    made.write(0)
    made.write(10)
    made.seal()
    made.write(20)
    made.write(30, follow=False)
    yield made
    made.close()

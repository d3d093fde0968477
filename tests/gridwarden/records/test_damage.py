"""Whatever is cut off or flipped in the records' files: everything is there, or the exact loss is stated, or refused."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from structlog.testing import capture_logs

from gridwarden.errors import Damaged, RecordsUnavailable
from gridwarden.model import Change, DeadLetter, Operation, Reading
from gridwarden.records import block, damage, database, mark, schema
from gridwarden.records.damage import Held, Loss, Losses, compare, examine, missing
from gridwarden.records.mark import Mark, MarkFile
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer

AT_MS = 1_800_000_000_000
FILES = ("records.db", "records.db-wal", "records.db-shm", "records.mark")


def transaction(number: int, readings: int, *, filler: int = 0) -> Transaction:
    """Readings, and every third time a change and a dead letter."""
    made = [Reading(f"H-{one}", "hydrant", "gw", AT_MS + number, AT_MS + number, number, number, True, {"leak": False})
            for one in range(readings)]  # fmt: skip
    wanted = Transaction(AT_MS + number)
    if made:
        made[0].values["note"] = os.urandom(filler).hex()
        wanted.rows, wanted.reading_count = block.rows_json(made), len(made)
    tally = wanted.tally("b", "up")
    tally.received = tally.stored = readings
    if number % 3 == 0:
        wanted.changes.append(Change(Operation.REGISTRY_CHANGED, AT_MS, detail={"version": number}))
        wanted.dead_letters.append(DeadLetter(AT_MS, "b", "t", "bad", "", b"x"))
        tally.received += 1
        tally.dead_lettered += 1
    return wanted


@dataclass(frozen=True, slots=True)
class Scene:
    """Records as kill -9 leaves them."""

    folder: Path
    transactions: int
    readings: int

    def copy(self, to: Path) -> Path:
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        for name in FILES:
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, to / name)
        return to


def scene(
    folder: Path, transactions: int, *, filler: int = 0, keep_reading: bool = False, until_moved: bool = False
) -> Scene:
    """Copied away while the writer is at work: what a killed one leaves."""
    data = folder / "work"
    data.mkdir(parents=True)
    database.migrate(data)
    writer = Writer(data)
    writer.start()
    reader = Reader(data)
    held = None
    try:
        for number in range(1, transactions + 1):
            writer.commit(transaction(number, number % 4, filler=filler))
            found = mark.read(data)
            if until_moved and found and found.log.moved == found.log.frames > 0:
                transactions = number
                break
            if keep_reading and number == transactions // 2:
                held = reader._engine.begin()
                held.__enter__().execute(select(schema.meta)).all()
        (folder / "left").mkdir()
        for name in FILES:
            shutil.copyfile(data / name, folder / "left" / name)
    finally:
        if held:
            held.__exit__(None, None, None)
        reader.close()
        writer.close()
    return Scene(folder / "left", transactions, sum(number % 4 for number in range(1, transactions + 1)))


@pytest.fixture(scope="module")
def all_moved(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The last commit has moved the whole log into the database; it lies there still."""
    return scene(tmp_path_factory.mktemp("all"), 1_000, filler=20_000, until_moved=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    refused: str = ""
    loss: Loss | None = None
    readings: int = 0
    dead_letters: int = 0
    entries: tuple[int, ...] = ()
    told: dict[str, int] | None = None
    damaged: int = 0


def start(data: Path) -> Outcome:
    """As the program starts on these files, and what is there then."""
    try:
        examine(data)
        database.migrate(data)
        with closing(Writer(data)) as writer:
            loss = writer.settle()
            begun = writer.start()
            later = writer.commit(transaction(3, 2))
        with closing(Reader(data)) as reader:
            journal = reader.journal(0)
            blocks = reader.blocks(0, 2**40)
    except (Damaged, RecordsUnavailable) as error:
        return Outcome(refused=str(error))
    readings = broken = 0
    for one in blocks:
        try:
            readings += len(block.decode(one.body)) if one.body and one.offset != later.offset else 0
        except block.CorruptBlock:
            broken += one.reading_count
    lost = damage.Losses(**(json.loads(begun.remembered["lost"]) if "lost" in begun.remembered else {}))
    letters = sum(tally.dead_lettered for tally in begun.ledger.values())
    entries = tuple(entry.seq for entry in journal if entry.operation == Operation.REGISTRY_CHANGED)[:-1]
    return Outcome("", loss, readings, letters, entries, lost.told(), broken)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """All of it in the write-ahead log, nothing moved."""
    return scene(tmp_path_factory.mktemp("small"), 20)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The log has been moved into the database once, and begun anew."""
    return scene(tmp_path_factory.mktemp("moved"), 150, filler=20_000)


@pytest.fixture(scope="module")
def half_moved(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A reader keeps the second half from being moved."""
    return scene(tmp_path_factory.mktemp("half"), 150, filler=20_000, keep_reading=True)


def check(whole: Scene, found: Outcome) -> None:
    """Never an unstated loss."""
    if found.refused:
        return
    lost = found.loss.readings if found.loss else 0
    assert found.readings + found.damaged + lost == whole.readings
    assert found.dead_letters + (found.loss.totals["dead_lettered"] if found.loss else 0) == whole.transactions // 3
    assert len(found.entries) + (len(_seqs(found.loss)) if found.loss else 0) == whole.transactions // 3
    assert found.told is not None
    assert found.told["readings"] == lost


def _seqs(loss: Loss) -> range:
    return range(loss.from_seq, loss.through_seq + 1)


@pytest.mark.parametrize("name", ["small", "moved", "half_moved", "all_moved"])
def test_what_a_kill_leaves_is_whole(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    whole: Scene = request.getfixturevalue(name)
    found = start(whole.copy(tmp_path / "data"))
    assert (found.refused, found.loss) == ("", None)
    check(whole, found)


@pytest.mark.parametrize("name", ["small", "moved", "half_moved", "all_moved"])
@given(share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_log_that_is_cut_off_anywhere(
    name: str, share: float, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    whole: Scene = request.getfixturevalue(name)
    data = whole.copy(tmp_path_factory.getbasetemp() / f"cut-{name}")
    wal = data / "records.db-wal"
    os.truncate(wal, int(wal.stat().st_size * share))
    found = start(data)
    assert not found.refused or (name == "half_moved" and "half moved" in found.refused)
    check(whole, found)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """All of it in the database, as a clean end leaves it."""
    whole = scene(tmp_path_factory.mktemp("closed"), 60, filler=2_000)
    with closing(Writer(whole.folder)) as writer:
        writer.start()
    assert not (whole.folder / "records.db-wal").exists()
    return whole


@pytest.mark.parametrize(("name", "file"), [("closed", "records.db"), ("moved", "records.db"), ("moved", "records.db-wal"),
                                            ("half_moved", "records.db-wal"), ("small", "records.db-wal")])  # fmt: skip
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_byte_that_is_flipped_anywhere(
    name: str,
    file: str,
    share: float,
    bit: int,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> None:
    whole: Scene = request.getfixturevalue(name)
    data = whole.copy(tmp_path_factory.getbasetemp() / f"flip-{name}-{file}")
    content = bytearray((data / file).read_bytes())
    content[int(len(content) * share)] ^= 1 << bit
    (data / file).write_bytes(content)
    check(whole, start(data))


# --- exact numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_the_loss_is_stated_to_the_transaction(small: Scene, tmp_path: Path, how: str) -> None:
    data = small.copy(tmp_path / "data")
    with closing(Reader(data)) as reader:
        before = reader.epoch()
    if how == "gone":
        (data / "records.db-wal").unlink()
    else:
        os.truncate(data / "records.db-wal", (data / "records.db-wal").stat().st_size - 4_000)
    with closing(Writer(data)) as writer, capture_logs() as logs:
        loss = writer.settle()
        begun = writer.start()
        committed = writer.commit(transaction(1, 1))
    assert loss is not None
    first = 1 if how == "gone" else 20
    numbers = range(first, 21)
    assert loss.facts() == {
        "what": "transactions", "transactions": len(numbers), "readings": sum(n % 4 for n in numbers),
        "changes": sum(n % 3 == 0 for n in numbers), "from_offset": first, "through_offset": 20,
        "from_seq": 1 if how == "gone" else 7, "through_seq": 6, "stored": sum(n % 4 for n in numbers),
        "received": sum(n % 4 + (n % 3 == 0) for n in numbers), "duplicate": 0, "quarantined": 0,
        "dead_lettered": sum(n % 3 == 0 for n in numbers),
    }  # fmt: skip
    assert [(log["log_level"], log["event"]) for log in logs] == [("critical", "transactions of the records are lost")]
    with closing(Reader(data)) as reader:
        entry = next(entry for entry in reader.journal(0) if entry.operation == "data.lost")
        assert entry.body["detail"] == loss.facts()
        assert entry.seq > 6  # no number is given twice
        assert reader.epoch() == begun.epoch != before
        assert reader.ancestors() == {before: 21}
        assert reader.losses().told()["readings"] == loss.readings
    assert committed.offset > begun.offset > 20


def test_a_second_start_states_nothing_again_and_a_second_loss_adds_up(small: Scene, tmp_path: Path) -> None:
    data = small.copy(tmp_path / "data")
    (data / "records.db-wal").unlink()
    for _ in range(2):
        with closing(Writer(data)) as writer:
            writer.start()
    with closing(Reader(data)) as reader:
        assert reader.losses().transactions == 20
    with closing(Writer(data)) as writer:
        writer.start()
        writer.commit(transaction(30, 2))
        writer.commit(transaction(31, 3))
        left = shutil.copytree(data, tmp_path / "left")
    wal = left / "records.db-wal"
    os.truncate(wal, wal.stat().st_size - 4_000)
    with closing(Writer(left)) as writer:
        loss = writer.settle()
        assert loss is not None
        assert (loss.transactions, loss.readings) == (1, 3)
        writer.start()
    with closing(Reader(left)) as reader:
        losses = reader.losses()
        assert (losses.transactions, losses.readings) == (21, small.readings + 3)
        assert len(losses.gaps) == 2
        assert len(reader.ancestors()) == 2


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_torn_log_that_was_moved_already_costs_nothing(all_moved: Scene, tmp_path: Path, share: float) -> None:
    data = all_moved.copy(tmp_path / "data")
    wal = data / "records.db-wal"
    os.truncate(wal, int(wal.stat().st_size * share))
    with capture_logs() as logs:
        found = start(data)
    assert (found.refused, found.loss) == ("", None)
    check(all_moved, found)
    assert [log["aside"] for log in logs] == [str(data / "records.db-wal.torn")]
    assert (data / "records.db-wal.torn").exists()


# --- what is refused, and what is not -----------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [True, False])
def test_records_that_are_gone_are_not_silently_begun_anew(closed: Scene, tmp_path: Path, *, gone: bool) -> None:
    data = closed.copy(tmp_path / "data")
    path = data / "records.db"
    path.unlink() if gone else path.write_bytes(b"")
    with pytest.raises(Damaged, match=f"it is {'gone' if gone else 'empty'}.*remove records.mark"):
        examine(data)
    with pytest.raises(Damaged), closing(Writer(data)) as writer:  # core alone is started again
        writer.start()
    with pytest.raises(Damaged):  # still: nothing was made there
        examine(data)
    (data / "records.mark").unlink()
    for left in ("records.db", "records.db-wal", "records.db-shm"):
        (data / left).unlink(missing_ok=True)
    assert start(data).refused == ""


def test_a_log_without_its_database_is_refused(small: Scene, tmp_path: Path) -> None:
    data = small.copy(tmp_path / "data")
    (data / "records.db").unlink()
    (data / "records.mark").unlink()
    with pytest.raises(Damaged, match="its write-ahead log is not"):
        examine(data)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"hello" * 1000, "no SQLite database"), (b"SQLite format 3\0" + b"\0" * 4080, "file is not a database")],
)
def test_what_is_no_database_is_refused(closed: Scene, tmp_path: Path, content: bytes, reason: str) -> None:
    data = closed.copy(tmp_path / "data")
    (data / "records.db").write_bytes(content)
    with pytest.raises(Damaged, match=reason) as caught:
        examine(data)
    assert caught.value.path == data / "records.db"
    assert "docs/guide/damage.md" in str(caught.value)
    assert (data / "records.db").read_bytes() == content


def spoil(data: Path, how: str) -> None:
    with closing(sqlite3.connect(data / "records.db", isolation_level=None)) as connection:
        if how == "json":
            connection.execute("UPDATE journal SET body = '{' WHERE seq = 2")
            return
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'rule_text'").fetchone()
    with (data / "records.db").open("r+b") as file:  # which nobody reads at a start
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)


@pytest.mark.parametrize("how", ["page", "json"])
def test_small_records_are_looked_through_and_large_ones_after_a_stop_that_was_not_clean(
    closed: Scene, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = closed.copy(tmp_path / "data")
    spoil(data, how)
    with pytest.raises(Damaged, match={"page": "rule_text|malformed|btree|Page", "json": "journal.body"}[how]):
        examine(data)
    monkeypatch.setattr(damage, "CHECKED_BYTES", 0)
    examine(data)
    found = mark.read(data)
    assert found is not None
    file = MarkFile(data)
    file.write(replace(found, clean=False))
    file.close()
    with pytest.raises(Damaged):
        examine(data)


def test_records_without_a_mark_get_one(closed: Scene, tmp_path: Path) -> None:
    data = closed.copy(tmp_path / "data")
    (data / "records.mark").unlink()
    assert start(data).loss is None
    found = mark.read(data)
    assert found is not None
    assert found.clean
    assert found.offset == closed.transactions + 1


def test_a_mark_that_is_damaged_or_of_other_records_claims_nothing_and_says_so(closed: Scene, tmp_path: Path) -> None:
    data = closed.copy(tmp_path / "data")
    (data / "records.mark").write_bytes(b"?" * 1024)
    with capture_logs() as logs:
        assert start(data).loss is None
    assert any("records.mark is damaged" in log["event"] for log in logs)
    file = mark.MarkFile(data)
    file.write(Mark("f" * 16, 10_000, 9, (0, 0, 0, 0, 0)))
    file.close()
    with capture_logs() as logs:
        assert start(data).loss is None
    assert any("of other records" in log["event"] for log in logs)


def test_a_commit_whose_mark_was_not_written_is_no_loss(small: Scene, tmp_path: Path) -> None:
    data = small.copy(tmp_path / "data")
    found = mark.read(data)
    assert found is not None
    file = mark.MarkFile(data)
    file.write(replace(found, offset=19, totals=(1, 1, 0, 0, 0)))
    file.close()
    assert start(data).loss is None


def test_a_mark_that_cannot_be_written_stops_no_commit(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_file: MarkFile, _mark: Mark) -> None:
        raise OSError(5, "Input/output error")

    with closing(Writer(data)) as writer, capture_logs() as logs:
        writer.start()
        monkeypatch.setattr(MarkFile, "write", fails)
        assert [writer.commit(transaction(number, 1)).offset for number in (1, 2)] == [1, 2]
    assert [log["event"] for log in logs] == [
        "records.mark cannot be written: a loss of transactions could go unnoticed"
    ]


def test_a_log_that_is_torn_while_it_is_being_moved_is_refused(small: Scene, tmp_path: Path) -> None:
    data = small.copy(tmp_path / "data")
    found = mark.read(data)
    assert found is not None
    os.truncate(data / "records.db-wal", (data / "records.db-wal").stat().st_size // 2)
    with pytest.raises(Damaged, match="half moved"):
        examine(data, (found.log, found.log.frames))
    examine(data, (replace(found.log, salt=b"another!"), found.log.frames))


# --- the rule, pure -----------------------------------------------------------------------------------------------

MARKED = Mark("e", 10, 5, (20, 12, 3, 4, 1))
WHOLE = Held("e", 10, 5, (20, 12, 3, 4, 1))


def test_only_a_mark_of_the_same_records_can_claim_anything() -> None:
    path = Path("records.db")
    assert compare(None, WHOLE, path) is None
    assert compare(MARKED, WHOLE, path) is None
    assert compare(MARKED, replace(WHOLE, offset=11, totals=(21, 13, 3, 4, 1)), path) is None
    assert compare(MARKED, Held("other", 2, 0, (0, 0, 0, 0, 0)), path) is None
    loss = compare(MARKED, Held("e", 7, 5, (18, 11, 3, 4, 0)), path)
    assert loss is not None
    assert (loss.transactions, loss.readings, loss.facts()["changes"]) == (3, 2, 0)


@pytest.mark.parametrize(
    "held", [replace(WHOLE, seq=4), replace(WHOLE, totals=(19, 11, 3, 4, 1)), replace(WHOLE, missing=1)]
)
def test_records_that_contradict_themselves_are_refused(held: Held) -> None:
    with pytest.raises(Damaged):
        compare(MARKED, held, Path("records.db"))


@pytest.mark.parametrize(
    ("first", "last", "count", "gaps", "wanted"),
    [
        (0, 0, 0, [], 0), (1, 10, 10, [], 0), (1, 10, 9, [], 1), (1, 10, 8, [[3, 4]], 0), (5, 10, 6, [[3, 4]], 0),
        (4, 10, 6, [[3, 4]], 0), (1, 20, 14, [[3, 4], [11, 14]], 0), (1, 20, 13, [[3, 4], [11, 14]], 1),
    ],
)  # fmt: skip
def test_what_is_missing_between_others(first: int, last: int, count: int, gaps: list[list[int]], wanted: int) -> None:
    assert missing(first, last, count, gaps) == wanted


def test_a_damaged_block_is_counted_once() -> None:
    losses = Losses()
    assert losses.add_block(5, 3)
    assert not losses.add_block(5, 3)
    losses.add_history(4)
    assert losses.told() == {
        "transactions": 0, "changes": 0, "readings": 7, "transaction_readings": 0, "block_readings": 3,
        "history_readings": 4, "dead_letters": 0, "office_changes": 0,
    }  # fmt: skip

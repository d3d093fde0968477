"""The writer: all of a transaction or nothing, on real files and really full disks."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gridwarden.errors import RecordsUnavailable
from gridwarden.model import (
    Alarm,
    AlarmState,
    Change,
    DeadLetter,
    EventState,
    GridEvent,
    Operation,
    Reading,
    Severity,
)
from gridwarden.quieting import Matchers, Quieting, QuietingKind
from gridwarden.records import database, schema
from gridwarden.records.block import decode, rows_json
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Answer, RuleText, SeenUnregistered, Snapshot, Transaction
from gridwarden.records.writer import COMMANDS_KEPT_MS, Writer

NOW_MS = 1_800_000_000_000
ALARM = Alarm("A", "smoke.fire", "1", "S", "S", "smoke", "3301", Severity.CRITICAL, AlarmState.FIRING, 1,
              fired_at_ms=2, event_id="E")  # fmt: skip
EVENT = GridEvent("E", "F20270115-0001", "fire/device:S", "fire", "smoke.fire", Severity.HIGH, EventState.OPEN, "3301",
                  "S", "smoke", 2, 3)  # fmt: skip

QUIETING = Quieting(1, QuietingKind.SILENCE, "3301", Matchers(rules=("smoke.*",)), False, 1, 9, "op", "u1", "works", 1)


def readings(count: int = 1, size: int = 10) -> list[Reading]:
    return [
        Reading("S", "smoke", "g", NOW_MS + n, NOW_MS, n, n, True, {"fault_text": chr(48 + n % 10) * size})
        for n in range(count)
    ]


def everything(at_ms: int = NOW_MS) -> Transaction:
    """One of everything."""
    read = readings(3)
    transaction = Transaction(at_ms, rows_json(read), 3)
    transaction.alarms["A"] = ALARM
    transaction.events["E"] = EVENT
    transaction.changes = [Change(Operation.ALARM_FIRED, at_ms, "3301", ALARM, EVENT)]
    transaction.dead_letters = [DeadLetter(at_ms, "b", "t", "not_json", "", b"\xff")]
    transaction.quarantined = [read[0]]
    transaction.unregistered = {"S": SeenUnregistered("smoke", "g", at_ms, 2)}
    transaction.counters = {"case:F20270115": 1}
    tally = transaction.tally("b", "telemetry")
    tally.received, tally.stored, tally.dead_lettered, tally.quarantined, tally.redelivered = 4, 2, 1, 1, 5
    transaction.snapshot = Snapshot(7, b"shard")
    transaction.followers = {"history": 0}
    transaction.answers = [Answer("c1", {"x": 1})]
    transaction.quietings = {1: QUIETING}
    transaction.rule_texts = [RuleText("smoke.fire", "1", "smoke", {"when": "state == 'alarm'"})]
    return transaction


def counts(data: Path) -> dict[str, int]:
    engine = database.connect(data, read_only=True)
    with engine.begin() as connection:
        found = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in schema.metadata.sorted_tables
            if table.name != "meta"
        }
    engine.dispose()
    return found


def test_everything_of_a_transaction_is_there_for_the_next_start(data: Path, writer: Writer) -> None:
    committed = writer.commit(everything())
    assert (committed.offset, committed.first_seq) == (1, 1)
    assert writer.commit(Transaction(NOW_MS)).offset == 2
    assert set(counts(data).values()) == {1, 2}
    again = Writer(data)
    start = again.start()
    assert (start.offset, start.alarms, start.events) == (2, [ALARM], [EVENT])
    assert (start.counters, start.followers) == ({"case:F20270115": 1}, {"history": 0})
    assert start.ledger == everything().tallies
    assert start.spool_bytes == committed.spool_bytes
    assert start.quietings == [QUIETING]
    assert again.shards() == [(7, 1, b"shard")]
    ((first, body), (second, nothing)) = again.blocks_after(0)
    assert (first, decode(body), second, nothing) == (1, readings(3), 2, b"")
    assert again.answer("c1") == {"x": 1}
    assert again.answer("c2") is None
    assert again.alarm("A") == ALARM
    assert again.alarms_of("E") == [ALARM]
    assert again.event("E") == EVENT
    assert again.event("F") is None
    again.close()


def test_of_what_is_to_be_remembered_the_last_word_counts(writer: Writer) -> None:
    writer.commit(Transaction(NOW_MS, remembered={"part.a": "1", "part.b": "2"}))
    writer.commit(Transaction(NOW_MS, remembered={"part.a": "3"}))
    remembered = writer.start().remembered
    assert (remembered["part.a"], remembered["part.b"]) == ("3", "2")


def test_what_no_longer_quiets_is_not_read_at_the_start(writer: Writer) -> None:
    writer.commit(everything())
    ended = everything()
    ended.quietings = {1: replace(QUIETING, ended_at_ms=5, ended_by="op")}
    writer.commit(ended)
    assert writer.start().quietings == []


def test_alarms_that_are_over_since_a_time(writer: Writer) -> None:
    transaction = Transaction(NOW_MS)
    for number, (rule, cleared_at_ms) in enumerate([("a.b", 10), ("a.b", 20), ("a.c", 20)]):
        one = replace(
            ALARM, alarm_id=f"A{number}", rule_id=rule, state=AlarmState.RESOLVED, cleared_at_ms=cleared_at_ms
        )
        transaction.alarms[one.alarm_id] = one
    writer.commit(transaction)
    assert [one.alarm_id for one in writer.over_since({"a.b"}, 10)] == ["A1"]
    assert writer.over_since((), 0) == []


def test_later_transactions_overwrite_and_add(data: Path, writer: Writer, reader: Reader) -> None:
    writer.commit(everything())
    second = everything()
    second.alarms["A"] = replace(ALARM, state=AlarmState.RESOLVED, revision=2)
    second.answers = [Answer("c1", {"x": 2})]
    second.unregistered["S"].kind = "lift"
    assert writer.commit(second).first_seq == 2
    assert reader.alarm("A").state is AlarmState.RESOLVED
    assert writer.answer("c1") == {"x": 1}  # the first answer is the answer
    (seen,) = reader.unregistered()
    assert (seen["kind"], seen["reading_count"]) == ("lift", 4)
    ledger = reader.ledger()
    assert (ledger["received"], ledger["stored"], ledger["redelivered"]) == (8, 4, 10)
    assert counts(data)["alarm"] == 1


def test_a_pending_alarm_that_never_fired_is_gone(writer: Writer) -> None:
    writer.commit(everything())
    later = Transaction(NOW_MS)
    later.forgotten = {"A", "unknown"}
    writer.commit(later)
    assert writer.alarm("A") is None


def test_answers_are_forgotten_after_a_while(writer: Writer) -> None:
    writer.commit(everything())
    later = Transaction(NOW_MS + COMMANDS_KEPT_MS + 1)
    later.answers = [Answer("c2", {})]
    writer.commit(later)
    assert writer.answer("c1") is None
    assert writer.answer("c2") == {}


def trimming(through: int, before_ms: int) -> Transaction:
    transaction = Transaction(NOW_MS)
    transaction.trim_through, transaction.trim_before_ms = through, before_ms
    return transaction


def test_blocks_go_in_order_when_old_and_followed_and_the_spool_is_counted(writer: Writer, data: Path) -> None:
    size = sum(
        writer.commit(Transaction(NOW_MS - age, rows_json(readings()), 1)).spool_bytes for age in (50, 40, 5, 30)
    )
    committed = writer.commit(trimming(4, NOW_MS - 20))
    after_ms = [writer.committed_after_ms(offset) for offset in (0, 3, 4, 5)]
    assert after_ms == [NOW_MS - 5, NOW_MS - 30, NOW_MS, None]
    left = [offset for offset, _ in writer.blocks_after(0)]
    assert left == [3, 4, 5]  # 4 is old, and stays behind 3: its clock had been set back
    assert committed.trimmed == 2
    size += committed.spool_bytes
    again = Writer(data)
    start = again.start()
    assert (start.spool_bytes, start.trimmed, start.offset) == (size, 2, 5)
    again.close()
    assert writer.commit(trimming(3, NOW_MS + 1)).trimmed == 3
    assert writer.commit(trimming(3, NOW_MS + 1)).trimmed == 0


def test_reads_work_while_a_commit_is_under_way(data: Path, writer: Writer) -> None:
    writer.commit(everything())
    other = Writer(data)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with other._engine.begin():
            held.set()
            free.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    try:
        assert writer.alarm("A") == ALARM
        assert writer.answer("c1") == {"x": 1}
    finally:
        free.set()
        thread.join()
        other.close()


def test_a_full_database_takes_nothing_and_later_the_same_transaction(data: Path, writer: Writer) -> None:
    writer.commit(Transaction(NOW_MS))
    before = counts(data)
    with writer._engine.connect().execution_options(reads=True) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    transaction = everything()
    transaction.rows = rows_json([*readings(2000, 150), replace(readings()[0], key=2**64 - 1)])
    transaction.dead_letters[0] = DeadLetter(NOW_MS, "b", "t", "c", "", b"\xff" * 100_000)
    for _ in range(2):
        with pytest.raises(RecordsUnavailable, match="full"):
            writer.commit(transaction)
    assert counts(data) == before
    with writer._engine.connect().execution_options(reads=True) as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    committed = writer.commit(transaction)
    assert (committed.offset, committed.first_seq) == (2, 1)
    assert counts(data)["alarm"] == 1
    ((_, body),) = writer.blocks_after(1)
    assert len(decode(body)) == 2001


LIMITED = """
import resource, signal, sys
from pathlib import Path
from gridwarden.errors import RecordsUnavailable
from gridwarden.model import DeadLetter
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer

data = Path(sys.argv[1])
writer = Writer(data)
writer.start()
writer.commit(Transaction(1))
transaction = Transaction(2)
transaction.dead_letters = [DeadLetter(2, "b", "t", "c", "", bytes(8_000_000))]
wal = (data / "records.db-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 1_000_000, resource.RLIM_INFINITY))
try:
    writer.commit(transaction)
except RecordsUnavailable as error:
    print("unavailable", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("offset", writer.commit(transaction).offset)
"""


def test_a_disk_that_takes_no_more_leaves_nothing_behind(data: Path) -> None:
    """The system refuses the write half way, as on a full disk; afterwards the same transaction commits."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(data)], capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))),
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert lines[0].startswith("unavailable")
    assert lines[1:] == ["offset 2"]
    assert counts(data)["dead_letter"] == 1
    assert counts(data)["intake_block"] == 2


def test_a_file_locked_by_another_is_unavailable_not_a_crash(data: Path, writer: Writer) -> None:
    other = Writer(data)
    with writer._engine.connect().execution_options(reads=True) as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 1")
    with other._engine.begin(), pytest.raises(RecordsUnavailable, match="locked"):
        writer.commit(everything())
    assert writer.commit(everything()).offset == 1
    other.close()


def test_killed_at_any_moment_what_was_committed_is_there(data: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom gridwarden.records.transaction import Transaction\n"
        "from gridwarden.records.writer import Writer\nw = Writer(Path(sys.argv[1])); w.start()\n"
        "while True: print(w.commit(Transaction(1)).offset, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(data)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        said = [int(child.stdout.readline()) for _ in range(30)]
        child.kill()
        said += [int(line) for line in child.stdout if line.endswith("\n")]
    writer = Writer(data)
    assert writer.start().offset in {said[-1], said[-1] + 1}
    writer.close()

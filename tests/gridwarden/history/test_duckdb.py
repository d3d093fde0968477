"""What is DuckDB's own: crashes, leftovers, full disks, growing kinds, reads beside sealing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import duckdb
import pytest

from gridwarden.history import HistoryDamaged, HistoryMismatch, HistoryUnavailable
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.kinds import KINDS, Field, FieldType, Kind
from gridwarden.model import Reading

DAY_MS = 86_400_000
START_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
ALWAYS = (0, 2**62)
ROOT = Path(__file__).parents[3]


def reading(number: int = 0, device_id: str = "H-1", kind: str = "hydrant", **values: object) -> Reading:
    at_ms = START_MS + number
    return Reading(device_id, kind, "gw", at_ms, at_ms, number, number, True, values or {"pressure_mpa": 0.4})


def child(directory: Path, code: str) -> subprocess.Popen[str]:
    """A process that has ``history`` open in ``directory`` and prints ``ready`` before it runs ``code``."""
    head = f"""
        import resource, signal, sys
        from pathlib import Path
        sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
        from test_duckdb import *
        history = DuckDBHistory(Path({str(directory)!r}))
        print("ready", flush=True)
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == line:
            return
    pytest.fail(f"the child ended without saying {line!r}")


@pytest.mark.parametrize("pause_s", [0.05, 0.31, 0.7])
def test_a_kill_loses_nothing_and_repeats_nothing(tmp_path: Path, pause_s: float) -> None:
    process = child(
        tmp_path,
        """
        offset = history.offset()
        print("appending", flush=True)
        while True:
            offset += 1
            history.append([reading(offset * 50 + n, f"H-{n}") for n in range(50)], offset, offset)
            if offset % 5 == 0:
                history.seal(START_MS + DAY_MS)
        """,
    )
    with process:
        wait_for_line(process, "appending")
        time.sleep(pause_s)  # not for a condition: any moment will do
        process.send_signal(signal.SIGKILL)
    history = DuckDBHistory(tmp_path)
    offset = history.offset()
    assert offset == history.complete_until_ms()
    assert history.count() == 50 * offset
    assert history.counts() == ({f"H-{n}": offset for n in range(50)} if offset else {})
    points = history.series("H-7", "pressure_mpa", *ALWAYS, 1_000_000)
    assert points.t_ms == [START_MS + (n + 1) * 50 + 7 for n in range(offset)]
    history.append([reading(9_999_999)], offset + 1, 0)
    history.close()


def test_files_that_nobody_lists_are_removed_at_start(tmp_path: Path) -> None:
    history = DuckDBHistory(tmp_path)
    history.append([reading()], 1, 0)
    history.seal(START_MS + DAY_MS)
    history.close()
    (listed,) = tmp_path.glob("sealed/*/*")
    (listed.parent / "2026-01-01-00-g7.parquet").write_bytes(b"left over")
    (listed.parent / "2026-01-01-00-g8.tmp").write_bytes(b"left over")
    DuckDBHistory(tmp_path).close()
    assert list(tmp_path.glob("sealed/*/*")) == [listed]


def test_a_missing_sealed_file_is_told_before_anything_is_removed(tmp_path: Path) -> None:
    history = DuckDBHistory(tmp_path)
    history.append([reading()], 1, 0)
    history.seal(START_MS + DAY_MS)
    history.close()
    (listed,) = tmp_path.glob("sealed/*/*")
    moved = listed.rename(listed.with_name("elsewhere.parquet"))
    with pytest.raises(HistoryDamaged, match=f"1 sealed files with 1 readings.*{listed.name}"):
        DuckDBHistory(tmp_path)
    assert moved.exists()


def test_sealed_files_outlive_the_database_that_lists_them(tmp_path: Path) -> None:
    history = DuckDBHistory(tmp_path)
    history.begin("records-1")
    history.append([reading(), reading(1)], 1, 0)
    history.seal(START_MS + DAY_MS)
    history.close()
    (tmp_path / "history.duckdb").unlink()
    for _ in range(2):  # also when a new one was made by the first try
        with pytest.raises(HistoryDamaged, match="is new, and 1 sealed files with 2 readings lie below"):
            DuckDBHistory(tmp_path)
    assert len(list(tmp_path.glob("sealed/*/*"))) == 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_torn_log_takes_rows_and_offset_back_together(tmp_path: Path, share: float) -> None:
    history = DuckDBHistory(tmp_path / "one")
    history.begin("records-1")
    for number in range(1, 61):
        history.append([reading(number)], number, 0)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    history.close()
    log = tmp_path / "two" / "history.duckdb.wal"
    os.truncate(log, int(log.stat().st_size * share))
    history = DuckDBHistory(tmp_path / "two")
    assert 0 < history.count() == history.offset() < 60
    history.close()


def test_an_emptied_or_flipped_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    DuckDBHistory(tmp_path).close()
    path = tmp_path / "history.duckdb"
    for content in (b"", path.read_bytes()[:4200] + b"?" + path.read_bytes()[4201:]):
        path.write_bytes(content)
        with pytest.raises(HistoryUnavailable):
            DuckDBHistory(tmp_path)
        assert path.read_bytes() == content


def test_a_later_generation_replaces_the_file_once_nobody_reads(tmp_path: Path) -> None:
    history = DuckDBHistory(tmp_path)
    for number in range(3):
        history.append([reading(number)], number + 1, 0)
        history.seal(START_MS + DAY_MS)
    assert [file.name[-10:] for file in tmp_path.glob("sealed/*/*")] == ["g3.parquet"]
    with history._retired.reading():
        history.append([reading(3)], 4, 0)
        history.seal(START_MS + DAY_MS)
        assert len(list(tmp_path.glob("sealed/*/*"))) == 2
    assert [file.name[-10:] for file in tmp_path.glob("sealed/*/*")] == ["g4.parquet"]
    history.close()


def test_readers_beside_appending_and_sealing_see_every_row_once(tmp_path: Path) -> None:
    history = DuckDBHistory(tmp_path)
    history.append([reading(number) for number in range(100)], 1, 0)
    over = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not over.is_set():
            before = history.complete_until_ms()
            times = history.series("H-1", "pressure_mpa", *ALWAYS, 100_000).t_ms
            if times != [START_MS + n for n in range(len(times))] or len(times) < max(before, 100):
                wrong.append(times)
            latest = history.latest("H-1")
            if latest is None or latest.occurred_at_ms < times[-1]:
                wrong.append(latest)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(100, 140):
        history.append([reading(number)], number, number + 1)
        history.seal(START_MS + number - 2)
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong
    history.close()


def grown(name: str, *fields: Field) -> dict[str, Kind]:
    return KINDS | {name: Kind(name, {f.name: f for f in fields}, frozenset())}


def test_a_kind_may_gain_fields(tmp_path: Path) -> None:
    level = Field("level_m", FieldType.FLOAT, 0, 10)
    history = DuckDBHistory(tmp_path, kinds=grown("tank", level))
    early = [reading(n, "T-1", "tank", level_m=1.1, turbidity_ntu=3) for n in range(2)]
    history.append(early[:1], 1, 0)
    history.seal(START_MS + DAY_MS)
    history.append(early[1:], 2, 0)
    history.close()
    history = DuckDBHistory(tmp_path, kinds=grown("tank", level, Field("turbidity_ntu", FieldType.INT, 0, 99)))
    history.append([reading(2, "T-1", "tank", turbidity_ntu=4)], 3, 0)
    for _ in range(2):
        assert history.series("T-1", "turbidity_ntu", *ALWAYS, 10).values == [3, 3, 4]
        assert history.buckets("T-1", "turbidity_ntu", *ALWAYS, DAY_MS).mean == [pytest.approx(10 / 3)]
        assert history.series("T-1", "level_m", *ALWAYS, 10).values == [1.1, 1.1]
        history.seal(START_MS + DAY_MS)
    history.close()


def test_a_field_may_become_wider_but_not_another_thing(tmp_path: Path) -> None:
    def kinds(field_type: FieldType, high: float) -> dict[str, Kind]:
        return grown("tank", Field("volume", field_type, 0, high))

    history = DuckDBHistory(tmp_path, kinds=kinds(FieldType.INT, 100))
    history.append([reading(0, "T-1", "tank", volume=5)], 1, 0)
    history.seal(START_MS + DAY_MS)
    history.append([reading(1, "T-1", "tank", volume=6)], 2, 0)
    history.close()
    history = DuckDBHistory(tmp_path, kinds=kinds(FieldType.FLOAT, 2**53))
    history.append([reading(2, "T-1", "tank", volume=2.0**52 + 0.5)], 3, 0)
    assert history.series("T-1", "volume", *ALWAYS, 10).values == [5, 6, 2.0**52 + 0.5]
    history.seal(START_MS + DAY_MS)
    assert history.series("T-1", "volume", *ALWAYS, 10).values == [5, 6, 2.0**52 + 0.5]
    history.close()
    with pytest.raises(HistoryMismatch, match="volume holds DOUBLE, the kind now says VARCHAR"):
        DuckDBHistory(tmp_path, kinds=kinds(FieldType.TEXT, 100))


def test_files_of_a_later_program_are_refused(tmp_path: Path) -> None:
    DuckDBHistory(tmp_path).close()
    with duckdb.connect(str(tmp_path / "history.duckdb")) as connection:
        connection.execute("UPDATE state SET schema_version = 99")
    with pytest.raises(HistoryMismatch, match="schema version 99"):
        DuckDBHistory(tmp_path)


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with child(tmp_path, "input()") as process:
        wait_for_line(process, "ready")
        with pytest.raises(HistoryUnavailable, match="lock"):
            DuckDBHistory(tmp_path)
        process.kill()


def test_after_a_full_disk_it_goes_on_where_it_was(tmp_path: Path) -> None:
    # A limit on file sizes stands for the full disk: writes fail in the middle, then may succeed again.
    process = child(
        tmp_path,
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        def block(offset, text):
            return [reading(offset * 5000 + n, f"{text}-{n}", fault_text=f"{offset} {n} {text * 20}") for n in range(5000)]
        history.append(block(1, "a"), 1, 1)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        largest = max(file.stat().st_size for file in Path(history._path).parent.glob("history*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 4096, hard))
        failed = 0
        for _ in range(3):
            try:
                history.append(block(2, "b") * 20, 2, 2)
            except HistoryUnavailable as error:
                failed += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert failed == 3, failed
        assert (history.offset(), history.count()) == (1, 5000), (history.offset(), history.count())
        history.append(block(2, "c"), 2, 2)
        history.close()
        print("went on", flush=True)
        """,
    )
    with process:
        wait_for_line(process, "went on")
    history = DuckDBHistory(tmp_path)
    assert (history.offset(), history.count(), len(history.counts())) == (2, 10_000, 10_000)
    latest = history.latest("c-4999")
    assert latest is not None
    assert latest.occurred_at_ms == START_MS + 14_999
    history.close()


def test_a_failed_sealing_leaves_everything_as_it_was(tmp_path: Path) -> None:
    history = DuckDBHistory(tmp_path)
    history.append([reading(number) for number in range(5)], 1, 0)
    blocked = tmp_path / "sealed" / "hydrant"
    blocked.rename(tmp_path / "aside")
    with pytest.raises(HistoryUnavailable):
        history.seal(START_MS + DAY_MS)
    (tmp_path / "aside").rename(blocked)
    assert len(history.series("H-1", "pressure_mpa", *ALWAYS, 10).t_ms) == 5
    assert history.seal(START_MS + DAY_MS).rows == 5
    assert history.count() == 5
    history.close()


def test_what_is_closed_stays_closed(tmp_path: Path) -> None:
    history = DuckDBHistory(tmp_path)
    history.close()
    with pytest.raises(HistoryUnavailable, match="closed"):
        history.count()
    with pytest.raises(HistoryUnavailable, match="closed"):
        history.append([reading()], 1, 0)

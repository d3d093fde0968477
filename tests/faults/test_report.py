"""The book and the report made of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gridwarden import __version__
from tests.faults import book
from tests.faults.book import Run, enter, entering, read
from tests.faults.report import report

ROOT = Path(__file__).parents[2]
FINE = Run("core killed", acknowledged=1_000, events=22, seed="7", test="tests/x.py::y[7]", at="2026-11-22T10:00:00+00:00", version="0.1.0")  # fmt: skip
TORN = replace(FINE, fault="a file cut off", lost=3, stated_loss=3, medium_damaged=True, at="2026-11-23T01:00:00+00:00")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(book.PLACE, str(tmp_path / "book"))
    return tmp_path / "book"


def test_runs_are_added_up_by_fault_and_together() -> None:
    text = report([FINE, FINE, replace(FINE, fault="broker killed", acknowledged=5), TORN])

    assert "4 runs from 2026-11-22 to 2026-11-23 with version 0.1.0: every one kept what is promised." in text
    assert "| core killed | 2 | 2,000 | 0 | 0 | 44 | 0 | 0 |" in text
    assert "| **together** | **3** | **2,005** | **0** | **0** | **66** | **0** | **0** |" in text
    assert "| a file cut off | 1 | 1,000 | 3 | 3 | 0 | 22 | 0 | 0 |" in text, "damaged media have a table of their own"
    assert "What did not hold" not in text


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (replace(FINE, lost=1), "lost 1"),
        (replace(FINE, doubled=2), "doubled 2"),
        (replace(FINE, events_lost=1), "events lost 1"),
        (replace(FINE, events_doubled=1), "events doubled 1"),
        (replace(FINE, wrong="AssertionError: the ledger"), "`AssertionError: the ledger`"),
        (replace(FINE, lost=1, stated_loss=1), "lost 1"),
        (replace(TORN, stated_loss=2), "lost 3; stated 2"),
        (replace(TORN, stated_loss=4), "lost 3; stated 4"),
        (replace(TORN, doubled=1), "lost 3; doubled 1; stated 3"),
    ],
)
def test_a_run_that_broke_the_promise_is_named_with_what_it_takes_to_play_it_again(run: Run, told: str) -> None:
    text = report([FINE, run])

    assert "2 runs" in text
    assert "**1 did not keep what is promised**" in text
    assert f"- {run.fault}, seed 7 (`tests/x.py::y[7]`): {told}" in text


def test_what_is_entered_says_which_test_when_and_of_what_version(place: Path) -> None:
    enter(Run("core killed", acknowledged=3))

    (run,) = read(place)
    assert run.acknowledged == 3
    assert run.test.endswith("::test_what_is_entered_says_which_test_when_and_of_what_version")
    assert run.version == __version__
    assert run.at


def fail_after_counting() -> None:
    with entering("fault", "2") as draft:
        draft.run = replace(draft.run, acknowledged=9, lost=4)
        raise AssertionError("the ledger\nis off")


def test_a_run_is_entered_red_as_well_as_green(place: Path) -> None:
    with entering("fault", "1") as draft:
        draft.run = replace(draft.run, acknowledged=9)
    with pytest.raises(AssertionError):
        fail_after_counting()
    with pytest.raises(TimeoutError), entering("fault", "3"):
        raise TimeoutError

    green, red, unplayed = read(place)
    assert green.kept
    assert (red.lost, red.wrong, red.seed) == (4, "AssertionError: the ledger", "2")
    assert unplayed.wrong.startswith("TimeoutError")
    assert not red.kept
    assert not unplayed.kept


def test_without_a_place_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(book.PLACE, raising=False)
    monkeypatch.chdir(tmp_path)
    enter(FINE)
    assert list(tmp_path.iterdir()) == []


def program(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.report", place], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_report_fails_after_it_was_written_if_a_promise_was_not_kept(place: Path) -> None:
    enter(FINE)
    enter(TORN)
    good = program(place)
    enter(replace(FINE, lost=1))
    bad = program(place)

    assert (good.returncode, bad.returncode) == (0, 1)
    assert "| core killed | 1 |" in good.stdout
    assert "| core killed | 2 | 2,000 | 1 |" in bad.stdout


def test_a_book_without_runs_proves_nothing(place: Path) -> None:
    place.touch()
    assert program(place).returncode == 1


SUITE = """
import pytest
from tests.faults.book import Run, enter

@pytest.mark.parametrize("number", [1, 2])
def test_some(number):
    enter(Run("fault"))
"""


def test_what_is_in_the_book_is_left_out_when_the_suite_is_resumed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(book.PLACE, str(pytester.path / "book"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest((ROOT / "tests" / "faults" / "conftest.py").read_text())
    pytester.makepyfile(SUITE)

    pytester.runpytest_subprocess("-k", "1").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest_subprocess("--resume").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest_subprocess("--resume").assert_outcomes(deselected=2)

    assert [run.test.rpartition("::")[2] for run in read(pytester.path / "book")] == ["test_some[1]", "test_some[2]"]

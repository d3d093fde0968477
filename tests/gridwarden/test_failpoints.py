"""The places where a test may stop a process: they cost nothing unarmed, pause once, and can be armed while it runs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gridwarden import failpoints

DEADLINE_S = 10.0


class Passing:
    """A thread that passes a failpoint."""

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=failpoints.reach, args=(name,), daemon=True)
        self._thread.start()

    def ends(self, within_s: float = DEADLINE_S) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()


def arm(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(failpoints, "_armed", failpoints._arm(text))


def hit(tmp_path: Path, name: str) -> bool:
    return (tmp_path / f"{name}.hit").exists()


def test_unarmed_it_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    arm(monkeypatch, "")
    failpoints.reach("commit.before")


def test_it_pauses_at_the_wanted_passage_until_told_to_go_and_only_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arm(monkeypatch, f"{tmp_path}:commit.before@2")
    failpoints.reach("commit.before")
    failpoints.reach("commit.after")
    assert not hit(tmp_path, "commit.before")

    second = Passing("commit.before")
    assert not second.ends(within_s=0.1)
    assert hit(tmp_path, "commit.before")
    (tmp_path / "commit.before.go").touch()
    assert second.ends()
    assert Passing("commit.before").ends()


def test_a_restarted_process_is_not_hit_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "commit.before.hit").touch()
    arm(monkeypatch, f"{tmp_path}:commit.before")
    assert Passing("commit.before").ends()


def test_a_running_process_is_armed_through_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "armed"
    arm(monkeypatch, f"file:{file}")
    failpoints.reach("puback.after")

    file.write_text(f"{tmp_path}:puback.after\n")
    paused = Passing("puback.after")
    assert not paused.ends(within_s=0.1)
    (tmp_path / "puback.after.go").touch()
    assert paused.ends()

    file.write_text("")
    assert Passing("puback.after").ends()


@pytest.mark.parametrize("text", ["/tmp:commit.never", "commit.before", ":commit.before"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no failpoint"):
        failpoints._arm(text)

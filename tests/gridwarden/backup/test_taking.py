"""Taking a backup of an installation at rest: what is in it, and what becomes of one that fails."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gridwarden.backup import manifest, taking
from gridwarden.backup.manifest import INCOMPLETE
from gridwarden.errors import CoreUnavailable, Refused, Unavailable
from gridwarden.history import HistoryUnavailable
from gridwarden.web.absent import AbsentHistory
from gridwarden.web.backups import by_ourselves
from tests.gridwarden.backup.conftest import Site


def test_everything_is_in_it_and_readable_by_its_owner_alone(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    facts = site.backup(folder)
    found = manifest.read(folder)
    assert {file.path for file in found.files} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    } - {"manifest.json"}
    for name in ("records.db", "office.db", "history/history.duckdb", "broker/secrets.json",
                 "configuration/gridwarden.toml", "configuration/rules/0/my-rules/one.yaml"):  # fmt: skip
        assert (folder / name).exists(), name
    modes = {path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*")) if path.is_dir()}
    assert modes == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    schema = facts["records"]["schema"]
    assert found.records == {"offset": 4, "seq": 4, "through": "2026-11-22T06:00:00.000+00:00", "schema": schema}
    assert found.history == {"kind": "duckdb", "epoch": found.epoch, "offset": 3, "rows": 30}
    for file in found.files:
        assert manifest.kept(folder, folder / file.path) == file


def test_what_is_not_in_it_is_said_with_the_reason(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b")
    missing = {one.what: one.why for one in manifest.read(tmp_path / "b").not_included}
    assert "not sound" in missing["messages that wait in the embedded broker"]
    assert str(tmp_path / "site" / "token") in missing["the secret of history.token_file"]
    assert not list((tmp_path / "b").rglob("message"))


def test_records_and_history_in_it_can_be_opened(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b")
    with closing(sqlite3.connect(tmp_path / "b" / "records.db")) as records:
        assert records.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert records.execute("SELECT sum(reading_count) FROM intake_block").fetchone() == (40,)
    with duckdb.connect(str(tmp_path / "b" / "history" / "history.duckdb"), read_only=True) as history:
        assert history.execute("SELECT count(*) FROM hot_hydrant").fetchone() == (10,)
        listed = history.execute("SELECT file FROM sealed").fetchall()
        assert listed
        assert all((tmp_path / "b" / "history" / "sealed" / file).exists() for (file,) in listed)


def test_the_records_are_copied_after_the_history_and_within_the_pin(site: Site, tmp_path: Path) -> None:
    told: list[str] = []

    @contextmanager
    def pinned() -> Iterator[None]:
        told.append("pinned")
        yield
        told.append("let go")

    def copy(path: Path, copied: Callable[[int], None]) -> None:
        told.append("records")
        assert (path.parent / "history" / "history.duckdb").exists()
        site.write(40)  # what comes after the history's copy is in the records' one
        by_ourselves(site.data)(path, copied)

    facts = site.backup(tmp_path / "b", pinned=pinned, copy_records=copy)
    assert told == ["pinned", "records", "let go"]
    assert (facts["history"]["offset"], facts["records"]["offset"]) == (3, 5)


def test_sealed_files_that_are_superseded_meanwhile_are_in_it(site: Site, tmp_path: Path) -> None:
    def copy(path: Path, copied: Callable[[int], None]) -> None:
        site.write(40)
        site.seal()  # every sealed file of before is written anew and retired
        by_ourselves(site.data)(path, copied)

    site.backup(tmp_path / "b", copy_records=copy)
    with duckdb.connect(str(tmp_path / "b" / "history" / "history.duckdb"), read_only=True) as history:
        listed = {file for (file,) in history.execute("SELECT file FROM sealed").fetchall()}
    sealed = tmp_path / "b" / "history" / "sealed"
    assert listed == {str(path.relative_to(sealed)) for path in sealed.glob("*/*")}


def test_a_disk_that_knows_no_links_gets_copies(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", no_links)
    site.backup(tmp_path / "b")
    (one, *_) = (tmp_path / "b" / "history" / "sealed").glob("*/*")
    assert one.stat().st_nlink == 1
    assert one.stat().st_mode & 0o777 == 0o600


def test_a_history_that_cannot_be_opened_is_said_and_the_rest_is_kept(site: Site, tmp_path: Path) -> None:
    facts = site.backup(tmp_path / "b", history=AbsentHistory("broken"))
    assert facts["history"] is None
    assert {"what": "the history", "why": "broken"} in [dict(one) for one in facts["not_included"]]


@pytest.mark.parametrize("error", [CoreUnavailable("core went away"), OSError(28, "No space left on device")])
def test_nothing_is_left_of_one_that_fails(site: Site, tmp_path: Path, error: Exception) -> None:
    released: list[bool] = []

    @contextmanager
    def pinned() -> Iterator[None]:
        try:
            yield
        finally:
            released.append(True)

    def copy(path: Path, _copied: Callable[[int], None]) -> None:
        path.write_bytes(b"half")
        raise error

    with pytest.raises(Unavailable):
        site.backup(tmp_path / "b", copy_records=copy, pinned=pinned)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]
    assert released == [True]
    site.backup(tmp_path / "b")  # the history and its files were let go of


def test_a_history_that_fails_in_the_middle_fails_the_backup(site: Site, tmp_path: Path) -> None:
    class Failing:
        def offset(self) -> int:
            return 1

        def frozen(self, _directory: Path) -> Any:
            raise HistoryUnavailable("no space")

    with pytest.raises(HistoryUnavailable):
        site.backup(tmp_path / "b", history=Failing())
    assert not (tmp_path / "b.part").exists()


def test_a_folder_that_is_there_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(Refused, match="backup_exists"):
        site.backup(tmp_path / "b")
    (tmp_path / "c.part").mkdir()
    (tmp_path / "c.part" / "thesis.tex").touch()
    with pytest.raises(Refused, match="backup_exists"):
        site.backup(tmp_path / "c")
    assert (tmp_path / "c.part" / "thesis.tex").exists()


def test_what_a_killed_one_left_makes_room_for_the_next(site: Site, tmp_path: Path) -> None:
    (tmp_path / "b.part").mkdir()
    (tmp_path / "b.part" / INCOMPLETE).touch()
    (tmp_path / "b.part" / "records.db").write_bytes(b"half")
    site.backup(tmp_path / "b")
    assert not (tmp_path / "b.part").exists()
    assert not (tmp_path / "b" / INCOMPLETE).exists()


def test_room_is_looked_for_first(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(taking.shutil, "disk_usage", lambda _path: usage._replace(free=taking.SPARE_BYTES))
    with pytest.raises(Unavailable, match="not enough room"):
        site.backup(tmp_path / "b", copy_records=None)
    assert not (tmp_path / "b.part").exists()


def test_a_place_that_is_not_there_is_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file or directory"):
        site.backup(tmp_path / "nowhere" / "b")


def test_progress_goes_forward_to_the_end(site: Site, tmp_path: Path) -> None:
    shares: list[float] = []
    taking.take(site.source(), tmp_path / "b", lambda _what, share: shares.append(share))
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] <= 1

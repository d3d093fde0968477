"""A backup becomes a data directory again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from gridwarden import app
from gridwarden.backup import restoring
from gridwarden.backup.manifest import BadBackup
from gridwarden.backup.restoring import RESTORING, restore
from gridwarden.cases.book import SKIPPED
from gridwarden.clock import SystemClock
from gridwarden.errors import ConfigError, Refused, Unavailable
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.follower import _Follower
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from tests.gridwarden.backup.conftest import NOW_MS, Site


def quietly(_what: str, _share: float) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def backup(site: Site, tmp_path: Path) -> Path:
    """Taken of the site, which has gone on since."""
    site.writer.commit(Transaction(NOW_MS, counters={"case:F20261122": 7}))
    site.backup(tmp_path / "b")
    site.write(40)
    return tmp_path / "b"


def test_it_is_the_state_of_the_backup_under_a_new_identity(site: Site, backup: Path, tmp_path: Path) -> None:
    data = tmp_path / "new"
    done = restore(backup, data, NOW_MS, quietly)
    reader = Reader(data)
    assert reader.epoch() == done.epoch != Reader(site.data).epoch()
    assert reader.head() == done.records["offset"] + 1
    (*_, last) = reader.journal(0)
    assert last.operation == "records.restored"
    assert last.body["detail"] | {"offset": 5, "seq": 4, "backup_made_at": done.made_at} == last.body["detail"]
    assert [path.name for path in data.iterdir() if path.name == RESTORING] == []
    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / "records.db").stat().st_mode & 0o777 == 0o600
    assert (data / "broker" / "secrets.json").exists()
    assert not (data / "configuration").exists()
    reader.close()


def test_the_history_goes_on_where_its_copy_ends(backup: Path, tmp_path: Path) -> None:
    data = tmp_path / "new"
    restore(backup, data, NOW_MS, quietly)
    history, reader = DuckDBHistory(data / "history"), Reader(data)
    assert history.count() == 30
    follower = _Follower(reader, history, SystemClock())
    assert follower.begin() is None, "nothing is lost in between"
    while not follower.step():
        pass
    assert history.count() == 40
    assert history.epoch() == reader.epoch()
    history.close()
    reader.close()


def test_case_numbers_that_may_have_been_given_since_are_left_out(backup: Path, tmp_path: Path) -> None:
    restore(backup, tmp_path / "new", NOW_MS, quietly)
    with closing(Writer(tmp_path / "new")) as writer:
        counters = writer.start().counters
    assert counters["case:F20261122"] == 7 + SKIPPED
    assert counters["case:W20261122"] == SKIPPED, "of a category that had no case that day before the backup"
    assert counters["case:F20261115"] == SKIPPED


def test_a_directory_that_is_in_use_is_left_alone(site: Site, backup: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in site.data.iterdir())
    with pytest.raises(Refused, match="data_not_empty"):
        restore(backup, site.data, NOW_MS, quietly)
    assert sorted(path.name for path in site.data.iterdir()) == before
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "lock").touch()  # as whoever holds it has made it
    restore(backup, empty, NOW_MS, quietly)


def test_what_was_there_is_moved_aside_and_what_waits_in_its_broker_is_carried_over(
    site: Site, backup: Path, tmp_path: Path
) -> None:
    site.close()
    secrets = '{"supervisor": "a", "ingester": "b", "replayer": "c", "gateways": {"gw-since": "d"}}'
    (site.data / "broker" / "secrets.json").write_text(secrets)
    done = restore(backup, site.data, NOW_MS, quietly, replace=True)
    assert done.moved_aside
    assert (Path(done.moved_aside) / "records.db").exists()
    assert (site.data / "broker" / "js" / "message").read_text() == "waits"
    assert done.broker_bytes == len("waits")
    assert (site.data / "broker" / "secrets.json").read_text() == secrets, "a gateway that was added since"
    with closing(Reader(site.data)) as reader:
        assert reader.epoch() == done.epoch


def test_passwords_that_cannot_be_read_are_those_of_the_backup(site: Site, tmp_path: Path) -> None:
    good = '{"supervisor": "a", "ingester": "b", "replayer": "c", "gateways": {}}'
    (site.data / "broker" / "secrets.json").write_text(good)
    site.backup(tmp_path / "b")
    site.close()
    (site.data / "broker" / "secrets.json").write_text("{broken")
    restore(tmp_path / "b", site.data, NOW_MS, quietly, replace=True)
    assert (site.data / "broker" / "secrets.json").read_text() == good


@pytest.mark.parametrize("name", ["records.db", "office.db", "history/history.duckdb", "configuration/gridwarden.toml"])
def test_a_damaged_backup_is_not_begun_with(backup: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((backup / name).read_bytes())
    content[len(content) // 2] ^= 1
    (backup / name).write_bytes(content)
    with pytest.raises(BadBackup, match=rf"{name}: is not what was written.*1 of \d+ files"):
        restore(backup, tmp_path / "new", NOW_MS, quietly)
    assert not (tmp_path / "new").exists()


def test_one_that_is_broken_off_starts_nothing_and_begins_anew(
    site: Site, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.close()
    with monkeypatch.context() as patched:

        def full(*_: object) -> str:
            raise OSError(28, "No space left on device")

        patched.setattr(restoring, "_begin_anew", full)
        with pytest.raises(Unavailable, match=r"not restored: .*No space left"):
            restore(backup, site.data, NOW_MS, quietly, replace=True)
    with pytest.raises(ConfigError, match="a restore was broken off here"):
        app.prepare(site.data)
    done = restore(backup, site.data, NOW_MS, quietly)
    assert done.moved_aside, "it knows where the first try has moved it"
    assert (site.data / "broker" / "js" / "message").exists()
    app.prepare(site.data)


def test_room_is_looked_for_first(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "SPARE_BYTES", 2**62)
    with pytest.raises(Unavailable, match="not enough room"):
        restore(backup, tmp_path / "new", NOW_MS, quietly)
    assert not any((tmp_path / "new").iterdir())


def test_it_can_be_prepared_and_started_from(backup: Path, tmp_path: Path) -> None:
    restore(backup, tmp_path / "new", NOW_MS, quietly)
    assert app.prepare(tmp_path / "new") is not None

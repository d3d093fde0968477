import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gridwarden.errors import Unavailable
from gridwarden.model import Device
from gridwarden.office import snapshot
from gridwarden.office.database import Database
from gridwarden.office.registry import Office
from gridwarden.office.snapshot import Registry, read_registry


def test_no_file_and_an_empty_one_are_an_empty_registry(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    assert read_registry(path) == Registry(0, {})
    assert not path.exists()
    Database(path).close()
    assert read_registry(path) == Registry(0, {})


def test_what_is_known_besides_is_there_and_not_counted(tmp_path: Path, office: Office) -> None:
    office.upsert_device(Device("A", "smoke"))
    office.upsert_device(Device("US", "smoke", "330106001"))
    us = {"US": Device("US", "platform")}
    registry = read_registry(office.database.path, 0, us)
    assert registry is not None
    assert (set(registry.devices), registry.devices["US"], registry.registered) == ({"A", "US"}, us["US"], 1)
    for path in (tmp_path / "none.db", tmp_path / "empty.db"):
        if path.name == "empty.db":
            Database(path).close()
        nothing = read_registry(path, -1, us)
        assert nothing is not None
        assert (dict(nothing.devices), nothing.registered) == (us, 0)


def test_after_a_version_comes_only_what_is_newer(office: Office) -> None:
    path = office.database.path
    office.upsert_device(Device("A", "smoke"))
    assert read_registry(path, 1) is None
    newer = read_registry(path, 0)
    assert newer is not None
    assert (newer.version, list(newer.devices)) == (1, ["A"])
    assert read_registry(path.with_name("none.db"), 0) is None


def test_it_cannot_be_changed(office: Office) -> None:
    office.upsert_device(Device("A", "smoke"))
    with pytest.raises(TypeError):
        read_registry(office.database.path).devices["B"] = Device("B", "smoke")  # type: ignore[index]


def test_a_closed_office_can_be_read_and_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    with Office.open(path) as office:
        office.upsert_device(Device("A", "smoke"))
    before = path.read_bytes()
    assert list(read_registry(path).devices) == ["A"]
    assert path.read_bytes() == before


def test_a_name_with_spaces_and_percent(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?#" / "office.db"
    path.parent.mkdir()
    with Office.open(path) as office:
        office.upsert_device(Device("A", "smoke"))
        assert list(read_registry(path).devices) == ["A"]


def test_chunks_join(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "CHUNK_ROWS", 3)
    for number in range(7):
        office.upsert_device(Device(f"D{number}", "smoke"))
    assert list(read_registry(office.database.path).devices) == [f"D{number}" for number in range(7)]


class Meddled(sqlite3.Connection):
    """A connection on which, between two chunks, somebody changes the registry."""

    changes: Iterator[None] = iter(())

    def execute(self, *arguments):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN201
        if "FROM device" in arguments[0] and arguments[1][0]:
            next(Meddled.changes, None)
        return super().execute(*arguments)


@pytest.fixture
def meddled(office: Office, monkeypatch: pytest.MonkeyPatch) -> Office:
    for number in range(4):
        office.upsert_device(Device(f"D{number}", "smoke", name="old"))
    monkeypatch.setattr(snapshot, "CHUNK_ROWS", 2)
    connect = sqlite3.connect
    monkeypatch.setattr(snapshot.sqlite3, "connect", lambda *a, **k: connect(*a, factory=Meddled, **k))
    return office


def test_a_change_while_reading_starts_it_again(meddled: Office) -> None:
    def rename() -> Iterator[None]:
        for device_id in ("D0", "D3"):
            meddled.upsert_device(Device(device_id, "smoke", name="new"))
            yield

    Meddled.changes = rename()
    registry = read_registry(meddled.database.path)
    assert registry.version == 6
    assert [device.name for device in registry.devices.values()] == ["new", "old", "old", "new"]


def test_a_registry_that_never_rests_is_unavailable(meddled: Office) -> None:
    def rename() -> Iterator[None]:
        for number in range(1000):
            meddled.upsert_device(Device("D0", "smoke", name=str(number)))
            yield

    Meddled.changes = rename()
    with pytest.raises(Unavailable, match="changed 20 times"):
        read_registry(meddled.database.path)
    assert meddled.version() < 50


def test_a_damaged_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(Unavailable):
        read_registry(path)


def test_no_read_transaction_outlives_its_chunk(meddled: Office) -> None:
    """Between two chunks a checkpoint can reset the whole log, which any open read transaction would prevent."""
    results: list[int] = []

    def checkpoint() -> Iterator[None]:
        with closing(sqlite3.connect(meddled.database.path)) as plain:
            while True:
                results.append(plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
                yield

    Meddled.changes = changes = checkpoint()
    assert len(read_registry(meddled.database.path).devices) == 4
    changes.close()
    assert results == [0, 0]
    assert snapshot.CHUNK_ROWS <= 5000

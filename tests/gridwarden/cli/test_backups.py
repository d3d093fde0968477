"""``gridwarden backup`` as a person types it."""

from __future__ import annotations

from pathlib import Path

from tests.gridwarden.cli.conftest import Command, Instance


def test_a_backup_of_a_running_instance(instance: Instance, command: Command, tmp_path: Path) -> None:
    made = command("backup", tmp_path / "b", "-d", instance.data, "--json")
    assert made.code == 0
    assert made.json["records"]["offset"] >= 1
    assert made.json["history"]["kind"] == "duckdb"
    assert (tmp_path / "b" / "manifest.json").exists()
    again = command("backup", tmp_path / "b", "-d", instance.data)
    assert again.code == 2
    assert "exists; name a new folder" in again.err
    nowhere = command("backup", tmp_path / "no" / "b", "-d", instance.data)
    assert nowhere.code == 1
    assert "No such file or directory" in nowhere.err


def test_a_backup_while_nothing_runs(command: Command, files: Path, tmp_path: Path) -> None:
    data = tmp_path / "d"
    assert command("backup", tmp_path / "b", "-d", data).code == 2
    assert not data.exists()
    command("import", "areas", files / "areas.csv", "-d", data)
    made = command("backup", tmp_path / "b", "-d", data)
    assert made.code == 0
    assert "records to offset 0" in made.out
    assert "not included: messages that wait in the embedded broker" in made.err

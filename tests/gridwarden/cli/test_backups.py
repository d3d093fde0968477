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


def test_there_and_back_again(command: Command, files: Path, tmp_path: Path) -> None:
    data, new = tmp_path / "d", tmp_path / "new"
    command("import", "areas", files / "areas.csv", "-d", data)
    assert command("backup", tmp_path / "b", "-d", data).code == 0
    done = command("restore", tmp_path / "b", "-d", new)
    assert done.code == 0
    assert f"{new}: restored" in done.out
    assert "not there: what was committed after" in done.err
    again = command("restore", tmp_path / "b", "-d", new)
    assert again.code == 2
    assert "is not empty; name another directory, or --replace" in again.err
    moved = command("restore", tmp_path / "b", "-d", new, "--replace", "--json").json
    assert (Path(moved["moved_aside"]) / "records.db").exists()
    assert command("verify", "-d", new).code == 0
    assert command("user", "list", "-d", new, "--json").code == 0


def test_faults_are_told_one_a_line_and_are_exit_code_1(command: Command, files: Path, tmp_path: Path) -> None:
    data = tmp_path / "d"
    assert command("verify", "-d", data).code == 2
    command("import", "areas", files / "areas.csv", "-d", data)
    command("backup", tmp_path / "b", "-d", data)
    whole = command("verify", tmp_path / "b", "--json")
    assert (whole.code, whole.json["ok"]) == (0, True)
    (tmp_path / "b" / "office.db").write_bytes(b"x")
    broken = command("verify", tmp_path / "b")
    assert broken.code == 1
    assert broken.out.startswith("office.db: has 1 bytes, not ")
    assert "It costs: registry, accounts. What to do: " in broken.out
    assert command("restore", tmp_path / "b", "-d", tmp_path / "new").code == 2


def test_a_running_instance_is_verified_and_not_restored_over(
    instance: Instance, command: Command, tmp_path: Path
) -> None:
    told = command("verify", "-d", instance.data, "--json")
    assert (told.code, told.json["of"]) == (0, "running")
    command("backup", tmp_path / "b", "-d", instance.data)
    refused = command("restore", tmp_path / "b", "-d", instance.data, "--replace")
    assert refused.code == 1
    assert "is in use by process" in refused.err

"""The manifest of a backup: written, read, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gridwarden.backup import manifest
from gridwarden.backup.manifest import BadBackup, Kept, Manifest, Missing

GOOD = Manifest(
    manifest.FORMAT, "1.2.3", "2026-11-22T06:00:00.000+00:00", {"name": "区", "time_zone": "Asia/Shanghai"}, "abc",
    {"offset": 7, "seq": 3, "schema": "0001"}, {"schema": "0001"}, {"kind": "duckdb", "epoch": "abc", "offset": 5, "rows": 9},
    (Kept("records.db", 3, "00"),), (Missing("this", "that"),),
)  # fmt: skip


def test_what_is_written_is_read_and_is_for_its_owner(tmp_path: Path) -> None:
    manifest.write(tmp_path, GOOD)
    assert manifest.read(tmp_path) == GOOD
    assert (tmp_path / manifest.FILE).stat().st_mode & 0o777 == 0o600


def test_every_change_of_its_content_is_noticed(tmp_path: Path) -> None:
    manifest.write(tmp_path, GOOD)
    path = tmp_path / manifest.FILE
    whole = path.read_bytes()
    for place in range(len(whole)):
        if chr(whole[place]).isspace():
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BadBackup):
            manifest.read(tmp_path)


def test_a_later_format_is_told_as_such(tmp_path: Path) -> None:
    manifest.write(tmp_path, replace(GOOD, format=manifest.FORMAT + 1, program="9.9"))
    with pytest.raises(BadBackup, match=r"made by Gridwarden 9\.9: this program is older"):
        manifest.read(tmp_path)


def test_no_backup_and_half_a_backup_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadBackup, match=r"no manifest\.json"):
        manifest.read(tmp_path)
    manifest.write(tmp_path, GOOD)
    (tmp_path / manifest.INCOMPLETE).touch()
    with pytest.raises(BadBackup, match="broken off"):
        manifest.read(tmp_path)
    (tmp_path / manifest.INCOMPLETE).unlink()
    (tmp_path / manifest.FILE).write_text(json.dumps([1]))
    with pytest.raises(BadBackup, match="cannot be read"):
        manifest.read(tmp_path)


def test_a_file_is_told_with_its_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"abc")
    read: list[int] = []
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest.kept(tmp_path, tmp_path / "below" / "file", read.append) == Kept("below/file", 3, sha256)
    assert read == [3]

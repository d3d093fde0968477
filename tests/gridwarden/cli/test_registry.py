"""``gridwarden import`` and ``user``, without an instance and with one."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gridwarden.office.registry import Office
from tests.gridwarden.cli.conftest import Command, Instance

COUNTS = ("rows", "added", "changed", "unchanged", "skipped")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def import_all(command: Command, files: Path, data: Path) -> None:
    for what in ("areas", "devices", "resources"):
        answer = command("import", what, files / f"{what}.csv", "-d", data, "--json")
        assert answer.code == 0, answer.err
        assert answer.json["ok"]


def test_import_and_import_again(command: Command, files: Path, data: Path) -> None:
    import_all(command, files, data)
    again = command("import", "devices", files / "devices.csv", "-d", data, "--json")
    assert [again.json[name] for name in COUNTS] == [2, 0, 0, 2, 0]
    told = command("import", "devices", files / "devices.csv", "-d", data)
    assert "2 rows; 0 added, 0 changed, 2 unchanged" in told.out


def test_a_base_map(command: Command, files: Path, data: Path) -> None:
    ring = "[[120,30],[121,30],[121,31],[120,30]]"
    feature = '{"type":"Feature","properties":{"layer":"%s"},"geometry":{"type":"Polygon","coordinates":[%s]}}'
    (files / "map.geojson").write_text('{"features":[%s]}' % (feature % ("water", ring)))
    (files / "bad.geojson").write_text('{"features":[%s]}' % (feature % ("sea", ring)))
    answer = command("import", "basemap", files / "map.geojson", "-d", data)
    assert (answer.code, "1 rows; 1 added, 0 changed" in answer.out) == (0, True), answer.err
    kept = (data / "basemap.geojson").read_bytes()
    answer = command("import", "basemap", files / "bad.geojson", "-d", data)
    assert (answer.code, "feature 1: layer: 'sea' is no layer" in answer.err) == (2, True)
    assert command("import", "basemap", files / "map.geojson", "-d", data, "--json").json["unchanged"] == 1
    assert (data / "basemap.geojson").read_bytes() == kept


def test_a_dry_run_writes_nothing(command: Command, files: Path, data: Path) -> None:
    answer = command("import", "areas", files / "areas.csv", "-d", data, "--dry-run")
    assert answer.code == 0
    assert "would be: 2 added" in answer.out
    assert areas(data) == []


def test_faults_are_all_told_and_nothing_is_written(command: Command, files: Path, data: Path) -> None:
    answer = command("import", "areas", files / "bad.csv", "-d", data)
    assert answer.code == 2
    assert "line 3: code" in answer.err
    assert "line 4: name" in answer.err
    assert "nothing was written" in answer.out
    assert command("import", "areas", files / "bad.csv", "-d", data, "--json").json["error_count"] == 2
    assert areas(data) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("areas", "none.csv"), "does not exist"),
        (("areas", "areas.csv", "--mapping", "none"), "no shipped mapping of that name (db_lifts, osm_fire_stations"),
        (("devices", "areas.csv"), "unknown column 'code'"),
        (("areas", "areas.csv", "--crs", "mars"), "--crs"),
        (("areas", "areas.csv", "--encoding", "klingon"), "klingon"),
    ],
)
def test_wrong_use(command: Command, files: Path, data: Path, words: tuple[str, ...], reason: str) -> None:
    what, file, *rest = words
    answer = command("import", what, files / file, "-d", data, *rest)
    assert (answer.code, answer.out) == (2, "")
    assert reason in " ".join(answer.err.replace("│", " ").split())


def test_an_encoding_can_be_named(command: Command, files: Path, data: Path) -> None:
    (files / "gb.csv").write_text("code,name\n3301,杭州\n", "gb18030")
    assert "gb18030" in command("import", "areas", files / "gb.csv", "-d", data).err
    assert command("import", "areas", files / "gb.csv", "-d", data, "--encoding", "gb18030").code == 0
    assert areas(data) == ["杭州"]


def areas(data: Path) -> list[str]:
    with Office.open(data / "office.db") as office:
        return [area.name for area in office.areas()]


def test_accounts(command: Command, data: Path) -> None:
    made = command("user", "add", "wang", "--role", "viewer", "--area", "330106", "-d", data, "--json")
    assert made.json["areas"] == ["330106"]
    assert len(made.json["password"]) >= 12
    listed = command("user", "list", "-d", data, "--json").json["users"]
    assert [(user["name"], user["role"], user["disabled"]) for user in listed] == [("wang", "viewer", False)]
    assert command("user", "password", "wang", "-d", data).out.startswith("wang / ")
    assert command("user", "disable", "wang", "-d", data).code == 0
    assert "disabled" in command("user", "list", "-d", data).out


def test_a_name_may_be_anything_printable(command: Command, data: Path) -> None:
    name = "李 / a?b#c"
    assert command("user", "add", name, "-d", data).code == 0
    for verb in ("password", "token", "disable"):
        assert command("user", verb, name, "-d", data).code == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("add", "wang"), "the name wang is taken"),
        (("add", "li", "--area", "zz"), "'zz' is no area code"),
        (("add", ""), "1 to "),
        (("token", "nobody"), "there is no account nobody"),
        (("add", "li", "--role", "king"), "king"),
    ],
)
def test_refusals_in_words(command: Command, data: Path, words: tuple[str, ...], reason: str) -> None:
    command("user", "add", "wang", "-d", data)
    answer = command("user", *words, "-d", data)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err


@pytest.mark.process
def test_with_an_instance_running(command: Command, files: Path, instance: Instance) -> None:
    import_all(command, files, instance.data)
    made = command("user", "add", "zhao", "--role", "viewer", "-d", instance.data).out.strip()
    secret = command("user", "token", "zhao", "--label", "script", "-d", instance.data).out.strip()
    with httpx.Client(base_url=f"{instance.address}/api/v1") as http:
        devices = http.get("/devices", headers={"authorization": f"Bearer {secret}"})
        assert [device["device_id"] for device in devices.json()["devices"]] == ["HYD-1", "SMK-1"]
        name, password = made.split(" / ")
        signed_in = http.post("/auth/session", json={"name": name, "password": password})
        assert signed_in.json()["user"]["role"] == "viewer"
        assert command("user", "disable", "zhao", "-d", instance.data).code == 0
        assert http.get("/devices", headers={"authorization": f"Bearer {secret}"}).status_code == 401
    bad = command("import", "areas", files / "bad.csv", "-d", instance.data, "--json")
    assert (bad.code, bad.json["ok"]) == (2, False)

import stat
from pathlib import Path

import pytest

from gridwarden.broker import credentials
from gridwarden.errors import ConfigError, NotFound


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_passwords_are_made_once_and_kept_when_gateways_are_added(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    first = credentials.ensure(directory, ["gw1"])
    second = credentials.ensure(directory, ["gw1", "gw2"])

    assert (second.supervisor, second.ingester) == (first.supervisor, first.ingester)
    assert second.gateways["gw1"] == first.gateways["gw1"]
    everybody = [second.supervisor, second.ingester, *second.gateways.values()]
    assert len(set(everybody)) == 4
    assert min(map(len, everybody)) >= 32


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    directory.mkdir(mode=0o755)
    credentials.ensure(directory, ["gw1"])

    assert mode(directory) == 0o700
    assert mode(directory / credentials.FILE) == 0o600


def test_gateways_are_added_listed_and_removed(tmp_path: Path) -> None:
    password = credentials.add_gateway(tmp_path, "gw2")
    credentials.add_gateway(tmp_path, "gw1")

    assert credentials.add_gateway(tmp_path, "gw2") == password
    assert credentials.gateways(tmp_path) == ["gw1", "gw2"]
    assert credentials.load(tmp_path).of("gw2") == ("gw2", password)

    credentials.remove_gateway(tmp_path, "gw2")
    assert credentials.gateways(tmp_path) == ["gw1"]
    with pytest.raises(NotFound):
        credentials.remove_gateway(tmp_path, "gw2")
    with pytest.raises(NotFound):
        credentials.load(tmp_path).of("gw2")


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    credentials.ensure(tmp_path, ["gw1"])
    before = credentials.version(tmp_path)
    credentials.ensure(tmp_path, ["gw1"])

    assert credentials.version(tmp_path) == before


@pytest.mark.parametrize("gateway", ["supervisor", "ingester", "", "a b", "gw.1", "gw/1", "gw>", "网关", "x" * 65])
def test_an_id_that_would_be_somebody_else_or_a_pattern_is_refused(tmp_path: Path, gateway: str) -> None:
    with pytest.raises(ConfigError):
        credentials.add_gateway(tmp_path, gateway)


def test_a_file_that_is_not_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / credentials.FILE).write_text("{}")

    with pytest.raises(ConfigError, match=r"secrets\.json"):
        credentials.load(tmp_path)

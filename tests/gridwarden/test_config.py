import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.config import Config, load
from gridwarden.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gridwarden.toml"
    path.write_text(text, "utf-8")
    return path


def test_defaults_listen_on_this_machine_only() -> None:
    config = load(None, {})
    assert config == Config()
    assert config.http.host == config.embedded.host == "127.0.0.1"


def test_environment_goes_over_the_file_and_overrides_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, '[http]\nport = 1000\nhost = "::1"\n[site]\nname = "西湖区"\n')
    environ = {"GRIDWARDEN_HTTP__PORT": "2000", "GRIDWARDEN_HTTP__HOST": "127.0.0.2", "OTHER": "x"}
    config = load(path, environ, http__port=3000, http__host=None)
    assert (config.http.port, config.http.host, config.site.name) == (3000, "127.0.0.2", "西湖区")


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("[http]\nprot = 1\n", "http.prot", "unknown key"),
        ("nonsense = 1\n", "nonsense", "unknown key"),
        ("[http]\nport = 70000\n", "http.port", "70000"),
        ('[site]\ntime_zone = "Asia/Shanghia"\n', "site.time_zone", "Asia/Shanghia"),
        ("[embedded]\nenabled = false\n", "", "no broker"),
        ("http = 1\n", "http", ""),
        ("[[broker]]\nname = 'embedded'\nhost = 'x'\n", "", "must differ"),
        ("[[broker]]\nname = 'a'\nhost = 'x'\n[[broker]]\nname = 'a'\nhost = 'y'\n", "", "must differ"),
        ("not toml", "", "not TOML"),
    ],
)
def test_faults_are_told_with_file_place_and_reason(tmp_path: Path, text: str, place: str, reason: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    assert refused.value.path == str(path)
    assert refused.value.place == place
    assert reason in refused.value.reason


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml", {})


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path, {})


def test_environment_is_strict_too() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        load(None, {"GRIDWARDEN_HTTP__PROT": "1"})
    with pytest.raises(ConfigError, match="is a value"):
        load(None, {"GRIDWARDEN_DATA": "x", "GRIDWARDEN_DATA__DEEPER": "1"})


def test_names_that_are_no_keys() -> None:
    assert load(None, {"GRIDWARDEN_REAL_DATA": "/x", "GRIDWARDEN_FAILPOINT": ""}) == Config()


def test_lists_come_from_the_environment_as_json() -> None:
    config = load(None, {"GRIDWARDEN_EMBEDDED__GATEWAYS": '["gw1", "gw2"]', "GRIDWARDEN_RULES": '["a.yaml"]'})
    assert config.embedded.gateways == ("gw1", "gw2")
    assert config.rules == (Path("a.yaml"),)
    with pytest.raises(ConfigError, match="GRIDWARDEN_RULES: not JSON"):
        load(None, {"GRIDWARDEN_RULES": "[a.yaml]"})


def test_secrets_stay_out_of_the_text(tmp_path: Path) -> None:
    path = written(tmp_path, "[[broker]]\nname = 'a'\nhost = 'x'\npassword = 'hunter2'\n")
    assert "hunter2" not in repr(load(path, {}))
    path.write_text("[[broker]]\nname = 'a'\nhost = 'x'\npassword = ['hunter2']\n")
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    assert "hunter2" not in str(refused.value)


@given(st.binary(max_size=200))
def test_any_file_is_a_configuration_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        load(path, {})

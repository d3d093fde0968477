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
        ("[[broker]]\nname = 'gridwarden'\nhost = 'x'\n", "", "must differ"),
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


def broker_with(tmp_path: Path, secret: Path, *, more: str = "") -> Path:
    return written(tmp_path, f'[[broker]]\nname = "a"\nhost = "x"\npassword_file = "{secret}"\n{more}')


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_password_comes_from_a_file(tmp_path: Path, end: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(f" correct 马 {end}".encode())
    (broker,) = load(broker_with(tmp_path, secret), {}).broker
    assert broker.password is not None
    assert broker.password.get_secret_value() == " correct 马 "
    assert "correct" not in repr(broker)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "one line"),
        (b" \n", "one line"),
        (b"one\ntwo\n", "one line"),
        (b"\0", "one line"),
        (b"\xff", "utf-8"),
        (b"x" * 4097, "larger than 4096"),
    ],
)
def test_a_file_that_holds_no_password_is_told_with_its_place(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as refused:
        load(broker_with(tmp_path, secret), {})
    assert refused.value.place == "broker.0.password_file"
    assert str(secret) in refused.value.reason


def test_a_folder_holds_no_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load(broker_with(tmp_path, tmp_path), {})


def test_a_password_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("file")
    with pytest.raises(ConfigError, match="too") as refused:
        load(broker_with(tmp_path, secret, more='password = "hunter2"\n'), {})
    assert refused.value.place == "broker.0.password_file"
    assert "hunter2" not in str(refused.value)


INFLUX = {"kind": "influxdb", "url": "http://127.0.0.1:8086", "org": "o", "bucket": "b", "token": "secret-token"}


def influx(**changes: str) -> dict[str, str]:
    return {f"GRIDWARDEN_HISTORY__{name.upper()}": value for name, value in (INFLUX | changes).items() if value}


def test_influxdb_needs_all_of_its_keys_and_never_shows_the_token() -> None:
    history = load(None, influx()).history
    assert history.token.get_secret_value() == "secret-token"
    assert "secret-token" not in repr(history)
    for name, wrong in {"url": "ftp://x", "org": "", "bucket": 'b"', "token": ""}.items():
        for text in {wrong, ""}:
            with pytest.raises(ConfigError) as caught:
                load(None, influx(**{name: text}))
            assert name in str(caught.value)
            assert "secret-token" not in str(caught.value)


def test_the_token_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("token-of-file\n")
    history = load(None, influx(token="", token_file=str(secret))).history
    assert history.token.get_secret_value() == "token-of-file"
    assert "token-of-file" not in repr(history)
    for place, changes, reason in (
        ("history.token", {"token_file": str(secret)}, "there is a token_file too"),
        ("history.token_file", {"token": "", "token_file": str(tmp_path)}, "directory"),
        ("history.token_file", {"token": "", "token_file": str(tmp_path / "none")}, "No such file"),
    ):
        with pytest.raises(ConfigError, match=reason) as refused:
            load(None, influx(**changes))
        assert refused.value.place == place
        assert "token-of-file" not in str(refused.value)
        assert "secret-token" not in str(refused.value)

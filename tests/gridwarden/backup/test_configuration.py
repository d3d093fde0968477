"""The configuration in a backup."""

from __future__ import annotations

import json
from pathlib import Path

from gridwarden.backup.configuration import keep_configuration
from gridwarden.config import load


def test_file_rules_and_what_is_in_force_are_kept_and_secrets_are_hidden(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "rules" / "deep").mkdir(parents=True)
        (tmp_path / place / "rules" / "deep" / "x.yaml").write_text(place)
    (tmp_path / "one.yaml").write_text("one")
    (tmp_path / "pass").write_text("hidden-one\n")
    path = tmp_path / "g.toml"
    path.write_text(
        f'rules = ["{tmp_path}/a/rules", "{tmp_path}/b/rules", "{tmp_path}/one.yaml"]\n'
        f'[[broker]]\nname = "x"\nhost = "h"\npassword_file = "{tmp_path}/pass"\n'
        '[[broker]]\nname = "y"\nhost = "h"\npassword = "hidden-two"\n'
        f'tls = {{ key_file = "{tmp_path}/key" }}\n'
    )
    config = load(path, {"GRIDWARDEN_HTTP__PORT": "9999"})
    missing = keep_configuration(config, path, tmp_path / "kept")
    kept = tmp_path / "kept"
    assert (kept / "gridwarden.toml").read_text() == path.read_text()
    assert (kept / "rules/0/rules/deep/x.yaml").read_text() == "a"
    assert (kept / "rules/1/rules/deep/x.yaml").read_text() == "b"
    assert (kept / "rules/2/one.yaml").read_text() == "one"
    in_force = (kept / "in-force.json").read_text()
    assert json.loads(in_force)["http"]["port"] == 9999
    assert "hidden" not in in_force
    assert [one.what for one in missing] == [
        "the secret of broker x: password_file", "the secret of broker y: tls.key_file",
    ]  # fmt: skip


def test_without_a_file_there_is_what_is_in_force(tmp_path: Path) -> None:
    assert keep_configuration(load(None, {}), None, tmp_path / "kept") == []
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["in-force.json"]

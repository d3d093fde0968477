"""``gridwarden check``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gridwarden.cli.conftest import Command

RULE = """
kind: hydrant
rules:
  - id: own.low
    name: {zh: 低, en: Low}
    source: ours
    severity: low
    category: water
    when: pressure_mpa < 0.1
"""


def test_check(command: Command, tmp_path: Path) -> None:
    answer = command("check", "-d", tmp_path, "--json")
    assert (answer.code, answer.json["brokers"], answer.json["devices"]) == (0, ["embedded"], 0)
    assert command("check", "-d", tmp_path).out.endswith("ok\n")
    assert list(tmp_path.iterdir()) == []


BROKER = '[[broker]]\nname = "a"\nhost = "b"\n[broker.tls]\nca_file = "none.pem"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port =", "not TOML"),
        ("[http]\nprot = 1\n", "http.prot: unknown key"),
        ('rules = ["none.yaml"]\n', "none.yaml: no such file"),
        ('data = "gridwarden.toml"\n', "data: "),
        (BROKER, "none.pem: broker a, tls.ca_file"),
    ],
)
def test_check_says_where_and_why(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gridwarden.toml").write_text(text, "utf-8")
    answer = command("check", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err


def test_check_reads_the_rules(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gridwarden.toml").write_text('rules = ["own.yaml"]\n', "utf-8")
    Path("own.yaml").write_text(RULE.replace("pressure_mpa", "presure_mpa"), "utf-8")
    answer = command("check")
    assert answer.code == 2
    assert "own.yaml: rule own.low: when" in answer.err
    assert "presure_mpa" in answer.err

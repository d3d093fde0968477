"""``gridwarden gateway``: the files only; a running broker takes them up (tests of the broker)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gridwarden.cli.conftest import Command


def test_add_list_remove(command: Command, tmp_path: Path) -> None:
    assert "no gateway yet" in command("gateway", "list", "-d", tmp_path).err
    first = command("gateway", "add", "gw-1", "-d", tmp_path)
    assert first.code == 0
    assert "gridwarden/v1/gw-1/up" in first.err
    again = command("gateway", "add", "gw-1", "-d", tmp_path, "--json").json
    assert again["password"] == first.out.strip()
    assert command("gateway", "list", "-d", tmp_path, "--json").json == {"gateways": ["gw-1"]}
    assert command("gateway", "remove", "gw-1", "-d", tmp_path).code == 0
    assert command("gateway", "list", "-d", tmp_path).out == ""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("add", "bad name"), "letters, digits"),
        (("add", "ingester"), "one of our own"),
        (("remove", "none"), "there is no gateway none"),
    ],
)
def test_refusals(command: Command, tmp_path: Path, words: tuple[str, str], reason: str) -> None:
    answer = command("gateway", *words, "-d", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err


def test_another_brokers_users_are_made_there(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDWARDEN_EMBEDDED__ENABLED", "false")
    monkeypatch.setenv("GRIDWARDEN_BROKER", '[{"name": "a", "host": "b"}]')
    assert "made there" in command("gateway", "add", "gw-1", "-d", tmp_path).err


def test_one_that_comes_back_is_told(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDWARDEN_EMBEDDED__GATEWAYS", '["gw-1"]')
    command("gateway", "add", "gw-1", "-d", tmp_path)
    assert "lets it in again" in command("gateway", "remove", "gw-1", "-d", tmp_path).err

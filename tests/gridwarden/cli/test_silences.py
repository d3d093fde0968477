"""``gridwarden silence`` on a running instance."""

from __future__ import annotations

from pathlib import Path

from tests.gridwarden.cli.conftest import Command, Instance


def test_a_silence_is_added_listed_and_ended(command: Command, instance: Instance) -> None:
    data = ("-d", instance.data)
    assert "nothing is quieted" in command("silence", "list", *data).err
    made = command("silence", "add", "--for", "2h", "--comment", "main 12 is flushed", "--rule", "hydrant.*",
                   "--severity", "low", "--severity", "medium", "--json", *data).json  # fmt: skip
    assert (made["quieting_id"], made["stage"], made["author"]) == (1, "in_force", "local")
    assert made["matchers"] == {"rules": ["hydrant.*"], "severities": ["low", "medium"]}
    listed = command("silence", "list", *data).out
    assert "by local: main 12 is flushed (rules=hydrant.* severities=low,medium; quiets 0 now)" in listed
    assert "ended" in command("silence", "end", 1, *data).out
    assert command("silence", "list", "--json", *data).json["quietings"] == []
    assert "main 12" in command("silence", "list", "--ended", *data).out


def test_what_cannot_be_done_is_said(command: Command, instance: Instance) -> None:
    data = ("-d", instance.data)
    for words, said in (
        (("end", 99), "`gridwarden silence list` shows"),
        (("add", "--for", "2h", "--comment", "x"), "name an area, or what is to be quieted"),
        (("add", "--for", "60d", "--comment", "x", "--kind", "lift"), "--for: longer than 30 days"),
        (("add", "--for", "1h", "--comment", "x", "--severity", "worst"), "severities"),
    ):
        answer = command("silence", *words, *data)
        assert (answer.code, said in answer.err) == (2, True), answer


def test_without_an_instance_nothing_is_done(command: Command, tmp_path: Path) -> None:
    words = ("silence", "add", "--for", "1h", "--comment", "x", "--kind", "lift", "-d", tmp_path / "data")
    answer = command(*words)
    assert (answer.code, "core is not there" in answer.err) == (1, True)
    assert "nothing is quieted" in command("silence", "list", "-d", tmp_path / "data").err

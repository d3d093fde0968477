"""What was set aside, on the command line: looked at without an instance, retried on a running one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridwarden.cli.aside import hex_dump
from gridwarden.model import DeadLetter, Reading
from gridwarden.office.registry import Office
from gridwarden.records import database
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from tests.gridwarden.cli.conftest import Command

AT_MS = 1_800_000_000_000
LONG = bytes(range(256)) * 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    database.migrate(data)
    Office.open(data / "office.db").close()
    writer = Writer(data)
    writer.start()
    letters = [
        DeadLetter(
            AT_MS + n,
            "embedded",
            f"gridwarden/v1/gw-{n % 2}/up",
            "not_json",
            "line 1 [x]",
            body,
            "telemetry",
            f"gw-{n % 2}",
        )
        for n, body in enumerate([b"\xff{oops", b"more", LONG, b"done"])
    ]
    foreign = Reading("SMK-1", "smoke", "gw-9", AT_MS, AT_MS, 1, 5, True, {"state": "alarm"}, entitled=False)
    writer.commit(Transaction(AT_MS, dead_letters=[*letters, letters[0]], quarantined=[foreign], retried={4: "stored"}))
    writer.close()
    return data


def test_dead_letters_are_listed_and_filtered(command: Command, data: Path) -> None:
    def listed(*options: Any) -> list[int]:
        return [
            one["dead_letter_id"]
            for one in command("deadletter", "list", "-d", data, "--json", *options).json["dead_letters"]
        ]

    assert listed() == [3, 2, 1]
    assert listed("--all") == [4, 3, 2, 1]
    assert listed("--gateway", "gw-1") == [2]
    assert listed("--code", "too_large") == []
    text = command("deadletter", "list", "-d", data).out
    assert "not_json: line 1 [x] (6 bytes, 2 times)" in text
    assert "no open dead letter" in command("deadletter", "list", "-d", data, "--code", "x").err


def test_groups_and_quarantine(command: Command, data: Path) -> None:
    groups = command("deadletter", "groups", "-d", data, "--json").json["groups"]
    assert [(one["code"], one["gateway"], one["count"]) for one in groups] == [
        ("not_json", "gw-0", 3),
        ("not_json", "gw-1", 1),
    ]
    assert "gw-0" in command("deadletter", "groups", "-d", data).out
    assert "SMK-1" in command("quarantine", "groups", "-d", data).out
    assert '"alarm"' in command("quarantine", "list", "-d", data).out
    assert "gw-9" in command("quarantine", "show", 1, "-d", data).out
    assert "there is no quarantined reading 9" in command("quarantine", "show", 9, "-d", data).err


def test_a_letter_is_shown_as_bytes_and_text(command: Command, data: Path) -> None:
    shown = command("deadletter", "show", 1, "-d", data)
    assert "gridwarden/v1/gw-0/up" in shown.out
    assert "00000000  ff 7b 6f 6f 70 73 " in shown.out
    assert ".{oops" in shown.out
    assert command("deadletter", "show", 1, "-d", data, "--json").json["payload_hex"] == b"\xff{oops".hex()
    assert "there is no dead letter 77" in command("deadletter", "show", 77, "-d", data).err
    assert command("deadletter", "show", 0, "-d", data).code == 2


def test_the_dump_of_bytes() -> None:
    assert hex_dump(b"") == []
    assert hex_dump("火".encode() + b"0123456789abcdef") == [
        "00000000  e7 81 ab 30 31 32 33 34 35 36 37 38 39 61 62 63  ...0123456789abc",
        "00000010  64 65 66                                         def",
    ]


def test_the_export_has_every_byte(command: Command, data: Path, tmp_path: Path) -> None:
    answer = command("deadletter", "export", tmp_path / "letters.jsonl", "-d", data, "--all")
    assert (answer.code, "4 written" in answer.err) == (0, True)
    lines = [json.loads(line) for line in (tmp_path / "letters.jsonl").read_text("utf-8").splitlines()]
    assert [bytes.fromhex(line["payload_hex"]) for line in lines] == [b"done", LONG, b"more", b"\xff{oops"]
    assert [line["code"] for line in lines] == ["not_json"] * 4
    assert json.loads(command("quarantine", "export", "-", "-d", data).out)["device_id"] == "SMK-1"
    assert command("deadletter", "export", tmp_path / "none" / "x", "-d", data).code == 1


@pytest.mark.parametrize("words", [(), ("1", "--all"), ("--code", "x", "--all"), ("0",)])
def test_what_to_retry_must_be_named_in_one_way(command: Command, data: Path, words: tuple[str, ...]) -> None:
    assert command("deadletter", "retry", "-d", data, *words).code == 2


def test_without_core_nothing_is_retried(command: Command, data: Path) -> None:
    answer = command("deadletter", "retry", "--all", "-d", data)
    assert (answer.code, "core is not" in answer.err) == (1, True)

"""``gridwarden ledger`` and ``rules test``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gridwarden.model import DeadLetter
from gridwarden.office.registry import Office
from gridwarden.records import database
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from tests.gridwarden.cli.conftest import Command

AT_MS = 1_795_327_200_000
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
FAILING = """
cases:
  - name: it was never low
    steps:
      - {at: 0s, pressure_mpa: 0.5}
    expect:
      - [0s, own.low, fired]
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with two dead letters of a ledger that adds up."""
    data = tmp_path / "data"
    data.mkdir()
    database.migrate(data)
    Office.open(data / "office.db").close()
    writer = Writer(data)
    writer.start()
    letters = [DeadLetter(AT_MS, "embedded", "gridwarden/v1/gw-1/up", "not_json", "line 1 [x]", b"\xff{oops")] * 2
    transaction = Transaction(AT_MS, dead_letters=letters)
    tally = transaction.tally("embedded", "telemetry", "gw-1")
    tally.received, tally.dead_lettered = 2, 2
    writer.commit(transaction)
    writer.close()
    return data


def test_the_ledger(command: Command, data: Path) -> None:
    answer = command("ledger", "-d", data, "--json")
    assert answer.code == 0
    assert {name: answer.json[name] for name in ("received", "stored", "dead_lettered", "balanced")} == {
        "received": 2, "stored": 0, "dead_lettered": 2, "balanced": True,
    }  # fmt: skip
    told = command("ledger", "-d", data).out
    assert "the sum is right" in told
    assert "1970" not in told


def test_the_ledger_tells_what_damaged_files_have_cost(command: Command, data: Path) -> None:
    assert "LOST" not in command("ledger", "-d", data).out
    with closing(Writer(data)) as writer:
        writer.state_office(3)
    assert "LOST by damaged files: office changes 3" in command("ledger", "-d", data).out
    assert command("ledger", "-d", data, "--json").json["lost"]["office_changes"] == 3


def test_the_ledger_by_gateway(command: Command, data: Path) -> None:
    answer = command("ledger", "--by", "gateway", "-d", data, "--json")
    (line,) = answer.json["lines"]
    assert (answer.code, line["gateway"], line["received"], line["balanced"]) == (0, "gw-1", 2, True)
    assert "gw-1" in command("ledger", "--by", "gateway", "-d", data).out
    assert "gw-1" not in command("ledger", "--by", "lane", "-d", data).out
    assert command("ledger", "--by", "colour", "-d", data).code == 2


def test_a_ledger_that_does_not_add_up_fails(command: Command, data: Path) -> None:
    writer = Writer(data)
    writer.start()
    transaction = Transaction(AT_MS)
    transaction.tally("embedded", "telemetry").received = 1
    writer.commit(transaction)
    writer.close()
    answer = command("ledger", "-d", data)
    assert answer.code == 1
    assert "THE SUM IS NOT RIGHT" in answer.out
    by_gateway = command("ledger", "--by", "gateway", "-d", data)
    assert (by_gateway.code, by_gateway.out.count("THE SUM IS NOT RIGHT")) == (1, 1)


@pytest.mark.parametrize("words", [("ledger",), ("deadletter", "list"), ("user", "list")])
def test_who_only_looks_makes_nothing(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    answer = command(*words, "-d", tmp_path / "none", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert "no data of Gridwarden here" in answer.err
    assert not (tmp_path / "none").exists()


def test_rules_test(command: Command, tmp_path: Path) -> None:
    assert "0 failed" in command("rules", "test").out
    (tmp_path / "own.yaml").write_text(RULE, "utf-8")
    (tmp_path / "own.test.yaml").write_text(FAILING, "utf-8")
    junit = tmp_path / "junit.xml"
    answer = command("rules", "test", tmp_path / "own.test.yaml", "--junit", junit, "--json")
    assert (answer.code, answer.json["failed"]) == (1, 1)
    assert len(ET.parse(junit).findall(".//failure")) == 1  # noqa: S314 - we wrote it
    assert "it was never low" in command("rules", "test", tmp_path / "own.test.yaml").out
    assert command("rules", "test", tmp_path / "none").code == 2


def test_coverage_of_rule_tests(command: Command, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(RULE, "utf-8")
    (tmp_path / "own.test.yaml").write_text(FAILING.replace("0.5", "0.05"), "utf-8")
    told = command("rules", "test", tmp_path, "--coverage", "--restarts")
    assert told.code == 0
    assert "2 passed, 0 failed" in told.out
    assert "own.low      2 of     4     50 %" in told.out
    assert "not touched: own.low: when: pressure_mpa < 0.1 is never false" in told.out
    enough = command("rules", "test", tmp_path, "--coverage-min", "50", "--json")
    assert (enough.code, enough.json["coverage"]["percent"]) == (0, 50.0)
    short = command("rules", "test", tmp_path, "--coverage-min", "50.1")
    assert short.code == 1
    assert "50 % of the branches, 50.1 % are wanted" in short.err

"""``gridwarden rules backtest`` as a person types it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gridwarden.cli import backtest_work
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.model import Device, Reading
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from gridwarden.records import database
from tests.gridwarden.cli.conftest import Command, end, start, wait_for

DAY_MS = 86_400_000
START_MS = 1_795_305_600_000  # 2026-11-22T00:00:00Z
INTERVAL = ("--from", "2026-11-22", "--to", "2026-11-24")
RULES = """
kind: hydrant
rules:
  - id: own.low
    name: {{zh: 低, en: Low}}
    source: ours
    severity: low
    category: water
    when: pressure_mpa < {limit} and (not known(device.mount) or device.mount != 'cap')
    for: 5m
"""


def readings() -> list[Reading]:
    """Two hydrants, each low for an hour on the first day; one of them in a cap."""
    found = []
    for number, device_id in enumerate(("HYD-1", "HYD-2")):
        for quarter in range(2 * 96):
            at_ms = START_MS + quarter * 900_000 + number
            mpa = 0.08 if 40 <= quarter < 44 else 0.12 if quarter == 150 else 0.3
            key = 1000 * number + quarter
            found.append(
                Reading(device_id, "hydrant", "gw", at_ms, at_ms + 40, quarter, key, True, {"pressure_mpa": mpa})
            )
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with registry and history, one day of it sealed."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    database.migrate(data)
    csv = tmp_path / "devices.csv"
    csv.write_text('device_id,kind,attributes\nHYD-1,hydrant,\nHYD-2,hydrant,"{""mount"": ""cap""}"\n', "utf-8")
    with Office.open(data / "office.db") as office:
        assert import_file(office, "devices", csv).ok
        assert isinstance(office.device("HYD-1"), Device)
    history = DuckDBHistory(data / "history")
    history.append(readings(), 1, START_MS + 2 * DAY_MS)
    history.seal(START_MS + DAY_MS)
    with history._transaction() as connection:  # so that an instance with empty records can adopt it
        connection.execute("UPDATE state SET followed_offset = 0")
    history.close()
    return data


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.format(limit=0.14), "utf-8")
    return path


def test_what_would_have_fired(command: Command, data: Path, rules: Path) -> None:
    answer = command("rules", "backtest", "--rules", rules, *INTERVAL, "-d", data, "--json")
    assert answer.code == 0
    told = answer.json
    assert (told["readings"], told["device_days"], told["complete"]) == (384, {"hydrant": 4}, True)
    assert [(one["scope"], one["pending_at"], one["fired_at"], one["cleared_at"]) for one in told["episodes"]] == [
        ("HYD-1", "2026-11-22T10:00:00.000Z", "2026-11-22T10:05:00.000Z", "2026-11-22T11:00:00.000Z"),
        ("HYD-1", "2026-11-23T13:30:00.000Z", "2026-11-23T13:35:00.000Z", "2026-11-23T13:45:00.000Z"),
    ]
    assert told["rules"][0]["per_1000_device_days"] == 500.0
    assert list((data / "history" / "snapshots").iterdir()) == []


def test_what_fired_before_is_no_news(command: Command, data: Path, rules: Path) -> None:
    """The first low hour begins at 10:00; seen from 10:30 it has fired already, unless nobody looks back."""
    words = ("--rules", rules, "--from", "2026-11-22T10:30:00Z", "--to", "2026-11-23", "-d", data, "--json")
    known, anew = command("rules", "backtest", *words), command("rules", "backtest", *words, "--warm-up", "0s")
    assert known.json["episodes"] == []
    assert [one["pending_at"] for one in anew.json["episodes"]] == ["2026-11-22T10:30:00.000Z"]
    assert known.json["readings"] == anew.json["readings"] == 2 * 54
    assert known.json["device_days"] == {"hydrant": 2}


def test_people_see_a_table_and_a_page(command: Command, data: Path, rules: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    answer = command("rules", "backtest", "--rules", rules, *INTERVAL, "-d", data, "--html", page)
    assert answer.code == 0
    assert "own.low         2        1  1h 5m  32m 30s     5m             500     0" in answer.out
    assert "own.low" in page.read_text("utf-8")


def test_two_rule_sets_are_compared(command: Command, data: Path, rules: Path, tmp_path: Path) -> None:
    stricter = tmp_path / "stricter.yaml"
    stricter.write_text(RULES.format(limit=0.10), "utf-8")
    answer = command("rules", "backtest", "--rules", rules, "--against", stricter, *INTERVAL, "-d", data, "--json")
    difference = answer.json["difference"]
    assert (difference["same"], difference["gone"], difference["changed"]) == (1, [], [])
    assert [one["fired_at"] for one in difference["added"]] == ["2026-11-23T13:35:00.000Z"]


def test_without_files_the_rules_in_force_are_tried(command: Command, data: Path) -> None:
    answer = command("rules", "backtest", *INTERVAL, "--kind", "hydrant", "-d", data, "--json")
    fired = {one["rule_id"] for one in answer.json["episodes"]}
    assert "hydrant.low_pressure" in fired
    assert all(one["rule_id"].startswith("hydrant.") for one in answer.json["rules"])


def test_a_history_that_ends_too_early_is_said(command: Command, data: Path, rules: Path) -> None:
    answer = command("rules", "backtest", "--rules", rules, "--from", "2026-11-22", "--to", "2026-12-24", "-d", data)
    assert answer.code == 0
    assert "INCOMPLETE: the history has followed the records until 2026-11-24T00:00" in answer.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--from", "yesterday"], "--from: 'yesterday' is no time such as 2026-11-22"),
        (["--to", "2026-13-01"], "--to: '2026-13-01' is no time"),
        (["--from", "1969-12-31"], "lies before 1970"),
        (["--from", "2026-11-24", "--to", "2026-11-24"], "is not before"),
        (["--from", "2025-01-01", "--to", "2025-01-02"], "holds no reading of hydrant between 2025-01-01"),
        ([*INTERVAL, "--warm-up", "long"], "--warm-up: 'long': a duration such as 30s"),
        (["--kind", "hydrants"], "'hydrants' is none of hydrant, smoke"),
        ([*INTERVAL, "--kind", "smoke"], "nothing to try"),
        (["--rules", "none.yaml"], "none.yaml: no such file"),
        (["--against", "none.yaml"], "none.yaml: no such file"),
    ],
)
def test_what_cannot_be_done_is_said(command: Command, data: Path, rules: Path, words: list[str], reason: str) -> None:
    given = [] if "--rules" in words else ["--rules", rules]
    answer = command("rules", "backtest", *given, *words, "-d", data)
    assert answer.code == 2
    assert reason in answer.err
    assert answer.out == ""


def test_a_rule_file_with_a_mistake(command: Command, data: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(RULES.format(limit="'low'"), "utf-8")
    answer = command("rules", "backtest", "--rules", wrong, *INTERVAL, "-d", data)
    assert answer.code == 2
    assert "rule own.low: when: column 16" in answer.err


def test_a_rule_that_corrects_what_is_late_is_refused(command: Command, data: Path, tmp_path: Path) -> None:
    correcting = tmp_path / "correcting.yaml"
    correcting.write_text(RULES.format(limit=0.14) + "    late: correct\n    lateness: 5m\n", "utf-8")
    answer = command("rules", "backtest", "--rules", correcting, *INTERVAL, "-d", data)
    assert answer.code == 2
    assert "own.low: late: correct cannot be tried on the past" in answer.err
    assert answer.out == ""


def test_without_data_nothing_is_made(command: Command, rules: Path, tmp_path: Path) -> None:
    answer = command("rules", "backtest", "--rules", rules, *INTERVAL, "-d", tmp_path / "none")
    assert answer.code == 2
    assert "no data of Gridwarden here" in answer.err
    assert not (tmp_path / "none").exists()


@pytest.mark.process
def test_a_running_instance_lends_its_history(command: Command, data: Path, rules: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    process = start(data, said, "run", "--port", "0", "--single")
    try:
        wait_for(process, lambda: "is at http" in said.read_text(), said)
        answer = command("rules", "backtest", "--rules", rules, *INTERVAL, "-d", data, "--json")
        assert answer.code == 0, answer.err
        assert len(answer.json["episodes"]) == 2
    finally:
        end(process)


async def test_work_that_is_no_longer_wanted_stops_and_cleans_up(
    data: Path, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gridwarden.cli.output import installation  # noqa: PLC0415 - as the command does
    from rules.load import load  # noqa: PLC0415

    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    chunks = backtest_work.Past.chunks

    def slow(past: backtest_work.Past) -> object:
        for chunk in chunks(past):
            loop.call_soon_threadsafe(begun.set)
            yield chunk

    monkeypatch.setattr(backtest_work.Past, "chunks", slow)
    task = asyncio.create_task(
        backtest_work.backtest(installation(None, data), [load([rules])], (START_MS, START_MS + 2 * DAY_MS))
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((data / "history" / "snapshots").iterdir()) == []

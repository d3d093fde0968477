"""What the disk has lost is stated once, in the journal and in the ledger, by whoever comes upon it; and core goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gridwarden.core.commands import COMMANDS
from gridwarden.core.losses import LossBook, restore_windows, state_damage
from gridwarden.core.windows import SHARDS, Windows, shard_of
from gridwarden.records.damage import Losses
from gridwarden.records.transaction import Transaction

NOTHING = Losses().told()


def note(number: int) -> dict[str, Any]:
    return {"device": "HYD-1", "seq": number, "values": {"leak": False}}


def change(data: Path, sql: str, *parameters: Any) -> None:
    with closing(sqlite3.connect(data / "records.db", isolation_level=None)) as connection:
        assert connection.execute(sql, parameters).rowcount == 1


def restored(site: Any) -> tuple[Windows, LossBook, Transaction, int]:
    windows, book, transaction = Windows(), LossBook(), Transaction(1)
    windows.use(site.rules)
    book.restore(site.start.remembered)
    observed = restore_windows(windows, site.writer)
    state_damage(windows, site.writer, site.start, book, transaction)
    return windows, book, transaction, observed


def details(transaction: Transaction) -> list[dict[str, Any]]:
    return [one.detail for one in transaction.changes]


def test_a_damaged_block_is_left_out_and_stated_with_its_readings(make_site: Callable[..., Any]) -> None:
    site = make_site()
    for number in range(5):
        site.hear(note(3 * number), note(3 * number + 1), note(3 * number + 2))
    (body,) = [body for offset, body in site.writer.blocks_after(2) if offset == 3]
    change(site.data, 'UPDATE intake_block SET body = ? WHERE "offset" = 3', body + b"?")
    with capture_logs() as logs:
        windows, book, transaction, observed = restored(site)
    assert observed == 12
    assert windows.damaged == {3: "checksum does not match"}
    detail = {"what": "block", "offset": 3, "readings": 3, "reason": "checksum does not match"}
    assert details(transaction) == [detail]
    assert logs == [{"event": "data is lost", "log_level": "critical", **detail}]
    assert book.told() == NOTHING | {"readings": 3, "block_readings": 3}
    site.commit(transaction)
    site.restart()
    _, book, transaction, _ = restored(site)
    assert details(transaction) == []  # once
    assert book.told() == NOTHING | {"readings": 3, "block_readings": 3}
    with closing(site.reader()) as reader:
        assert [entry.operation for entry in reader.journal(0)] == ["data.lost"]
        assert reader.losses().told() == book.told()


def test_of_a_block_that_the_history_has_no_reading_is_lost(make_site: Callable[..., Any]) -> None:
    site = make_site()
    transaction = site.judged(note(1))
    transaction.followers = {"history": 1}
    site.commit(transaction)
    change(site.data, 'UPDATE intake_block SET body = ? WHERE "offset" = 1', b"?")
    site.restart()
    _, book, transaction, _ = restored(site)
    assert [detail["readings"] for detail in details(transaction)] == [0]
    assert book.told() == NOTHING


@pytest.mark.parametrize("at", ["table", "keys", "head"])
def test_a_damaged_snapshot_is_rebuilt_from_the_blocks_and_stated(make_site: Callable[..., Any], at: str) -> None:
    site = make_site()
    shard = shard_of("HYD-1")
    for number in range(SHARDS):
        transaction = site.judged(note(number))
        site.commit(transaction, snapshot=True)
    (body,) = [body for one, _, body in site.writer.shards() if one == shard]
    place = {"table": len(body) // 8, "keys": len(body) - 3, "head": 9}[at]
    torn = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
    change(site.data, "UPDATE shard SET body = ? WHERE shard = ?", torn, shard)
    windows, _, transaction, observed = restored(site)
    assert list(windows.broken) == [shard]
    assert observed == SHARDS
    assert windows.offsets[shard] == 0
    assert windows.snapshot().shard == shard  # the next one to be made
    (detail,) = details(transaction)
    assert (detail["what"], detail["shard"], detail["from_offset"]) == ("windows", shard, 0)
    heard = site.judge.windows.heard_at_ms("HYD-1")
    assert windows.heard_at_ms("HYD-1") == heard > 0


def test_what_web_reports_is_stated_once(make_site: Callable[..., Any]) -> None:
    desk = type("Desk", (), {"judge": make_site().judge})()
    told = COMMANDS["data_lost"]
    block = {"what": "block", "offset": 7, "readings": 3, "reason": "checksum does not match"}
    first, _ = told(desk, block)
    again, _ = told(desk, block)
    history, _ = told(desk, {"what": "history", "from_offset": 1, "through_offset": 4, "readings": 9, "actor": "web"})
    assert (details(first), details(again)) == ([block], [])
    assert details(history) == [{"what": "history", "from_offset": 1, "through_offset": 4, "readings": 9}]
    assert desk.judge.losses.told() == NOTHING | {"readings": 12, "block_readings": 3, "history_readings": 9}
    with pytest.raises(KeyError):
        told(desk, {"what": "block"})

"""Files that a disk has damaged, under real processes: nothing is silently begun anew, and what is lost is stated exactly.

Everything of an instance is killed in one moment, a file of it is damaged, and it is started again on what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic_core import to_json

from gridwarden.records import mark
from simulators.publisher import Publisher
from tests.faults.harness import Instance, until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process table of Linux"),
]
ROUNDS = 30
EACH = 4
"""Readings of a round."""
NO_LOSS = dict.fromkeys(
    ("transactions", "changes", "readings", "transaction_readings", "block_readings", "history_readings",
     "dead_letters", "office_changes"), 0,
)  # fmt: skip


@dataclass
class House:
    """An instance, and how many readings were published to it."""

    instance: Instance
    published: int = 0

    @property
    def data(self) -> Path:
        return self.instance.data

    async def publish(self, rounds: int = ROUNDS) -> None:
        """Rounds of their own batches; acknowledged when this returns."""
        at_ms = time.time_ns() // 1_000_000
        async with Publisher(self.instance.mqtt("gw")) as publisher:
            for _ in range(rounds):
                self.published += EACH
                body = [{"device": f"H-{n}", "at": at_ms + self.published, "seq": self.published, "values": {"leak": False}}
                        for n in range(EACH)]  # fmt: skip
                await publisher.publish("gridwarden/v1/gw/up", to_json(body), ["x"] * EACH)
                await publisher.drain()
                await asyncio.sleep(0.03)

    async def killed(self) -> None:
        """All of it, in one moment."""
        for pid in [self.instance.pid, *self.instance.children().values()]:
            assert pid is not None
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await until("all of it is dead", lambda: self.instance.pid is None and not self.instance.survivors())

    async def refused(self) -> str:
        """Start it where it must not start: what it says."""
        self.instance.launch()
        process = self.instance._process
        assert process is not None
        await until("it ended", lambda: process.poll() is not None)
        assert process.returncode == 1
        return self.instance.last_words()

    async def lost(self) -> list[dict[str, Any]]:
        """What the journal states as lost."""
        return [entry["detail"] async for entry in self.instance.journal() if entry["op"] == "data.lost"]


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    # Its own readings would come in between, and are counted like any.
    instance = Instance(folder, GRIDWARDEN_HEALTH__EVERY_S="0")
    async with instance.running():
        yield House(instance)


def query(path: Path, sql: str, *parameters: Any) -> Any:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, parameters).fetchone()


def rows_of_history(data: Path) -> int:
    with duckdb.connect(str(data / "history" / "history.duckdb"), read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM hot_hydrant").fetchone()
    assert found
    return int(found[0])


async def test_a_torn_log_costs_what_is_stated_and_everybody_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path / "i") as one:
        await one.publish()
        before = await one.instance.drained()
        epoch = (await one.instance.get("/journal"))["epoch"]
        assert (before["stored"], before["lost"]) == (one.published, NO_LOSS)
        await one.killed()
        assert rows_of_history(one.data) == one.published
        marked = mark.read(one.data)
        assert marked is not None
        wal = one.data / "records.db-wal"
        os.truncate(wal, wal.stat().st_size * 2 // 3)
        left = tmp_path / "left"
        left.mkdir()
        for name in ("records.db", "records.db-wal"):
            shutil.copyfile(one.data / name, left / name)
        (offset, stored) = query(left / "records.db", 'SELECT max("offset"), sum(reading_count) FROM intake_block')
        assert 0 < stored < one.published
        await one.instance.start()
        readings = one.published - stored
        (detail,) = await one.lost()
        assert (detail["what"], detail["from_offset"], detail["through_offset"], detail["readings"]) == (
            "transactions", offset + 1, marked.offset, readings,
        )  # fmt: skip
        assert detail["transactions"] == marked.offset - offset
        assert (await one.instance.get("/journal"))["epoch"] != epoch
        await one.publish(10)
        after = await one.instance.drained()
        assert after["lost"] == NO_LOSS | {
            "transactions": detail["transactions"], "changes": detail["changes"], "readings": readings,
            "transaction_readings": readings,
        }  # fmt: skip
        assert after["balanced"]
        assert after["stored"] + after["lost"]["transaction_readings"] == one.published
        await until("the history adds up", lambda: _audited(one, after["stored"]))
        await one.instance.stop()
        assert rows_of_history(one.data) == one.published  # it keeps what the records have lost


async def _audited(one: House, _stored: int) -> bool:
    report = (await one.instance.ledger())["history"]
    return bool(report) and report["missing"] == 0


async def test_a_flipped_block_is_stated_and_the_history_goes_on_behind_it(tmp_path: Path) -> None:
    async with house(tmp_path / "i") as one:
        await one.publish(5)
        await one.instance.drained()
        os.kill(await one.instance.child("web"), signal.SIGSTOP)  # what comes now is not followed
        await one.publish(10)
        await one.killed()
        path = one.data / "records.db"
        (offset, body, readings) = query(
            path,
            'SELECT "offset", body, reading_count FROM intake_block WHERE reading_count > 0 ORDER BY "offset" DESC',
        )
        query(path, 'UPDATE intake_block SET body = ? WHERE "offset" = ?', body[:20] + b"?" + body[21:], offset)
        await one.instance.start()
        (detail,) = await one.lost()
        assert (detail["what"], detail["offset"], detail["readings"]) == ("block", offset, readings)
        await one.publish(5)
        after = await one.instance.drained()
        assert after["lost"] == NO_LOSS | {"readings": readings, "block_readings": readings}
        assert (after["stored"], after["balanced"]) == (one.published, True)
        await until("the history adds up", lambda: _audited(one, after["stored"]))
        await one.instance.stop()
        assert rows_of_history(one.data) == one.published - readings


@pytest.mark.parametrize("file", ["records", "office"])
async def test_an_emptied_database_is_not_silently_begun_anew(tmp_path: Path, file: str) -> None:
    async with house(tmp_path / "i") as one:
        await one.publish(3)
        await one.instance.drained()
        await one.killed()
        path = one.data / f"{file}.db"
        path.write_bytes(b"")
        for rest in ("wal", "shm"):
            (one.data / f"{file}.db-{rest}").unlink(missing_ok=True)
        said = await one.refused()
        assert f"{file}.db: it is empty" in said
        assert f"remove {file}.mark" in said
        assert path.read_bytes() == b""
        (one.data / f"{file}.mark").unlink()
        shutil.rmtree(one.data / "history")  # of records that are no more
        await one.instance.start()


async def test_an_emptied_history_states_what_has_no_block_any_more(tmp_path: Path) -> None:
    async with house(tmp_path / "i") as one:
        await one.publish(10)
        await one.instance.drained()
        await one.instance.stop()
        shutil.rmtree(one.data / "history")
        await one.instance.start()  # all blocks are there: it follows anew
        again = await one.instance.drained()
        assert again["lost"] == NO_LOSS
        await one.instance.stop()
        assert rows_of_history(one.data) == one.published
        path = one.data / "records.db"
        (through,) = query(path, 'SELECT max("offset") - 3 FROM intake_block')
        (gone,) = query(path, 'SELECT sum(reading_count) FROM intake_block WHERE "offset" <= ?', through)
        query(path, 'DELETE FROM intake_block WHERE "offset" <= ?', through)  # as after an hour
        query(path, "INSERT INTO meta VALUES ('trimmed', ?)", str(through))
        (one.data / "history" / "history.duckdb").unlink()
        await one.instance.start()
        await one.publish(5)
        after = await one.instance.drained()
        assert await one.lost() == [{"what": "history", "from_offset": 1, "through_offset": through, "readings": gone}]
        assert after["lost"] == NO_LOSS | {"readings": gone, "history_readings": gone}
        await until("the history adds up", lambda: _audited(one, after["stored"]))
        await one.instance.stop()
        assert rows_of_history(one.data) == one.published - gone

"""What lies in our own files: intake blocks, shards of windows, generated credentials, the configuration."""

from __future__ import annotations

import json
from zlib import crc32

from gridwarden.broker import credentials
from gridwarden.config import load
from gridwarden.core.windows import Windows, shard_of
from gridwarden.errors import ConfigError
from gridwarden.model import Reading
from gridwarden.records import block
from gridwarden.records.block import CorruptBlock
from tests.fuzz.target import CUT, Shape, Target, outcome, parts, scratch, written

MESSAGE_LIMIT = 6_000
"""Longest message about an input, characters."""
READING = Reading(
    "SMK-1", "smoke", "gw1", 1_795_327_200_000, 1_795_327_200_001, 7, 2**63, True, {"state": "normal", "smoke_dbm": 0.5}
)


def stored_block(data: bytes) -> str:
    """:func:`block.decode` raises ``CorruptBlock`` and nothing else; bytes that were changed are never taken."""
    try:
        readings = block.decode(data)
    except CorruptBlock as error:
        return outcome(str(error))
    assert crc32(data[8:]) == int.from_bytes(data[4:8], "little")
    return f"{len(readings) > 1}"


def sealed_block(data: bytes) -> str:
    """The same for rows that were sealed as they are: damaged before they were written, or by another program."""
    try:
        readings = block.decode(block.seal(data))
    except CorruptBlock as error:
        return outcome(str(error))
    return f"read {len(readings) > 1}"


def _windows() -> Windows:
    windows = Windows()
    for number in range(1, 4):
        for seq in range(3):
            one = Reading(
                f"SMK-{number}",
                "smoke",
                "gw1",
                1_795_327_200_000 + seq,
                1_795_327_200_001,
                seq,
                seq,
                True,
                {"state": "normal"},
            )
            windows.observe(windows.get(one), one)
    return windows


def _shard() -> bytes:
    windows = _windows()
    windows._next_shard = shard_of("SMK-1")
    return windows.snapshot().body


def shard(data: bytes) -> str:
    """:meth:`Windows.load` raises ``CorruptBlock`` and nothing else; what it takes can be gone on from and stored again."""
    windows = Windows()
    try:
        windows.load(shard_of("SMK-1"), 7, data)
    except CorruptBlock as error:
        assert not len(windows)
        return outcome(str(error))
    windows.observe(windows.get(READING), READING)
    windows._next_shard = shard_of("SMK-1")
    again = Windows()
    again.load(shard_of("SMK-1"), 8, windows.snapshot().body)
    return f"loaded {len(windows)}"


SECRETS = json.dumps(
    {
        "supervisor": "s" * 32,
        "ingester": "i" * 32,
        "gateways": {"gw1": "g" * 32, "gw-2": "h" * 32},
        "replayer": "r" * 32,
    }
).encode()


def secrets(data: bytes) -> str:
    """:func:`credentials.load` raises ``ConfigError`` alone; what it takes is text."""
    folder = scratch() / "broker"
    folder.mkdir(exist_ok=True)
    (folder / credentials.FILE).write_bytes(data)
    try:
        known = credentials.load(folder)
    except ConfigError as error:
        assert str(folder) in str(error)
        return "refused"
    for user in ("supervisor", "ingester", "replayer", *known.gateways):
        name, password = known.of(user)
        f"{name} {password}".encode()
        assert type(password) is str
    return f"known {len(known.gateways)}"


SETTINGS = b"""data = "/var/lib/x"
rules = ["a.yaml"]
clock = "system"
[site]
name = "X"
time_zone = "Asia/Shanghai"
[http]
port = 8080
origins = ["https://a.example"]
[embedded]
enabled = true
gateways = ["gw1"]
store_bytes = 67108864
[[broker]]
name = "b"
host = "h"
version = "5"
password = "p"
telemetry = ["a/+/up"]
hold_after_connect_s = 1.5
[ingest]
max_payload_bytes = 4096
[history]
kind = "duckdb"
url = "http://h:1"
retention_days = 3
"""
ENVIRONMENT = b'GRIDWARDEN_HTTP__PORT=9000\nGRIDWARDEN_RULES=["a.yaml"]\nGRIDWARDEN_BROKER=[{"name":"x","host":"y"}]\nGRIDWARDEN_SITE__NAME=X'


def configuration(data: bytes) -> str:
    """:func:`gridwarden.config.load` raises ``ConfigError`` alone, with place and reason, for file and environment."""
    text, lines = parts(data, 2)
    environ = dict(line.split("=", 1) for line in lines.decode("utf-8", "surrogateescape").splitlines() if "=" in line)
    path = written("gridwarden.toml", text)
    try:
        config = load(path, environ)
    except ConfigError as error:
        assert error.reason
        assert error.path
        assert len(str(error)) < MESSAGE_LIMIT
        f"{error}".encode("utf-8", "replace")
        return outcome(str(error))
    return f"taken {len(config.broker)} {config.clock}"


STORED = (
    Target("block", stored_block, (block.encode([READING]), block.encode([READING] * 9)), Shape.BYTES),
    Target("block_rows", sealed_block, (block.rows_json([READING]), block.rows_json([READING] * 3)), Shape.JSON),
    Target("shard", shard, (_shard(),), Shape.BYTES),
    Target("secrets", secrets, (SECRETS,), Shape.JSON),
    Target("configuration", configuration, (SETTINGS + CUT + ENVIRONMENT, CUT + ENVIRONMENT, SETTINGS), Shape.TEXT, 16 * 1024,
           words=(b"GRIDWARDEN_", b"__", b"[[broker]]", b"[http]", b"port = ", b'"""', b"1979-05-27T07:32:00Z", b"0x", b"inf")),
)  # fmt: skip

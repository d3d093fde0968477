"""Tables of ``records.db``. One model for SQLite now and PostgreSQL later; changes go through the migrations."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, text
from sqlalchemy.types import BigInteger

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
"""``epoch``: identity of this database, renewed by a restore; ``trimmed``: last offset whose block is gone."""

intake_block = Table(
    "intake_block",
    metadata,
    Column("offset", Integer, primary_key=True, autoincrement=False),
    Column("committed_at_ms", BigInteger, nullable=False),
    Column("reading_count", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""One row per transaction, so that offsets have no gaps; a transaction without readings has an empty body."""

alarm = Table(
    "alarm",
    metadata,
    Column("alarm_id", String(64), primary_key=True),
    Column("rule_id", String(80), nullable=False),
    Column("rule_version", String(32), nullable=False),
    Column("scope", String(200), nullable=False),
    Column("device_id", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("area", String(32), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("pending_at_ms", BigInteger, nullable=False),
    Column("wake_at_ms", BigInteger),
    Column("fired_at_ms", BigInteger),
    Column("clear_since_ms", BigInteger),
    Column("cleared_at_ms", BigInteger),
    Column("resolved_at_ms", BigInteger),
    Column("latched", Boolean, nullable=False),
    Column("life_safety", Boolean, nullable=False),
    Column("unverified", Boolean, nullable=False),
    Column("acknowledged_at_ms", BigInteger),
    Column("acknowledged_by", String(80)),
    Column("confirmed_at_ms", BigInteger),
    Column("confirmed_by", String(80)),
    Column("outcome", String(16)),
    Column("note", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("memory", JSON, nullable=False),
    Column("rule_shape", String(32), nullable=False),
    Column("flapping", Boolean, nullable=False),
    Column("occurrences", Integer, nullable=False),
    Column("suppressed", Boolean, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("quieted_by", String(200), nullable=False),
    Column("event_id", String(64)),
    Column("revision", Integer, nullable=False),
    Index("alarm_by_fired", "fired_at_ms", "alarm_id"),
    Index("alarm_by_device", "device_id", "fired_at_ms"),
    Index("alarm_by_event", "event_id"),
    Index("alarm_active", "state", sqlite_where=text("state IN ('pending', 'firing')")),
)

grid_event = Table(
    "grid_event",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("case_no", String(32), nullable=False, unique=True),
    Column("incident_key", String(240), nullable=False),
    Column("category", String(16), nullable=False),
    Column("rule_id", String(80), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("area", String(32), nullable=False),
    Column("device_id", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("alarm_count", Integer, nullable=False),
    Column("firing_count", Integer, nullable=False),
    Column("unacknowledged_count", Integer, nullable=False),
    Column("unverified", Boolean, nullable=False),
    Column("drill", Boolean, nullable=False),
    Column("closed_at_ms", BigInteger),
    Column("closed_by", String(80)),
    Column("closing_note", Text, nullable=False),
    Column("merged_into", String(64)),
    Column("revision", Integer, nullable=False),
    Index("event_by_opened", "opened_at_ms", "event_id"),
    Index("event_adopted", "merged_into", sqlite_where=text("merged_into IS NOT NULL")),
    Index("event_open", "incident_key", unique=True, sqlite_where=text("state = 'open'")),
)

rule_text = Table(
    "rule_text",
    metadata,
    Column("rule_id", String(80), primary_key=True),
    Column("version", String(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("content", JSON, nullable=False),
    Column("first_at_ms", BigInteger, nullable=False),
)
"""Every version of a rule that was ever in force, as it stood in its file: an old alarm can still be explained."""

journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("offset", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("operation", String(32), nullable=False),
    Column("area", String(32), nullable=False),
    Column("alarm_id", String(64)),
    Column("event_id", String(64)),
    Column("actor", String(80)),
    Column("body", JSON, nullable=False),
    sqlite_autoincrement=True,
)
"""Immutable. ``body`` holds alarm and event as they stood after the change, and its detail."""

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("dead_letter_id", Integer, primary_key=True),
    Column("offset", Integer, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("broker", String(32), nullable=False),
    Column("topic", Text, nullable=False),
    Column("code", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("retried_at_ms", BigInteger),
    Column("retry_outcome", String(32), nullable=False, server_default=""),
    Column("key", String(32)),
    Column("lane", String(16), nullable=False, server_default=""),
    Column("gateway", String(128), nullable=False, server_default=""),
    Column("count", Integer, nullable=False, server_default="1"),
    Column("last_received_at_ms", BigInteger),
    Index("dead_letter_by_key", "key", unique=True),
    Index("dead_letter_by_gateway", "gateway", "dead_letter_id"),
    Index("dead_letter_counts", "gateway", "retry_outcome", "count"),
    Index("dead_letter_by_last", "last_received_at_ms"),
    Index(
        "dead_letter_settled",
        "dead_letter_id",
        sqlite_where=text("retry_outcome IN ('stored', 'duplicate', 'quarantined')"),
    ),
)
"""``dead_letter_counts`` is read in place of the rows, which hold payloads. ``key`` tells the same bytes with the same fault on the same topic: they are kept once and counted."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("quarantine_id", Integer, primary_key=True),
    Column("offset", Integer, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("gateway", String(128), nullable=False),
    Column("device_id", String(128), nullable=False),
    Column("body", JSON, nullable=False),
    Column("retried_at_ms", BigInteger),
    Column("retry_outcome", String(32), nullable=False, server_default=""),
    Index("quarantine_by_device", "device_id", "quarantine_id"),
    Index("quarantine_by_gateway", "gateway", "quarantine_id"),
)
"""A list for people; the readings themselves lie in the blocks, marked as not entitled."""

unregistered = Table(
    "unregistered",
    metadata,
    Column("device_id", String(128), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("gateway", String(128), nullable=False),
    Column("first_seen_at_ms", BigInteger, nullable=False),
    Column("last_seen_at_ms", BigInteger, nullable=False),
    Column("reading_count", Integer, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("broker", String(32), primary_key=True),
    Column("lane", String(16), primary_key=True),
    Column("gateway", String(128), primary_key=True, server_default=""),
    Column("stored", BigInteger, nullable=False, server_default="0"),
    Column("duplicate", BigInteger, nullable=False, server_default="0"),
    Column("dead_lettered", BigInteger, nullable=False, server_default="0"),
    Column("quarantined", BigInteger, nullable=False, server_default="0"),
    Column("unchecked", BigInteger, nullable=False, server_default="0"),
    Column("redelivered", BigInteger, nullable=False, server_default="0"),
    Column("received", BigInteger, nullable=False, server_default="0"),
    Column("last_received_at_ms", BigInteger, nullable=False, server_default="0"),
    Index("ledger_by_gateway", "gateway"),
)
"""No gateway (``""``): counted before there were lines for each, or of nobody's message. ``received`` is counted where payloads are decoded, the others where it is decided what becomes of a reading."""

counter = Table(
    "counter",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
)
"""Numbers of the day for case numbers."""

shard = Table(
    "shard",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("offset", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""Snapshots of the device windows; each is true as of its own offset."""

follower = Table(
    "follower",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("offset", Integer, nullable=False),
)
"""How far each follower of the blocks has come, as it told us over the link."""

command = Table(
    "command",
    metadata,
    Column("command_id", String(128), primary_key=True),
    Column("offset", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("answer", JSON, nullable=False),
    Index("command_by_time", "at_ms"),
)
"""Commands carried out, so that a repeated one gets its first answer and acts once."""

quieting = Table(
    "quieting",
    metadata,
    Column("quieting_id", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("area", String(32), nullable=False),
    Column("matchers", JSON, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("from_at_ms", BigInteger, nullable=False),
    Column("until_at_ms", BigInteger),
    Column("author", String(80), nullable=False),
    Column("author_id", String(80), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("weekly", JSON(none_as_null=True)),
    Column("approved_at_ms", BigInteger),
    Column("approved_by", String(80)),
    Column("approved_by_id", String(80)),
    Column("ended_at_ms", BigInteger),
    Column("ended_by", String(80)),
    Index("quieting_open", "quieting_id", sqlite_where=text("ended_at_ms IS NULL")),
)
"""Who quiets which alarms, why and how long. The comment stands here alone, not in the journal."""

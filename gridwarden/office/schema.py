"""The tables of ``office.db``. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _at(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _attributes() -> Column[str]:
    # JSON text with sorted keys and no spaces, so that equal attributes are equal text.
    return Column("attributes", Text, nullable=False, server_default="{}")


area = Table(
    "area", metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    _text("name_en"),
    Column("valid_from", Date),
    Column("valid_to", Date),
    # GeoJSON text of a Polygon or MultiPolygon in WGS-84, as gridwarden.office.geometry writes it.
    Column("geometry", Text),
)  # fmt: skip

device = Table(
    "device", metadata,
    Column("device_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    _text("area"), _text("name"), _text("profile"),
    Column("gateway", Text),
    _text("building"), _text("water_main"), _text("power_feeder"),
    Column("lon", Float), Column("lat", Float),
    _attributes(),
    Index(None, "area", "kind"), Index(None, "kind"), Index(None, "lat", "lon"),
)  # fmt: skip

resource = Table(
    "resource", metadata,
    Column("resource_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    _text("name"), _text("area"),
    Column("lon", Float), Column("lat", Float),
    _attributes(),
    Index(None, "lat", "lon"), Index(None, "area", "kind"),
)  # fmt: skip

registry_version = Table(
    "registry_version", metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)  # fmt: skip

user_account = Table(
    "user_account", metadata,
    Column("user_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("areas", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    _at("created_at_ms"),
)  # fmt: skip

session = Table(
    "session", metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", Text, ForeignKey("user_account.user_id", ondelete="CASCADE"), nullable=False, index=True),
    _at("created_at_ms"), _at("expires_at_ms"), _at("last_seen_at_ms"),
)  # fmt: skip

api_token = Table(
    "api_token", metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    Column("user_id", Text, ForeignKey("user_account.user_id", ondelete="CASCADE"), nullable=False, index=True),
    _at("created_at_ms"),
    Column("revoked_at_ms", Integer),
)  # fmt: skip

cursor = Table(
    "cursor", metadata,
    Column("follower", Text, primary_key=True),
    Column("position", Integer, nullable=False),
)  # fmt: skip

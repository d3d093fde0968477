"""The first tables: registry, accounts, cursors."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Forward only: a backup is the way back."""
    _registry()
    _accounts()
    op.create_table(
        "cursor",
        sa.Column("follower", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("follower", name="pk_cursor"),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _attributes() -> sa.Column[str]:
    return sa.Column("attributes", sa.Text, nullable=False, server_default="{}")


def _registry() -> None:
    op.create_table(
        "area",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        _text("name_en"),
        sa.Column("valid_from", sa.Date),
        sa.Column("valid_to", sa.Date),
        sa.PrimaryKeyConstraint("code", name="pk_area"),
    )
    op.create_table(
        "device",
        sa.Column("device_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        *map(_text, ("area", "name", "profile")),
        sa.Column("gateway", sa.Text),
        *map(_text, ("building", "water_main", "power_feeder")),
        sa.Column("lon", sa.Float),
        sa.Column("lat", sa.Float),
        _attributes(),
        sa.PrimaryKeyConstraint("device_id", name="pk_device"),
    )
    op.create_index("ix_device_area_kind", "device", ["area", "kind"])
    op.create_index("ix_device_kind", "device", ["kind"])
    op.create_table(
        "resource",
        sa.Column("resource_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        _text("name"),
        _text("area"),
        sa.Column("lon", sa.Float),
        sa.Column("lat", sa.Float),
        _attributes(),
        sa.PrimaryKeyConstraint("resource_id", name="pk_resource"),
    )
    op.create_index("ix_resource_lat_lon", "resource", ["lat", "lon"])
    op.create_index("ix_resource_area_kind", "resource", ["area", "kind"])
    version = op.create_table(
        "registry_version",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.CheckConstraint("id = 1", name="ck_registry_version_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_registry_version"),
    )
    op.bulk_insert(version, [{"id": 1, "version": 0}])


def _accounts() -> None:
    op.create_table(
        "user_account",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("areas", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_account"),
        sa.UniqueConstraint("name", name="uq_user_account_name"),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.Integer, nullable=False),
        sa.Column("expires_at_ms", sa.Integer, nullable=False),
        sa.Column("last_seen_at_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_session"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.user_id"], name="fk_session_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_session_user_id", "session", ["user_id"])
    op.create_table(
        "api_token",
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.Integer, nullable=False),
        sa.Column("revoked_at_ms", sa.Integer),
        sa.PrimaryKeyConstraint("token_hash", name="pk_api_token"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.user_id"], name="fk_api_token_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_api_token_user_id", "api_token", ["user_id"])

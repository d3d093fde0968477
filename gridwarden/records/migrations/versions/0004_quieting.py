"""Silences, shelved alarms, devices out of service, maintenance windows."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make their table; nobody has quieted anything before."""
    op.create_table(
        "quieting",
        sa.Column("quieting_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("area", sa.String(length=32), nullable=False),
        sa.Column("matchers", sa.JSON(), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("from_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("author", sa.String(length=80), nullable=False),
        sa.Column("author_id", sa.String(length=80), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("weekly", sa.JSON(), nullable=True),
        sa.Column("approved_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.String(length=80), nullable=True),
        sa.Column("approved_by_id", sa.String(length=80), nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=80), nullable=True),
        sa.PrimaryKeyConstraint("quieting_id"),
    )
    op.create_index(
        "quieting_open", "quieting", ["quieting_id"], unique=False, sqlite_where=sa.text("ended_at_ms IS NULL")
    )

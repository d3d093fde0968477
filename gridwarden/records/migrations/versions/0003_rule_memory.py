"""Alarms keep what their rule remembers, and why nobody is told of them; events know who adopted them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; what fired before has nothing to remember, and its rule's shape is taken at the next start."""
    for column in (
        sa.Column("memory", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("rule_shape", sa.String(32), nullable=False, server_default=""),
        sa.Column("flapping", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("occurrences", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("suppressed", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("shadow", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("quieted_by", sa.String(200), nullable=False, server_default=""),
    ):
        op.add_column("alarm", column)
    op.add_column("grid_event", sa.Column("merged_into", sa.String(64)))

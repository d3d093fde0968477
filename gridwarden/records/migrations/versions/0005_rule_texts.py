"""The text of every version of a rule that was in force, so that an old alarm can be explained."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table; it begins with the rules in force at the next start."""
    op.create_table(
        "rule_text",
        sa.Column("rule_id", sa.String(80), primary_key=True),
        sa.Column("version", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
    )

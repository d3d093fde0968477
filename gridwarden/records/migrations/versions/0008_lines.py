"""Each line of the ledger knows when its newest message was received, and what is asked per gateway has an index."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column (of what was counted before it is not known) and the indexes."""
    column = sa.Column("last_received_at_ms", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("ledger", column)
    op.create_index("ledger_by_gateway", "ledger", ["gateway"])
    op.create_index("dead_letter_counts", "dead_letter", ["gateway", "retry_outcome", "count"])
    op.create_index("quarantine_by_gateway", "quarantine", ["gateway", "quarantine_id"])

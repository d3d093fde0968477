"""Dead letters are found by what goes first: those that a retry has settled, and those that came last long ago."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Say of the letters from before when they came last, and make the two indexes."""
    op.execute("UPDATE dead_letter SET last_received_at_ms = received_at_ms WHERE last_received_at_ms IS NULL")
    op.create_index("dead_letter_by_last", "dead_letter", ["last_received_at_ms"])
    settled = sa.text("retry_outcome IN ('stored', 'duplicate', 'quarantined')")
    op.create_index("dead_letter_settled", "dead_letter", ["dead_letter_id"], sqlite_where=settled)

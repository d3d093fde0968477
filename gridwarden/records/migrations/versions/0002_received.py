"""The ledger counts what was received on its own, so that its balance is a check and not a sum."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; so far the sum stands for it."""
    op.add_column("ledger", sa.Column("received", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE ledger SET received = stored + duplicate + dead_lettered + quarantined")

"""The ledger per gateway; dead letters know each other again, and what a retry made of them; so does the quarantine.

What was counted before has no gateway; a dead letter from before has no key and stays what it is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
_COUNTS = ("stored", "duplicate", "dead_lettered", "quarantined", "unchecked", "redelivered", "received")


def upgrade() -> None:
    """Give the ledger its third key, and the two lists their new columns."""
    op.create_table(
        "ledger_new",
        sa.Column("broker", sa.String(length=32), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("gateway", sa.String(length=128), nullable=False, server_default=""),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in _COUNTS),
        sa.PrimaryKeyConstraint("broker", "lane", "gateway"),
    )
    names = ", ".join(("broker", "lane", *_COUNTS))
    op.execute(f"INSERT INTO ledger_new ({names}) SELECT {names} FROM ledger")  # noqa: S608 - names of our own
    op.drop_table("ledger")
    op.rename_table("ledger_new", "ledger")
    for table in ("dead_letter", "quarantine"):
        op.add_column(table, sa.Column("retried_at_ms", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("retry_outcome", sa.String(length=32), nullable=False, server_default=""))
    op.add_column("dead_letter", sa.Column("key", sa.String(length=32), nullable=True))
    op.add_column("dead_letter", sa.Column("lane", sa.String(length=16), nullable=False, server_default=""))
    op.add_column("dead_letter", sa.Column("gateway", sa.String(length=128), nullable=False, server_default=""))
    op.add_column("dead_letter", sa.Column("count", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("dead_letter", sa.Column("last_received_at_ms", sa.BigInteger(), nullable=True))
    op.create_index("dead_letter_by_key", "dead_letter", ["key"], unique=True)
    op.create_index("dead_letter_by_gateway", "dead_letter", ["gateway", "dead_letter_id"])
    op.create_index("quarantine_by_device", "quarantine", ["device_id", "quarantine_id"])

"""The events that an event has adopted are found by it."""

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the index."""
    op.create_index("event_adopted", "grid_event", ["merged_into"], sqlite_where=text("merged_into IS NOT NULL"))

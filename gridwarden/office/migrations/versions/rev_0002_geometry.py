"""Outlines of areas, and an index for the devices near a place."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Forward only: a backup is the way back."""
    op.add_column("area", sa.Column("geometry", sa.Text))
    op.create_index("ix_device_lat_lon", "device", ["lat", "lon"])

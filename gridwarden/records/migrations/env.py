"""Alembic's entry for ``records.db``; the connection is handed in by ``gridwarden.records.database.migrate``."""

from alembic import context

from gridwarden.records.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

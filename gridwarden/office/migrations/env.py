"""Alembic's entry: runs the migrations on the connection, and in the transaction, that ``migrate()`` opened."""

from alembic import context

from gridwarden.office import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    # SQLite's DDL is transactional once BEGIN is really sent, which our connection does.
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()

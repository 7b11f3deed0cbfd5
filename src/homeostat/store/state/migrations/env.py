"""Alembic's entry point: runs the migrations on the connection that ``migrate`` hands over."""

from alembic import context
from sqlalchemy import Connection

from homeostat.store.state.schema import metadata


def run() -> None:
    """Upgrade within the caller's transaction."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


run()

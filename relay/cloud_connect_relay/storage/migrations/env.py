"""Alembic's entry: runs the migrations on the connection that ``upgrade`` brings."""

from alembic import context

from cloud_connect_relay.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()

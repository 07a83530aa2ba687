"""The table of calls, and which of them people look for."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    Table,
    Text,
    false,
    text,
)

from cloud_connect_relay.storage.schema import metadata, subscription_column

__all__ = ["FAILED", "NOT_COMPLETED", "RUNNING", "calls"]

# Calls that people look for are few: indices of them alone are small.
FAILED: Final = text("status >= 400")
NOT_COMPLETED: Final = text("outcome <> 'completed'")
RUNNING: Final = text("outcome IS NULL")
_HELD: Final = text("holds_key")  # a call that certainly had no effect lets go of its key

calls: Final = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    subscription_column(),
    Column("key_id", Text),
    Column("datasource_id", Text),
    Column("connector_id", Text),
    Column("operation", Text, nullable=False),
    Column("resource", Text),
    Column("idempotency_key", Text),
    Column("fingerprint", Text),
    Column("state", Text, nullable=False),
    Column("outcome", Text),
    Column("final", Boolean, nullable=False, server_default=false()),
    Column("status", Integer),
    Column("code", Text),
    Column("detail", Text),
    Column("started_at", Float, nullable=False),
    Column("dispatched_at", Float),
    Column("finished_at", Float),
    Column("rows", BigInteger),
    Column("bytes", BigInteger),
    Column("hops", JSON),
    Column("owner", Text),  # the run of the node that carries it
    Column("holds_key", Boolean, nullable=False, server_default=false()),
    Column("upsert", Boolean, nullable=False, server_default=false()),
    Column("already_absent", Boolean, nullable=False, server_default=false()),
    Index(
        "uq_calls_idempotency_key",
        "subscription_id",
        "idempotency_key",
        unique=True,
        sqlite_where=_HELD,
        postgresql_where=_HELD,
    ),
    Index(
        "ix_calls_subscription_id_idempotency_key_started_at",
        "subscription_id",
        "idempotency_key",
        "started_at",
    ),
    Index("ix_calls_subscription_id_started_at_id", "subscription_id", "started_at", "id"),
    Index("ix_calls_state", "state"),
    *(
        Index(
            f"ix_calls_subscription_id_{name}_started_at_id",
            "subscription_id",
            name,
            "started_at",
            "id",
        )
        for name in ("connector_id", "datasource_id", "operation")
    ),
    Index(
        "ix_calls_failed",
        "subscription_id",
        "started_at",
        "id",
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    ),
    Index(
        "ix_calls_failed_of_connector",
        "subscription_id",
        "connector_id",
        "started_at",
        "id",
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    ),
    Index(
        "ix_calls_running",
        "subscription_id",
        "started_at",
        "id",
        sqlite_where=RUNNING,
        postgresql_where=RUNNING,
    ),
    Index(
        "ix_calls_not_completed",
        "subscription_id",
        "outcome",
        "started_at",
        "id",
        sqlite_where=NOT_COMPLETED,
        postgresql_where=NOT_COMPLETED,
    ),
)

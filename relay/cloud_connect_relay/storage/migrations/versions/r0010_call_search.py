"""Indices that searches for calls go by.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FAILED = sa.text("status >= 400")
_NOT_COMPLETED = sa.text("outcome <> 'completed'")


def upgrade() -> None:
    """Make the indices; those of failures hold few rows."""
    op.drop_index("ix_calls_subscription_id_started_at", "calls")
    op.create_index(
        "ix_calls_subscription_id_started_at_id",
        "calls",
        ["subscription_id", "started_at", "id"],
    )
    for name in ("connector_id", "datasource_id", "operation"):
        op.create_index(
            f"ix_calls_subscription_id_{name}_started_at_id",
            "calls",
            ["subscription_id", name, "started_at", "id"],
        )
    for name, columns, condition in (
        ("ix_calls_failed", ["subscription_id", "started_at", "id"], _FAILED),
        (
            "ix_calls_failed_of_connector",
            ["subscription_id", "connector_id", "started_at", "id"],
            _FAILED,
        ),
        (
            "ix_calls_not_completed",
            ["subscription_id", "outcome", "started_at", "id"],
            _NOT_COMPLETED,
        ),
    ):
        op.create_index(name, "calls", columns, sqlite_where=condition, postgresql_where=condition)

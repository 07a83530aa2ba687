"""Until when an administrator keeps calls from a connector; an index of the calls that run.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_RUNNING = sa.text("outcome IS NULL")


def upgrade() -> None:
    """Add the column, and the index; it holds few rows."""
    op.add_column("connectors", sa.Column("paused_until", sa.Float(), nullable=True))
    op.create_index(
        "ix_calls_running",
        "calls",
        ["subscription_id", "started_at", "id"],
        sqlite_where=_RUNNING,
        postgresql_where=_RUNNING,
    )

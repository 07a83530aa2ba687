"""Quotas of subscriptions and keys.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is there has no quota."""
    for table in ("subscriptions", "api_keys"):
        op.add_column(table, sa.Column("quota", sa.JSON(), nullable=True))

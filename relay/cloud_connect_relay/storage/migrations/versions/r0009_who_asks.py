"""Where API keys may be used from, and whom the users count as that platforms name.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keys that exist are used from anywhere and name nobody; a platform's users are members."""
    op.add_column("api_keys", sa.Column("addresses", sa.JSON(none_as_null=True)))
    op.add_column("api_keys", sa.Column("acts_for", sa.Text()))
    op.add_column(
        "custom_connectors",
        sa.Column("users", sa.Text(), server_default=sa.text("'members'"), nullable=False),
    )

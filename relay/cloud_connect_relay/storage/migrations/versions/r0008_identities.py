"""Keys that follow one another, connectors that wait for approval or may come back once.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no key is announced, nobody waits."""
    op.add_column("connectors", sa.Column("next_public_key", sa.LargeBinary(), nullable=True))
    op.add_column("connectors", sa.Column("next_key_id", sa.Text(), nullable=True))
    op.add_column("connectors", sa.Column("key_announced_at", sa.Float(), nullable=True))
    for table, name in (("connectors", "recovery"), ("join_tokens", "approval")):
        op.add_column(
            table, sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False)
        )

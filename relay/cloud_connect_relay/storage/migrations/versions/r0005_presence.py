"""When relays ran and which connectors were connected meanwhile: what uptime is counted from.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables; what was before is not known."""
    op.create_table(
        "relay_presence",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_presence")),
    )
    op.create_index("ix_relay_presence_seen_at", "relay_presence", ["seen_at"])
    op.create_table(
        "connector_presence",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("connector_id", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("ended", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connector_presence")),
    )
    op.create_index(
        "ix_connector_presence_subscription_id_seen_at",
        "connector_presence",
        ["subscription_id", "seen_at"],
    )
    op.create_index("ix_connector_presence_run_id", "connector_presence", ["run_id"])
    op.create_index("ix_connector_presence_seen_at", "connector_presence", ["seen_at"])

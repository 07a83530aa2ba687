"""Custom connectors, and which of their requests were let in.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "custom_connectors",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("allow_writes", sa.Boolean(), nullable=False),
        sa.Column("request_id_is_key", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("fk_custom_connectors_subscription_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_custom_connectors")),
    )
    op.create_index(
        "ix_custom_connectors_subscription_id", "custom_connectors", ["subscription_id"]
    )
    op.create_table(
        "custom_requests",
        sa.Column("registration_id", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["custom_connectors.id"],
            name=op.f("fk_custom_requests_registration_id"),
        ),
        sa.PrimaryKeyConstraint("registration_id", "request_hash", name=op.f("pk_custom_requests")),
    )
    op.create_index("ix_custom_requests_at", "custom_requests", ["at"])
    op.create_table(
        "custom_bags",
        sa.Column("registration_id", sa.Text(), nullable=False),
        sa.Column("last_block", sa.LargeBinary(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["custom_connectors.id"],
            name=op.f("fk_custom_bags_registration_id"),
        ),
        sa.PrimaryKeyConstraint("registration_id", "last_block", name=op.f("pk_custom_bags")),
    )

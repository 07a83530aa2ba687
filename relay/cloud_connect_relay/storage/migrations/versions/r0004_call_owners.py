"""Calls that belong to a node and hold their key in the store; subscriptions' leave to do without.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HELD = sa.text("holds_key")


def upgrade() -> None:
    """Create the table and the columns; a key is held by its latest attempt that counts."""
    op.create_table(
        "relay_nodes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("beats", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_nodes")),
    )
    op.add_column("calls", sa.Column("owner", sa.Text(), nullable=True))
    for name in ("holds_key", "upsert", "already_absent"):
        op.add_column(
            "calls", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    op.execute(
        sa.text(
            "UPDATE calls SET holds_key = (1 = 1) WHERE idempotency_key IS NOT NULL"
            " AND state <> 'not_executed' AND NOT EXISTS (SELECT 1 FROM calls AS later"
            " WHERE later.subscription_id = calls.subscription_id"
            " AND later.idempotency_key = calls.idempotency_key"
            " AND later.state <> 'not_executed'"
            " AND (later.started_at > calls.started_at"
            " OR (later.started_at = calls.started_at AND later.id > calls.id)))"
        )
    )
    op.create_index(
        "uq_calls_idempotency_key",
        "calls",
        ["subscription_id", "idempotency_key"],
        unique=True,
        sqlite_where=_HELD,
        postgresql_where=_HELD,
    )
    op.add_column(
        "subscriptions",
        sa.Column("keyless_writes", sa.Boolean(), server_default=sa.false(), nullable=False),
    )

"""Ties the audit records of each subscription to one another, and makes room for checkpoints.

Revision ID: 0007
"""

from itertools import groupby

import sqlalchemy as sa
from alembic import op

from cloud_connect.audit import canonical, chained, genesis, record_time

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Number the records of each subscription anew, and chain them."""
    connection = op.get_bind()
    old = connection.execute(
        sa.text(
            "SELECT subscription_id, time, actor, action, target, detail FROM audit"
            " ORDER BY subscription_id, seq"
        ).columns(detail=sa.JSON())
    ).all()
    op.drop_index("ix_audit_subscription_id_seq", table_name="audit")
    op.drop_table("audit")
    table = op.create_table(
        "audit",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("prev", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "seq", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_subscription_id_time", "audit", ["subscription_id", "time"])
    op.create_table(
        "audit_checkpoints",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "seq", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "audit_peers",
        sa.Column("connector_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("theirs", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("connector_id", name=op.f("pk_audit_peers")),
    )
    op.create_index("ix_audit_peers_subscription_id", "audit_peers", ["subscription_id"])
    for log, rows in groupby(old, lambda row: row.subscription_id):
        prev = genesis(log)
        for seq, row in enumerate(rows, start=1):
            time = int(row.time * 1000 + 0.5) / 1000
            shown = {"actor": row.actor, "action": row.action, "target": row.target}
            fields = {**shown, "seq": seq, "time": record_time(time), "detail": row.detail}
            record = chained(seq, canonical(fields), prev)
            prev = record.hash
            connection.execute(
                table.insert().values(
                    subscription_id=log,
                    seq=seq,
                    time=time,
                    record=record.data.decode(),
                    prev=record.prev,
                    hash=record.hash,
                    **shown,
                )
            )

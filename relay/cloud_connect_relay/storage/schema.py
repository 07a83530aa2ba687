"""What all tables share: how their parts are named, and whose a row is."""

from typing import Final

from sqlalchemy import Column, ForeignKey, MetaData, Text

__all__ = ["metadata", "subscription_column"]

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def subscription_column() -> Column[str]:
    """Return the column that says whose a row is."""
    return Column("subscription_id", Text, ForeignKey("subscriptions.id"), nullable=False)

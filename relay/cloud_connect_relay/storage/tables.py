"""The tables, as SQLAlchemy Core sees them; ``migrations/`` creates them.

Times are UNIX seconds (UTC, floating point). SQL stays portable: SQLite and PostgreSQL run it.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    false,
    text,
)

from cloud_connect_relay.storage.call_table import FAILED, NOT_COMPLETED, RUNNING, calls
from cloud_connect_relay.storage.schema import metadata, subscription_column

__all__ = [
    "FAILED",
    "NOT_COMPLETED",
    "RUNNING",
    "access_tokens",
    "api_keys",
    "audit",
    "audit_checkpoints",
    "audit_peers",
    "authorizations",
    "calls",
    "connector_presence",
    "connectors",
    "custom_bags",
    "custom_connectors",
    "custom_requests",
    "datasources",
    "join_tokens",
    "metadata",
    "relay",
    "relay_nodes",
    "relay_presence",
    "subscriptions",
    "users",
]

_LIVE: Final = text("revoked_at IS NULL")  # a revoked row frees its name

relay: Final = Table(
    "relay",
    metadata,
    Column("id", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

relay_nodes: Final = Table(
    "relay_nodes",
    metadata,
    Column("id", Text, primary_key=True),  # of one run of a process: a restart has another one
    Column("name", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("beats", BigInteger, nullable=False, server_default=text("0")),
)

subscriptions: Final = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("quota", JSON(none_as_null=True)),
    Column("keyless_writes", Boolean, nullable=False, server_default=false()),
    Index(
        "uq_subscriptions_name",
        "name",
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    ),
)


users: Final = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    subscription_column(),
    Column("username", Text, nullable=False),
    Column("login", Text, nullable=False),  # the username, case folded: what must be unique
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Index(
        "uq_users_login",
        "login",
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    ),
    Index("ix_users_subscription_id", "subscription_id"),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    subscription_column(),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),  # HMAC-SHA-256 with the pepper
    Column("scopes", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
    Column("quota", JSON(none_as_null=True)),
    Column("addresses", JSON(none_as_null=True)),  # networks it may be used from; none: anywhere
    Column(
        "acts_for", Text
    ),  # what users count as whom it names and nobody knows; none: not at all
    Index("ix_api_keys_subscription_id", "subscription_id"),
)

access_tokens: Final = Table(
    "access_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # bearer (POST /Token), oauth, refresh, console
    subscription_column(),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("key_id", Text, ForeignKey("api_keys.id")),
    Column("user_id", Text, ForeignKey("users.id")),
    Column("scopes", JSON, nullable=False),
    Column("datasource_id", Text),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("revoked_at", Float),
    Index("ix_access_tokens_expires_at", "expires_at"),
)

join_tokens: Final = Table(
    "join_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    subscription_column(),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("group", Text),
    Column("hosted", Boolean, nullable=False, server_default=false()),
    Column("policy_class", Text, nullable=False),
    Column("approval", Boolean, nullable=False, server_default=false()),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
    Column("revoked_at", Float),
    Column("used_public_key", LargeBinary),
    Column("connector_id", Text),
    Index("ix_join_tokens_subscription_id", "subscription_id"),
)

connectors: Final = Table(
    "connectors",
    metadata,
    Column("id", Text, primary_key=True),
    subscription_column(),
    Column("name", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("os", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("group", Text),
    Column("hosted", Boolean, nullable=False, server_default=false()),
    # active, draining, pending, revoked, clone_suspected; online and offline are live facts
    Column("status_flag", Text, nullable=False, server_default=text("'active'")),
    Column("paused_until", Float),  # by an administrator; the PC's own pause is in the report
    Column("policy_class", Text, nullable=False, server_default=text("'read-write'")),
    Column("public_key", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("next_public_key", LargeBinary),  # announced by the agent, takes over when it connects
    Column("next_key_id", Text),
    Column("key_announced_at", Float),
    Column("recovery", Boolean, nullable=False, server_default=false()),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("pending_generation", Integer),
    Column("enrolled_at", Float, nullable=False),
    Column("last_seen_at", Float),
    Column("connected_since", Float),
    Column("report", JSON),
    Index("ix_connectors_subscription_id", "subscription_id"),
)

datasources: Final = Table(
    "datasources",
    metadata,
    Column("id", Text, primary_key=True),
    subscription_column(),
    Column("title", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("use_connector", Boolean, nullable=False, server_default=false()),
    Column("connector_id", Text),
    Column("connector_group", Text),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False, server_default=text("''")),
    Column("security", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("modified_at", Float, nullable=False),
    Column("modified_by", Text, nullable=False),
    Index("ix_datasources_subscription_id", "subscription_id"),
)

custom_connectors: Final = Table(
    "custom_connectors",
    metadata,
    Column("id", Text, primary_key=True),
    subscription_column(),
    Column("title", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),  # its key is in the data folder
    Column("allow_writes", Boolean, nullable=False),
    Column("request_id_is_key", Boolean, nullable=False, server_default=false()),
    # what users count as whom nobody here knows
    Column("users", Text, nullable=False, server_default=text("'members'")),
    Column("created_at", Float, nullable=False),
    Index("ix_custom_connectors_subscription_id", "subscription_id"),
)


def _registration() -> Column[str]:
    return Column("registration_id", Text, ForeignKey("custom_connectors.id"), primary_key=True)


custom_requests: Final = Table(
    "custom_requests",
    metadata,
    _registration(),
    Column("request_hash", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("answer", LargeBinary),  # sealed as the secret is; none while the request runs
    Index("ix_custom_requests_at", "at"),
)

custom_bags: Final = Table(
    "custom_bags",
    metadata,
    _registration(),
    Column("last_block", LargeBinary, primary_key=True),
    Column("request_hash", Text, nullable=False),  # of the request that brought it
)

authorizations: Final = Table(
    "authorizations",
    metadata,
    Column("state_hash", Text, primary_key=True),
    subscription_column(),
    Column("datasource_id", Text, nullable=False),
    Column("connector_id", Text, nullable=False),
    Column("source", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
    Index("ix_authorizations_expires_at", "expires_at"),
)

relay_presence: Final = Table(
    "relay_presence",
    metadata,
    Column("id", Text, primary_key=True),  # of one run of a relay's process
    Column("began_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Index("ix_relay_presence_seen_at", "seen_at"),
)

connector_presence: Final = Table(
    "connector_presence",
    metadata,
    Column("id", Text, primary_key=True),  # of one session
    Column("run_id", Text, nullable=False),
    Column("subscription_id", Text, nullable=False),
    Column("connector_id", Text, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("ended", Boolean, nullable=False, server_default=false()),
    Index("ix_connector_presence_subscription_id_seen_at", "subscription_id", "seen_at"),
    Index("ix_connector_presence_run_id", "run_id"),
    Index("ix_connector_presence_seen_at", "seen_at"),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("subscription_id", Text, primary_key=True),
    # Of the subscription's own chain: without gaps, and nobody sees how busy others are.
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    # These four stand in the record, too; here they are searched for.
    Column("time", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("record", Text, nullable=False),  # canonical: what the hash is made of
    Column("prev", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_audit_subscription_id_time", "subscription_id", "time"),
)

audit_checkpoints: Final = Table(
    "audit_checkpoints",
    metadata,
    Column("subscription_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Float, nullable=False),
    Column("document", Text, nullable=False),  # the signed checkpoint
)

audit_peers: Final = Table(
    "audit_peers",
    metadata,
    Column("connector_id", Text, primary_key=True),
    Column("subscription_id", Text, nullable=False),
    Column("theirs", Text),  # the newest checkpoint of the connector's own log
    Column("evidence", Text),  # the one that it did not go on from
    Column("held", Text),  # the newest of ours that it has shown
    Column("at", Float, nullable=False),
    Index("ix_audit_peers_subscription_id", "subscription_id"),
)

"""Schema migrations (Alembic), packaged with the relay and run by ``init`` and ``serve``."""

from cloud_connect_relay.storage.migrations.upgrade import HEAD, upgrade

__all__ = ["HEAD", "upgrade"]

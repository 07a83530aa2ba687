"""The relay's state: tables, migrations, and repositories bound to one subscription each."""

from cloud_connect_relay.storage.engine import Storage

__all__ = ["Storage"]

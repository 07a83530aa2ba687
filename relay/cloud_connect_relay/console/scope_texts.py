"""What a credential or a role may do, in words."""

from typing import Final

__all__ = ["SCOPE_TEXTS"]

# In the order in which people think of them.
SCOPE_TEXTS: Final = (
    ("calls:read", "Read records, trees and calls"),
    ("calls:write", "Create, change and delete records"),
    ("calls:test", "Run connection tests"),
    ("datasources:read", "See data sources"),
    ("datasources:write", "Change data sources"),
    ("connectors:read", "See connectors"),
    ("connectors:enrol", "Make join tokens for new PCs"),
    ("connectors:manage", "Rename, pause, drain and revoke connectors"),
    ("metrics:read", "Read metrics"),
    ("audit:read", "Read the audit log"),
    ("keys:manage", "Manage API keys and custom connectors"),
    ("users:manage", "Manage people"),
    ("all", "Everything, also what comes later"),
)

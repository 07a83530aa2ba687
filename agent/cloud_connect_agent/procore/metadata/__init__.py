"""What there is to pick from: the catalogue, what a company adds to it, and how that drifts."""

from cloud_connect_agent.procore.metadata.definitions import names_in_sets
from cloud_connect_agent.procore.metadata.keeper import Metadata
from cloud_connect_agent.procore.metadata.store import SnapshotStore
from cloud_connect_agent.procore.metadata.usage import names_of_params, names_of_query

__all__ = [
    "Metadata",
    "SnapshotStore",
    "names_in_sets",
    "names_of_params",
    "names_of_query",
]

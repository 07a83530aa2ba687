"""The catalogue: Procore's resources and their operations, as data."""

from cloud_connect_agent.procore.catalog.endpoint import (
    Content,
    Endpoint,
    FilterKind,
    Pager,
    ServerFilter,
    SortStyle,
    Sync,
    SyncAnswer,
)
from cloud_connect_agent.procore.catalog.fields import Direction, FieldSpec, label_of
from cloud_connect_agent.procore.catalog.loading import Catalog, load_catalog
from cloud_connect_agent.procore.catalog.model import PARTICIPLES, IdType, Level, Resource

__all__ = [
    "PARTICIPLES",
    "Catalog",
    "Content",
    "Direction",
    "Endpoint",
    "FieldSpec",
    "FilterKind",
    "IdType",
    "Level",
    "Pager",
    "Resource",
    "ServerFilter",
    "SortStyle",
    "Sync",
    "SyncAnswer",
    "label_of",
    "load_catalog",
]

"""The catalogue: Procore's resources and their operations, as data."""

from cloud_connect_agent.procore.catalog.loading import Catalog, load_catalog
from cloud_connect_agent.procore.catalog.model import (
    Direction,
    Endpoint,
    FieldSpec,
    FilterKind,
    Level,
    Pager,
    Resource,
    ServerFilter,
)

__all__ = [
    "Catalog",
    "Direction",
    "Endpoint",
    "FieldSpec",
    "FilterKind",
    "Level",
    "Pager",
    "Resource",
    "ServerFilter",
    "load_catalog",
]

"""The areas of the console, as its navigation lists them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloud_connect_relay.authentication import Principal

__all__ = ["AREAS", "Area", "area_of", "areas_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """An entry of the navigation.

    Attributes:
        path: Of the console; what is below it belongs to the area, too.
        icon: One of ``templates/ui/icons.html``.
        scope: Who may not use it does not see it; ``None``: everybody who is signed in may.
    """

    title: str
    path: str
    icon: str
    scope: str | None = None


AREAS: Final = (
    Area(title="Overview", path="/", icon="overview"),
    Area(title="Connectors", path="/connectors", icon="connector", scope="connectors:read"),
    Area(title="Data sources", path="/datasources", icon="datasource", scope="datasources:read"),
    Area(title="Calls", path="/calls", icon="calls", scope="calls:read"),
    Area(title="Audit", path="/audit", icon="audit", scope="audit:read"),
    Area(title="API keys", path="/keys", icon="key", scope="keys:manage"),
    Area(title="People", path="/people", icon="people", scope="users:manage"),
    Area(
        title="Custom connectors",
        path="/custom-connectors",
        icon="custom",
        scope="keys:manage",
    ),
    Area(title="Settings", path="/settings", icon="settings"),
)


def areas_for(principal: "Principal") -> list[Area]:
    """Return what *principal* may use."""
    return [area for area in AREAS if area.scope is None or principal.may(area.scope)]


def area_of(path: str) -> Area | None:
    """Return the area that a path of the console belongs to."""
    for area in AREAS:
        if path == area.path or (area.path != "/" and path.startswith(f"{area.path}/")):
            return area
    return None

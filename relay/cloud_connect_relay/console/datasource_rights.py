"""What somebody may do with one data source, in words where they may not."""

from typing import TYPE_CHECKING

from cloud_connect.errors import InsufficientScopeError
from cloud_connect_relay.access import DataSourceSecurity, Use

if TYPE_CHECKING:
    from cloud_connect_relay.console.pages import Page
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["may_test", "refusal_to_edit"]


def refusal_to_edit(page: "Page", source: "DataSource | None") -> str | None:
    """Return why the person may not change a data source; ``None`` if they may.

    Args:
        source: ``None`` for one that is not saved yet.
    """
    if not page.may("datasources:write"):
        return "Your role may look at data sources, but not change them."
    if source is None or _allows(page, source, Use.EDIT):
        return None
    return (
        "You may look at this data source, but not change it: it has connection administrators,"
        " and you are none of them."
    )


def may_test(page: "Page", source: "DataSource | None") -> bool:
    """Whether the person may test the connection of a data source."""
    return page.may("calls:test") and (source is None or _allows(page, source, Use.TEST))


def _allows(page: "Page", source: "DataSource", use: Use) -> bool:
    try:
        DataSourceSecurity.of(source.details.security).check(page.principal.subject, use)
    except InsufficientScopeError:
        return False
    return True

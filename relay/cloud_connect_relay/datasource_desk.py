"""Data sources as the API and the console save and delete them."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import InvalidRequestError, NotFoundError
from cloud_connect_relay.access import Use
from cloud_connect_relay.calls.spec import missing_details
from cloud_connect_relay.storage.connectors import ConnectorFlag
from cloud_connect_relay.storage.datasources import DataSourceStatus

if TYPE_CHECKING:
    from cloud_connect_relay.authentication import Principal
    from cloud_connect_relay.services import Services
    from cloud_connect_relay.storage.datasources import DataSource, DataSourceDetails

__all__ = [
    "UNTESTED",
    "change_datasource",
    "create_datasource",
    "delete_datasource",
    "editable_datasource",
]

UNTESTED: Final = "Test the connection to finish."
# A change of these makes an earlier test worthless; a new name or other users do not.
_TESTED_DETAILS: Final = ("settings", "use_connector", "connector_ids", "connector_group")


async def editable_datasource(
    services: "Services", principal: "Principal", datasource_id: str
) -> "DataSource":
    """Return the data source, if *principal* is one of those who may change it.

    Raises:
        NotFoundError: If the subscription has no such one.
        InsufficientScopeError: If its security settings do not allow it.
    """
    return await services.calls.sources.checked(
        principal.subscription_id, datasource_id, subject=principal.subject, use=Use.EDIT
    )


async def create_datasource(
    services: "Services", principal: "Principal", details: "DataSourceDetails"
) -> "DataSource":
    """Save a new data source; it may still be incomplete.

    Raises:
        InvalidRequestError: If it names a connector that the subscription does not have.
    """
    await _check_connectors(services, principal, details.connector_ids)
    status, message = _status_of(details, None)
    tenant = services.storage.of(principal.subscription_id)
    return await tenant.datasources.create(
        details, status=status, message=message, actor=principal.actor, at=services.clock()
    )


async def change_datasource(
    services: "Services",
    principal: "Principal",
    source: "DataSource",
    details: "DataSourceDetails",
    *,
    action: str = "datasource.change",
    over_others: bool = True,
) -> "DataSource | None":
    """Save new details of *source*, which the caller has found that *principal* may change.

    Args:
        over_others: Whether to save, too, if somebody changed it since *source* was read.

    Returns:
        The data source as it is stored; ``None`` if it was deleted, or somebody was first.

    Raises:
        InvalidRequestError: If they name a connector that the subscription does not have.
    """
    added = set(details.connector_ids) - set(source.details.connector_ids)
    await _check_connectors(services, principal, added)
    status, message = _status_of(details, source)
    tenant = services.storage.of(principal.subscription_id)
    saved = await tenant.datasources.replace(
        source,
        details,
        status=status,
        message=message,
        action=action,
        actor=principal.actor,
        at=services.clock(),
        over_others=over_others,
    )
    services.calls.sources.forget(principal.subscription_id, source.id)
    return saved


async def delete_datasource(
    services: "Services", principal: "Principal", datasource_id: str
) -> "DataSource":
    """Delete a data source and return what it was; the records of its calls stay.

    Raises:
        NotFoundError: If the subscription has no such one.
        InsufficientScopeError: If its security settings do not allow it.
    """
    source = await editable_datasource(services, principal, datasource_id)
    tenant = services.storage.of(principal.subscription_id)
    deleted = await tenant.datasources.delete(source, actor=principal.actor, at=services.clock())
    services.calls.sources.forget(principal.subscription_id, datasource_id)
    if not deleted:
        raise NotFoundError("There is nothing here, or it is not yours.")
    return source


def _status_of(
    details: "DataSourceDetails", before: "DataSource | None"
) -> tuple[DataSourceStatus, str]:
    """Return what to show of *details*: a passed or failed test counts until they change.

    The platform knows no word for complete but untested; it is not ready, and no test failed.
    """
    missing = missing_details(details)
    if missing is not None:
        return DataSourceStatus.INCOMPLETE, missing
    if before is None or before.status is DataSourceStatus.INCOMPLETE:
        return DataSourceStatus.INCOMPLETE, UNTESTED
    if any(getattr(details, name) != getattr(before.details, name) for name in _TESTED_DETAILS):
        return DataSourceStatus.INCOMPLETE, UNTESTED
    return before.status, before.message


async def _check_connectors(
    services: "Services", principal: "Principal", connector_ids: Collection[str]
) -> None:
    """Refuse connectors that the subscription does not have.

    Raises:
        InvalidRequestError: Naming the first one.
    """
    if not connector_ids:
        return
    connectors = await services.storage.of(principal.subscription_id).connectors.list()
    known = {one.id for one in connectors if one.flag is not ConnectorFlag.REVOKED}
    for connector_id in connector_ids:
        if connector_id not in known:
            raise InvalidRequestError(
                f"connectorId: the subscription has no connector '{connector_id[:64]}'; choose one"
                " of GET /api/connectors."
            )

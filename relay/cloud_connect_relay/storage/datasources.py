"""The data sources of one subscription."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, insert, select, update

from cloud_connect_relay.ids import is_id, new_id
from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.tables import datasources

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["NEW_DETAILS", "DataSource", "DataSourceDetails", "DataSourceStatus", "DataSources"]


class DataSourceStatus(StrEnum):
    """What the platform shows about a data source, in its own words."""

    INCOMPLETE = "incomplete"
    TEST_FAILED = "test failed"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSourceDetails:
    """What a person may edit.

    Attributes:
        connector_ids: The chosen connectors; several substitute for each other.
        security: The security dialog's members, under the platform's names.
    """

    title: str
    type: str
    settings: Mapping[str, Any]
    use_connector: bool
    connector_ids: tuple[str, ...]
    connector_group: str | None
    security: Mapping[str, Any]


# What a data source is before anybody has filled it in.
NEW_DETAILS: Final = DataSourceDetails(
    title="",
    type="procore",
    settings={},
    use_connector=False,
    connector_ids=(),
    connector_group=None,
    security={},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data source as it is stored."""

    id: str
    subscription_id: str
    details: DataSourceDetails
    status: DataSourceStatus
    message: str
    created_at: float
    modified_at: float
    modified_by: str


class DataSources:
    """The data sources of one subscription; what belongs to another does not exist here."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def create(
        self,
        details: DataSourceDetails,
        *,
        status: DataSourceStatus,
        message: str,
        actor: str,
        at: float,
    ) -> DataSource:
        """Store a new data source and return it with its id."""
        source = DataSource(
            id=new_id("ds"),
            subscription_id=self._subscription_id,
            details=details,
            status=status,
            message=message,
            created_at=at,
            modified_at=at,
            modified_by=actor,
        )
        columns = {
            "id": source.id,
            "subscription_id": self._subscription_id,
            "created_at": at,
            **_columns(details),
            **_stamp(status, message, at, actor),
        }
        async with self._storage.write() as connection:
            await connection.execute(insert(datasources), columns)
            await self._note(connection, source, "datasource.create", actor=actor, at=at)
        return source

    async def find(self, datasource_id: str) -> DataSource | None:
        """Return the data source, or ``None`` when this subscription has no such one."""
        if not is_id("ds", datasource_id):
            return None
        async with self._storage.read() as connection:
            row = (
                await connection.execute(select(datasources).where(self._is(datasource_id)))
            ).one_or_none()
        return None if row is None else _datasource(row)

    async def all(self) -> list[DataSource]:
        """Return all data sources, the oldest first."""
        statement = (
            select(datasources)
            .where(datasources.c.subscription_id == self._subscription_id)
            .order_by(datasources.c.created_at, datasources.c.id)
        )
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [_datasource(row) for row in rows]

    async def replace(
        self,
        source: DataSource,
        details: DataSourceDetails,
        *,
        status: DataSourceStatus,
        message: str,
        action: str,
        actor: str,
        at: float,
        over_others: bool = True,
    ) -> DataSource | None:
        """Store new details of *source* and return it, unless it has been deleted.

        Args:
            over_others: Whether to store them, too, if somebody has changed the data source
                since *source* was read.
        """
        saved = dataclasses.replace(
            source,
            details=details,
            status=status,
            message=message,
            modified_at=at,
            modified_by=actor,
        )
        statement = (
            update(datasources)
            .where(self._is(source.id) if over_others else self._is_still(source))
            .values(**_columns(details), **_stamp(status, message, at, actor))
        )
        async with self._storage.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return None
            await self._note(connection, saved, action, actor=actor, at=at)
        return saved

    async def tested(self, source: DataSource, *, status: DataSourceStatus, message: str) -> None:
        """Store a test's result, unless the details were edited while the test ran."""
        statement = (
            update(datasources)
            .where(self._is_still(source))
            .values(status=status.value, message=message)
        )
        async with self._storage.write() as connection:
            await connection.execute(statement)

    async def delete(self, source: DataSource, *, actor: str, at: float) -> bool:
        """Delete the data source; return whether it was still there."""
        statement = delete(datasources).where(self._is(source.id))
        async with self._storage.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return False
            await self._note(connection, source, "datasource.delete", actor=actor, at=at)
        return True

    async def _note(
        self,
        connection: "AsyncConnection",
        source: DataSource,
        action: str,
        *,
        actor: str,
        at: float,
    ) -> None:
        await append(
            connection,
            subscription_id=self._subscription_id,
            at=at,
            actor=actor,
            action=action,
            target=source.id,
            detail={"title": source.details.title},
        )

    def _is(self, datasource_id: str) -> "ColumnElement[bool]":
        return and_(
            datasources.c.subscription_id == self._subscription_id,
            datasources.c.id == datasource_id,
        )

    def _is_still(self, source: DataSource) -> "ColumnElement[bool]":
        return and_(self._is(source.id), datasources.c.modified_at == source.modified_at)


def _columns(details: DataSourceDetails) -> dict[str, Any]:
    return {
        "title": details.title,
        "type": details.type,
        "settings": dict(details.settings),
        "use_connector": details.use_connector,
        # Ids hold no comma, so one column keeps one connector or several.
        "connector_id": ",".join(details.connector_ids) or None,
        "connector_group": details.connector_group,
        "security": dict(details.security),
    }


def _stamp(
    status: DataSourceStatus, message: str, modified_at: float, modified_by: str
) -> dict[str, Any]:
    return {
        "status": status.value,
        "message": message,
        "modified_at": modified_at,
        "modified_by": modified_by,
    }


def _datasource(row: "Row[Any]") -> DataSource:
    return DataSource(
        id=row.id,
        subscription_id=row.subscription_id,
        details=DataSourceDetails(
            title=row.title,
            type=row.type,
            settings=row.settings,
            use_connector=row.use_connector,
            connector_ids=tuple(row.connector_id.split(",")) if row.connector_id else (),
            connector_group=row.connector_group,
            security=row.security,
        ),
        status=DataSourceStatus(row.status),
        message=row.message,
        created_at=row.created_at,
        modified_at=row.modified_at,
        modified_by=row.modified_by,
    )

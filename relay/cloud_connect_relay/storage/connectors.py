"""Connectors: the enrolled agents of a subscription."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, or_, select, update

from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.tables import connectors

if TYPE_CHECKING:
    from sqlalchemy import Update

    from cloud_connect_relay.storage.engine import Storage

__all__ = [
    "OLD_KEY_SECONDS",
    "Connector",
    "ConnectorBrief",
    "ConnectorFlag",
    "Connectors",
    "connector_of",
]

OLD_KEY_SECONDS: Final = 86_400.0  # that a key is good for once its successor is announced


class ConnectorFlag(StrEnum):
    """What is stored of a connector's state; online and offline are live facts."""

    ACTIVE = "active"
    DRAINING = "draining"
    PENDING = "pending"
    REVOKED = "revoked"
    CLONE_SUSPECTED = "clone_suspected"

    @property
    def may_connect(self) -> bool:
        """Whether a session of the connector may live."""
        return self in {ConnectorFlag.ACTIVE, ConnectorFlag.DRAINING}


class Standing(NamedTuple):
    """What a connector that is not plainly active may do.

    Attributes:
        paused_until: By an administrator; UNIX time, 0 without a pause.
    """

    flag: ConnectorFlag
    paused_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """One enrolled agent.

    Attributes:
        group: Connectors of one group may stand in for each other.
        hosted: Run by the relay's operator.
        policy_class: The most its join token allows its policy to be.
        paused_until: Until then an administrator keeps calls from it; UNIX time.
        next_public_key: Announced by the agent; takes the place of the key when it connects.
        recovery: The next connect counts, whatever its generation.
        generation: What the agent confirmed last; the next one is accepted, too.
        report: What the agent last told of itself (``calls.Report`` as JSON).
    """

    id: str
    subscription_id: str
    name: str
    machine: str
    os: str
    version: str
    group: str | None
    hosted: bool
    flag: ConnectorFlag
    policy_class: str
    public_key: bytes
    key_id: str
    generation: int
    enrolled_at: float
    last_seen_at: float | None
    connected_since: float | None
    report: Mapping[str, Any] | None
    paused_until: float | None = None
    next_public_key: bytes | None = None
    next_key_id: str | None = None
    key_announced_at: float | None = None
    recovery: bool = False

    def key_for(self, key_id: str, *, now: float) -> bytes | None:
        """Return the public key of that name, if it is good at *now*."""
        if key_id == self.next_key_id:
            return self.next_public_key
        announced = self.key_announced_at
        if key_id != self.key_id or (announced is not None and now - announced > OLD_KEY_SECONDS):
            return None
        return self.public_key


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorBrief:
    """What a list shows of a connector: cheap to read, of thousands."""

    id: str
    name: str
    machine: str
    os: str
    version: str
    group: str | None
    hosted: bool
    flag: ConnectorFlag
    last_seen_at: float | None


_BRIEF: Final = (
    connectors.c.id,
    connectors.c.name,
    connectors.c.machine,
    connectors.c.os,
    connectors.c.version,
    connectors.c.group,
    connectors.c.hosted,
    connectors.c.status_flag,
    connectors.c.last_seen_at,
)


def connector_of(row: Row[Any]) -> Connector:
    """Read a row of the table."""
    return Connector(
        id=row.id,
        subscription_id=row.subscription_id,
        name=row.name,
        machine=row.machine,
        os=row.os,
        version=row.version,
        group=row.group,
        hosted=row.hosted,
        flag=ConnectorFlag(row.status_flag),
        policy_class=row.policy_class,
        public_key=row.public_key,
        key_id=row.key_id,
        next_public_key=row.next_public_key,
        next_key_id=row.next_key_id,
        key_announced_at=row.key_announced_at,
        recovery=row.recovery,
        generation=row.generation,
        enrolled_at=row.enrolled_at,
        last_seen_at=row.last_seen_at,
        connected_since=row.connected_since,
        report=row.report,
        paused_until=row.paused_until,
    )


class Connectors:
    """The connectors of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def list(self) -> tuple[Connector, ...]:
        """Return all of them, revoked ones too, in the order of their names."""
        query = (
            select(connectors)
            .where(connectors.c.subscription_id == self._subscription_id)
            .order_by(connectors.c.name, connectors.c.id)
        )
        async with self._storage.read() as connection:
            return tuple(connector_of(row) for row in await connection.execute(query))

    async def briefs(self) -> tuple[ConnectorBrief, ...]:
        """Return the same in brief, without what agents report, in no particular order."""
        query = select(*_BRIEF).where(connectors.c.subscription_id == self._subscription_id)
        async with self._storage.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            ConnectorBrief(
                id=id_,
                name=name,
                machine=machine,
                os=os,
                version=version,
                group=group,
                hosted=hosted,
                flag=ConnectorFlag(flag),
                last_seen_at=last_seen_at,
            )
            for id_, name, machine, os, version, group, hosted, flag, last_seen_at in rows
        )

    async def get(self, connector_id: str) -> Connector | None:
        """Return one, if this subscription has it."""
        async with self._storage.read() as connection:
            row = (
                await connection.execute(select(connectors).where(self._is(connector_id)))
            ).first()
        return None if row is None else connector_of(row)

    async def change(
        self,
        connector_id: str,
        *,
        name: str | None = None,
        group: str | None = None,
        draining: bool | None = None,
        paused_until: float | None = None,
        actor: str,
        at: float,
    ) -> Connector | None:
        """Change what is given and return the result, if this subscription has it.

        Args:
            group: The empty string takes it out of its group.
            draining: Leaves a revoked or suspected connector as it is.
            paused_until: UNIX time; one that has passed ends the pause.
        """
        values: dict[str, Any] = {}
        if name is not None:
            values["name"] = name
        if group is not None:
            values["group"] = group or None
        if paused_until is not None:
            values["paused_until"] = paused_until if paused_until > at else None
        detail = values if draining is None else {**values, "draining": draining}
        async with self._storage.write() as connection:
            if values:
                await connection.execute(
                    update(connectors).where(self._is(connector_id)).values(values)
                )
            if draining is not None:
                before, after = ConnectorFlag.ACTIVE, ConnectorFlag.DRAINING
                if not draining:
                    before, after = after, before
                await connection.execute(
                    update(connectors)
                    .where(self._is(connector_id), connectors.c.status_flag == before.value)
                    .values(status_flag=after.value)
                )
            row = (
                await connection.execute(select(connectors).where(self._is(connector_id)))
            ).first()
            if row is None:
                return None
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action="connector.change",
                target=connector_id,
                detail=detail,
            )
        return connector_of(row)

    async def revoke(self, connector_id: str, *, actor: str, at: float) -> bool:
        """Refuse the connector from now on; whether this subscription has it.

        The caller cuts its session (``Registry.cut``); other nodes notice within seconds.
        """
        statement = (
            update(connectors)
            .where(self._is(connector_id))
            .values(status_flag=ConnectorFlag.REVOKED.value, recovery=False)
        )
        return await self._act(statement, connector_id, "connector.revoke", actor=actor, at=at)

    async def approve(self, connector_id: str, *, actor: str, at: float) -> bool:
        """Let a connector in that waits for it; whether one did."""
        statement = (
            update(connectors)
            .where(self._is(connector_id), connectors.c.status_flag == ConnectorFlag.PENDING.value)
            .values(status_flag=ConnectorFlag.ACTIVE.value)
        )
        return await self._act(statement, connector_id, "connector.approve", actor=actor, at=at)

    async def recover(self, connector_id: str, *, actor: str, at: float) -> bool:
        """Let a suspected connector connect once, whatever its generation; whether it was one.

        Whoever holds its key and connects first is the connector from then on; the other copy
        is found out when it tries.
        """
        statement = (
            update(connectors)
            .where(
                self._is(connector_id),
                connectors.c.status_flag == ConnectorFlag.CLONE_SUSPECTED.value,
            )
            .values(status_flag=ConnectorFlag.ACTIVE.value, recovery=True)
        )
        return await self._act(statement, connector_id, "connector.recover", actor=actor, at=at)

    async def recover_all(self, *, actor: str, at: float) -> int:
        """Let each connector that is not revoked connect once, whatever its generation.

        For a store that was restored: the agents are ahead of it, and none of them is a copy.
        Returns how many there are.
        """
        mine = connectors.c.subscription_id == self._subscription_id
        suspected = connectors.c.status_flag == ConnectorFlag.CLONE_SUSPECTED.value
        known = or_(
            suspected,
            *(connectors.c.status_flag == flag.value for flag in ConnectorFlag if flag.may_connect),
        )
        async with self._storage.write() as connection:
            await connection.execute(
                update(connectors)
                .where(mine, suspected)
                .values(status_flag=ConnectorFlag.ACTIVE.value)
            )
            changed = await connection.execute(
                update(connectors).where(mine, known).values(recovery=True)
            )
            if changed.rowcount:
                await append(
                    connection,
                    subscription_id=self._subscription_id,
                    at=at,
                    actor=actor,
                    action="connector.recover_all",
                    target=self._subscription_id,
                    detail={"connectors": changed.rowcount},
                )
            return changed.rowcount

    async def _act(
        self, statement: "Update", connector_id: str, action: str, *, actor: str, at: float
    ) -> bool:
        """Change a connector and write down who did; whether there was one to change."""
        async with self._storage.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                return False
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action=action,
                target=connector_id,
            )
            return True

    def _is(self, connector_id: str) -> ColumnElement[bool]:
        return (connectors.c.id == connector_id) & (
            connectors.c.subscription_id == self._subscription_id
        )

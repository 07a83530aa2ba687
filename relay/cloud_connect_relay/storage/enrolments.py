"""Enrolment: a join token becomes a connector, exactly once."""

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from sqlalchemy import insert, select, update

from cloud_connect.errors import (
    CloudConnectError,
    ErrorCode,
    InvalidRequestError,
    UnauthorizedError,
)
from cloud_connect.join_token import JoinToken
from cloud_connect.signing import key_id_of
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.connectors import Connector, ConnectorFlag, connector_of
from cloud_connect_relay.storage.tables import connectors, join_tokens, subscriptions

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["Applicant", "Enrolled", "Enrolments", "JoinTokenUsedError"]

_REPEAT_SECONDS: Final = 600.0  # how long the same redeem gets the same answer


class JoinTokenUsedError(CloudConnectError):
    """The token is genuine, but another key has enrolled with it."""

    code: ClassVar[ErrorCode] = ErrorCode.UNAUTHORIZED
    status = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """An agent that wants to enrol; its proof of possession has been checked."""

    public_key: bytes
    name: str
    machine: str
    os: str
    version: str
    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What came of a redeem.

    Attributes:
        repeated: Nothing changed: the same redeem came before.
    """

    connector: Connector
    repeated: bool


class Enrolments:
    """Redeems join tokens; the token says whose the connector is."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def redeem(self, token: JoinToken, applicant: Applicant, *, now: float) -> Enrolled:
        """Consume the token and create its connector, in one write transaction.

        Raises:
            UnauthorizedError: If the token is unknown, wrong, expired or revoked.
            JoinTokenUsedError: If it enrolled another key, or this one long ago.
            InvalidRequestError: If it is meant for another group.
        """
        # TS-2025-007: reading and consuming in two transactions let one token enrol many.
        async with self._storage.write() as connection:
            row = (
                await connection.execute(
                    select(join_tokens)
                    .join(subscriptions, subscriptions.c.id == join_tokens.c.subscription_id)
                    .where(join_tokens.c.id == token.token_id, subscriptions.c.revoked_at.is_(None))
                )
            ).first()
            known = b"" if row is None else row.secret_hash
            if not hmac.compare_digest(known, token.secret_hash()) or row is None:
                raise _refused()
            if row.revoked_at is not None:
                raise _refused()
            if row.used_at is None:
                if row.expires_at <= now:
                    raise _refused()
                if row.group is not None and applicant.group not in {None, row.group}:
                    raise InvalidRequestError(
                        f"This join token enrols into the group {row.group!r}: leave the group out."
                    )
                connector_id = new_id("con")
                consumed = await connection.execute(
                    update(join_tokens)
                    .where(
                        join_tokens.c.id == token.token_id,
                        join_tokens.c.used_at.is_(None),
                        join_tokens.c.revoked_at.is_(None),
                        join_tokens.c.expires_at > now,
                    )
                    .values(
                        used_at=now,
                        used_public_key=applicant.public_key,
                        connector_id=connector_id,
                    )
                )
                if consumed.rowcount == 1:
                    await connection.execute(
                        insert(connectors).values(
                            {
                                "id": connector_id,
                                "subscription_id": row.subscription_id,
                                "name": applicant.name or applicant.machine or connector_id,
                                "machine": applicant.machine,
                                "os": applicant.os,
                                "version": applicant.version,
                                "group": row.group or applicant.group,
                                "hosted": row.hosted,
                                "status_flag": (
                                    ConnectorFlag.PENDING if row.approval else ConnectorFlag.ACTIVE
                                ).value,
                                "policy_class": row.policy_class,
                                "public_key": applicant.public_key,
                                "key_id": key_id_of(applicant.public_key),
                                "generation": 0,
                                "pending_generation": 1,
                                "enrolled_at": now,
                            }
                        )
                    )
                    await append(
                        connection,
                        subscription_id=row.subscription_id,
                        at=now,
                        actor=f"token:{token.token_id}",
                        action="connector.enrol",
                        target=connector_id,
                        detail={"name": applicant.name, "machine": applicant.machine},
                    )
                    return Enrolled(
                        connector=await _connector(connection, connector_id), repeated=False
                    )
            return await _repeat(connection, token, applicant, now=now)


async def _repeat(
    connection: "AsyncConnection", token: JoinToken, applicant: Applicant, *, now: float
) -> Enrolled:
    row = (
        await connection.execute(select(join_tokens).where(join_tokens.c.id == token.token_id))
    ).one()
    same_key = hmac.compare_digest(row.used_public_key or b"", applicant.public_key)
    if row.used_at is None or not same_key or now - row.used_at > _REPEAT_SECONDS:
        raise JoinTokenUsedError(
            "This join token has been used already; each enrols one connector: create another one."
        )
    return Enrolled(connector=await _connector(connection, row.connector_id), repeated=True)


async def _connector(connection: "AsyncConnection", connector_id: str) -> Connector:
    query = select(connectors).where(connectors.c.id == connector_id)
    return connector_of((await connection.execute(query)).one())


def _refused() -> UnauthorizedError:
    return UnauthorizedError(
        "The join token is not valid: it is unknown, expired or revoked; create another one."
    )

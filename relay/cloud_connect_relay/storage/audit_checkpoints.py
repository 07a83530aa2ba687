"""Signed checkpoints of the audit logs, ours and the connectors', and how long records are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_connect.audit import ACCEPTED, CUT, ChainVerifier, Checkpoint, Verdict
from cloud_connect_relay.storage.audit import AuditLog, append, head_of
from cloud_connect_relay.storage.tables import (
    audit,
    audit_checkpoints,
    audit_peers,
    connectors,
    subscriptions,
)

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect.signing import SigningKey
    from cloud_connect_relay.storage.engine import Storage

__all__ = ["AuditCheckpoints", "AuditPeer", "AuditPeers", "Unsigned", "disputed", "verify"]

_ACCEPTED_AT_ONCE: Final = 200  # connectors in one record


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A log whose end no checkpoint covers.

    Attributes:
        signed: The last record that one covers.
    """

    log: str
    head: int
    signed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPeer:
    """What is known of a connector's log, and what it holds of ours.

    Attributes:
        theirs: The newest checkpoint of its log.
        evidence: The checkpoint from which its log did not go on.
        held: The newest checkpoint of ours that it has shown.
    """

    connector_id: str
    subscription_id: str
    theirs: Checkpoint | None = None
    evidence: Checkpoint | None = None
    held: Checkpoint | None = None

    @property
    def known(self) -> Checkpoint | None:
        """The checkpoint that its log has to explain."""
        return self.evidence or self.theirs


class AuditCheckpoints:
    """The checkpoints of the relay's own logs, one log for each subscription."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def unsigned(self) -> list[Unsigned]:
        """Return the logs with records that no checkpoint covers."""
        head = (
            select(func.max(audit.c.seq))
            .where(audit.c.subscription_id == subscriptions.c.id)
            .scalar_subquery()
        )
        signed = (
            select(func.max(audit_checkpoints.c.seq))
            .where(audit_checkpoints.c.subscription_id == subscriptions.c.id)
            .scalar_subquery()
        )
        statement = select(subscriptions.c.id, head.label("head"), signed.label("signed"))
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            Unsigned(log=row.id, head=row.head, signed=row.signed or 0)
            for row in rows
            if (row.head or 0) > (row.signed or 0)
        ]

    async def sign(self, log: str, key: "SigningKey", *, at: float) -> Checkpoint | None:
        """Sign what a log is now; ``None`` if another node has done so, or there is nothing."""
        async with self._storage.read() as connection:
            seq, digest = await head_of(connection, log)
        if not seq:
            return None
        made = Checkpoint.sign(key, log=log, seq=seq, digest=digest, at=at)
        try:
            async with self._storage.write() as connection:
                await connection.execute(
                    insert(audit_checkpoints).values(
                        subscription_id=log, seq=seq, time=at, document=made.model_dump_json()
                    )
                )
        except IntegrityError:
            return None
        return made

    async def all(self, log: str) -> list[Checkpoint]:
        """Return a log's checkpoints, the oldest first."""
        statement = (
            select(audit_checkpoints.c.document)
            .where(audit_checkpoints.c.subscription_id == log)
            .order_by(audit_checkpoints.c.seq)
        )
        async with self._storage.read() as connection:
            found = (await connection.execute(statement)).scalars().all()
        return [Checkpoint.model_validate_json(document) for document in found]

    async def newest(self, log: str) -> Checkpoint | None:
        """Return a log's last checkpoint."""
        statement = (
            select(audit_checkpoints.c.document)
            .where(audit_checkpoints.c.subscription_id == log)
            .order_by(audit_checkpoints.c.seq.desc())
            .limit(1)
        )
        async with self._storage.read() as connection:
            found = (await connection.execute(statement)).scalar_one_or_none()
        return None if found is None else Checkpoint.model_validate_json(found)

    async def cut(self, *, before: float, now: float) -> int:
        """Delete records that a checkpoint from before *before* covers; return how many.

        Each log says in a record of its own up to where it was cut.
        """
        async with self._storage.read() as connection:
            old = await connection.execute(
                select(audit_checkpoints.c.subscription_id, func.max(audit_checkpoints.c.seq))
                .where(audit_checkpoints.c.time < before)
                .group_by(audit_checkpoints.c.subscription_id)
            )
            plans = [(str(log), int(up_to)) for log, up_to in old]
        return sum([await self._cut(log, up_to, now=now) for log, up_to in plans])

    async def _cut(self, log: str, up_to: int, *, now: float) -> int:
        old = (audit.c.subscription_id == log, audit.c.seq <= up_to)
        async with self._storage.write() as connection:
            gone = (await connection.execute(delete(audit).where(*old))).rowcount
            if not gone:
                return 0
            await connection.execute(
                delete(audit_checkpoints).where(
                    audit_checkpoints.c.subscription_id == log, audit_checkpoints.c.seq < up_to
                )
            )
            await append(
                connection,
                subscription_id=log,
                at=now,
                actor="relay",
                action=CUT,
                target=log,
                detail={"up_to": up_to, "records": gone},
            )
            return gone


class AuditPeers:
    """The connectors' checkpoints."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def find(self, connector_id: str) -> AuditPeer | None:
        """Return what is known of a connector's log."""
        statement = select(audit_peers).where(audit_peers.c.connector_id == connector_id)
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else _peer(row)

    async def of(self, subscription_id: str) -> list[tuple[AuditPeer, str]]:
        """Return what is known of the logs of a subscription's connectors, with their names."""
        statement = (
            select(audit_peers, connectors.c.name)
            .join(connectors, connectors.c.id == audit_peers.c.connector_id)
            .where(audit_peers.c.subscription_id == subscription_id)
            .order_by(audit_peers.c.connector_id)
        )
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [(_peer(row), row.name) for row in rows]

    async def public_key(self, connector_id: str) -> bytes | None:
        """Return the key that a connector signs with."""
        statement = select(connectors.c.public_key).where(connectors.c.id == connector_id)
        async with self._storage.read() as connection:
            found: bytes | None = (await connection.execute(statement)).scalar_one_or_none()
            return found

    async def accept(
        self,
        subscription_id: str,
        disputed: Sequence[tuple[AuditPeer, Sequence[Checkpoint]]],
        *,
        reason: str,
        actor: str,
        at: float,
    ) -> None:
        """Record that logs need not go on from checkpoints, and forget these as evidence.

        Args:
            disputed: Connectors, each with the checkpoints that do not fit: its own log's and ours.
        """
        async with self._storage.write() as connection:
            for peer, checkpoints in disputed:
                values = {"evidence": None} | ({"held": None} if peer.held in checkpoints else {})
                await connection.execute(
                    update(audit_peers)
                    .where(audit_peers.c.connector_id == peer.connector_id)
                    .values(values)
                )
            for start in range(0, len(disputed), _ACCEPTED_AT_ONCE):
                places = [
                    {
                        "log": one.log,
                        "seq": one.seq,
                        "hash": one.hash,
                        "connector": peer.connector_id,
                    }
                    for peer, checkpoints in disputed[start : start + _ACCEPTED_AT_ONCE]
                    for one in checkpoints
                ]
                await append(
                    connection,
                    subscription_id=subscription_id,
                    at=at,
                    actor=actor,
                    action=ACCEPTED,
                    target=subscription_id,
                    detail={"reason": reason, "checkpoints": places},
                )

    async def keep(
        self, peer: AuditPeer, *, at: float, mismatches: list[dict[str, object]]
    ) -> None:
        """Store what is known, and record what does not fit."""
        values = {
            "subscription_id": peer.subscription_id,
            "theirs": peer.theirs and peer.theirs.model_dump_json(),
            "evidence": peer.evidence and peer.evidence.model_dump_json(),
            "held": peer.held and peer.held.model_dump_json(),
            "at": at,
        }
        async with self._storage.write() as connection:
            await _upsert(connection, peer.connector_id, values)
            for detail in mismatches:
                await append(
                    connection,
                    subscription_id=peer.subscription_id,
                    at=at,
                    actor="relay",
                    action="connector.audit_mismatch",
                    target=peer.connector_id,
                    detail=detail,
                )


async def disputed(
    storage: "Storage", subscription_id: str
) -> list[tuple[AuditPeer, list[Checkpoint]]]:
    """Return the connectors with checkpoints that a log does not go on from: its own, or ours."""
    found = []
    for peer, _ in await AuditPeers(storage).of(subscription_id):
        lost = [] if peer.evidence is None else [peer.evidence]
        if peer.held is not None and not await _goes_on_from(storage, peer.held):
            lost.append(peer.held)
        if lost:
            found.append((peer, lost))
    return found


async def _goes_on_from(storage: "Storage", held: Checkpoint) -> bool:
    """Whether a log of ours is still what it was at a checkpoint that somebody else holds."""
    found = await AuditLog(storage, held.log).hash_at(held.seq)
    if found is not None:
        return found == held.digest
    newest = await AuditCheckpoints(storage).newest(held.log)
    return newest is not None and newest.seq >= held.seq  # else it was deleted for its age


async def verify(
    storage: "Storage", subscription_id: str, *, held: list[tuple[Checkpoint, str]], key: bytes
) -> Verdict:
    """Return whether a subscription's log is what was written.

    Args:
        held: Checkpoints of it that others hold, each with who does, in words.
        key: The relay's public key.
    """
    own = await AuditCheckpoints(storage).all(subscription_id)
    verifier = ChainVerifier(subscription_id, [*((one, "the relay") for one in own), *held])
    if own and own[-1].key != key:
        verifier.blame(1, "The newest checkpoint is not signed with the key of this relay.")
    async for entry in AuditLog(storage, subscription_id).all():
        if verifier.faulty:
            break
        try:
            fields = entry.chained.fields()
        except ValueError:
            verifier.broken(entry.seq)
            break
        verifier.take(entry.chained, fields)
        if not entry.says_what_it_shows(fields):
            verifier.blame(entry.seq, f"Record {entry.seq} was changed: its columns say otherwise.")
    return verifier.finish()


async def _upsert(
    connection: "AsyncConnection", connector_id: str, values: Mapping[str, object]
) -> None:
    changed = await connection.execute(
        update(audit_peers).where(audit_peers.c.connector_id == connector_id).values(**values)
    )
    if not changed.rowcount:
        await connection.execute(insert(audit_peers).values(connector_id=connector_id, **values))


def _peer(row: "Row[Any]") -> AuditPeer:
    return AuditPeer(
        connector_id=row.connector_id,
        subscription_id=row.subscription_id,
        theirs=_checkpoint(row.theirs),
        evidence=_checkpoint(row.evidence),
        held=_checkpoint(row.held),
    )


def _checkpoint(document: str | None) -> Checkpoint | None:
    return None if document is None else Checkpoint.model_validate_json(document)

"""Trading checkpoints with agents: each end holds what the other can no longer take back."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.audit import AuditExchange, Checkpoint, supersedes
from cloud_connect_relay.storage.audit import AuditLog
from cloud_connect_relay.storage.audit_checkpoints import (
    AuditCheckpoints,
    AuditPeer,
    AuditPeers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_connect_relay.storage import Storage

__all__ = ["CheckpointDesk"]

log = structlog.get_logger(__name__)


class CheckpointDesk:
    """Keeps what agents show, and records what does not fit.

    Args:
        key: The public key that the relay's own checkpoints are signed with.
    """

    def __init__(self, storage: "Storage", *, key: bytes, clock: "Callable[[], float]") -> None:
        self._storage: Final = storage
        self._peers: Final = AuditPeers(storage)
        self._checkpoints: Final = AuditCheckpoints(storage)
        self._key: Final = key
        self._clock: Final = clock

    async def trade(
        self, connector_id: str, subscription_id: str, told: AuditExchange
    ) -> AuditExchange:
        """Take in what a connector shows of its log and of ours; show it the same.

        Raises:
            SQLAlchemyError: Whatever is wrong with the store.
        """
        before = await self._peers.find(connector_id) or AuditPeer(
            connector_id=connector_id, subscription_id=subscription_id
        )
        mismatches: list[dict[str, object]] = []
        after = await self._theirs(before, told.own, mismatches)
        after = await self._ours(after, told.held, mismatches)
        if after != before:
            await self._peers.keep(after, at=self._clock(), mismatches=mismatches)
        for facts in mismatches:
            log.error("audit_mismatch", connector_id=connector_id, **facts)
        return AuditExchange(own=await self._checkpoints.newest(subscription_id), held=after.known)

    async def _theirs(
        self, peer: AuditPeer, own: Checkpoint | None, mismatches: list[dict[str, object]]
    ) -> AuditPeer:
        """Return what is known once *own* is: the newest, and what it does not go on from."""
        if own is None or own == peer.theirs:
            return peer
        keys = {await self._peers.public_key(peer.connector_id)}
        if peer.theirs is not None:
            keys.add(peer.theirs.key)  # a session may outlast a change of the key
        if own.key not in keys or not own.is_genuine():
            log.warning("checkpoint_forged", connector_id=peer.connector_id)
            return peer
        if peer.theirs is None or supersedes(own, peer.theirs):
            return replace(peer, theirs=own)
        if peer.evidence is None:
            mismatches.append(
                {"log": "connector", "signed": _place(peer.theirs), "shown": _place(own)}
            )
        return replace(peer, theirs=own, evidence=peer.evidence or peer.theirs)

    async def _ours(
        self, peer: AuditPeer, held: Checkpoint | None, mismatches: list[dict[str, object]]
    ) -> AuditPeer:
        """Return what is known once *held* is: a checkpoint of ours has to be so still."""
        if held is None or held == peer.held:
            return peer
        genuine = held.key == self._key and held.is_genuine()
        if not genuine or held.log != peer.subscription_id:
            log.warning("checkpoint_not_ours", connector_id=peer.connector_id)
            return peer
        if peer.held is not None and peer.held.seq > held.seq:
            return peer
        found = await AuditLog(self._storage, held.log).hash_at(held.seq)
        newest = await self._checkpoints.newest(held.log)
        missing = found is None and (newest is None or newest.seq < held.seq)
        if missing or (found is not None and found != held.digest):
            mismatches.append({"log": "relay", "signed": _place(held)})
        return replace(peer, held=held)


def _place(checkpoint: Checkpoint) -> dict[str, object]:
    return {"log": checkpoint.log, "seq": checkpoint.seq, "hash": checkpoint.hash}

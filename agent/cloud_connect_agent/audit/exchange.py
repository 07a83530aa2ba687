"""Trading checkpoints with the relay: each end holds what the other can no longer take back."""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect import strict_json
from cloud_connect.audit import AuditExchange, Checkpoint, supersedes
from cloud_connect.calls import Operation
from cloud_connect.errors import CloudConnectError, TunnelClosedError
from cloud_connect_agent.asking_relay import ask_relay
from cloud_connect_agent.audit.reading import accepted_places, hash_at
from cloud_connect_agent.audit.trail import AuditTrail

if TYPE_CHECKING:
    from cloud_connect.session import Session

__all__ = ["CheckpointExchange"]

log = structlog.get_logger(__name__)

_DEADLINE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 60.0  # after an exchange that failed
_EVERY_SECONDS: Final = 600.0  # without a checkpoint of ours: the relay may have one
_MAX_ANSWER_BYTES: Final = 16 * 1024


class CheckpointExchange:
    """Gives the relay each checkpoint of this PC's log, and keeps the relay's.

    Args:
        relay_key: The relay's public key, as the join token pinned it.
    """

    def __init__(
        self,
        trail: AuditTrail,
        *,
        relay_key: bytes,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._trail: Final = trail
        self._relay_key: Final = relay_key
        self._uniform: Final = uniform
        self._session: Session | None = None
        self._gone_back: Checkpoint | None = None  # of the relay's log, which does not go on there
        self._accepted: Final[set[tuple[str, int, str]]] = set()
        self._turn: Final = asyncio.Lock()

    async def run(self, session: "Session") -> None:
        """Trade at once, at each checkpoint, and now and then, until the session ends.

        Raises:
            TunnelClosedError: When it ends.
        """
        self._session = session
        try:
            while True:
                pause = self._uniform(0.5, 1.0) * _EVERY_SECONDS
                try:
                    if await self._trade(session) is None:
                        return  # an older relay, which keeps none
                except TunnelClosedError:
                    raise
                except (CloudConnectError, TimeoutError, ValueError, OSError) as exc:
                    log.info("checkpoints_not_exchanged", reason=str(exc))
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                try:
                    async with asyncio.timeout(pause):
                        await self._trail.checkpointed()
                except TimeoutError:
                    continue
        finally:
            if self._session is session:
                self._session = None

    async def now(self) -> AuditExchange | None:
        """Trade now, for a person who wants to compare; ``None`` without a session."""
        session = self._session
        if session is None:
            return None
        try:
            await self._trail.sign()
            return await self._trade(session)
        except (CloudConnectError, TimeoutError, ValueError, OSError) as exc:
            log.info("checkpoints_not_exchanged", reason=str(exc))
            return None

    async def accept(self, reason: str) -> tuple[Checkpoint, ...]:
        """Accept, in the log, that what the relay knows by now does not fit.

        Returns:
            The checkpoints from which one of the two logs does not go on.

        Raises:
            TunnelClosedError: If the relay cannot be asked: only what is known can be accepted.
            CloudConnectError: If all fits.
        """
        said = await self.now()
        if said is None:
            raise TunnelClosedError(
                "The agent is not connected, so that nobody can say what does not fit: accept it "
                "once `cloud-connect status` says connected."
            )
        async with self._turn:  # no trade compares with what is about to be accepted
            disputed = await self._disputed(said.held)
            if not disputed:
                raise CloudConnectError(
                    "What the relay holds and the audit log of this PC fit: there is nothing to "
                    "accept."
                )
            self._trail.accept(disputed, reason)
            if self._gone_back is not None:  # what the relay shows next is held from then on
                kept = AuditExchange(held=said.held)
                await asyncio.to_thread(self._trail.folder.keep_relay, kept)
                self._gone_back = None
        await self.now()
        return disputed

    async def _trade(self, session: "Session") -> AuditExchange | None:
        async with self._turn:
            folder = self._trail.folder
            before = await asyncio.to_thread(folder.relay)
            told = AuditExchange(own=self._trail.checkpoint, held=before.own)
            answer = await _ask(session, told)
            if answer is None:
                return None
            kept = AuditExchange(
                own=self._relays(before.own, answer.own), held=answer.held or before.held
            )
            if kept != before:
                await asyncio.to_thread(folder.keep_relay, kept)
            await self._compare(answer.held)
            return kept

    def _relays(self, before: Checkpoint | None, now: Checkpoint | None) -> Checkpoint | None:
        """Return which checkpoint of the relay's log to hold: what it went back on is evidence."""
        if now is not None and (now.key != self._relay_key or not now.is_genuine()):
            self._trail.disagree("The relay's checkpoint is not signed with its key.")
            return before
        self._gone_back = None
        if before is None:
            return now
        if now is None or not supersedes(now, before):
            self._gone_back = before
            at = "has none" if now is None else f"is at record {now.seq}"
            self._trail.disagree(
                f"The relay's audit log does not go on from its record {before.seq}, which it had"
                f" signed: it {at}. Ask the relay's operator."
            )
            return before
        return now

    async def _compare(self, held: Checkpoint | None) -> None:
        """Look for what the relay knows of this log: here it must still be so."""
        if held is None:
            return
        trail = self._trail
        if await self._has(held) or await self._is_accepted(held):
            return
        if held.log != trail.log:
            trail.disagree(
                f"The relay holds checkpoints of another audit log of this connector ({held.log}): "
                "the one on this PC was begun anew."
            )
            return
        trail.disagree(
            f"The relay holds a checkpoint of record {held.seq} that the audit log on this PC "
            "does not have: records were removed or changed. Run `cloud-connect audit verify`."
        )

    async def _disputed(self, held: Checkpoint | None) -> tuple[Checkpoint, ...]:
        """Return the checkpoints from which one of the logs does not go on, unless accepted."""
        found = [] if self._gone_back is None else [self._gone_back]
        if held is not None and not (await self._has(held) or await self._is_accepted(held)):
            found.append(held)
        return tuple(found)

    async def _has(self, held: Checkpoint) -> bool:
        """Whether this log is still so at the record that a checkpoint of it is of."""
        trail = self._trail
        if held.log != trail.log:
            return False
        newest = trail.checkpoint
        if newest is not None and (newest.seq, newest.hash) == (held.seq, held.hash):
            return True
        found = await asyncio.to_thread(hash_at, trail.folder, held.seq)
        return found is not None and found.hex() == held.hash

    async def _is_accepted(self, held: Checkpoint) -> bool:
        """Whether the log says that this one need not fit; it is read once for each such one."""
        place = (held.log, held.seq, held.hash)
        if place not in self._accepted:
            self._accepted.update(await asyncio.to_thread(accepted_places, self._trail.folder))
        return place in self._accepted


async def _ask(session: "Session", told: AuditExchange) -> AuditExchange | None:
    answer = await ask_relay(
        session,
        Operation.AUDIT,
        told.model_dump_json(),
        seconds=_DEADLINE_SECONDS,
        max_bytes=_MAX_ANSWER_BYTES,
    )
    return None if answer is None else strict_json.read(AuditExchange, answer)

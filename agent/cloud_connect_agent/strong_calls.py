"""Signed and sealed calls: opened, checked, and held to what the policy insists on."""

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final, Protocol

from pydantic import ValidationError

from cloud_connect.call_signatures import (
    ADDED_BY_RELAY,
    CALL_PARAMS,
    LEEWAY_SECONDS,
    LIFETIME_SECONDS,
    SIGNATURE_HEADER,
    CallSignature,
    SignableCall,
)
from cloud_connect.calls import Operation, Source
from cloud_connect.errors import (
    CloudConnectError,
    InvalidRequestError,
    Outcome,
    PolicyDeniedError,
    UnsupportedOperationError,
)
from cloud_connect.sealing import SealedParams, SealingKey, open_request
from cloud_connect.signing import to_text
from cloud_connect.tunnel import RequestHead
from cloud_connect_agent.audit.notes import call_note
from cloud_connect_agent.call_exchange import ReadAhead
from cloud_connect_agent.policy import Access, Decision
from cloud_connect_agent.reply import Call, params_of, read_all
from cloud_connect_agent.sealed_exchange import AnswerSeal, SealedExchange
from cloud_connect_agent.strong_modes import NO_STRONG_MODES, StrongModes

__all__ = ["ClaimJournal", "StrongCalls"]

_MAX_BODY: Final = 16 * 1024 * 1024  # of a signed call, which is held in memory
_MAX_SEALED: Final = 2 * 1024 * 1024  # anybody can seal; an honest relay lets through half of it
_REHEARSALS: Final = frozenset({Operation.QUERY_DRY_RUN, Operation.DRY_RUN})
# A file that is uploaded comes piece by piece, for as long as it takes: nothing to be held here.
_SEALABLE: Final = frozenset(CALL_PARAMS) - {Operation.UPLOAD}


class ClaimJournal(Protocol):
    """The journal, as far as numbers used once are kept in it."""

    async def claim(self, nonce: str, call_id: str) -> str | None:
        """Bind a number to a call; return the call that has it, if it is another."""
        ...

    async def release(self, nonce: str, call_id: str) -> None:
        """Let go of the number of a call that was refused before it was entered."""
        ...


@dataclass(slots=True, kw_only=True)
class _Claim:
    """A number used once, and whether its call has used it."""

    nonce: str
    call_id: str
    made: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strength:
    """How well the call that is being answered is protected.

    Attributes:
        may_write: False for one that was sealed as a read.
        rehearses: It is a dry run, which writes nothing whatever it is about.
        claim: On its number used once, if it has one.
    """

    signed: bool = False
    sealed: bool = False
    may_write: bool = True
    rehearses: bool = False
    claim: _Claim | None = None

    def writes(self, accesses: Sequence[Access]) -> bool:
        """Whether the call would change something."""
        return not self.rehearses and any(access.verb.writes for access in accesses)


_PLAIN: Final = _Strength()
_strength: Final[ContextVar[_Strength]] = ContextVar("strength", default=_PLAIN)


class StrongCalls:
    """Opens sealed calls and checks signed ones.

    Args:
        rules: What the policy file says at the moment.
        connector_id: What signatures and seals are bound to.
        key: What calls are sealed to; ``None`` takes no sealed calls.
        wall_clock: Signatures expire by this PC's clock.
    """

    def __init__(
        self,
        journal: ClaimJournal,
        *,
        rules: Callable[[], StrongModes] = lambda: NO_STRONG_MODES,
        connector_id: str = "",
        key: SealingKey | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal: Final = journal
        self._rules: Final = rules
        self._connector_id: Final = connector_id
        self._key: Final = key
        self._wall_clock: Final = wall_clock

    async def open(self, call: Call, clock: Callable[[], float]) -> Call:
        """Return the call that is inside a sealed one.

        Raises:
            InvalidRequestError: If it is not sealed to this connector, or not for this source.
            UnsupportedOperationError: If what is inside is nothing that can be sealed.
        """
        params = params_of(SealedParams, call)
        if self._key is None:
            raise UnsupportedOperationError("The connector takes no sealed calls.")
        sealed = await read_all(call, max_bytes=_MAX_SEALED)
        opened = open_request(
            sealed, self._key, connector_id=self._connector_id, writes=params.writes
        )
        head = opened.head
        if head.operation not in _SEALABLE:
            raise UnsupportedOperationError("What is inside the sealed call cannot be sealed.")
        self._check_time(head.expires_at)
        if not _is_for(params.source, head.params.get("source")):
            # Each would have the call go somewhere else; the policy is not asked to choose.
            raise InvalidRequestError(
                "The sealed call is for another company, environment or project than the relay's "
                "data source: compare what its caller pinned."
            )
        # What the relay says about a sealed call stands outside, or nowhere.
        asked = {key: value for key, value in head.params.items() if key not in ADDED_BY_RELAY}
        request = RequestHead(
            operation=head.operation,
            call_id=call.call_id,
            deadline_ms=int(call.left * 1000),
            params={**asked, "interactive": params.interactive},
            headers=head.headers,
        )
        seal = AnswerSeal(opened, connector_id=self._connector_id)
        exchange = SealedExchange(call.exchange, request, opened.body, seal.sealer())
        number = to_text(hashlib.sha256(head.secret).digest())
        claim = _Claim(nonce=number, call_id=call.call_id)
        _strength.set(_Strength(sealed=True, may_write=params.writes, claim=claim))
        return Call(exchange, clock, seal=seal, outer=call.reply)

    @asynccontextmanager
    async def checked(self, call: Call, operation: Operation) -> AsyncIterator[None]:
        """Check a call's signature, if there is one; the number of a refused call is free again.

        Raises:
            InvalidRequestError: If the signature is malformed.
            PolicyDeniedError: If it is not good for this call, here and now.
        """
        strength = replace(_strength.get(), rehearses=operation in _REHEARSALS)
        _strength.set(strength)
        note = call_note.get()
        if note is not None:
            note.sealed = strength.sealed
        signature = _signature_of(call)
        if signature is not None:
            await self._verify(call, signature)
            if note is not None:
                note.signed_by = signature.key_id
            number = f"{signature.key_id}.{to_text(signature.nonce)}"
            claim = _Claim(nonce=number, call_id=call.call_id)
            _strength.set(replace(strength, signed=True, claim=claim))
        used = _strength.get().claim
        try:
            yield
        except CloudConnectError as error:
            if used is not None and used.made and error.outcome is Outcome.NOT_EXECUTED:
                await self._journal.release(used.nonce, used.call_id)
            raise

    async def claim(self, accesses: Sequence[Access]) -> None:
        """Use up the number of the call that is being answered, if it is about to write.

        Raises:
            PolicyDeniedError: If another call that may have been carried out has used it.
        """
        strength = _strength.get()
        claim = strength.claim
        if claim is None or not strength.writes(accesses):
            return
        holder = await self._journal.claim(claim.nonce, claim.call_id)
        if holder is None:
            claim.made = (
                True  # by this exchange; one of the same call that joins it lets go of none
            )
        elif holder != claim.call_id:
            raise _refused(f"it was presented before, as {holder}", "signature-replay", accesses)

    def check(self, accesses: Sequence[Access]) -> None:
        """Hold the call that is being answered to what the policy insists on.

        Raises:
            PolicyDeniedError: If it is not signed or sealed as it must be.
        """
        rules, strength = self._rules(), _strength.get()
        writes = strength.writes(accesses)
        if writes and not strength.may_write:
            raise _refused("it was sealed as a read, and would write", "sealed-read", accesses)
        if _insists(rules.signatures.require, writes=writes) and not strength.signed:
            why = "it is not signed by a key that is pinned there"
            raise _refused(why, "signatures", accesses)
        if _insists(rules.sealing.require, writes=writes) and not strength.sealed:
            raise _refused("it is not sealed to its key", "sealing", accesses)

    async def _verify(self, call: Call, signature: CallSignature) -> None:
        key = self._rules().signatures.key(signature.key_id)
        if key is None:
            raise _refused("its signature is by no key that is pinned there", "signatures")
        self._check_time(signature.expires_at)
        body = await read_all(call, max_bytes=_MAX_BODY)
        call.exchange = ReadAhead(call.exchange, body)
        signed = SignableCall(
            operation=call.operation,
            params=call.head.params,
            headers=call.head.headers,
            body=body,
        )
        if not signature.fits(signed, connector_id=self._connector_id, public_key=key):
            raise _refused(
                "its signature is not under this call for this connector: it was changed on the "
                "way, or its caller pinned another company, environment or project than the data "
                "source has",
                "signatures",
            )

    def _check_time(self, expires_at: int) -> None:
        left = expires_at - self._wall_clock()
        if left < -LEEWAY_SECONDS:
            raise _refused(
                f"it was good until {-left:.0f} seconds ago by the clock there", "expired"
            )
        if left > LIFETIME_SECONDS + LEEWAY_SECONDS:
            raise _refused(
                f"it is good for {left:.0f} seconds by the clock there, which is longer than "
                f"{LIFETIME_SECONDS}",
                "expired",
            )


def _is_for(source: Source, named: object) -> bool:
    try:
        return Source.model_validate(named) == source
    except ValidationError:
        return False


def _signature_of(call: Call) -> CallSignature | None:
    found = [value for name, value in call.head.headers if name.lower() == SIGNATURE_HEADER]
    if not found:
        return None
    if len(found) > 1:
        raise InvalidRequestError("The call has two signatures.")
    return CallSignature.parse(found[0])


def _insists(require: str, *, writes: bool) -> bool:
    return require == "all" or (require == "writes" and writes)


def _refused(why: str, rule: str, accesses: Sequence[Access] = ()) -> PolicyDeniedError:
    note = call_note.get()
    if note is not None:  # what is refused here, the policy is not asked about
        note.decided(accesses, Decision(allowed=False, rule=rule, reason=why))
    return PolicyDeniedError(f"The connector does not carry this call out: {why} (rule {rule}).")

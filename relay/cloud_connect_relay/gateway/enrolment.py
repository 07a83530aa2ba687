"""How an agent joins, changes its key and leaves: the relay proves itself, then the agent does."""

import hmac
import secrets
from collections.abc import Callable
from typing import Final

import structlog

from cloud_connect.errors import InvalidRequestError, UnauthorizedError
from cloud_connect.handshake_messages import (
    enrol_challenge_transcript,
    enrol_transcript,
    leave_transcript,
    rotate_transcript,
)
from cloud_connect.join_token import JoinToken, JoinTokenError
from cloud_connect.signing import (
    SigningKey,
    is_sound_public_key,
    key_id_of,
    pack_fields,
    verify_signature,
)
from cloud_connect_relay.gateway.registry import Registry
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.storage.connector_keys import ConnectorKeys
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import Connector
from cloud_connect_relay.storage.enrolments import Applicant, Enrolled, Enrolments

__all__ = ["Enrolment"]

log = structlog.get_logger(__name__)

_LIFETIME: Final = 120  # seconds that a nonce is good for
_RANDOM_BYTES: Final = 16
_TIME_BYTES: Final = 8
_TAG_BYTES: Final = 16
_UNKNOWN: Final = "The relay knows no connector with this id and key."


class Enrolment:
    """The relay's side of enrolling, of a change of keys, and of the end.

    Nonces carry their own proof (a time and a keyed tag), so that strangers cannot fill this
    relay's memory, and every node that holds the relay's key accepts them.
    """

    def __init__(
        self,
        *,
        relay_id: str,
        key: SigningKey,
        enrolments: Enrolments,
        connectors: ConnectorSessions,
        keys: ConnectorKeys,
        registry: Registry,
        clock: Callable[[], float],
    ) -> None:
        self._relay_id: Final = relay_id
        self._key: Final = key
        self._enrolments: Final = enrolments
        self._connectors: Final = connectors
        self._keys: Final = keys
        self._registry: Final = registry
        self._clock: Final = clock
        self._nonce_key: Final = hmac.digest(key.seed(), b"cc/enrol-nonce/v1", "sha256")

    def challenge(self, *, token_id: str, agent_nonce: bytes) -> tuple[bytes, bytes]:
        """Return a nonce and this relay's signature; no hint whether the token exists.

        Args:
            token_id: What the nonce is good for: a join token, or the connector that leaves.
        """
        body = int(self._clock()).to_bytes(_TIME_BYTES) + secrets.token_bytes(_RANDOM_BYTES)
        nonce = body + self._tag(body, token_id)
        transcript = enrol_challenge_transcript(
            relay_id=self._relay_id, token_id=token_id, agent_nonce=agent_nonce, nonce=nonce
        )
        return nonce, self._key.sign(transcript)

    async def redeem(
        self, *, token: str, nonce: bytes, signature: bytes, applicant: Applicant
    ) -> Enrolled:
        """Enrol the applicant.

        Raises:
            UnauthorizedError: If the token is not good, for whatever reason.
            JoinTokenUsedError: If it has enrolled another agent.
            InvalidRequestError: If the proof of possession is not good.
        """
        try:
            parsed = JoinToken.parse(token)
        except JoinTokenError as exc:
            raise UnauthorizedError(
                "The join token is not valid: it is unknown, expired or revoked;"
                " create another one."
            ) from exc
        if not self._is_ours(nonce, parsed.token_id):
            raise InvalidRequestError("The enrolment took too long: start it again.")
        transcript = enrol_transcript(
            relay_id=self._relay_id,
            nonce=nonce,
            token_id=parsed.token_id,
            public_key=applicant.public_key,
        )
        if not is_sound_public_key(applicant.public_key) or not verify_signature(
            applicant.public_key, signature, transcript
        ):
            raise InvalidRequestError("The agent could not prove that it holds its key.")
        enrolled = await self._enrolments.redeem(parsed, applicant, now=self._clock())
        log.info(
            "connector_enrolled",
            connector_id=enrolled.connector.id,
            token_id=parsed.token_id,
            repeated=enrolled.repeated,
        )
        return enrolled

    async def leave(
        self, *, connector_id: str, key_id: str, nonce: bytes, signature: bytes
    ) -> None:
        """Revoke a connector by the wish of its own agent, and cut its session.

        Raises:
            UnauthorizedError: If there is no such connector, or this is not its key.
            InvalidRequestError: If the nonce is too old, or not for this connector.
        """
        if not self._is_ours(nonce, connector_id):
            raise InvalidRequestError("Leaving took too long: start it again.")
        transcript = leave_transcript(
            relay_id=self._relay_id, nonce=nonce, connector_id=connector_id, key_id=key_id
        )
        connector = await self._proven(connector_id, key_id, signature, transcript)
        if await self._connectors.leave(connector, now=self._clock()):
            log.info("connector_left", connector_id=connector.id)
        await self._registry.cut(connector.id)

    async def rotate(
        self,
        *,
        connector_id: str,
        key_id: str,
        new_public_key: bytes,
        nonce: bytes,
        signature: bytes,
        new_signature: bytes,
    ) -> None:
        """Have another key follow a connector's own; both of them signed for it.

        The old one ends when the new one connects, a day later at the latest. Asking again for
        the same key changes nothing.

        Raises:
            UnauthorizedError: If there is no such connector, or this is not its key.
            InvalidRequestError: If the nonce is too old, the new key is not proven, or another
                one has been announced already.
        """
        if not self._is_ours(nonce, connector_id):
            raise InvalidRequestError("Changing the key took too long: start it again.")
        transcript = rotate_transcript(
            relay_id=self._relay_id,
            nonce=nonce,
            connector_id=connector_id,
            key_id=key_id,
            new_public_key=new_public_key,
        )
        if not verify_signature(new_public_key, new_signature, transcript):
            raise InvalidRequestError("The agent could not prove that it holds its new key.")
        new_id = key_id_of(new_public_key)
        connector = await self._find(connector_id)
        if connector is not None and connector.key_id == new_id:
            return  # it has taken over; only the agent did not hear of it
        connector = await self._proven(connector_id, key_id, signature, transcript)
        if not connector.flag.may_connect:
            raise UnauthorizedError(_UNKNOWN)
        if not await self._keys.announce(connector, new_public_key, now=self._clock()):
            raise InvalidRequestError(
                "Another key has been announced for this connector; if that was not you, revoke it."
            )
        log.info("connector_key_announced", connector_id=connector.id, key_id=new_id)

    async def _proven(
        self, connector_id: str, key_id: str, signature: bytes, transcript: bytes
    ) -> Connector:
        """Return the connector if its key made the signature; who is wrong does not hear how."""
        connector = await self._find(connector_id)
        key = None if connector is None else connector.key_for(key_id, now=self._clock())
        if connector is None or key is None or not verify_signature(key, signature, transcript):
            raise UnauthorizedError(_UNKNOWN)
        return connector

    async def _find(self, connector_id: str) -> Connector | None:
        return await self._connectors.find(connector_id) if is_id("con", connector_id) else None

    def _is_ours(self, nonce: bytes, token_id: str) -> bool:
        if len(nonce) != _TIME_BYTES + _RANDOM_BYTES + _TAG_BYTES:
            return False
        body, tag = nonce[:-_TAG_BYTES], nonce[-_TAG_BYTES:]
        age = self._clock() - int.from_bytes(body[:_TIME_BYTES])
        return hmac.compare_digest(tag, self._tag(body, token_id)) and -1 <= age <= _LIFETIME

    def _tag(self, body: bytes, token_id: str) -> bytes:
        message = pack_fields("cc/enrol-nonce/v1", body, token_id)
        return hmac.digest(self._nonce_key, message, "sha256")[:_TAG_BYTES]

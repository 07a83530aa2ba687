"""How an agent joins and leaves: this relay proves itself, then the agent proves its right."""

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
)
from cloud_connect.join_token import JoinToken, JoinTokenError
from cloud_connect.signing import SigningKey, is_sound_public_key, pack_fields, verify_signature
from cloud_connect_relay.gateway.registry import Registry
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import Connector
from cloud_connect_relay.storage.enrolments import Applicant, Enrolled, Enrolments

__all__ = ["Enrolment"]

log = structlog.get_logger(__name__)

_LIFETIME: Final = 120  # seconds that a nonce is good for
_RANDOM_BYTES: Final = 16
_TIME_BYTES: Final = 8
_TAG_BYTES: Final = 16


class Enrolment:
    """The relay's side of enrolling and of its end.

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
        registry: Registry,
        clock: Callable[[], float],
    ) -> None:
        self._relay_id: Final = relay_id
        self._key: Final = key
        self._enrolments: Final = enrolments
        self._connectors: Final = connectors
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
        connector = await self._find(connector_id)
        if (
            connector is None
            or connector.key_id != key_id
            or not verify_signature(connector.public_key, signature, transcript)
        ):
            raise UnauthorizedError("The relay knows no connector with this id and key.")
        if await self._connectors.leave(connector, now=self._clock()):
            log.info("connector_left", connector_id=connector.id)
        await self._registry.cut(connector.id)

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

"""Enrolling: this PC makes a key, and a join token makes it a connector of a relay."""

import platform
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import httpx
from pydantic import Field

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.handshake_messages import enrol_transcript
from cloud_connect.join_token import JoinToken
from cloud_connect.live_secrets import learn_secret
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.relay_api import (
    STEP_TIMEOUT,
    RelayAnswer,
    RelayApi,
    RelayProof,
    RelayRefusedError,
    RelayUnreachableError,
    read_answer,
    refusal_in,
)
from cloud_connect_agent.settings import check_url

__all__ = ["Enroller", "Enrolment", "Machine"]

_SIGN_IN: Final = "sign-in"  # stands for a join token where none is there yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a relay lists of this PC."""

    name: str
    machine: str
    os: str
    version: str

    @classmethod
    def here(cls, *, name: str, version: str) -> Self:
        """Describe the PC this runs on."""
        return cls(
            name=name,
            machine=socket.gethostname()[:253],
            os=f"{platform.system()} {platform.release()}"[:200],
            version=version,
        )


class Enrolment(RelayAnswer):
    """What the relay made of this PC: all of it goes to ``agent.toml``.

    Attributes:
        relay_public_key: The pinned key, base64url.
        policy_class: The most that this PC's policy may allow.
        approved: Whether it may connect; otherwise the relay's administrator has to let it in.
    """

    connector_id: str = Field(min_length=1, max_length=64)
    key_id: str = Field(min_length=1, max_length=64)
    relay_id: str = Field(min_length=1, max_length=64)
    relay_public_key: str = Field(max_length=64)
    tunnel_url: str = Field(max_length=2000)
    generation: int = Field(ge=0)
    policy_class: str = Field(default="read-write", max_length=50)
    name: str = Field(default="", max_length=200)
    group: str | None = Field(default=None, max_length=200)
    approved: bool = True


class Enroller:
    """The enrolment client.

    Args:
        relay_url: What a person typed.
        tls: Whom to trust.
        proxies: How to get there.
        allow_intercepted: Whether a proxy in between may read along.
        step_timeout: Of each step of a request.
    """

    def __init__(
        self,
        relay_url: str,
        *,
        keys: AgentKeys,
        generation: Generation,
        tls: ssl.SSLContext,
        proxies: Proxies | None = None,
        allow_intercepted: bool = False,
        step_timeout: httpx.Timeout = STEP_TIMEOUT,
    ) -> None:
        try:
            self._url: Final = check_url(relay_url)
        except ValueError as exc:
            raise ConfigurationError(f"The relay's address is wrong: {exc}.") from exc
        self._keys: Final = keys
        self._generation: Final = generation
        self._tls: Final = tls
        self._proxies: Final = proxies or Proxies()
        self._allow_intercepted: Final = allow_intercepted
        self._step_timeout: Final = step_timeout

    async def enrol(
        self, token_text: str, machine: Machine, *, group: str | None = None
    ) -> Enrolment:
        """Redeem a join token; the key and the generation are stored when this returns.

        Raises:
            JoinTokenError: If the text is no join token.
            ConfigurationError: If the relay's address must not be used.
            RelayUnreachableError: If no relay answers there.
            RelayRefusedError: If the relay is another one, or refuses the token.
        """
        learn_secret(token_text.strip())
        token = JoinToken.parse(token_text)
        async with self._open() as relay:
            proof = await self._challenge(relay, token)
            key = await self._keys.candidate()
            enrolment = await self._redeem(relay, token, proof, key, machine=machine, group=group)
        self._check(enrolment, proof, key)
        await self._generation.store(enrolment.generation)
        await self._keys.adopt(key)
        return enrolment

    async def request_token(self, username: str, password: str, *, group: str | None) -> str:
        """Get a join token with an administrator's password, which is kept nowhere.

        What does not answer as a relay does, and an inspecting proxy in between, never see the
        password. Unlike a join token it does not say which key is the right relay's, so the
        certificate has to: whoever holds one that this PC trusts could pose as the relay.

        Raises:
            RelayUnreachableError: If no relay answers at the address.
            RelayRefusedError: If the relay does not accept the sign-in, or the user may not enrol.
        """
        learn_secret(password)
        form = {"grant_type": "password", "username": username, "password": password}
        async with self._open() as relay:
            await self._refuse_readers(relay, await relay.challenge(_SIGN_IN), what="password")
            answer = await relay.post("/Token", form=form)
            if answer.status_code in {400, 401}:
                raise RelayRefusedError("The relay does not accept this user name and password.")
            if answer.status_code != 200:
                raise self._failed(answer, "The relay refuses the sign-in.")
            bearer = read_answer(_Bearer, answer).access_token
            learn_secret(bearer)
            answer = await relay.post("/api/enrolment-tokens", json={"group": group}, bearer=bearer)
            if answer.status_code == 403:
                raise RelayRefusedError(
                    f"{username} may not enrol connectors: the relay's administrators and"
                    " operators may."
                )
            if answer.status_code != 201:
                raise self._failed(answer, "The relay gives no join token.")
            return read_answer(_Issued, answer).token

    def _failed(self, answer: httpx.Response, otherwise: str) -> CloudConnectError:
        if answer.status_code >= 500:
            return RelayUnreachableError(
                f"The relay at {self._url} failed (status {answer.status_code}): try again."
            )
        return refusal_in(answer, otherwise)

    async def _refuse_readers(self, relay: RelayApi, proof: RelayProof, *, what: str) -> None:
        """Refuse to go on past a proxy that reads along, before it sees *what*."""
        secure = self._url.startswith("https:")
        if secure and await relay.is_intercepted(proof) and not self._allow_intercepted:
            raise RelayRefusedError(
                f"A proxy between this PC and {self._url} reads the traffic; the {what} was not"
                " sent. If your company's IT runs it and you accept that, set allow_intercepted ="
                " true under [relay] in agent.toml first."
            )

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[RelayApi]:
        async with RelayApi.open(
            self._url,
            tls=self._tls,
            proxy=await self._proxies.way(self._url),
            step_timeout=self._step_timeout,
        ) as relay:
            yield relay

    async def _challenge(self, relay: RelayApi, token: JoinToken) -> RelayProof:
        """Make the relay prove that it issued the token, before it sees the token."""
        proof = await relay.challenge(token.token_id)
        if not token.matches(proof.public_key):
            raise RelayRefusedError(
                f"The join token was issued by another relay than {self._url}:"
                " check the address; the token was not sent."
            )
        if not proof.holds_key:
            raise RelayRefusedError(
                f"{self._url} could not prove that it is the relay that issued the join token:"
                " somebody may be in between; the token was not sent."
            )
        await self._refuse_readers(relay, proof, what="token")
        return proof

    async def _redeem(
        self,
        relay: RelayApi,
        token: JoinToken,
        proof: RelayProof,
        key: SigningKey,
        *,
        machine: Machine,
        group: str | None,
    ) -> Enrolment:
        transcript = enrol_transcript(
            relay_id=proof.relay_id,
            nonce=proof.nonce,
            token_id=token.token_id,
            public_key=key.public_key,
        )
        answer = await relay.post(
            "/api/enrol",
            json={
                "token": token.reveal(),
                "nonce": to_text(proof.nonce),
                "public_key": to_text(key.public_key),
                "signature": to_text(key.sign(transcript)),
                "name": machine.name,
                "machine": machine.machine,
                "os": machine.os,
                "version": machine.version,
                "group": group,
            },
        )
        if answer.status_code != 201:
            if answer.status_code >= 500:
                raise RelayUnreachableError(
                    f"The relay at {self._url} failed (status {answer.status_code}):"
                    " try again with the same join token."
                )
            raise refusal_in(answer, "The relay refused the join token.")
        return read_answer(Enrolment, answer)

    def _check(self, enrolment: Enrolment, proof: RelayProof, key: SigningKey) -> None:
        """Believe nothing of the answer that was proven otherwise."""
        try:
            check_url(enrolment.tunnel_url, schemes=("ws", "wss"))
        except ValueError as exc:
            raise RelayRefusedError(
                f"The relay names a tunnel address that must not be used: {exc}."
            ) from exc
        same_relay = enrolment.relay_id == proof.relay_id and enrolment.relay_public_key == to_text(
            proof.public_key
        )
        if not same_relay or enrolment.key_id != key.key_id:
            raise RelayRefusedError(
                "The relay's answer contradicts its own proof: enrol again, and if it repeats,"
                " tell the relay's operator."
            )


class _Bearer(RelayAnswer):
    access_token: str


class _Issued(RelayAnswer):
    token: str

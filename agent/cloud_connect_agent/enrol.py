"""Enrolling: this PC makes a key, and a join token makes it a connector of a relay."""

import asyncio
import platform
import secrets
import socket
import ssl
from dataclasses import dataclass
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.errors import CloudConnectError, ConfigurationError, TunnelError
from cloud_connect.handshake_messages import enrol_challenge_transcript, enrol_transcript
from cloud_connect.join_token import JoinToken
from cloud_connect.signing import (
    NONCE_BYTES,
    PublicKeyBytes,
    SignatureBytes,
    SigningKey,
    to_bytes,
    to_text,
    verify_signature,
)
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.settings import check_url

__all__ = ["Enroller", "Enrolment", "EnrolmentRefusedError", "Machine", "RelayUnreachableError"]

_MAX_ANSWER_BYTES: Final = 64 * 1024
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_TOTAL_TIMEOUT: Final = 60.0  # seconds for one request, however slowly it trickles
_MAX_DETAIL: Final = 500  # characters of a relay's sentence that are shown


class EnrolmentRefusedError(CloudConnectError):
    """The relay does not let this PC join; the message says why."""


class RelayUnreachableError(TunnelError):
    """No relay answers at the address; the message says what does, or why nothing."""


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


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Challenge(_Answer):
    relay_id: str = Field(min_length=1, max_length=64)
    relay_public_key: PublicKeyBytes
    nonce: str = Field(min_length=1, max_length=100)
    signature: SignatureBytes


class Enrolment(_Answer):
    """What the relay made of this PC: all of it goes to ``agent.toml``.

    Attributes:
        relay_public_key: The pinned key, base64url.
        policy_class: The most that this PC's policy may allow.
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


class _Problem(_Answer):
    detail: str = ""


_AnswerT = TypeVar("_AnswerT", bound=_Answer)


class Enroller:
    """The enrolment client.

    Args:
        relay_url: What a person typed.
        tls: Whom to trust.
        timeout: Of each step of a request.
    """

    def __init__(
        self,
        relay_url: str,
        *,
        keys: AgentKeys,
        generation: Generation,
        tls: ssl.SSLContext,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> None:
        try:
            self._url: Final = check_url(relay_url)
        except ValueError as exc:
            raise ConfigurationError(f"The relay's address is wrong: {exc}.") from exc
        self._keys: Final = keys
        self._generation: Final = generation
        self._tls: Final = tls
        self._timeout: Final = timeout

    async def enrol(
        self, token_text: str, machine: Machine, *, group: str | None = None
    ) -> Enrolment:
        """Redeem a join token; the key and the generation are stored when this returns.

        Raises:
            JoinTokenError: If the text is no join token.
            ConfigurationError: If the relay's address must not be used.
            RelayUnreachableError: If no relay answers there.
            EnrolmentRefusedError: If the relay is another one, or refuses the token.
        """
        token = JoinToken.parse(token_text)
        async with self._client() as client:
            challenge = await self._challenge(client, token)
            key = await self._keys.candidate()
            enrolment = await self._redeem(
                client, token, challenge, key, machine=machine, group=group
            )
        self._check(enrolment, challenge, key)
        await self._generation.store(enrolment.generation)
        await self._keys.adopt(key)
        return enrolment

    async def request_token(self, username: str, password: str, *, group: str | None) -> str:
        """Get a join token with an administrator's password, which is kept nowhere.

        Raises:
            RelayUnreachableError: If no relay answers at the address.
            EnrolmentRefusedError: If the relay does not accept the sign-in.
        """
        form = {"grant_type": "password", "username": username, "password": password}
        async with self._client() as client:
            answer = await self._send(client, "/Token", data=form)
            if answer.status_code != 200:
                raise EnrolmentRefusedError("The relay does not accept this user and password.")
            bearer = _read(_Bearer, answer).access_token
            answer = await self._send(
                client, "/api/enrolment-tokens", json={"group": group}, bearer=bearer
            )
            if answer.status_code != 201:
                raise EnrolmentRefusedError(_reason(answer, "This user may not enrol connectors."))
            return _read(_Issued, answer).token

    def _client(self) -> httpx.AsyncClient:
        plain = urlsplit(self._url).scheme == "http"
        return httpx.AsyncClient(
            base_url=self._url,
            verify=self._tls,
            timeout=self._timeout,
            follow_redirects=False,
            trust_env=not plain,  # no proxy of the company knows this machine's loopback
        )

    async def _challenge(self, client: httpx.AsyncClient, token: JoinToken) -> _Challenge:
        """Make the relay prove that it issued the token, before it sees the token."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = await self._send(
            client,
            "/api/enrol/challenge",
            json={"token_id": token.token_id, "agent_nonce": to_text(nonce)},
        )
        if answer.status_code != 200:
            raise self._no_relay(answer)
        try:
            challenge = _Challenge.model_validate_json(answer.content)
            relay_nonce = to_bytes(challenge.nonce)
        except ValueError as exc:  # ValidationError is one
            raise self._no_relay(answer) from exc
        transcript = enrol_challenge_transcript(
            relay_id=challenge.relay_id,
            token_id=token.token_id,
            agent_nonce=nonce,
            nonce=relay_nonce,
        )
        if not token.matches(challenge.relay_public_key):
            raise EnrolmentRefusedError(
                f"The join token was issued by another relay than {self._url}:"
                " check the address; the token was not sent."
            )
        if not verify_signature(challenge.relay_public_key, challenge.signature, transcript):
            raise EnrolmentRefusedError(
                f"{self._url} could not prove that it is the relay that issued the join token:"
                " somebody may be in between; the token was not sent."
            )
        return challenge

    async def _redeem(
        self,
        client: httpx.AsyncClient,
        token: JoinToken,
        challenge: _Challenge,
        key: SigningKey,
        *,
        machine: Machine,
        group: str | None,
    ) -> Enrolment:
        proof = enrol_transcript(
            relay_id=challenge.relay_id,
            nonce=to_bytes(challenge.nonce),
            token_id=token.token_id,
            public_key=key.public_key,
        )
        answer = await self._send(
            client,
            "/api/enrol",
            json={
                "token": token.reveal(),
                "nonce": challenge.nonce,
                "public_key": to_text(key.public_key),
                "signature": to_text(key.sign(proof)),
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
            raise EnrolmentRefusedError(_reason(answer, "The relay refused the join token."))
        return _read(Enrolment, answer)

    def _check(self, enrolment: Enrolment, challenge: _Challenge, key: SigningKey) -> None:
        """Believe nothing of the answer that was proven otherwise."""
        try:
            check_url(enrolment.tunnel_url, schemes=("ws", "wss"))
        except ValueError as exc:
            raise EnrolmentRefusedError(
                f"The relay names a tunnel address that must not be used: {exc}."
            ) from exc
        same_relay = (
            enrolment.relay_id == challenge.relay_id
            and enrolment.relay_public_key == to_text(challenge.relay_public_key)
        )
        if not same_relay or enrolment.key_id != key.key_id:
            raise EnrolmentRefusedError(
                "The relay's answer contradicts its own proof: enrol again, and if it repeats,"
                " tell the relay's operator."
            )

    async def _send(
        self,
        client: httpx.AsyncClient,
        path: str,
        *,
        json: object = None,
        data: dict[str, str] | None = None,
        bearer: str | None = None,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        try:
            async with (
                asyncio.timeout(_TOTAL_TIMEOUT),
                client.stream("POST", path, json=json, data=data, headers=headers) as answer,
            ):
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_ANSWER_BYTES:
                        raise self._no_relay(answer)
        except (httpx.TimeoutException, TimeoutError) as exc:
            raise RelayUnreachableError(
                f"The relay at {self._url} does not answer in time: check the address,"
                " and whether a firewall is in between."
            ) from exc
        except httpx.HTTPError as exc:
            raise RelayUnreachableError(self._why(exc)) from exc
        return httpx.Response(answer.status_code, headers=_plain(answer), content=bytes(body))

    def _no_relay(self, answer: httpx.Response) -> RelayUnreachableError:
        if answer.is_redirect:
            return RelayUnreachableError(
                f"{self._url} redirects somewhere else: give the relay's own address."
            )
        return RelayUnreachableError(
            f"There is no relay at {self._url}: it answers with status {answer.status_code},"
            " but not as a relay does; check the address."
        )

    def _why(self, error: httpx.HTTPError) -> str:
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
            causes.append(cause)
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return (
                    f"The certificate of {self._url} is not trusted"
                    f" ({cause.verify_message or 'it cannot be verified'}): if your company uses"
                    " an authority of its own, give its certificate with --ca FILE."
                )
            if isinstance(cause, ssl.SSLError):
                return f"{self._url} does not speak TLS as a relay does: check the address."
            if isinstance(cause, socket.gaierror):
                return f"The name in {self._url} is not known: check the address."
        return f"The relay at {self._url} cannot be reached: check the address, and that it runs."


class _Bearer(_Answer):
    access_token: str


class _Issued(_Answer):
    token: str


def _read(model: type[_AnswerT], answer: httpx.Response) -> _AnswerT:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as exc:
        raise EnrolmentRefusedError(
            "The relay gave an answer that this version does not understand: update the agent."
        ) from exc


def _reason(answer: httpx.Response, otherwise: str) -> str:
    try:
        detail = _Problem.model_validate_json(answer.content).detail
    except ValidationError:
        return otherwise
    # What a relay says ends on a terminal: one line, no control characters.
    printable = "".join(sign if sign.isprintable() else " " for sign in detail)
    return printable[:_MAX_DETAIL] or otherwise


def _plain(answer: httpx.Response) -> dict[str, str]:
    """Leave out what describes the transfer: the body has been decoded."""
    location = answer.headers.get("location")
    return {"location": location} if location else {}

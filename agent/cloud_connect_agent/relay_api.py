"""The relay's HTTP API as an agent asks it, before it has a session and when it leaves."""

import asyncio
import hashlib
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Self, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.errors import CloudConnectError, TunnelError
from cloud_connect.handshake_messages import (
    enrol_certificates_transcript,
    enrol_challenge_transcript,
)
from cloud_connect.signing import (
    NONCE_BYTES,
    Digest,
    PublicKeyBytes,
    SignatureBytes,
    to_bytes,
    to_text,
    verify_signature,
)
from cloud_connect_agent.foreign_answers import (
    ProxyOffers,
    explain_other_name,
    explain_refusal,
    page_in_between,
)
from cloud_connect_agent.proxies import Proxy

__all__ = [
    "STEP_TIMEOUT",
    "RelayAnswer",
    "RelayApi",
    "RelayProof",
    "RelayRefusedError",
    "RelayUnreachableError",
    "read_answer",
    "refusal_in",
]

_MAX_ANSWER_BYTES: Final = 64 * 1024
STEP_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_TOTAL_TIMEOUT: Final = 60.0  # seconds for one request, however slowly it trickles
_MAX_DETAIL: Final = 500  # characters of a relay's sentence that are shown


class RelayRefusedError(CloudConnectError):
    """The relay is another one, or does not do what was asked; the message says why."""


class RelayUnreachableError(TunnelError):
    """No relay answers at the address; the message says what does, or why nothing."""


class RelayAnswer(BaseModel):
    """The body of an answer; what a later version adds is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Challenge(RelayAnswer):
    relay_id: str = Field(min_length=1, max_length=64)
    relay_public_key: PublicKeyBytes
    nonce: str = Field(min_length=1, max_length=100)
    signature: SignatureBytes


class _Certificates(RelayAnswer):
    hashes: tuple[Digest, ...] = Field(max_length=1000)
    signature: SignatureBytes


class _Problem(RelayAnswer):
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayProof:
    """Who a relay says it is.

    Attributes:
        nonce: What the agent signs next.
        holds_key: Whether it proved to hold the key; whether that is the right key is for
            whoever asked to say.
    """

    relay_id: str
    public_key: bytes
    nonce: bytes
    holds_key: bool


class RelayApi:
    """Requests to a relay; each answers within a minute, whatever the relay does.

    Attributes:
        clock_ahead: Seconds that this PC's clock is ahead of the relay's by its last answer;
            ``None`` if that had no date.
    """

    def __init__(self, url: str, client: httpx.AsyncClient, proxy: Proxy | None) -> None:
        self._url: Final = url
        self._proxy: Final = proxy
        self._certificate: bytes | None = None  # what the last connection showed
        self._client: Final = client
        self.clock_ahead: float | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        tls: ssl.SSLContext,
        proxy: Proxy | None = None,
        step_timeout: httpx.Timeout = STEP_TIMEOUT,
    ) -> AsyncIterator[Self]:
        """Open connections to a relay.

        Args:
            url: The relay's address, as ``check_url`` lets it pass.
            tls: Whom to trust.
            proxy: Whom to ask for the connection, if the relay is not reached directly.
            step_timeout: Of each step of a request.
        """
        async with httpx.AsyncClient(
            base_url=url,
            verify=tls,
            timeout=step_timeout,
            follow_redirects=False,
            trust_env=False,  # the proxy is chosen by us, and .netrc is nobody's here
            proxy=None if proxy is None else httpx.Proxy(proxy.url, auth=proxy.sign_in),
        ) as client:
            yield cls(url, client, proxy)

    async def challenge(self, token_id: str) -> RelayProof:
        """Make the relay prove itself, before it is shown anything.

        Args:
            token_id: What the relay's nonce shall be good for.

        Raises:
            RelayUnreachableError: If no relay answers at the address.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = await self.post(
            "/api/enrol/challenge", json={"token_id": token_id, "agent_nonce": to_text(nonce)}
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
            token_id=token_id,
            agent_nonce=nonce,
            nonce=relay_nonce,
        )
        return RelayProof(
            relay_id=challenge.relay_id,
            public_key=challenge.relay_public_key,
            nonce=relay_nonce,
            holds_key=verify_signature(challenge.relay_public_key, challenge.signature, transcript),
        )

    async def is_intercepted(self, proof: RelayProof) -> bool:
        """Ask the relay, which has proven itself, whether what was seen here is its certificate.

        Raises:
            RelayUnreachableError: If no relay answers at the address.
            RelayRefusedError: If the answer is not that relay's.
        """
        hashes = await self.certificates(proof)
        return bool(hashes) and self._certificate not in hashes

    async def certificates(self, proof: RelayProof) -> tuple[bytes, ...]:
        """Ask the relay, which has proven itself, for SHA-256 of each of its certificates.

        Raises:
            RelayUnreachableError: If no relay answers at the address.
            RelayRefusedError: If the answer is not that relay's.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = await self.post("/api/enrol/certificates", json={"agent_nonce": to_text(nonce)})
        if answer.status_code != 200:
            raise refusal_in(answer, f"The relay at {self._url} does not name its certificates.")
        told = read_answer(_Certificates, answer)
        transcript = enrol_certificates_transcript(
            relay_id=proof.relay_id, agent_nonce=nonce, hashes=told.hashes
        )
        if not verify_signature(proof.public_key, told.signature, transcript):
            raise RelayRefusedError(f"Somebody in between changes what {self._url} says.")
        return told.hashes

    async def post(
        self,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        bearer: str | None = None,
    ) -> httpx.Response:
        """Send a request and return its whole answer, whatever the status.

        Raises:
            RelayUnreachableError: If there is none, or too long a one.
        """
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        offers = ProxyOffers()
        trace = {} if self._proxy is None else {"trace": offers}
        try:
            async with (
                asyncio.timeout(_TOTAL_TIMEOUT),
                self._client.stream(
                    "POST", path, json=json, data=form, headers=headers, extensions=trace
                ) as answer,
            ):
                self._certificate = _certificate_of(answer)
                self.clock_ahead = _clock_ahead(answer)
                host = self._client.base_url.host
                page = page_in_between(answer.status_code, answer.headers, host=host)
                if page is not None:
                    raise RelayUnreachableError(page)
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
            raise RelayUnreachableError(self._why(exc, offers.schemes)) from exc
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

    def _why(self, error: httpx.HTTPError, offers: Sequence[str]) -> str:
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
            causes.append(cause)
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                if (other := explain_other_name(cause, self._url)) is not None:
                    return other
                return (
                    f"The certificate of {self._url} is not trusted"
                    f" ({cause.verify_message or 'it cannot be verified'}): if your company uses"
                    " an authority of its own, give its certificate with --ca FILE."
                )
            if isinstance(cause, ssl.SSLError):
                return f"{self._url} does not speak TLS as a relay does: check the address."
            if isinstance(cause, httpx.ProxyError) and self._proxy is not None:
                status = str(cause)[:3]
                return explain_refusal(
                    int(status) if status.isdigit() else 502,
                    self._proxy,
                    host=self._client.base_url.host,
                    offers=offers,
                )
            if isinstance(cause, socket.gaierror):
                if self._proxy is not None:
                    return f"The name of the proxy {self._proxy.url} is not known: check it."
                return f"The name in {self._url} is not known: check the address."
        if self._proxy is not None:
            return (
                f"The relay at {self._url} cannot be reached through the proxy"
                f" {self._proxy.url} ({self._proxy.source}): check both."
            )
        return f"The relay at {self._url} cannot be reached: check the address, and that it runs."


_AnswerT = TypeVar("_AnswerT", bound=RelayAnswer)


def read_answer(model: type[_AnswerT], answer: httpx.Response) -> _AnswerT:
    """Read the body of an answer that says yes.

    Raises:
        RelayRefusedError: If it says something else.
    """
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as exc:
        raise RelayRefusedError(
            "The relay gave an answer that this version does not understand: update the agent."
        ) from exc


def refusal_in(answer: httpx.Response, otherwise: str) -> RelayRefusedError:
    """Return the error that says why the relay refuses; *otherwise* if it does not say."""
    try:
        detail = _Problem.model_validate_json(answer.content).detail
    except ValidationError:
        return RelayRefusedError(otherwise)
    # What a relay says ends on a terminal: one line, no control characters.
    printable = "".join(sign if sign.isprintable() else " " for sign in detail)
    return RelayRefusedError(printable[:_MAX_DETAIL] or otherwise)


def _certificate_of(answer: httpx.Response) -> bytes | None:
    """Return SHA-256 of the certificate that the connection showed; ``None`` without TLS."""
    tls = answer.extensions["network_stream"].get_extra_info("ssl_object")
    shown = tls.getpeercert(binary_form=True) if tls is not None else None
    return None if shown is None else hashlib.sha256(shown).digest()


def _clock_ahead(answer: httpx.Response) -> float | None:
    try:
        told = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return None
    return time.time() - told


def _plain(answer: httpx.Response) -> dict[str, str]:
    """Leave out what describes the transfer: the body has been decoded."""
    location = answer.headers.get("location")
    return {"location": location} if location else {}

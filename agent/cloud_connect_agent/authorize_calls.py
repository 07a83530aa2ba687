"""Signing this PC in through the relay: the address to open, and the code that comes back.

The relay carries both and can use neither: the code is worth nothing without the app's secret
and the verifier, which stay here, and a code of somebody else fails the identity check.
"""

import asyncio
import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
from pydantic import ValidationError

from cloud_connect.calls import (
    AuthorizeAnswer,
    AuthorizeParams,
    Operation,
    RedeemAnswer,
    RedeemBody,
    Source,
    SourceParams,
)
from cloud_connect.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    PolicyDeniedError,
    QuotaExceededError,
)
from cloud_connect.loopback import is_loopback
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.policy.gate import Gate
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.grants.authorization import Authorization
from cloud_connect_agent.procore.tokens import AUTHORIZATION_CODE
from cloud_connect_agent.reply import JSON_HEADERS, Call, completed, params_of, read_all

if TYPE_CHECKING:
    from cloud_connect.calls import ReportedGrant
    from cloud_connect_agent.procore.grants.accounts import Account

__all__ = ["AuthorizeCalls"]

log = structlog.get_logger(__name__)

_LIFETIME: Final = 600.0  # seconds; Procore's codes live no longer
_MAX_PENDING: Final = 64  # attempts at once; a relay could begin any number
_OPERATIONS: Final = frozenset({Operation.AUTHORIZE, Operation.REDEEM})
_CALLBACK_PATH: Final = "/oauth/callback"


@dataclass(slots=True, kw_only=True)
class _Pending:
    authorization: Authorization
    source: Source
    ends_at: float
    code: bytes | None = None
    redemption: "asyncio.Future[ReportedGrant] | None" = None


class AuthorizeCalls:
    """Serves ``authorize`` and ``redeem`` calls; attempts are forgotten with the process."""

    def __init__(
        self,
        client: ProcoreClient,
        *,
        gate: Gate,
        clock: Callable[[], float],
    ) -> None:
        self._client: Final = client
        self._gate: Final = gate
        self._clock: Final = clock
        self._pending: Final[dict[bytes, _Pending]] = {}

    @property
    def operations(self) -> frozenset[Operation]:
        """What it serves."""
        return _OPERATIONS

    async def serve(self, call: Call, operation: Operation) -> None:
        """Answer a call.

        Raises:
            CloudConnectError: Why there is no sign-in.
        """
        if operation is Operation.AUTHORIZE:
            await self.begin(call, params_of(AuthorizeParams, call))
        else:
            await self.redeem(call, params_of(SourceParams, call).source)

    async def begin(self, call: Call, params: AuthorizeParams) -> None:
        """Answer with the address that a person's browser has to open.

        Raises:
            PolicyDeniedError: If this PC's administrator does not allow it.
            SignInRequiredError: If no app is set up.
            InvalidRequestError: If the redirect URI is none of a relay.
            QuotaExceededError: If too many attempts are open.
        """
        source = params.source
        await self._check(source, call)
        _check_redirect_uri(params.redirect_uri)
        self._forget_ended()
        if len(self._pending) >= _MAX_PENDING:
            raise QuotaExceededError(
                f"{_MAX_PENDING} sign-ins have been begun and not ended; try again later.",
                retry_after=60.0,
            )
        authorization = await self._client.authenticator.authorize(
            self._serving(source),
            redirect_uri=params.redirect_uri,
            company_id=source.company_id,
            remote=True,
        )
        self._pending[_digest(authorization.state)] = _Pending(
            authorization=authorization, source=source, ends_at=self._clock() + _LIFETIME
        )
        log.info("authorization_begun", account=authorization.account.label)
        answer = AuthorizeAnswer(authorize_url=authorization.url)
        await call.reply.send(completed(200, JSON_HEADERS), answer.model_dump_json().encode())

    async def redeem(self, call: Call, source: Source) -> None:
        """Exchange the code, and answer whom this PC acts for from here on.

        Raises:
            InvalidRequestError: If the state is of no attempt that was begun here.
            PolicyDeniedError: If this PC's administrator does not allow it.
            SignInRequiredError: If Procore refuses the code, or the wrong person signed in.
            SourceUnavailableError: If Procore gives no answer.
        """
        body = _parse(await read_all(call))
        await self._check(source, call)
        self._forget_ended()
        pending = self._pending.get(_digest(body.state))
        code = _digest(body.code)
        if pending is None or pending.source != source or pending.code not in {None, code}:
            raise InvalidRequestError(
                "This sign-in is not known to the connector: it was answered already, or begun "
                "more than ten minutes ago. Begin again."
            )
        if pending.redemption is None:
            pending.code = code
            pending.redemption = self._client.authenticator.begin_redeem(
                pending.authorization, body.code
            )
        # A relay whose connection broke asks again: the code goes out once all the same.
        try:
            async with asyncio.timeout(call.left):
                grant = await asyncio.shield(pending.redemption)
        except TimeoutError as exc:
            raise DeadlineExceededError(
                "Procore did not answer in time; whether the sign-in succeeded, the list of "
                "connectors shows."
            ) from exc
        self._client.reload()  # whom Procore refused may be let in as somebody else
        answer = RedeemAnswer(login=grant.login, machine=platform.node()[:253])
        await call.reply.send(completed(200, JSON_HEADERS), answer.model_dump_json().encode())

    def _serving(self, source: Source) -> "Account":
        accounts = self._client.authenticator.accounts
        return accounts.serving(source.environment, source.company_id)

    async def _check(self, source: Source, call: Call) -> None:
        if not self._client.remote_authorize:
            account = self._serving(source)
            raise PolicyDeniedError(
                "The connector's administrator does not let anybody sign it in from here; "
                f"{account.login_command(AUTHORIZATION_CODE)} on its PC does it."
            )
        # Who may not even test a company's connection does not choose who makes it.
        tested = Access(
            verb=Verb.TEST, environment=source.environment, company_id=source.company_id
        )
        await self._gate.allow([tested], call.deadline)

    def _forget_ended(self) -> None:
        now = self._clock()
        for digest in [key for key, one in self._pending.items() if one.ends_at <= now]:
            del self._pending[digest]


def _check_redirect_uri(uri: str) -> None:
    """Refuse an address to which a browser must not carry a code."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError as exc:
        raise InvalidRequestError("The redirect URI is not a URI.") from exc
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    plain = parts.username is None and not parts.query and not parts.fragment
    if not host or not secure or not plain or not parts.path.endswith(_CALLBACK_PATH):
        raise InvalidRequestError(
            f"The redirect URI must be https and end in {_CALLBACK_PATH}; plain http is for "
            "loopback addresses."
        )


def _parse(body: bytes) -> RedeemBody:
    try:
        return RedeemBody.model_validate_json(body)
    except ValidationError as exc:
        raise InvalidRequestError("The code or the state that came back is malformed.") from exc


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()

"""Probes: one small request to Procore when nothing else has shown for a while that it works."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.calls import ReportedGrant, Source
from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.procore.grants.identity import IdentityHost
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.tokens import CLIENT_CREDENTIALS

if TYPE_CHECKING:
    from cloud_connect_agent.procore.client import ProcoreClient

__all__ = ["ProcoreProbe"]

log = structlog.get_logger(__name__)

_ME: Final = ApiRequest(method="GET", path="/rest/v1.0/me")
_PATIENCE: Final = 20.0  # seconds for an answer
_FIRST: Final = 60.0  # seconds after the start: by then a call has shown it, as a rule
_TICK: Final = 5.0  # seconds between two looks for who is due
_USABLE: Final = frozenset({"ready", "at_risk"})


class ProcoreProbe:
    """Asks Procore who we are, for each account that has been idle for long.

    It goes through the circuit and the budget like a bulk call, and never spends a person's
    refresh token: an account that is idle for longer than its token lives shows its age. An app
    is probed once a company is known, from its settings or the first call.

    Args:
        interval: Seconds without a contact after which one is made; 0 for never.
    """

    def __init__(
        self,
        client: "ProcoreClient",
        *,
        interval: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        first: float = _FIRST,
        tick: float = _TICK,
    ) -> None:
        self._client: Final = client
        self._interval: Final = interval
        self._clock: Final = clock
        self._first: Final = first
        self._tick: Final = tick
        self._tried: Final[dict[tuple[str, str], float]] = {}

    async def keep(self) -> None:
        """Probe whoever is due, until cancelled."""
        began = self._clock()
        while True:
            await asyncio.sleep(self._tick)
            interval = self._interval()
            if not interval:
                continue
            try:
                grants = await self._client.grants()
            except CloudConnectError:
                continue  # status tells what is wrong with the vault
            for grant in grants:
                if self._is_due(grant, began, interval):
                    await self._probe(grant)

    def _is_due(self, grant: ReportedGrant, began: float, interval: float) -> bool:
        if grant.state not in _USABLE:
            return False
        contact = self._client.contacts.last(grant.environment, grant.account)
        # Before the first contact, one is due a little after the start.
        last = began - interval + min(self._first, interval) if contact is None else contact.moment
        last = max(last, self._tried.get((grant.environment, grant.account), last))
        return self._clock() - last >= interval

    async def _probe(self, grant: ReportedGrant) -> None:
        self._tried[grant.environment, grant.account] = self._clock()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._ask(grant)
        except (CloudConnectError, TimeoutError) as exc:
            log.info(
                "procore_probe_failed",
                environment=grant.environment.flag,
                account=grant.account,
                reason=str(exc) or "no answer in time",
            )

    async def _ask(self, grant: ReportedGrant) -> None:
        client, environment = self._client, grant.environment
        contact = client.contacts.last(environment, grant.account)
        bound = client.authenticator.accounts.named(environment, grant.account).companies
        company_id = contact.company_id if contact else next(iter(sorted(bound)), None)
        token = client.authenticator.ready(environment, company_id)
        if company_id is not None:
            if token is None and grant.grant != CLIENT_CREDENTIALS:
                return
            source = Source(company_id=company_id, environment=environment)
            deadline = self._clock() + _PATIENCE
            await client.request(_ME, source=source, deadline=deadline, interactive=False)
            return
        if grant.grant == CLIENT_CREDENTIALS:
            return  # Procore refuses an app that names no company, even here
        if token is None or token.account.name != grant.account:
            return  # no company is bound to it, so no call can use it either
        began = self._clock()
        _, api = client.hosts(environment)
        await IdentityHost(api, user_agent=client.user_agent).ask(
            token.stored.access_token.get_secret_value()
        )
        client.contacts.reached(environment, grant.account, began)

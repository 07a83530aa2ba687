"""The requests that run, by credential: those of a revoked one are cut off."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect_relay.caller import caller_of
from cloud_connect_relay.storage.keys import Grants

if TYPE_CHECKING:
    from starlette.types import Scope

    from cloud_connect_relay.authentication import Principal
    from cloud_connect_relay.caller import Caller
    from cloud_connect_relay.storage import Storage

__all__ = ["LiveRequests"]

log = structlog.get_logger(__name__)

_INTERVAL: Final = 1.5  # seconds; with the look at the store, a cut is over well within five


class LiveRequests:
    """Ends what a credential has begun when that is revoked, by whichever process.

    Its connection is cut, as if the caller had hung up: reads are cancelled, a write that has
    started goes on to its recorded end.

    Args:
        forget: Has nothing be believed of credentials without a look at the store.
    """

    def __init__(
        self,
        storage: "Storage",
        *,
        clock: Callable[[], float],
        forget: Callable[[], None],
        interval: float = _INTERVAL,
    ) -> None:
        self._grants: Final = Grants(storage)
        self._clock: Final = clock
        self._forget: Final = forget
        self._interval: Final = interval
        # One request at a time runs on a connection.
        self._running: Final[dict[Caller, str]] = {}
        self._seen: set[Caller] = set()

    def __len__(self) -> int:
        return len(self._running)

    def enter(self, scope: "Scope", principal: "Principal") -> None:
        """Note a request whose credential is good."""
        caller = caller_of(scope)
        if caller is not None and principal.credential_id:
            self._running[caller] = principal.credential_id

    def leave(self, scope: "Scope") -> None:
        """Forget a request that has ended."""
        caller = caller_of(scope)
        if caller is not None:
            self._running.pop(caller, None)

    async def follow(self) -> None:
        """Look at the credentials of what runs for long, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            # What came since the last look was authenticated a moment ago.
            running = dict(self._running)
            for credential_id in {
                credential_id for caller, credential_id in running.items() if caller in self._seen
            }:
                await self._judge(credential_id)
            self._seen = set(running)

    async def _judge(self, credential_id: str) -> None:
        try:
            grant = await self._grants.find(credential_id)
        except SQLAlchemyError:
            log.warning("store_unavailable", exc_info=True)
            return  # nobody can have revoked it there meanwhile
        if grant is not None and grant.is_live(self._clock()):
            return
        self._forget()
        cut = [caller for caller, held in self._running.items() if held == credential_id]
        log.warning("requests_cut", credential_id=credential_id, requests=len(cut))
        for caller in cut:
            caller.cut()

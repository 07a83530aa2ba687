"""When Procore was reached last, account by account: the proof that a sign-in still works."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloud_connect.calls import Environment
from cloud_connect_agent.procore.scheduler import Grant

__all__ = ["Contact", "Contacts"]

# Answers that say nothing good of the account: not known, not allowed, too much at once.
_NO_PROOF: Final = frozenset({401, 403, 408, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One answer that showed the way to Procore and the account to work.

    Attributes:
        at: UNIX seconds on this machine's clock.
        moment: The same on the monotonic clock.
        seconds: From the request to the answer's head.
        company_id: Whose data was asked for; ``None`` for the account's own.
    """

    at: float
    moment: float
    seconds: float
    company_id: int | None


class Contacts:
    """Remembers the last good answer of each account."""

    def __init__(self, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._wall: Final = wall
        self._last: Final[dict[tuple[Environment, str], Contact]] = {}

    def last(self, environment: Environment, account: str) -> Contact | None:
        """Return the last one; ``None`` if there was none since this process began."""
        return self._last.get((environment, account))

    def answered(self, grant: Grant, status: int, *, began: float) -> None:
        """Learn from an answer to a request that was begun at *began* (monotonic)."""
        if status < 500 and status not in _NO_PROOF:
            self.reached(grant.environment, grant.account, began, company_id=grant.company_id)

    def reached(
        self,
        environment: Environment,
        account: str,
        began: float,
        *,
        company_id: int | None = None,
    ) -> None:
        """Note a good answer."""
        now = self._clock()
        self._last[environment, account] = Contact(
            at=self._wall(), moment=now, seconds=now - began, company_id=company_id
        )

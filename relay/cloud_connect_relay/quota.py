"""Quotas: what a subscription or a key may take of the relay, as the store keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from cloud_connect.errors import InvalidRequestError

__all__ = ["NO_QUOTA", "Quota", "QuotaUse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Upper bounds of calls; ``None`` is no bound of its own.

    Attributes:
        per_second: Calls that may begin in a second, in the long run.
        burst: Calls that may begin at once; what a second allows unless said.
        running: Calls that may run at the same time.
        bytes_per_minute: Bytes of both bodies of all calls, over a minute.
        bytes_per_day: The same over a day.
    """

    per_second: int | None = None
    burst: int | None = None
    running: int | None = None
    bytes_per_minute: int | None = None
    bytes_per_day: int | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "Quota":
        """Return what the store kept; names that this version does not know are left out."""
        if not stored:
            return NO_QUOTA
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})

    def limits(self) -> dict[str, int]:
        """Return the bounds that are set."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def changed(self, changes: Mapping[str, int | None]) -> "Quota":
        """Return the quota with some of its bounds set or lifted.

        Raises:
            InvalidRequestError: If one of them would bound nothing.
        """
        changed = Quota.of({**self.limits(), **changes})
        if changed.burst is not None and changed.per_second is None:
            raise InvalidRequestError(
                "A burst bounds nothing without a rate: give --quota-per-second, too, or lift it"
                " with --quota-burst none."
            )
        return changed


NO_QUOTA: Final = Quota()


class QuotaUse(NamedTuple):
    """One limit and what is left of it."""

    kind: str
    id: str
    limit: str
    allowed: int
    left: float

"""Pure: which changes of the accounts are worth a report to the relay."""

from typing import Final

from cloud_connect.calls import ReportedBudget, ReportedGrant

__all__ = ["SteadyGrants"]

_INTERVAL: Final = 10.0  # seconds between two reports of budgets alone
_CONTACT_SECONDS: Final = 60.0  # between two contacts with Procore that are both worth telling
_STEP: Final = 0.1  # of a limit; smaller differences are no news

_Grants = tuple[ReportedGrant, ...]


class SteadyGrants:
    """Keeps the budgets that were told until others are worth telling.

    Budgets and contacts change with every request; everything else of an account is told at
    once, and that a company is refused or no longer refused, too.
    """

    def __init__(self) -> None:
        self._told: _Grants = ()
        self._told_at = float("-inf")

    def settle(self, fresh: _Grants, now: float) -> _Grants:
        """Return what to tell at *now* (monotonic), in which *fresh* is the truth."""
        if _without_budgets(fresh) == _without_budgets(self._told) and (
            now - self._told_at < _INTERVAL or not _is_news(self._told, fresh)
        ):
            return self._told
        self._told, self._told_at = fresh, now
        return fresh


def _without_budgets(grants: _Grants) -> list[object]:
    return [
        (
            grant.model_copy(
                update={
                    "budget": (),
                    "circuits": (),
                    "last_contact_at": None,
                    "last_contact_ms": None,
                }
            ),
            [(circuit.company_id, circuit.status) for circuit in grant.circuits],
        )
        for grant in grants
    ]


def _is_news(told: _Grants, fresh: _Grants) -> bool:
    return any(
        before.circuits != after.circuits
        or _differ(before.budget, after.budget)
        or _reached(before, after)
        for before, after in zip(told, fresh, strict=True)
    )


def _reached(told: ReportedGrant, fresh: ReportedGrant) -> bool:
    before, after = told.last_contact_at, fresh.last_contact_at
    if before is None or after is None:
        return before is not after
    return abs((after - before).total_seconds()) >= _CONTACT_SECONDS


def _differ(told: tuple[ReportedBudget, ...], fresh: tuple[ReportedBudget, ...]) -> bool:
    before = {(one.company_id, one.limit): one.remaining for one in told}
    after = {(one.company_id, one.limit): one.remaining for one in fresh}
    return before.keys() != after.keys() or any(
        left != before[key] and (abs(left - before[key]) >= _STEP * key[1] or left in {0, key[1]})
        for key, left in after.items()
    )

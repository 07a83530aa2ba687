"""How each account stands with Procore: what is left of its limits, and where it is refused."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from cloud_connect.calls import (
    MAX_BUDGETS,
    MAX_CIRCUITS,
    Environment,
    ReportedBudget,
    ReportedCircuit,
    ReportedGrant,
)
from cloud_connect_agent.procore.budget import WindowView
from cloud_connect_agent.procore.circuits import OpenCircuit
from cloud_connect_agent.procore.contacts import Contact
from cloud_connect_agent.procore.scheduler import Grant

__all__ = ["with_standing"]

_MAX_REASON = 300  # characters; whoever wants more reads the calls


def with_standing(
    grants: Iterable[ReportedGrant],
    budgets: Sequence[tuple[Grant, Sequence[WindowView]]],
    circuits: Sequence[OpenCircuit],
    contact: Callable[[Environment, str], Contact | None] = lambda _environment, _account: None,
    *,
    wall: float,
) -> list[ReportedGrant]:
    """Add to each account what its answers told of limits and refusals, and when the last came.

    Args:
        contact: The last good answer to an account.
        wall: Unix seconds of this machine.
    """
    return [
        grant.model_copy(
            update={
                "budget": _budget_of(grant, budgets, wall),
                "circuits": _circuits_of(grant, circuits, wall),
                **_contact_of(contact(grant.environment, grant.account)),
            }
        )
        for grant in grants
    ]


def _budget_of(
    grant: ReportedGrant, budgets: Sequence[tuple[Grant, Sequence[WindowView]]], wall: float
) -> tuple[ReportedBudget, ...]:
    found = [
        ReportedBudget(
            company_id=key.company_id,
            limit=view.limit,
            remaining=view.remaining,
            resets_at=None if view.resets_in is None else _moment(wall + view.resets_in),
        )
        for key, views in budgets
        if _belongs(key, grant)
        for view in views
    ]
    found.sort(key=lambda budget: budget.remaining)
    return tuple(found[:MAX_BUDGETS])


def _circuits_of(
    grant: ReportedGrant, circuits: Sequence[OpenCircuit], wall: float
) -> tuple[ReportedCircuit, ...]:
    found = [
        ReportedCircuit(
            company_id=circuit.grant.company_id,
            status=circuit.status,
            reason=circuit.reason[:_MAX_REASON],
            retry_at=_moment(wall + circuit.retry_in),
        )
        for circuit in circuits
        if _belongs(circuit.grant, grant)
    ]
    return tuple(found[:MAX_CIRCUITS])


def _contact_of(contact: Contact | None) -> dict[str, object]:
    if contact is None:
        return {}
    return {
        "last_contact_at": _moment(contact.at),
        "last_contact_ms": round(contact.seconds * 1000, 1),
    }


def _belongs(key: Grant, grant: ReportedGrant) -> bool:
    mine = (grant.environment, grant.client_id, grant.account)
    return (key.environment, key.client_id, key.account) == mine


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds), UTC)

"""Which changes of the accounts reach the relay, and when."""

from datetime import UTC, datetime

import pytest

from cloud_connect.calls import Environment, ReportedBudget, ReportedCircuit, ReportedGrant
from cloud_connect_agent.steadiness import SteadyGrants

GRANT = ReportedGrant(environment=Environment.LIVE, grant="client-credentials", client_id="app")
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def with_left(remaining: int, *, limit: int = 25, company_id: int = 1) -> tuple[ReportedGrant, ...]:
    budget = ReportedBudget(
        company_id=company_id, limit=limit, remaining=remaining, resets_at=LATER
    )
    return (GRANT.model_copy(update={"budget": (budget,)}),)


def refused(status: int, retry_at: datetime = LATER) -> tuple[ReportedGrant, ...]:
    circuit = ReportedCircuit(company_id=1, status=status, reason="No.", retry_at=retry_at)
    return (GRANT.model_copy(update={"circuits": (circuit,)}),)


def test_the_first_accounts_are_told() -> None:
    assert SteadyGrants().settle((GRANT,), 0.0) == (GRANT,)


def test_budgets_are_told_every_ten_seconds_at_most() -> None:
    steady = SteadyGrants()
    assert steady.settle(with_left(25), 0.0) == with_left(25)
    assert steady.settle(with_left(12), 9.0) == with_left(25)
    assert steady.settle(with_left(8), 10.0) == with_left(8)
    assert steady.settle(with_left(25), 19.0) == with_left(8)


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (with_left(500, limit=600), with_left(470, limit=600), False),
        (with_left(500, limit=600), with_left(440, limit=600), True),
        (with_left(5, limit=600), with_left(0, limit=600), True),
        (with_left(590, limit=600), with_left(600, limit=600), True),
        (with_left(0), with_left(0), False),
        (refused(403), refused(403), False),
        (with_left(25), with_left(25, company_id=2), True),
        (with_left(25), with_left(25, limit=600), True),
        (with_left(25), (GRANT,), True),
        (refused(403), refused(403, LATER.replace(year=2028)), True),
    ],
)
def test_only_a_difference_worth_a_look_is_told(
    before: tuple[ReportedGrant, ...], after: tuple[ReportedGrant, ...], *, news: bool
) -> None:
    steady = SteadyGrants()
    steady.settle(before, 0.0)
    assert steady.settle(after, 60.0) == (after if news else before)


@pytest.mark.parametrize(
    "changed",
    [
        (),
        (GRANT.model_copy(update={"state": "sign_in_required"}),),
        (GRANT, GRANT.model_copy(update={"environment": Environment.MONTHLY_SANDBOX})),
        refused(403),
    ],
)
def test_everything_else_is_told_at_once(changed: tuple[ReportedGrant, ...]) -> None:
    steady = SteadyGrants()
    steady.settle((GRANT,), 0.0)
    assert steady.settle(changed, 0.1) == changed
    assert steady.settle((GRANT,), 0.2) == (GRANT,)

"""How an account stands with Procore, as status and the relay show it."""

import time
from datetime import UTC, datetime

import pytest

from cloud_connect.calls import Environment, ReportedBudget, ReportedCircuit, ReportedGrant
from cloud_connect.errors import SourceRejectedError
from cloud_connect_agent.procore.budget import WindowView
from cloud_connect_agent.procore.circuits import OpenCircuit
from cloud_connect_agent.procore.client import ApiRequest, ProcoreClient
from cloud_connect_agent.procore.scheduler import Grant
from cloud_connect_agent.procore.standing import with_standing
from doubles.fake_procore import SOURCE, FakeProcore, Reply

LIVE = ReportedGrant(environment=Environment.LIVE, grant="client-credentials", client_id="app")
SANDBOX = LIVE.model_copy(update={"environment": Environment.DEVELOPER_SANDBOX})
EPOCH = 1_800_000_000
RFIS = ApiRequest(method="GET", path="/rest/v1.0/rfis")


def test_each_account_gets_its_own_budgets_the_tightest_first() -> None:
    hourly = WindowView(limit=600, remaining=590, resets_in=1800.2)
    spike = WindowView(limit=25, remaining=25, resets_in=None)
    budgets = [
        (Grant(Environment.LIVE, "app", 1), [hourly]),
        (Grant(Environment.LIVE, "app", 2), [spike]),
        (Grant(Environment.LIVE, "older app", 1), [spike]),
        (Grant(Environment.LIVE, "app", 3, "another account"), [spike]),
    ]
    live, sandbox = with_standing([LIVE, SANDBOX], budgets, [], wall=EPOCH)
    assert live.budget == (
        ReportedBudget(company_id=2, limit=25, remaining=25, resets_at=None),
        ReportedBudget(
            company_id=1,
            limit=600,
            remaining=590,
            resets_at=datetime.fromtimestamp(EPOCH + 1800, UTC),
        ),
    )
    assert sandbox == SANDBOX


def test_accounts_of_one_app_are_told_apart() -> None:
    window = WindowView(limit=25, remaining=3, resets_in=None)
    ann = LIVE.model_copy(update={"account": "ann"})
    budgets = [(Grant(Environment.LIVE, "app", 1, "ann"), [window])]
    shown = with_standing([LIVE, ann], budgets, [], wall=EPOCH)
    assert [len(grant.budget) for grant in shown] == [0, 1]


def test_a_company_that_refuses_the_app_is_named_with_its_reason() -> None:
    circuit = OpenCircuit(
        grant=Grant(Environment.LIVE, "app", 7), status=403, reason="x" * 900, retry_in=4.0
    )
    live, sandbox = with_standing([LIVE, SANDBOX], [], [circuit], wall=EPOCH)
    assert live.circuits == (
        ReportedCircuit(
            company_id=7,
            status=403,
            reason="x" * 300,
            retry_at=datetime.fromtimestamp(EPOCH + 4, UTC),
        ),
    )
    assert sandbox.circuits == ()


def test_many_companies_keep_a_report_small() -> None:
    window = WindowView(limit=25, remaining=3, resets_in=2.0)
    grants = [Grant(Environment.LIVE, "app", company) for company in range(1, 500)]
    circuits = [OpenCircuit(grant=one, status=401, reason="No.", retry_in=1) for one in grants]
    (live,) = with_standing([LIVE], [(one, [window]) for one in grants], circuits, wall=EPOCH)
    assert ReportedGrant.model_validate(live.model_dump()) == live
    assert len(live.model_dump_json()) < 2000


async def test_the_client_tells_what_its_answers_said(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    said = {"x-rate-limit-limit": "25", "x-rate-limit-remaining": "24"}
    procore.api.then(
        Reply(body=[], headers={**said, "x-rate-limit-reset": str(int(time.time()) + 10)})
    )
    await client.request(RFIS, source=SOURCE, deadline=time.monotonic() + 10)
    (grant,) = await client.grants()
    (budget,) = grant.budget
    assert (budget.company_id, budget.limit, budget.remaining) == (8089, 25, 24)
    assert budget.resets_at is not None
    assert abs(budget.resets_at.timestamp() - time.time() - 10) < 3
    procore.api.default = lambda _: Reply(status=401, body={"errors": "No."})
    for _ in range(8):
        with pytest.raises(SourceRejectedError):
            await client.request(RFIS, source=SOURCE, deadline=time.monotonic() + 10)
    (grant,) = await client.grants()
    assert [(one.company_id, one.status) for one in grant.circuits] == [(8089, 401)]

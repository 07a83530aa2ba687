"""What the relay shows of the Procore limits that its agents report."""

import pytest

from cloud_connect.calls import Environment, Report, ReportedBudget, ReportedCircuit, ReportedGrant
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent

BUDGET = ReportedBudget(company_id=8089, limit=25, remaining=7)
CIRCUIT = ReportedCircuit.model_validate(
    {"company_id": 5, "status": 403, "reason": "No.", "retry_at": "2027-01-01T00:00:00Z"}
)
REPORT = Report(
    procore=(
        ReportedGrant(
            environment=Environment.LIVE,
            grant="client-credentials",
            budget=(BUDGET,),
            circuits=(CIRCUIT,),
        ),
        ReportedGrant(
            environment=Environment.LIVE,
            account="second",
            grant="authorization-code",
            budget=(BUDGET,),
        ),
    )
)
GAUGE = "cloud_connect_procore_requests_remaining"


async def test_the_connector_shows_the_budget_left_and_who_refuses(relay: CallRelay) -> None:
    connected = await relay.connect(ScriptedAgent(), report=REPORT)
    path = f"/api/connectors/{connected.live.connector_id}"
    grant, _ = (await relay.api.get(path)).json()["procore"]
    assert grant["budget"] == [{"company_id": 8089, "limit": 25, "remaining": 7, "resets_at": None}]
    assert grant["circuits"] == [
        {"company_id": 5, "status": 403, "reason": "No.", "retry_at": "2027-01-01T00:00:00Z"}
    ]


async def test_metrics_show_the_budgets_of_ones_own_connectors_only(relay: CallRelay) -> None:
    assert GAUGE not in (await relay.api.get("/metrics")).text
    connected = await relay.connect(ScriptedAgent(), report=REPORT)
    other = await relay.store.subscription("Other")
    foreign = await relay.connect(ScriptedAgent(), report=REPORT, subscription_id=other)
    text = (await relay.api.get("/metrics")).text
    connector = connected.live.connector_id
    for account in ("default", "second"):
        labels = f'account="{account}",company="8089",connector="{connector}",environment="live"'
        assert text.count(f'{GAUGE}{{{labels},limit="25"}} 7.0') == 1
    assert foreign.live.connector_id not in text


@pytest.mark.parametrize("field", ["budget", "circuits"])
def test_a_report_of_an_older_agent_has_none(field: str) -> None:
    grant = {"environment": "live", "grant": "client-credentials"}
    (read,) = Report.model_validate({"procore": [grant]}).procore
    assert getattr(read, field) == ()

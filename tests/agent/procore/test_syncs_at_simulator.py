"""Many new records in one request, where Procore's syncs differ from one another."""

import pytest

from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.record_executor import Row, listed, params, rows_of, scope_of, soon
from doubles.simulator_process import PROJECT, Simulator

CATALOG = load_catalog()
PLAIN: dict[str, list[Row]] = {
    "purchase_order_contracts": [{"number": "PO-901"}, {"number": "PO-902"}],
    "purchase_order_contract_line_items": [{"description": "A"}, {"description": "B"}],
    "work_order_contracts": [{"number": "SC-901"}, {"number": "SC-902"}],
    "work_order_contract_line_items": [{"description": "A"}, {"description": "B"}],
    "prime_contract_line_items": [{"description": "A"}, {"description": "B"}],
    "potential_change_order_line_items": [{"description": "A"}, {"description": "B"}],
    "direct_cost_line_items": [{"description": "A"}, {"description": "B"}],
    "line_item_types": [{"name": "Fuel", "code": "F"}, {"name": "Water", "code": "W"}],
    "sub_jobs": [{"name": "Quay", "code": "Q"}, {"name": "Pier", "code": "P"}],
    "cost_codes": [{"code": "901", "name": "A"}, {"code": "902", "name": "B"}],
    "calendar_items": [{"name": "A", "start": "2026-11-02"}, {"name": "B"}],
    "tasks": [{"name": "A", "start_datetime": "2026-11-02T08:00:00Z"}, {"name": "B"}],
}


async def made(
    executor: RecordExecutor, name: str, records: list[Row], scope: dict[str, str] | None = None
) -> list[Row]:
    where = params(name, scope=scope or {})
    results = await rows_of(await executor.create_many(where, records, soon(), ceiling=None))
    assert [row["status"] for row in results] == ["created"] * len(records)
    found: list[Row] = []
    for row in results:
        assert isinstance(row["record"], dict)
        found.append(row["record"])
    return found


def syncs(simulator: Simulator, path: str) -> list[dict[str, object]]:
    return [one for one in simulator.requests() if str(one["path"]).endswith(f"{path}/sync")]


@pytest.mark.parametrize("name", PLAIN)
async def test_many_records_are_made_in_one_request(
    simulator: Simulator, executor: RecordExecutor, name: str
) -> None:
    resource = CATALOG.resource(name)
    assert resource.sync is not None
    scope = await scope_of(executor, name)
    rows = await made(executor, name, PLAIN[name], scope)
    for new, row in zip(PLAIN[name], rows, strict=True):
        assert {field: row[field] for field in new} == new
    (request,) = syncs(simulator, resource.sync.path.split("}")[-1].removesuffix("/sync"))
    assert request["method"] == "PATCH"
    known = {row["id"] for row in await listed(executor, name, scope=scope)}
    assert {row["id"] for row in rows} <= known


async def test_budget_lines_go_by_post_and_come_back_as_a_bare_list(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    one, other, *_ = await listed(executor, "wbs_codes")
    new: list[Row] = [
        {"wbs_code_id": code["id"], "original_budget_amount": 5 + place}
        for place, code in enumerate((one, other))
    ]
    rows = await made(executor, "budget_line_items", new)
    assert [row["original_budget_amount"] for row in rows] == [5, 6]
    (request,) = syncs(simulator, "budget_line_items")
    assert request["method"] == "POST"


async def test_change_orders_go_out_by_contract(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    one, other, *_ = await listed(executor, "work_order_contracts")
    new: list[Row] = [
        {"contract_id": contract["id"], "title": title}
        for title, contract in (("A", one), ("B", other), ("C", one))
    ]
    rows = await made(executor, "potential_change_orders", new)
    assert [(row["contract_id"], row["title"]) for row in rows] == [
        (one["id"], "A"),
        (other["id"], "B"),
        (one["id"], "C"),
    ]
    assert len(syncs(simulator, "potential_change_orders")) == 2


async def test_direct_costs_are_made_together_in_the_older_version(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    (vendor, *_) = await listed(executor, "vendors")
    new: list[Row] = [
        {"invoice_number": number, "vendor_id": vendor["id"], "direct_cost_type": "invoice"}
        for number in ("INV-901", "INV-902")
    ]
    rows = await made(executor, "direct_costs", new)
    assert [row["invoice_number"] for row in rows] == ["INV-901", "INV-902"]
    (request,) = syncs(simulator, "direct_costs")
    assert request["path"] == f"/rest/v1.0/projects/{PROJECT}/direct_costs/sync"

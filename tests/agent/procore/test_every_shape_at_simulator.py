"""Documents to bids at a Procore that was written without the catalogue: read and changed."""

import pytest

from cloud_connect.errors import InvalidRequestError, SourceRejectedError
from cloud_connect_agent.procore.catalog import Direction, load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.record_executor import Row, listed, params, scope_of, soon
from doubles.simulator_process import PROJECT, Simulator

CATALOG = load_catalog()
BOTH = tuple(Direction)
PLAYED = (
    "budget_views",
    "budget_detail_rows",
    "budget_summary_rows",
    "budget",
    "budget_changes",
    "wbs_codes",
    "prime_contracts",
    "prime_contracts_v2",
    "prime_contract_line_items",
    "purchase_order_contract_line_items",
    "work_order_contracts",
    "work_order_contract_line_items",
    "commitments",
    "commitment_contracts",
    "line_item_types",
    "sub_jobs",
    "direct_costs",
    "direct_cost_line_items",
    "prime_change_orders",
    "commitment_change_orders",
    "change_order_packages",
    "change_order_requests",
    "potential_change_orders",
    "potential_change_order_line_items",
    "schedule",
    "schedules",
    "schedule_activities",
    "calendar_items",
    "tasks",
    "timecard_entries",
    "bid_packages",
    "company_bid_packages",
    "bids",
    "drawing_areas",
    "drawings",
    "drawing_revisions",
    "drawing_sets",
    "drawing_disciplines",
    "webhook_hooks",
    "webhook_triggers",
    "webhook_deliveries",
    "specification_sections",
    "specification_section_divisions",
    "specification_sets",
    "company_timecard_entries",
    "managed_equipment",
    "equipment_register",
)
# What to create of each, and what to change of it then.
MADE: dict[str, tuple[Row, Row]] = {
    "budget_changes": ({"status": "draft", "title": "Glass"}, {"title": "Steel"}),
    "prime_contracts": (
        {"number": "PC-900", "title": "Quay", "contract_date": "2026-11-02"},
        {"title": "Pier"},
    ),
    "prime_contracts_v2": ({"number": "PC-901", "title": "Quay"}, {"title": "Pier"}),
    "prime_contract_line_items": (
        {"description": "Piles", "quantity": "4", "unit_cost": "250"},
        {"description": "Sheet piles"},
    ),
    "work_order_contracts": (
        {"number": "SC-900", "title": "Quay", "exclusions": "Piles"},
        {"exclusions": "Nothing"},
    ),
    "work_order_contract_line_items": ({"description": "Piles"}, {"description": "Anchors"}),
    "commitment_contracts": (
        {"type": "WorkOrderContract", "title": "Quay"},
        {"title": "Pier", "executed": True},
    ),
    "line_item_types": ({"name": "Fuel", "code": "F", "base_type": "other"}, {"code": "FU"}),
    "sub_jobs": ({"name": "Quay", "code": "Q"}, {"name": "Pier"}),
    "direct_cost_line_items": ({"description": "Piles"}, {"description": "Anchors"}),
    "potential_change_order_line_items": ({"description": "Piles"}, {"description": "Anchors"}),
    "calendar_items": ({"name": "Pour", "start": "2026-11-02"}, {"finish": "2026-11-03"}),
    "tasks": (
        {"name": "Pour", "start_datetime": "2026-11-02T08:00:00Z"},
        {"finish_datetime": "2026-11-03T16:00:00Z"},
    ),
    "timecard_entries": (
        {"date": "2026-11-02", "hours": 8, "origin_id": 77},
        {"description": "Pour"},
    ),
    "bid_packages": (
        {
            "title": "Piles",
            "bid_due_date": "2026-12-01T12:00:00Z",
            "bid_email_message": "Please bid.",
            "bid_web_message": "See below.",
        },
        {"title": "Anchors"},
    ),
    "webhook_hooks": (
        {"api_version": "v2", "namespace": "quay", "destination_url": "https://quay.example/in"},
        {"destination_url": "https://quay.example/other"},
    ),
    "company_timecard_entries": (
        {"project_id": PROJECT, "date": "2026-11-02", "hours": 8},
        {"description": "Pour"},
    ),
    "managed_equipment": ({"name": "Crane", "status": "in_use"}, {"year": 2024}),
    "equipment_register": (
        {
            "name": "Crane",
            "identification_number": "RG-900",
            "status_id": "1",
            "category_id": "7",
            "type_id": "8",
            "ownership": "OWNED",
        },
        {"notes": "Rented out"},
    ),
}


@pytest.mark.parametrize("name", PLAYED)
async def test_every_resource_can_be_listed_and_shown(executor: RecordExecutor, name: str) -> None:
    resource = CATALOG.resource(name)
    scope = await scope_of(executor, name)
    rows = await listed(executor, name, scope=scope)
    assert rows
    unknown = {key for row in rows for key in row if not resource.knows(key, BOTH)}
    assert unknown == set() or resource.dynamic
    for part, value in scope.items():
        assert {str(row[part]) for row in rows} == {value}
    if not resource.single:
        assert len({row["id"] for row in rows}) == len(rows)
        assert {type(row["id"]) for row in rows} == {type(resource.id_type.typed("7"))}
    if resource.get is not None:
        record_id = str(rows[-1]["id"])
        shown = await executor.get(params(name, scope=scope, record_id=record_id), soon())
        assert shown["id"] == rows[-1]["id"]
        with pytest.raises(SourceRejectedError, match="no such record"):
            await executor.get(params(name, scope=scope, record_id="987654321"), soon())


@pytest.mark.parametrize("name", MADE)
async def test_records_are_created_changed_and_deleted(
    simulator: Simulator, executor: RecordExecutor, name: str
) -> None:
    new, change = MADE[name]
    scope = await scope_of(executor, name)
    made = await executor.create(params(name, scope=scope), new, soon())
    record_id = str(made["id"])
    one = params(name, scope=scope, record_id=record_id)
    changed = await executor.update(one, change, soon())
    assert changed["id"] == made["id"]
    again = await executor.get(one, soon())
    assert {field: again[field] for field in change} == change
    if CATALOG.resource(name).delete is not None:
        await executor.delete(one, soon())
        with pytest.raises(SourceRejectedError, match="no such record"):
            await executor.get(one, soon())
    counted = simulator.counters()
    assert not counted.get("wrong_company")
    assert not counted.get("missing_company_header")


async def test_column_that_a_view_lacks_is_refused_with_the_one_that_is_meant(
    executor: RecordExecutor,
) -> None:
    (view, *_) = await listed(executor, "budget_views")
    scope = {"budget_view_id": str(view["id"])}
    with pytest.raises(InvalidRequestError, match=r"“Cost to date”\. Did you mean “Cost to Date”"):
        await listed(executor, "budget_detail_rows", scope=scope, fields=["Cost to date"])

"""The catalogue's oddest resources against a Procore that was written without it."""

from decimal import Decimal

import pytest

from cloud_connect.calls import Source
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
    UnsupportedOperationError,
)
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.record_executor import SANDBOX, Row, condition, listed, params, queried, scope_of, soon
from doubles.simulator_process import LARGE_COMPANY, PROJECT

VARIANCE = "Total Variance (Over) / Under $"


async def test_columns_of_a_budget_are_fields_whatever_their_titles(
    executor: RecordExecutor,
) -> None:
    scope = await scope_of(executor, "budget_detail_rows")
    rows = await listed(executor, "budget_detail_rows", scope=scope)
    over = {row["id"] for row in rows if Decimal(str(row[VARIANCE])) < 0}
    assert 0 < len(over) < len(rows)
    chosen = [
        condition("budget_view_id", "eq", scope["budget_view_id"]),
        condition(VARIANCE, "lt", 0),
    ]
    names = ["cost_code", "% Complete", VARIANCE]
    found = await queried(executor, "select", "budget_detail_rows", conditions=chosen, fields=names)
    assert len(found) == len(over)
    assert all(set(row) == set(names) for row in found)
    assert all(Decimal(str(row[VARIANCE])) < 0 for row in found)


async def test_columns_of_another_view_are_no_fields(executor: RecordExecutor) -> None:
    (_, forecast) = await listed(executor, "budget_views")
    scope = {"budget_view_id": str(forecast["id"])}
    (row, *_) = await listed(executor, "budget_detail_rows", scope=scope)
    assert "Est. Cost at Completion" in row
    with pytest.raises(InvalidRequestError, match=r"no field “% Complete”"):
        await listed(executor, "budget_detail_rows", scope=scope, fields=["% Complete"])


async def test_rows_of_a_budget_need_their_view(executor: RecordExecutor) -> None:
    with pytest.raises(InvalidRequestError, match="“budget_view_id” is missing"):
        await listed(executor, "budget_detail_rows")


async def test_subtotals_of_a_budget_have_text_ids(executor: RecordExecutor) -> None:
    scope = await scope_of(executor, "budget_summary_rows")
    rows = await listed(executor, "budget_summary_rows", scope=scope)
    assert all(isinstance(row["id"], str) for row in rows)
    details = await listed(executor, "budget_detail_rows", scope=scope)
    whole = sum(Decimal(str(row[VARIANCE])) for row in details)
    assert sum(Decimal(str(row[VARIANCE])) for row in rows) == whole


async def test_budget_line_is_read_by_its_id_and_never_listed(executor: RecordExecutor) -> None:
    (code, *_) = await listed(executor, "wbs_codes")
    new: Row = {"wbs_code_id": code["id"], "original_budget_amount": 1200.5}
    made = await executor.create(params("budget_line_items"), new, soon())
    (found,) = await queried(
        executor, "select", "budget_line_items", conditions=[condition("id", "eq", made["id"])]
    )
    assert found["wbs_code"] == made["wbs_code"]
    with pytest.raises(UnsupportedOperationError, match="“budget_detail_rows”"):
        await listed(executor, "budget_line_items")
    one = params("budget_line_items", record_id=str(made["id"]))
    changed = await executor.update(one, {"original_budget_amount": 900}, soon())
    assert changed["original_budget_amount"] == 900
    await executor.delete(one, soon())
    with pytest.raises(SourceRejectedError, match="no such record"):
        await executor.get(one, soon())


async def test_budget_tells_whether_it_is_locked(executor: RecordExecutor) -> None:
    assert await listed(executor, "budget") == [{"locked": False, "project_id": PROJECT}]


async def test_type_of_a_schedule_is_changed_where_it_has_no_id(executor: RecordExecutor) -> None:
    change: Row = {"type.key": "Primavera P6", "type.p6_id": "P-7"}
    chosen = [condition("schedule_present", "eq", value=True)]
    (row,) = await queried(executor, "update", "schedule", mappings=change, conditions=chosen)
    assert row["type"] == {"key": "Primavera P6", "p6_id": "P-7"}
    assert (await listed(executor, "schedule"))[0]["type"] == row["type"]


async def test_activities_are_found_by_ids_that_are_no_numbers(executor: RecordExecutor) -> None:
    (schedule, *_) = await listed(executor, "schedules")
    assert not str(schedule["id"]).isdigit()
    scope = {"schedule_id": str(schedule["id"])}
    rows = await listed(executor, "schedule_activities", scope=scope)
    assert len(rows) > 20  # more than two pages of Procore's own size
    chosen = [
        condition("schedule_id", "eq", schedule["schedule_id"]),
        condition("activity_id", "eq", rows[-1]["activity_id"]),
    ]
    (found,) = await queried(executor, "select", "schedule_activities", conditions=chosen)
    assert found == rows[-1]
    chosen = [condition("schedule_id", "eq", scope["schedule_id"])]
    middle = sorted(str(row["updated_at"]) for row in rows)[len(rows) // 2]
    chosen.append(condition("updated_at", "ge", middle))
    later = await queried(executor, "select", "schedule_activities", conditions=chosen)
    expected = {row["id"] for row in rows if str(row["updated_at"]) >= middle}
    assert {row["id"] for row in later} == expected


async def test_task_is_sent_and_received_under_different_names(executor: RecordExecutor) -> None:
    # Procore, and the simulator with it, is deaf to the names that it answers with.
    new: Row = {"name": "Pour", "start_datetime": "2026-11-02T08:00:00Z"}
    made = await executor.create(params("tasks"), new, soon())
    assert made["start_datetime"] == "2026-11-02T08:00:00Z"


async def test_timecards_of_any_day_are_read(executor: RecordExecutor) -> None:
    rows = await listed(executor, "timecard_entries")
    days = sorted({str(row["date"]) for row in rows})
    assert len(days) > 5
    chosen = [condition("date", "ge", days[3]), condition("date", "le", days[5])]
    found = await queried(executor, "select", "timecard_entries", conditions=chosen)
    assert {row["id"] for row in found} == {
        row["id"] for row in rows if days[3] <= str(row["date"]) <= days[5]
    }


async def test_closed_bid_packages_are_listed_too(executor: RecordExecutor) -> None:
    rows = await listed(executor, "bid_packages")
    assert {row["open"] for row in rows} == {True, False}
    whole = await listed(executor, "company_bid_packages")
    mine = [row["id"] for row in whole if row["project_id"] == PROJECT]
    assert sorted(map(str, mine)) == sorted(str(row["id"]) for row in rows)


async def test_change_order_names_its_contract_beside_the_envelope(
    executor: RecordExecutor,
) -> None:
    (contract, *_) = await listed(executor, "work_order_contracts")
    new: Row = {"contract_id": contract["id"], "title": "Extra piles", "due_date": "2026-12-01"}
    for name in ("change_order_packages", "change_order_requests", "potential_change_orders"):
        made = await executor.create(params(name), new, soon())
        one = params(name, record_id=str(made["id"]))
        whole: Row = {"status": "pending", "contract_id": contract["id"]}
        assert (await executor.update(one, whole, soon()))["status"] == "pending"
        # Found by conditions, its contract is known and need not be named again.
        chosen = [condition("id", "eq", made["id"])]
        (changed,) = await queried(
            executor, "update", name, mappings={"status": "void"}, conditions=chosen
        )
        assert (changed["contract_id"], changed["status"]) == (contract["id"], "void")
        with pytest.raises(UnsupportedOperationError, match="“status” to void"):
            await executor.delete(one, soon())
    (prime, *_) = await listed(executor, "prime_contracts")
    inside: Row = {"contract_id": prime["id"], "title": "Extra piles"}
    made = await executor.create(params("prime_change_orders"), inside, soon())
    await executor.delete(params("prime_change_orders", record_id=str(made["id"])), soon())
    chosen = [condition("contract_id", "eq", contract["id"])]
    found = await queried(executor, "select", "potential_change_orders", conditions=chosen)
    assert {row["contract_id"] for row in found} == {contract["id"]}


async def test_direct_cost_lives_until_it_is_locked(executor: RecordExecutor) -> None:
    (vendor, *_) = await listed(executor, "vendors")
    new: Row = {
        "invoice_number": "INV-900",
        "vendor_id": vendor["id"],
        "direct_cost_type": "invoice",
    }
    made = await executor.create(params("direct_costs"), new, soon())
    assert made["vendor_name"] == vendor["name"]
    one = params("direct_costs", record_id=str(made["id"]))
    await executor.update(one, {"status": "approved"}, soon())
    with pytest.raises(SourceRejectedError, match="locked"):
        await executor.delete(one, soon())
    await executor.update(one, {"status": "draft"}, soon())
    await executor.delete(one, soon())


async def test_drawing_belongs_to_an_area_and_cannot_be_deleted(executor: RecordExecutor) -> None:
    scope = await scope_of(executor, "drawings")
    new: Row = {"number": "A-900", "title": "Roof", "drawing_discipline.name": "Architectural"}
    made = await executor.create(params("drawings", scope=scope), new, soon())
    one = params("drawings", scope=scope, record_id=str(made["id"]))
    changed = await executor.update(one, {"obsolete": True}, soon())
    assert (changed["discipline"], changed["obsolete"]) == ("Architectural", True)
    with pytest.raises(UnsupportedOperationError, match="“obsolete” to true"):
        await executor.delete(one, soon())
    chosen = [condition("drawing_area_id", "eq", scope["drawing_area_id"])]
    chosen.append(condition("number", "eq", "A-900"))
    assert len(await queried(executor, "select", "drawings", conditions=chosen)) == 1


async def test_obsolete_revisions_are_listed_too(executor: RecordExecutor) -> None:
    rows = await listed(executor, "drawing_revisions")
    assert {row["obsolete"] for row in rows} == {True, False}
    chosen = [condition("drawing_id", "eq", rows[0]["drawing_id"])]
    found = await queried(executor, "select", "drawing_revisions", conditions=chosen)
    same = {row["id"] for row in rows if row["drawing_id"] == rows[0]["drawing_id"]}
    assert {row["id"] for row in found} == same


async def test_bid_is_made_in_its_package(executor: RecordExecutor) -> None:
    scope = await scope_of(executor, "bids")
    (vendor, *_) = await listed(executor, "vendors")
    new: Row = {"vendor_id": vendor["id"], "lump_sum_amount": 1200.5}
    made = await executor.create(params("bids", scope=scope), new, soon())
    assert str(made["bid_package_id"]) == scope["bid_package_id"]
    one = params("bids", scope=scope, record_id=str(made["id"]))
    assert (await executor.update(one, {"submitted": True}, soon()))["bid_status"] == "submitted"


async def test_long_ids_stay_exact_as_text_and_as_numbers(executor: RecordExecutor) -> None:
    source = Source(company_id=LARGE_COMPANY, environment=SANDBOX, project_id=None)
    old = await listed(executor, "prime_contracts", source=source)
    new = await listed(executor, "prime_contracts_v2", source=source)
    assert len({row["project_id"] for row in new}) > 1
    assert all(type(row["id"]) is int and row["id"] > LARGE_COMPANY for row in old)
    assert [row["id"] for row in new] == [str(row["id"]) for row in old]
    assert all(type(row["project_id"]) is int for row in new)


async def test_generations_of_a_contract_are_the_same_contract(executor: RecordExecutor) -> None:
    first = await listed(executor, "prime_contracts")
    second = await listed(executor, "prime_contracts_v2")
    assert [str(row["id"]) for row in first] == [row["id"] for row in second]
    for old, new in zip(first, second, strict=True):
        vendor = old["vendor"]
        assert isinstance(vendor, dict)
        assert new["vendor_id"] == str(vendor["id"])
    chosen = [condition("id", "eq", second[0]["id"])]
    found = await queried(executor, "select", "prime_contracts_v2", conditions=chosen)
    assert [row["title"] for row in found] == [second[0]["title"]]


async def test_deliveries_of_a_webhook_are_read_to_the_last(executor: RecordExecutor) -> None:
    scope = await scope_of(executor, "webhook_deliveries")
    rows = await listed(executor, "webhook_deliveries", scope=scope)
    assert len(rows) == 250
    assert len({row["event_id"] for row in rows}) == 250
    chosen = [condition("hook_id", "eq", scope["hook_id"]), condition("outcome", "eq", "failed")]
    failed = await queried(executor, "select", "webhook_deliveries", conditions=chosen)
    assert [row["id"] for row in failed] == [
        row["event_id"] for row in rows if row["outcome"] == "failed"
    ]


async def test_trigger_names_the_version_of_its_payload_beside_it(
    executor: RecordExecutor,
) -> None:
    scope = await scope_of(executor, "webhook_triggers")
    new: Row = {"api_version": "v2", "resource_name": "RFIs", "event_type": "delete"}
    made = await executor.create(params("webhook_triggers", scope=scope), new, soon())
    assert (made["event_type"], str(made["webhook_hook_id"])) == ("DELETE", scope["hook_id"])
    one = params("webhook_triggers", scope=scope, record_id=str(made["id"]))
    await executor.delete(one, soon())
    rows = await listed(executor, "webhook_triggers", scope=scope)
    assert made["id"] not in {row["id"] for row in rows}


async def test_upload_of_specifications_is_answered_with_a_list(executor: RecordExecutor) -> None:
    (kept, *_) = await listed(executor, "specification_sets")
    new: Row = {"specification_set_id": kept["id"], "spec_format": "CSI"}
    made = await executor.create(params("specification_uploads"), new, soon())
    assert (made["specification_set_id"], made["status"]) == (kept["id"], "processing")
    rows = await listed(executor, "specification_uploads")
    assert [row["id"] for row in rows] == [made["id"]]


async def test_revisions_of_specifications_are_those_of_one_division(
    executor: RecordExecutor,
) -> None:
    (division, *_) = await listed(executor, "specification_section_divisions")
    field = "specification_section_division_id"
    chosen = [condition(field, "eq", division["id"])]
    rows = await queried(executor, "select", "specification_section_revisions", conditions=chosen)
    assert {row[field] for row in rows} == {division["id"]}
    with pytest.raises(SourceRejectedError, match=field):
        await listed(executor, "specification_section_revisions")
    one = params("specification_section_revisions", record_id=str(rows[0]["id"]))
    assert (await executor.get(one, soon()))["number"] == rows[0]["number"]

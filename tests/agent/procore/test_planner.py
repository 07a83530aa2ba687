from datetime import UTC, datetime

import pytest

from cloud_connect.calls import Filter, RecordParams
from cloud_connect.errors import InvalidRequestError, UnsupportedOperationError
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import Resource, load_catalog
from cloud_connect_agent.procore.planner import (
    ReadPlan,
    page_request,
    plan_read,
    record_request,
)
from cloud_connect_agent.procore.selection import (
    Order,
    Selection,
    selection_of_params,
    selection_of_query,
)
from cloud_connect_agent.procore.values import Calendar
from doubles.scripted_procore import COMPANY, source

CALENDAR = Calendar(now=datetime(2026, 11, 24, 12, tzinfo=UTC), zone=UTC)


def table(name: str) -> Resource:
    return load_catalog().resource(name)


def selected(name: str = "rfis", **members: object) -> Selection:
    query = Query.parse({"action": "select", "info": {"name": name}, **members})
    return selection_of_query(table(name), query)


def listed(name: str = "rfis", *, project: int | None = 5001, **members: object) -> ReadPlan:
    params = RecordParams.model_validate(
        {"source": source(project=project), "resource": name, **members}
    )
    return plan_read(selection_of_params(table(name), params), params.source, CALENDAR)


def where(field: str, operator: str, value: object) -> dict[str, object]:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


def test_typed_text_becomes_a_condition_on_its_field() -> None:
    starting = selected(filter="do", filterBy="subject", filterMode="startswith")
    assert starting.condition is not None
    assert starting.condition.model_dump()["conditions"][0]["operator"] == "startswith"
    by_first_field = selected(
        filter="do", fields=["subject", "id"], conditions=[where("id", "eq", 1)]
    )
    assert by_first_field.condition is not None
    assert len(by_first_field.condition.conditions) == 2
    assert selected(filter="", filterBy="subject").condition is None
    with pytest.raises(InvalidRequestError, match="filterBy"):
        selected(filter="do")


def test_query_members_become_a_selection() -> None:
    selection = selected(
        fields=["id", "subject", "id"], orderBy="due_date", orderAscending=False, rowLimit=5
    )
    assert selection.fields == ("id", "subject")
    assert selection.order == (Order(field="due_date", descending=True),)
    assert selection.limit == 5
    assert selected(orderAscending=False).order == ()


def test_list_parameters_become_a_selection() -> None:
    plan = listed(sort=("-due_date", "id"), fields=("id",), limit=3)
    assert plan.selection.order == (Order(field="due_date", descending=True), Order(field="id"))
    assert plan.selection.fields == ("id",)
    with pytest.raises(InvalidRequestError, match="“like”"):
        listed(filters=(Filter(field="subject", operator="like", value="x"),))


def test_unknown_names_are_told_apart() -> None:
    selection = selected(
        fields=["id", "subjekt", "custom_field_1"],
        orderBy="colour",
        conditions=[where("assignees.name", "eq", "x"), where("sise", "eq", 1)],
    )
    assert selection.unknown == ("subjekt", "sise", "colour")


def test_project_is_chosen_by_parameter_then_condition_then_data_source() -> None:
    assert listed().targets == ({"project_id": "5001"},)
    assert listed(scope={"project_id": "7"}).targets == ({"project_id": "7"},)
    by_condition = listed(filters=(Filter(field="project_id", operator="in", value="7,8"),))
    assert by_condition.targets == ({"project_id": "7"}, {"project_id": "8"})
    assert not by_condition.filtered
    disagreeing = listed(
        scope={"project_id": "7"}, filters=(Filter(field="project_id", value="8"),)
    )
    assert disagreeing.targets == ()
    assert listed(filters=(Filter(field="project_id", value="x"),)).targets == ()


def test_without_a_project_all_are_read() -> None:
    plan = listed(project=None)
    assert plan.everywhere
    assert plan.targets == ({},)
    assert not listed("vendors", project=None).everywhere


def test_reply_needs_its_rfi() -> None:
    with pytest.raises(InvalidRequestError, match=r"Say where the RFI replies are: .*“rfi_id”"):
        listed("rfi_replies")
    with pytest.raises(InvalidRequestError, match="Say where the bids are"):
        listed("bids")
    assert listed("rfi_replies", scope={"rfi_id": "3"}).targets == (
        {"project_id": "5001", "rfi_id": "3"},
    )
    assert listed("rfi_replies", project=None, scope={"rfi_id": "3"}).targets == ({"rfi_id": "3"},)


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ({"project_id": "x"}, "“project_id” must be a number"),
        ({"project_id": "0"}, "“project_id” must be a number"),
        ({"project_id": "1.5"}, "“project_id” must be a number"),
        ({"rfi_id": "1"}, "RFIs have no “rfi_id”"),
        ({"subject": "1"}, r"RFIs are not kept by “subject”.*filter\[subject\]"),
        ({"company_id": "1"}, "not the company"),
    ],
)
def test_scope_ids_that_cannot_be_are_refused(scope: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        listed(scope=scope)


def test_own_company_may_be_named() -> None:
    assert listed(scope={"company_id": str(COMPANY)}).targets == ({"project_id": "5001"},)


def test_few_ids_are_read_one_by_one() -> None:
    assert listed(filters=(Filter(field="id", value="7"),)).ids == ("7",)
    assert listed(filters=(Filter(field="id", operator="in", value="7,8,x"),)).ids == ("7", "8")
    assert listed(filters=(Filter(field="id", operator="in", value="1,2,3,4,5,6"),)).ids is None
    assert listed("companies", filters=(Filter(field="id", value="7"),)).ids is None
    assert listed(project=None, filters=(Filter(field="id", value="7"),)).ids is None
    assert listed("cost_codes", project=None, filters=(Filter(field="id", value="7"),)).ids == (
        "7",
    )


def test_pages_are_no_larger_than_a_limit_that_ends_them() -> None:
    assert listed(limit=7).per_page == 7
    assert listed(limit=150).per_page == 75
    assert listed(limit=7000).per_page == 100
    assert listed(limit=0).per_page == 100
    assert listed(limit=7, sort=("id",)).per_page == 100
    assert listed(limit=7, filters=(Filter(field="subject", value="x"),)).per_page == 100


def test_conditions_that_only_say_where_leave_procores_total_true() -> None:
    assert not listed(filters=(Filter(field="project_id", value="7"),)).filtered
    assert listed(filters=(Filter(field="project_id", operator="gt", value="7"),)).filtered
    assert listed(filters=(Filter(field="subject", value="7"),)).filtered
    either = {"group": "or", "conditions": [where("project_id", "eq", 7)]}
    plan = plan_read(selected(conditions=[either]), source(), CALENDAR)
    assert plan.filtered


def test_requests_put_each_id_where_procore_wants_it() -> None:
    plan = listed("punch_items")
    request = page_request(plan, source(), {"project_id": "5001"}, page=3)
    assert (request.method, request.path) == ("GET", "/rest/v1.1/punch_items")
    assert request.query == (("project_id", "5001"), ("page", "3"), ("per_page", "100"))
    unpaged = page_request(listed("folders"), source(), {"project_id": "5001"}, page=1)
    assert unpaged.query == (("project_id", "5001"),)
    shown = record_request(table("vendors"), source(), {}, record_id="9")
    assert (shown.path, shown.query) == ("/rest/v1.0/vendors/9", (("company_id", str(COMPANY)),))
    with pytest.raises(UnsupportedOperationError, match="one by one"):
        record_request(table("me"), source(), {}, record_id="9")


def test_order_and_comparison_need_one_value() -> None:
    with pytest.raises(InvalidRequestError, match=r"“rfi_manager” .* “rfi_manager\.name”"):
        listed(sort=("rfi_manager",))
    for several in ("assignees", "assignees.name"):
        with pytest.raises(InvalidRequestError, match="cannot be sorted by; name one"):
            listed(sort=(several,))
    assert listed(sort=("assignees.0.name",)).selection.order
    with pytest.raises(InvalidRequestError, match=r"cannot be compared.*“assignees\.name”"):
        listed(filters=(Filter(field="assignees", value="Ada"),))
    assert listed("vendors", filters=(Filter(field="trade_ids", value="7"),)).filtered
    with pytest.raises(InvalidRequestError, match="cannot be compared"):
        listed(filters=(Filter(field="rfi_manager", value="Ada"),))
    assert listed(filters=(Filter(field="rfi_manager", operator="isblank"),)).filtered

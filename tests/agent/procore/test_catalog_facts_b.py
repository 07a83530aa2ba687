"""Documents to bids, as Procore documents them: written down a second time, by hand.

Each line of ``documented_b.txt`` is an operation: list, show, create, update, delete or sync;
its method and path; then ``?`` ids in the query and what is always sent there, ``=`` ids in the
body, ``{}`` the envelope, ``+`` fields beside it, ``*`` required fields, how a list goes on,
``>`` where the records are in the answer, and ``[]`` success codes where they are unusual.
"""

from pathlib import Path

import pytest

from cloud_connect.calls import Operation
from cloud_connect_agent.procore.catalog import (
    Direction,
    Endpoint,
    FilterKind,
    IdType,
    Pager,
    Resource,
    Sync,
    load_catalog,
)
from cloud_connect_agent.procore.values import FieldType

CATALOG = load_catalog()
VERBS = {
    "L": Operation.LIST,
    "S": Operation.GET,
    "C": Operation.CREATE,
    "U": Operation.UPDATE,
    "D": Operation.DELETE,
}
PAGERS = {Pager.LINK: "pages", Pager.NONE: "whole", Pager.OFFSET: "offset"}
PROJECT_2 = "/rest/v2.0/companies/{company_id}/projects/{project_id}"

DOCUMENTED = Path(__file__).with_name("documented_b.txt").read_text(encoding="utf-8")

# What records hold: i integer, s text, b boolean, d date, dt date-time, n number, $ money,
# [] list, {} one with an id.
RECORDS = {
    "files": "id,parent_id,size i; name,description,file_type,name_with_path s; "
    "file_versions []; is_deleted,private,is_tracked b; checked_out_until dt",
    "company_files": "id,parent_id,size i; name,description,file_type s; checked_out_until dt",
    "images": "id,size,width,height,image_category_id i; url,thumbnail_url,filename,description s; "
    "taken_at dt; starred,private b",
    "drawing_revisions": "id,drawing_id i; number,title,revision_number,pdf_url,png_url s; "
    "drawing_date,received_date d; current b",
    "drawing_sets": "id i; name s; date d",
    "specification_sections": "id,current_revision_id i; number,description,label s",
    "tasks": "id,percentage,parent_id,row_number i; name,task_name,key,activity_id s; "
    "start_datetime,finish_datetime dt; milestone,critical_path b",
    "timecard_entries": "id,origin_id i; date d; hours $; billable,injured,signed b; "
    "approval_status s; cost_code,party,crew,location,timecard_time_type,sub_job {}",
    "managed_equipment": "id,current_project_id,year i; "
    "name,serial_number,identification_number,status,ownership s",
    "equipment_register": "id k; name,identification_number,ownership s",
    "prime_contracts": "id i; number,title,status,description s; executed,private b; "
    "grand_total,revised_contract $; contract_date,contract_start_date d; "
    "vendor,architect,contractor {}",
    "prime_contracts_v2": "id k; number,title,status,description s; executed,private b",
    "purchase_order_contracts": "id i; number,title,status,description,payment_terms s; "
    "executed,private b; grand_total,remaining_balance_outstanding,retainage_percent,"
    "percentage_paid $; delivery_date,contract_date,issued_on_date d; vendor.id i; "
    "vendor.company,accounting_method,origin_id s",
    "work_order_contracts": "id i; number,title,status,inclusions,exclusions s; vendor.company s",
    "commitment_contracts": "id k; type,number,title s",
    "change_events": "id,company_id i; number,title,description s; status.id i; "
    "status.name,status.mapped_to_status s; attachments []; external_data.origin_id s",
    "prime_change_orders": "id,contract_id,revision i; number,title,status s; grand_total $; "
    "due_date,paid_date,invoiced_date d; executed,private,paid b",
    "commitment_change_orders": "id,contract_id,revision i; grand_total $; executed,paid b",
    "potential_change_orders": "id,contract_id,revision i; number,title,status s; grand_total $",
    "direct_costs": "id i; status,invoice_number,direct_cost_type,origin_id s; "
    "direct_cost_date,received_date,payment_date d; amount,grand_total $",
    "budget": "locked b",
    "cost_codes": "id i; code,full_code,name,sortable_code,origin_id s; parent.id i; "
    "line_item_types []",
    "line_item_types": "id i; name,code,base_type s",
    "sub_jobs": "id i; name,code,origin_id s",
}
TYPES = {
    "i": {FieldType.INTEGER},
    "s": {FieldType.STRING, FieldType.TEXT},
    "k": {FieldType.KEY},
    "b": {FieldType.BOOLEAN},
    "d": {FieldType.DATE},
    "dt": {FieldType.DATETIME},
    "$": {FieldType.MONEY},
    "[]": {FieldType.LIST},
    "{}": {FieldType.OBJECT},
}
FILTERS = {
    ("documents", "document_type"): "one filters[document_type]",
    ("documents", "is_deleted"): "one filters[is_in_recycle_bin]",
    ("images", "image_category_id"): "one image_category_id",
    ("drawing_revisions", "id"): "many id[]",
    ("schedules", "updated_at"): "since filters[updated_at][gt]",
    ("schedule_activities", "updated_at"): "since filters[updated_at][gt]",
    ("timecard_entries", "date"): "days start_date end_date",
    ("company_timecard_entries", "date"): "days start_date end_date",
    ("purchase_order_contracts", "id"): "many filters[id][]",
    ("purchase_order_contracts", "status"): "one filters[status]",
    ("work_order_contracts", "status"): "one filters[status]",
    ("commitment_contracts", "type"): "one filters[type]",
    ("change_events", "updated_at"): "range filters[updated_at]",
    ("potential_change_orders", "contract_id"): "one filters[contract_id]",
    ("direct_costs", "payment_date"): "dates filters[payment_date]",
    ("budget_detail_rows", "cost_code_id"): "many cost_code_id[]",
    ("wbs_codes", "status"): "many filters[status][]",
}
TEXT_IDS = {
    "schedules",
    "schedule_activities",
    "equipment_register",
    "prime_contracts_v2",
    "prime_contract_line_items_v2",
    "commitment_contracts",
    "budget_summary_rows",
}


def _read() -> dict[str, dict[str, list[str]]]:
    tables: dict[str, dict[str, list[str]]] = {}
    for line in DOCUMENTED.strip().splitlines():
        head, *parts = line.replace("PROJECT_2", PROJECT_2).split()
        if head.isdigit():
            tables[parts[0]] = {}
        else:
            next(reversed(tables.values()))[head] = parts
    return tables


TABLES = _read()
OPERATIONS = [
    pytest.param(name, verb, facts, id=f"{name}-{verb}")
    for name, verbs in TABLES.items()
    for verb, facts in verbs.items()
]


def _told(resource: Resource, verb: str, endpoint: Endpoint) -> list[str]:
    marks = [f"?{name}" for name in endpoint.query]
    marks += [f"?{name}={value}" for name, value in endpoint.always]
    marks += [f"={name}" for name in endpoint.body]
    marks += [f"{{{endpoint.envelope}}}"] if endpoint.envelope else []
    marks += [f"+{name}" for name in endpoint.top_level]
    marks += [f"*{name}" for name in endpoint.required]
    marks += [PAGERS[endpoint.pager]] if verb == "L" else []
    marks += [f">{endpoint.unwrap}"] if endpoint.unwrap else []
    marks += [f"[{code}]" for code in endpoint.success]
    return [resource.method(VERBS[verb]), endpoint.template, *marks]


def _told_of_sync(sync: Sync) -> list[str]:
    marks = [f"?{name}" for name in (*sync.query, *sync.query_fields)]
    marks += [f"={name}" for name in sync.body]
    marks += [f"{{{sync.key}}}", *(f"+{name}" for name in sync.each), f">{sync.answer}"]
    return [sync.method, sync.template, *marks]


@pytest.mark.parametrize(("name", "verb", "facts"), OPERATIONS)
def test_operation_is_as_procore_documents_it(name: str, verb: str, facts: list[str]) -> None:
    resource = CATALOG.resource(name)
    if verb == "sync":
        assert resource.sync is not None
        assert sorted(_told_of_sync(resource.sync)) == sorted(facts)
        assert resource.sync.max_items == 1000
    else:
        endpoint = resource.needed(VERBS[verb])
        assert sorted(_told(resource, verb, endpoint)) == sorted(facts)


@pytest.mark.parametrize("name", TABLES)
def test_resource_has_the_documented_operations_and_no_more(name: str) -> None:
    resource = CATALOG.resource(name)
    has = {verb for verb, operation in VERBS.items() if resource.endpoint(operation)}
    assert has | ({"sync"} if resource.sync else set()) == set(TABLES[name])
    absent = {verb for verb in VERBS if verb not in has}
    verbs = {"L": "list", "S": "get", "C": "create", "U": "update", "D": "delete"}
    assert set(resource.missing) == {verbs[verb] for verb in absent}


def test_every_number_of_this_half_is_there() -> None:
    heads = [line for line in DOCUMENTED.splitlines() if line[:1].isdigit()]
    assert {int(line.split()[0]) for line in heads} == set(range(34, 57))
    areas = {CATALOG.resource(name).area for name in TABLES}
    assert {resource.name for resource in CATALOG if resource.area in areas} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_ids_are_numbers_or_text_as_procore_writes_them(name: str) -> None:
    resource = CATALOG.resource(name)
    assert (resource.id_type is IdType.STRING) == (name in TEXT_IDS)
    second = any(part.startswith(PROJECT_2) for facts in TABLES[name].values() for part in facts)
    assert not second or name in TEXT_IDS or name == "budget_line_items"


@pytest.mark.parametrize("name", RECORDS)
def test_records_hold_what_procore_documents(name: str) -> None:
    resource = CATALOG.resource(name)
    out = {spec.name for spec in resource.fields if spec.direction is not Direction.IN}
    for group in RECORDS[name].split("; "):
        names, kind = group.rsplit(" ", 1)
        for field in names.split(","):
            assert resource.type_of(field) in TYPES[kind], field
            assert field in out or any(other.startswith(f"{field}.") for other in out), field


@pytest.mark.parametrize(("place", "expected"), FILTERS.items(), ids=str)
def test_filter_is_sent_as_procore_takes_it(place: tuple[str, str], expected: str) -> None:
    endpoint = CATALOG.resource(place[0]).needed(Operation.LIST)
    (spec,) = (spec for spec in endpoint.filters if spec.field == place[1])
    assert " ".join([spec.kind.value, *spec.parameters]) == expected


def test_dates_are_filtered_by_day_and_moments_by_time() -> None:
    for name in TABLES:
        resource = CATALOG.resource(name)
        for spec in resource.list_.filters if resource.list_ else ():
            if spec.kind in {FilterKind.DATES, FilterKind.DAYS}:
                assert resource.type_of(spec.field) is FieldType.DATE
            if spec.kind in {FilterKind.RANGE, FilterKind.SINCE}:
                assert resource.type_of(spec.field) is FieldType.DATETIME


def test_fields_that_are_sent_under_another_name_are_told() -> None:
    sends = {name: CATALOG.resource(name).sends for name in TABLES}
    assert {name: dict(renamed) for name, renamed in sends.items() if renamed} == {
        "tasks": {"start_datetime": "start", "finish_datetime": "finish"},
        "line_item_types": {"code": "csv_import_code"},
    }


def test_budget_rows_have_columns_that_nobody_can_list() -> None:
    assert {name for name in TABLES if CATALOG.resource(name).dynamic} == {
        "budget_detail_rows",
        "budget_summary_rows",
    }


def test_id_of_another_name_is_a_field_of_its_type() -> None:
    renamed = {
        resource.name: resource.identity for resource in CATALOG if resource.identity != "id"
    }
    assert renamed == {
        "schedules": "schedule_id",
        "schedule_activities": "activity_id",
        "webhook_deliveries": "event_id",
    }
    for name, field in renamed.items():
        resource = CATALOG.resource(name)
        assert resource.type_of(field) is resource.type_of("id")

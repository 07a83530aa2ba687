"""Company, directory, project management and daily log are as Procore documents them.

The table is written from Procore's documentation, a second time and by hand, so that a slip in
the catalogue does not agree with itself. ``:c``, ``:p`` stand for the company's and the project's
id in a path, ``?`` for an id in the query, ``=`` for one in the body, braces for the envelope,
``>`` for where the records are in the answer, brackets for the status if it is not the usual one.
"""

import re

import pytest

from cloud_connect.calls import Operation
from cloud_connect_agent.procore.catalog import FilterKind, Pager, Resource, load_catalog

CATALOG = load_catalog()
USUAL = {"list": 200, "get": 200, "create": 201, "update": 200, "delete": 200}

FACTS = """
1 me
  list GET v1.0/me ?company_id
2 companies
  list GET v1.0/companies
3 projects
  list GET v1.1/projects ?company_id
  get GET v1.0/projects/:id ?company_id
  create POST v1.0/projects =company_id {project}
  update PATCH v1.0/projects/:id =company_id {project}
3 company_projects
  list GET v1.0/companies/:c/projects
4 company_users
  list GET v1.3/companies/:c/users
  get GET v1.3/companies/:c/users/:id
  create POST v1.3/companies/:c/users {user}
  update PATCH v1.3/companies/:c/users/:id {user}
4 inactive_company_users
  list GET v1.0/companies/:c/users/inactive
  update PATCH v1.0/companies/:c/users/inactive/:id {user}
5 project_users
  list GET v1.0/projects/:p/users
  get GET v1.0/projects/:p/users/:id
  create POST v1.0/projects/:p/users {user}
  update PATCH v1.0/projects/:p/users/:id {user}
  delete DELETE v1.0/projects/:p/users/:id/actions/remove [204]
5 project_user_additions
  create POST v1.0/projects/:p/users/{user_id}/actions/add {user}
6 vendors
  list GET v1.0/vendors ?company_id
  get GET v1.0/vendors/:id ?company_id
  create POST v1.0/vendors =company_id {vendor}
  update PATCH v1.0/vendors/:id =company_id {vendor}
6 inactive_vendors
  list GET v1.0/companies/:c/vendors/inactive
7 project_vendors
  list GET v1.1/projects/:p/vendors
  get GET v1.1/projects/:p/vendors/:id
  create POST v1.1/projects/:p/vendors {vendor}
  update PATCH v1.1/projects/:p/vendors/:id {vendor}
  delete DELETE v1.1/projects/:p/vendors/:id/actions/remove [204]
7 project_vendor_additions
  create POST v1.1/projects/:p/vendors/{vendor_id}/actions/add
8 departments
  list GET v1.0/departments ?company_id
  get GET v1.0/departments/:id ?company_id
  create POST v1.0/departments =company_id {department}
  update PATCH v1.0/departments/:id =company_id {department}
  delete DELETE v1.0/departments/:id ?company_id
9 offices
  list GET v1.0/offices ?company_id
  get GET v1.0/offices/:id ?company_id
  create POST v1.0/offices =company_id {office}
  update PATCH v1.0/offices/:id =company_id {office}
  delete DELETE v1.0/offices/:id ?company_id
10 project_roles
  list GET v1.0/project_roles ?project_id
  create POST v1.0/project_roles =project_id {project_role}
  delete DELETE v1.0/project_roles/:id ?project_id [204]
10 company_roles
  list GET v1.0/companies/:c/roles
11 permission_templates
  list GET v1.0/companies/:c/permission_templates
  get GET v1.0/companies/:c/permission_templates/:id
  create POST v1.0/companies/:c/permission_templates {permission_template} [200]
11 project_permission_templates
  list GET v1.0/projects/:p/permission_templates
12 tool_permissions
  list GET v1.0/settings/permissions ?company_id >tools
12 project_tool_permissions
  list GET v1.0/settings/permissions ?project_id >tools
13 project_tools
  list GET v1.0/projects/:p/tools
14 project_types
  all v1.0/companies/:c/project_types {project_type}
14 project_stages
  all v1.0/companies/:c/project_stages {project_stage}
14 project_regions
  all v1.0/companies/:c/project_regions {project_region}
14 programs
  all v1.0/companies/:c/programs {program}
14 trades
  list GET v1.0/companies/:c/trades
  get GET v1.0/companies/:c/trades/:id
  create POST v1.0/companies/:c/trades {trade}
15 locations
  all v1.0/projects/:p/locations {location}
16 distribution_groups
  all v1.0/projects/:p/distribution_groups {distribution_group} [204]
17 rfis
  list GET v1.0/projects/:p/rfis
  get GET v1.0/projects/:p/rfis/:id
  create POST v1.0/projects/:p/rfis {rfi}
  update PATCH v1.0/projects/:p/rfis/:id {rfi}
17 recyclable_rfis
  list GET v1.0/projects/:p/rfis
  get GET v1.0/projects/:p/rfis/:id
  delete PATCH v1.0/projects/:p/rfis/:id/recycle
17 recycled_rfis
  list GET v1.0/projects/:p/rfis/recycle_bin
  delete PATCH v1.0/projects/:p/rfis/:id/retrieve
18 rfi_replies
  all v1.0/projects/:p/rfis/{rfi_id}/replies {reply}
19 submittals
  all v1.1/projects/:p/submittals {submittal}
19 submittals_v2
  list GET v2.0/companies/:c/projects/:p/submittals >data
19 submittal_statuses
  list GET v1.0/companies/:c/submittal_statuses
20 punch_items
  list GET v1.1/punch_items ?project_id
  get GET v1.1/punch_items/:id ?project_id
  create POST v1.1/punch_items =project_id {punch_item}
  update PATCH v1.1/punch_items/:id =project_id {punch_item}
  delete DELETE v1.1/punch_items/:id ?project_id
21 observations
  list GET v1.0/observations/items ?project_id
  get GET v1.0/observations/items/:id ?project_id
  create POST v1.0/observations/items =project_id {observation}
  update PATCH v1.0/observations/items/:id =project_id {observation}
  delete DELETE v1.0/projects/:p/observations/items/:id [204]
21 observation_response_logs
  list GET v1.0/observations/items/{item_id}/response_logs ?project_id
  get GET v1.0/observations/items/{item_id}/response_logs/:id ?project_id
  create POST v1.0/observations/items/{item_id}/response_logs =project_id {response_log}
21 observation_types
  list GET v1.0/observations/types ?project_id ?company_id
22 checklist_lists
  all v1.0/projects/:p/checklist/lists {list} [204]
23 incidents
  all v1.0/projects/:p/incidents {incident} [204]
24 task_items
  list GET v1.0/task_items ?project_id
  get GET v1.0/task_items/:id ?project_id
  create POST v1.0/task_items ?project_id {task_item}
  update PATCH v1.0/task_items/:id ?project_id {task_item}
  delete DELETE v1.0/task_items/:id ?project_id [204]
24 task_item_comments
  list GET v1.0/companies/:c/projects/:p/task_item_comments
  create POST v1.0/companies/:c/projects/:p/task_item_comments {task_item_comment}
  update PATCH v1.0/companies/:c/projects/:p/task_item_comments/:id {task_item_comment}
  delete DELETE v1.0/companies/:c/projects/:p/task_item_comments/:id
25 coordination_issues
  list GET v1.0/coordination_issues ?project_id
  get GET v1.0/coordination_issues/:id ?project_id
  create POST v1.0/coordination_issues =project_id {coordination_issue}
  update PATCH v1.0/coordination_issues/:id =project_id {coordination_issue}
  delete DELETE v1.0/coordination_issues/:id ?project_id [204]
25 coordination_issues_v2
  list GET v2.0/companies/:c/projects/:p/coordination_issues >data
  get GET v2.0/companies/:c/projects/:p/coordination_issues/:id >data
  create POST v2.0/companies/:c/projects/:p/coordination_issues >data
  update PATCH v2.0/companies/:c/projects/:p/coordination_issues/:id {coordination_issue} >data
  delete DELETE v2.0/companies/:c/projects/:p/coordination_issues/:id >data
26 meetings
  list GET v1.1/projects/:p/meetings >groups:meetings
  get GET v1.1/projects/:p/meetings/:id
  create POST v1.1/projects/:p/meetings =project_id {meeting}
  update PATCH v1.1/projects/:p/meetings/:id {meeting}
  delete DELETE v1.1/projects/:p/meetings/:id
27 meeting_topics
  create POST v1.1/projects/:p/meeting_topics =meeting_id {meeting_topic}
  update PATCH v1.1/projects/:p/meeting_topics/:id =meeting_id {meeting_topic}
28 generic_tools
  list GET v1.0/companies/:c/generic_tools
  create POST v1.0/companies/:c/generic_tools {generic_tool}
  update PATCH v1.0/companies/:c/generic_tools/:id {generic_tool}
28 generic_tool_items
  all v1.0/projects/:p/generic_tools/{generic_tool_id}/generic_tool_items {generic_tool_item}
28 correspondence_type_items
  list GET v1.0/projects/:p/correspondence_type_items
29 forms
  all v1.0/projects/:p/forms {form}
29 form_templates
  list GET v1.0/projects/:p/form_templates
30 weather_logs
  all v1.0/projects/:p/weather_logs {weather_log} [C200]
30 weather_logs_v1_1
  all v1.1/projects/:p/daily_logs/weather_logs {weather_log} [C200]
31 manpower_logs
  all v1.0/projects/:p/manpower_logs {manpower_log}
32 notes_logs
  all v1.0/projects/:p/notes_logs {notes_log}
33 accident_logs
  all v1.0/projects/:p/accident_logs {accident_log}
33 delay_logs
  all v1.0/projects/:p/delay_logs {delay_log}
33 delivery_logs
  all v1.0/projects/:p/delivery_logs {delivery_log}
33 equipment_logs
  all v1.0/projects/:p/equipment_logs {equipment_log}
33 work_logs
  all v1.0/projects/:p/work_logs {work_log}
33 visitor_logs
  all v1.0/projects/:p/visitor_logs {visitor_log}
33 inspection_logs
  all v1.0/projects/:p/inspection_logs {inspection_log}
33 quantity_logs
  all v1.0/projects/:p/quantity_logs {quantity_log}
33 call_logs
  all v1.0/projects/:p/call_logs {call_log}
33 dumpster_logs
  all v1.0/projects/:p/dumpster_logs {dumpster_log}
33 waste_logs
  all v1.0/projects/:p/waste_logs {waste_log}
33 safety_violation_logs
  all v1.0/projects/:p/safety_violation_logs {safety_violation_log}
33 productivity_logs
  all v1.0/projects/:p/productivity_logs {productivity_log}
33 plan_revision_logs
  all v1.0/projects/:p/plan_revision_logs {plan_revision_log}
33 daily_construction_report_logs
  all v1.0/projects/:p/daily_construction_report_logs {daily_construction_report_log}
33 daily_log_counts
  list GET v1.1/projects/:p/daily_logs/counts
33 daily_log_headers
  list GET v1.0/projects/:p/daily_log_headers
  get GET v1.0/projects/:p/daily_log_headers ?id
  update PATCH v1.0/projects/:p/daily_log_headers ?id {daily_log_header}
"""

REQUIRED = """
projects: name
company_users: last_name email_address
project_users: email_address last_name
vendors: name
project_vendors: name
departments: name
offices: name
project_roles: role user_id
locations: node_name
distribution_groups: name
rfis: subject question.body rfi_manager_id assignee_ids
rfi_replies: body
submittals: number
punch_items: name
observations: name type_id
checklist_lists: list_template_id
task_item_comments: task_item_id
coordination_issues: title
coordination_issues_v2: title
meetings: position starts_at ends_at
generic_tools: title
forms: name description form_template_id fillable_pdf
weather_logs: date
weather_logs_v1_1: date
accident_logs: time_hour time_minute
delivery_logs: time_hour time_minute
waste_logs: time_hour time_minute
safety_violation_logs: time_hour time_minute
visitor_logs: begin_hour begin_minute end_hour end_minute
inspection_logs: start_hour start_minute end_hour end_minute
productivity_logs: line_item_id
daily_construction_report_logs: vendor_id trade_id
"""
UNPAGED = {
    "me", "company_projects", "company_roles", "permission_templates", "tool_permissions",
    "project_permission_templates", "project_tool_permissions", "daily_log_headers",
}  # fmt: skip
SYNCED = {
    "projects": "v1.0/projects/sync =company_id",
    "company_users": "v1.3/companies/:c/users/sync",
    "vendors": "v1.0/vendors/sync =company_id",
    "coordination_issues": "v1.0/coordination_issues/sync =project_id",
}


def parsed() -> dict[str, tuple[int, dict[str, str]]]:
    """The facts by resource: its number, and a line for each operation."""
    found: dict[str, tuple[int, dict[str, str]]] = {}
    for line in FACTS.strip().splitlines():
        if not line.startswith(" "):
            number, name = line.split()
            found[name] = (int(number), {})
            continue
        operation, fact = line.split(maxsplit=1)
        lines = found[name][1]
        if operation == "all":
            lines.update(whole(fact))
        else:
            lines[operation] = fact
    return found


def whole(fact: str) -> dict[str, str]:
    """All five operations of a path; the status is a delete's, with a C before it a create's."""
    path, envelope, *status = fact.split()
    created = [one.replace("C", "") for one in status if "C" in one]
    deleted = [one for one in status if "C" not in one]
    return {
        "list": f"GET {path}",
        "get": f"GET {path}/:id",
        "create": " ".join([f"POST {path}", envelope, *created]),
        "update": f"PATCH {path}/:id {envelope}",
        "delete": " ".join([f"DELETE {path}/:id", *deleted]),
    }


def short(path: str) -> str:
    names = {"{company_id}": ":c", "{project_id}": ":p", "{id}": ":id", "/rest/": ""}
    return re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], path)


def described(resource: Resource, verb: str) -> str:
    operation = Operation(f"records.{verb}")
    endpoint = resource.needed(operation)
    parts = [resource.method(operation), short(endpoint.template)]
    parts += [f"?{name}" for name in endpoint.query]
    parts += [f"={name}" for name in endpoint.body]
    parts += [f"{{{endpoint.envelope}}}"] if endpoint.envelope else []
    parts += [f">{endpoint.unwrap}"] if endpoint.unwrap else []
    unusual = [code for code in endpoint.success if code != USUAL[verb]]
    parts += [f"[{code}]" for code in unusual]
    return " ".join(parts)


@pytest.mark.parametrize(("name", "fact"), parsed().items(), ids=str)
def test_operations_are_the_documented_ones(name: str, fact: tuple[int, dict[str, str]]) -> None:
    resource = CATALOG.resource(name)
    there = {
        verb: described(resource, verb)
        for verb in USUAL
        if resource.endpoint(Operation(f"records.{verb}")) is not None
    }
    assert there == fact[1]
    assert set(resource.missing) >= set(USUAL) - set(there) - {"get"}


def test_no_number_is_left_out() -> None:
    assert {number for number, _ in parsed().values()} == set(range(1, 34))


def test_fields_that_a_new_record_needs_are_the_documented_ones() -> None:
    documented = dict(line.split(": ") for line in REQUIRED.strip().splitlines())
    for name in parsed():
        create = CATALOG.resource(name).create
        assert " ".join(create.required if create else ()) == documented.get(name, ""), name


def test_lists_page_where_procore_pages() -> None:
    lists = {name: CATALOG.resource(name).list_ for name in parsed()}
    unpaged = {name for name, list_ in lists.items() if list_ and list_.pager is Pager.NONE}
    assert unpaged == UNPAGED


def test_bulk_upserts_are_where_procore_has_them() -> None:
    syncs = {name: sync for name in parsed() if (sync := CATALOG.resource(name).sync)}
    told = {
        name: " ".join([short(sync.template), *(f"={one}" for one in sync.body)])
        for name, sync in syncs.items()
    }
    assert told == SYNCED


def test_daily_logs_are_always_asked_for_by_day() -> None:
    logs = [resource for resource in CATALOG if resource.area.startswith("daily_log")]
    assert len(logs) == 21
    for log in logs:
        assert log.list_
        days = {spec.kind: spec for spec in log.list_.filters}
        if log.name in {"daily_log_counts", "daily_log_headers"}:
            assert days[FilterKind.DAY].parameters == ("log_date",)
        else:
            assert days[FilterKind.DAYS].parameters == ("start_date", "end_date")


def test_logs_that_wait_for_approval_are_asked_for_where_procore_hides_them() -> None:
    asked = {
        resource.name
        for resource in CATALOG
        if (list_ := resource.list_)
        and "all" in {*(spec.default for spec in list_.filters), *dict(list_.fixed).values()}
    }
    assert asked == {
        "daily_log_counts", "delivery_logs", "manpower_logs", "notes_logs", "weather_logs_v1_1",
    }  # fmt: skip

import pytest

from cloud_connect.calls import Environment, Filter, Operation, RecordParams
from cloud_connect.errors import InvalidRequestError, UnsupportedOperationError
from cloud_connect.query import Query
from cloud_connect_agent.policy import Verb
from cloud_connect_agent.policy.fields import protected
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.scripted_procore import COMPANY, PROJECT, ScriptedProcore, source

EXECUTOR = RecordExecutor(ScriptedProcore(), load_catalog())
Short = list[tuple[Verb, str | None, int | None]]


def touched(
    operation: Operation,
    resource: str,
    *,
    project: int | None = PROJECT,
    record: dict[str, object] | None = None,
    **more: object,
) -> Short:
    params = RecordParams.model_validate(
        {"source": source(project=project), "resource": resource, **more}
    )
    accesses = EXECUTOR.accesses(operation, params, record)
    assert all(one.company_id == COMPANY for one in accesses)
    assert all(one.environment is Environment.LIVE for one in accesses)
    return [(one.verb, one.resource, one.project_id) for one in accesses]


def queried(
    action: str, table: str = "rfis", *, project: int | None = PROJECT, **members: object
) -> Short:
    query = Query.parse({"action": action, "info": {"name": table}, **members})
    accesses = EXECUTOR.accesses_of_query(source(project=project), query)
    return [(one.verb, one.resource, one.project_id) for one in accesses]


def condition(field: str, operator: str, value: object) -> dict[str, object]:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


def test_reads_touch_the_projects_they_are_confined_to() -> None:
    assert touched(Operation.LIST, "rfis") == [(Verb.READ, "rfis", PROJECT)]
    assert touched(Operation.LIST, "rfis", project=None) == [(Verb.READ, "rfis", None)]
    some = [Filter(field="project_id", operator="in", value="7,8")]
    assert touched(Operation.LIST, "rfis", filters=some) == [
        (Verb.READ, "rfis", 7),
        (Verb.READ, "rfis", 8),
    ]
    assert touched(Operation.LIST, "vendors") == [(Verb.READ, "vendors", None)]
    assert touched(Operation.GET, "rfis", record_id="1") == [(Verb.READ, "rfis", PROJECT)]
    assert touched(Operation.GET, "companies", record_id="1") == [(Verb.READ, "companies", None)]


def test_projects_are_the_projects_they_are() -> None:
    assert touched(Operation.GET, "projects", record_id="7") == [(Verb.READ, "projects", 7)]
    assert touched(Operation.UPDATE, "projects", record_id="7") == [(Verb.UPDATE, "projects", 7)]
    assert touched(Operation.LIST, "projects") == [(Verb.READ, "projects", None)]
    chosen = [condition("id", "in", "7,8")]
    assert queried("select", "projects", conditions=chosen) == [
        (Verb.READ, "projects", 7),
        (Verb.READ, "projects", 8),
    ]


def test_writes_touch_where_the_record_lives() -> None:
    assert touched(Operation.DELETE, "punch_items", record_id="1") == [
        (Verb.DELETE, "punch_items", PROJECT)
    ]
    assert touched(Operation.CREATE, "rfis", scope={"project_id": "7"}) == [
        (Verb.CREATE, "rfis", 7)
    ]
    assert touched(Operation.CREATE, "rfis", project=None) == [(Verb.CREATE, "rfis", None)]
    record: dict[str, object] = {"project_id": 7}
    assert touched(Operation.CREATE, "rfis", project=None, record=record) == [
        (Verb.CREATE, "rfis", 7)
    ]
    assert touched(Operation.CREATE, "vendors") == [(Verb.CREATE, "vendors", None)]


def test_queries_touch_what_they_read_and_what_they_change() -> None:
    assert queried("select") == [(Verb.READ, "rfis", PROJECT)]
    assert queried("insert", mappings={"project_id": "7", "subject": "x"}) == [
        (Verb.CREATE, "rfis", 7)
    ]
    chosen = [condition("id", "eq", 1)]
    assert queried("update", conditions=chosen) == [
        (Verb.READ, "rfis", PROJECT),
        (Verb.UPDATE, "rfis", PROJECT),
    ]
    there = [condition("project_id", "in", "7,8"), *chosen]
    assert queried("delete", "punch_items", conditions=there) == [
        (Verb.READ, "punch_items", 7),
        (Verb.READ, "punch_items", 8),
        (Verb.DELETE, "punch_items", 7),
        (Verb.DELETE, "punch_items", 8),
    ]


def test_contradicting_conditions_still_need_leave_to_read() -> None:
    none = [condition("project_id", "eq", 7), condition("project_id", "eq", 8)]
    assert queried("select", conditions=none) == [(Verb.READ, "rfis", None)]


def test_what_cannot_run_is_refused_before_the_policy_is_asked() -> None:
    with pytest.raises(UnsupportedOperationError):
        touched(Operation.DELETE, "rfis", record_id="1")
    with pytest.raises(UnsupportedOperationError):
        queried("insert", "companies", mappings={"name": "x"})
    with pytest.raises(UnsupportedOperationError):
        queried("delete", "rfis", conditions=[condition("id", "eq", 1)])
    with pytest.raises(InvalidRequestError):
        queried("delete", "punch_items")
    with pytest.raises(InvalidRequestError):
        touched(Operation.LIST, "gadgets")


@pytest.mark.parametrize(
    "record",
    [
        {"custom_field_7": 5},
        {"custom_field_7": {"value": 5}},
        {"custom_fields": {"custom_field_7": 5}},
        {"custom_fields": {"custom_field_7": {"value": {"id": 5}}}},
        {"custom_fields.custom_field_7": 5},
        {"custom_fields.custom_field_7.value": 5},
    ],
)
def test_custom_fields_are_protected_in_every_spelling(record: dict[str, object]) -> None:
    params = RecordParams.model_validate({"source": source(project=PROJECT), "resource": "rfis"})
    query = Query.parse({"action": "insert", "info": {"name": "rfis"}, "mappings": record})
    for access in (
        *EXECUTOR.accesses(Operation.CREATE, params, record),
        *EXECUTOR.accesses_of_query(source(project=PROJECT), query),
    ):
        assert access.fields is not None
        for named in ("custom_field_7", "custom_fields.custom_field_7", "custom_fields"):
            assert protected(access.fields, [named], anywhere=False) == named
        assert protected(access.fields, ["custom_field_70", "subject"], anywhere=False) is None

"""Every row of the catalogue is well-formed, and says what Procore documents."""

import re
import tomllib

import pytest
from pydantic import ValidationError

from cloud_connect.calls import Operation
from cloud_connect.errors import InvalidRequestError, UnsupportedOperationError
from cloud_connect_agent.procore.catalog import (
    Content,
    Direction,
    Endpoint,
    FieldSpec,
    FilterKind,
    IdType,
    Level,
    Pager,
    Resource,
    ServerFilter,
    SortStyle,
    SyncAnswer,
    load_catalog,
)
from cloud_connect_agent.procore.values import FieldType

CATALOG = load_catalog()
RESOURCES = list(CATALOG)
ENDPOINTS = [
    pytest.param(resource, operation, endpoint, id=f"{resource.name}-{operation.name.lower()}")
    for resource in RESOURCES
    for operation in (
        Operation.LIST,
        Operation.GET,
        Operation.CREATE,
        Operation.UPDATE,
        Operation.DELETE,
    )
    if (endpoint := resource.endpoint(operation)) is not None
]
BOTH = tuple(Direction)
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


@pytest.mark.parametrize(("resource", "operation", "endpoint"), ENDPOINTS)
def test_every_scope_id_of_an_operation_goes_somewhere(
    resource: Resource, operation: Operation, endpoint: Endpoint
) -> None:
    placed = {*endpoint.path_names, *endpoint.query, *endpoint.body}
    single = operation in {Operation.GET, Operation.UPDATE, Operation.DELETE}
    assert placed <= {*resource.scope, "company_id", "id"}
    assert set(resource.scope_fields) <= placed
    assert ("id" in placed) == (single and not resource.single)


@pytest.mark.parametrize(("resource", "operation", "endpoint"), ENDPOINTS)
def test_every_operation_has_the_shape_of_its_verb(
    resource: Resource, operation: Operation, endpoint: Endpoint
) -> None:
    sends = operation in {Operation.CREATE, Operation.UPDATE}
    lists = operation is Operation.LIST
    assert sends or not (endpoint.envelope or endpoint.body or endpoint.required)
    assert sends or endpoint.content is Content.JSON
    assert lists or (endpoint.pager is Pager.NONE and not endpoint.filters and not endpoint.sorts)
    for name in (*endpoint.required, *endpoint.top_level, *endpoint.query_fields):
        assert resource.knows(name, (Direction.IN, Direction.BOTH))
    for field in (*(spec.field for spec in endpoint.filters), *endpoint.sorts):
        assert resource.knows(field, (Direction.OUT, Direction.BOTH))


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: str(resource.name))
def test_every_resource_is_complete(resource: Resource) -> None:
    names = [spec.name for spec in resource.fields]
    assert len(names) == len(set(names))
    assert all(NAME.fullmatch(name) for name in names)
    assert "id" in names or resource.get is resource.delete is None
    assert resource.area
    assert resource.text
    assert resource.desc
    assert resource.list_ or resource.missing.get("list")
    assert resource.level is Level.PROJECT or "project_id" not in resource.scope
    assert all(resource.knows(name, (Direction.IN, Direction.BOTH)) for name in resource.sends)
    missing = {
        operation
        for operation in ("get", "create", "update", "delete")
        if resource.endpoint(Operation(f"records.{operation}")) is None
    }
    assert set(resource.missing) - {"list", "get"} == missing - {"get"}
    assert all(reason.endswith(".") for reason in resource.missing.values())


def test_lists_that_do_not_page_are_marked() -> None:
    unpaged = {r.name for r in RESOURCES if r.list_ and r.list_.pager is Pager.NONE}
    assert {"me", "folders", "files"} <= unpaged


def test_unknown_table_is_named_with_what_was_meant() -> None:
    with pytest.raises(InvalidRequestError, match=r"“Punch Items”.*Did you mean “punch_items”"):
        CATALOG.resource("Punch Items")
    with pytest.raises(InvalidRequestError, match=r"“rfi”.*Did you mean “rfis”"):
        CATALOG.resource("rfi")
    with pytest.raises(InvalidRequestError, match=r"“zzzzz” in Procore\.$"):
        CATALOG.resource("zzzzz")


def test_missing_verb_says_what_is_possible_instead() -> None:
    with pytest.raises(UnsupportedOperationError, match="“accepted” to true"):
        CATALOG.endpoint(CATALOG.resource("rfis"), Operation.DELETE)
    with pytest.raises(UnsupportedOperationError, match="cannot be read one by one"):
        CATALOG.endpoint(CATALOG.resource("companies"), Operation.GET)


def test_fields_are_known_by_name_and_below_what_nests() -> None:
    rfis = CATALOG.resource("rfis")
    known = "id project_id custom_field_7 rfi_manager rfi_manager.id assignees.login question.body"
    assert all(rfis.knows(name, BOTH) for name in known.split())
    unknown = "subjekt rfi_manager.shoe_size subject.x rfi_id custom_field_x"
    assert not any(rfis.knows(name, BOTH) for name in unknown.split())
    assert not rfis.knows("question.body", (Direction.OUT,))


def test_types_of_fields_are_told() -> None:
    rfis = CATALOG.resource("rfis")
    assert rfis.type_of("project_id") is FieldType.INTEGER
    assert rfis.type_of("rfi_manager") is FieldType.OBJECT
    assert rfis.type_of("rfi_manager.name") is FieldType.STRING
    assert rfis.type_of("whatever") is None


def test_labels_are_for_people() -> None:
    labels = {spec.name: spec.label for spec in CATALOG.resource("rfis").fields}
    assert labels["due_date"] == "Due date"
    assert labels["rfi_manager_id"] == "RFI manager ID"
    assert labels["rfi_manager.id"] == "RFI manager ID"
    assert labels["rfi_manager.name"] == "RFI manager"
    assert labels["id"] == "ID"
    assert labels["question.body"] == "Question"


def test_tables_are_checked_when_they_are_read() -> None:
    with pytest.raises(ValidationError, match="days take two"):
        ServerFilter(field="date", kind=FilterKind.DAYS, parameters=("start_date",))
    with pytest.raises(ValidationError):
        Endpoint.model_validate({"version": "v1", "path": "/x"})
    with pytest.raises(ValidationError):
        Endpoint.model_validate({"version": "v1.0", "path": "/x", "sucess": [200]})
    with pytest.raises(ValidationError, match="none of its views"):
        Endpoint.model_validate({"version": "v1.0", "path": "/x", "view": "all"})
    with pytest.raises(ValidationError, match="at most 100"):
        Endpoint.model_validate({"version": "v2.0", "path": "/x", "pager": "link", "per_page": 200})
    with pytest.raises(ValidationError, match="one day"):
        ServerFilter(field="id", kind=FilterKind.MANY, parameters=("ids[]",), echo=True)
    with pytest.raises(ValidationError, match="not in its scope"):
        made("scope = []\n[list]\nversion = 'v1.0'\npath = '/x'\nquery = ['project_id']")
    with pytest.raises(ValidationError, match="filter on name needs values or a map"):
        made("""
            scope = []
            fields = { name = "string out" }
            [list]
            version = "v1.0"
            path = "/x"
            filters = [{ field = "name", kind = "one", parameters = ["filters[name]"] }]
        """)
    with pytest.raises(ValidationError, match="text_scope"):
        made("scope = []\ntext_scope = ['schedule_id']")
    update = {"version": "v1.0", "path": "/x", "attach": "a[]", "upload_field": "upload_ids"}
    with pytest.raises(ValidationError, match="within a form or by reference"):
        Endpoint.model_validate(update)
    with pytest.raises(ValidationError, match="refer to an upload"):
        made("scope = []\n[update]\nversion = 'v1.0'\npath = '/x'\nupload_field = 'upload_ids'")
    spec = FieldSpec(name="id", type=FieldType.INTEGER, direction=Direction.OUT, label="ID")
    changed = CATALOG.resource("me").model_copy(update={"fields": (spec,)})
    again = Resource.model_validate(changed.model_dump(by_alias=True))
    assert again.model_dump() == changed.model_dump()


def made(table: str) -> Resource:
    """A resource as a file of the catalogue would hold it."""
    head = """
        name = "things"
        text = "Things"
        desc = "Some things"
        icon = "fa fa-cube"
        level = "company"
        fields = {}
    """
    return Resource.model_validate({**tomllib.loads(head), **tomllib.loads(table)})


def test_second_generation_has_text_ids_and_answers_data() -> None:
    things = made("""
        scope = ["company_id", "schedule_id"]
        text_scope = ["schedule_id"]
        list = { version = "v2.0", path = "/companies/{company_id}/schedules/{schedule_id}/things" }
        get = { version = "v2.0", path = "/x/{schedule_id}/{id}", unwrap = "" }
        fields = { id = "key out", owner = "reference out", "hours" = "string/integer both Hours" }
    """)
    assert things.list_
    assert things.get
    assert (things.list_.unwrap, things.get.unwrap) == ("data", "")
    assert things.id_type is things.scope_type("schedule_id") is IdType.STRING
    assert things.scope_type("company_id") is IdType.INTEGER
    assert things.type_of("owner.id") is things.type_of("schedule_id") is FieldType.KEY
    assert (things.type_of("hours"), things.sent_type_of("hours")) == ("string", "integer")
    assert things.sent_type_of("owner.name") is FieldType.STRING


def test_ids_are_what_procore_makes_them() -> None:
    whole, text = IdType.INTEGER, IdType.STRING
    assert [whole.accepts(one) for one in ("7", "0", "-7", "7.0", "x", str(2**63))] == [
        True,
        *[False] * 5,
    ]
    assert [text.accepts(one) for one in ("01J9ZX", "7", "a/b", "", "ä", "a" * 65)] == [
        True,
        True,
        *[False] * 4,
    ]
    assert (whole.typed("562949953421312"), text.typed("007")) == (562949953421312, "007")


def test_endpoint_tells_views_sorts_and_what_it_always_sends() -> None:
    things = made("""
        scope = []
        [list]
        version = "v1.0"
        path = "/things"
        fixed = [["permanent", "true"]]
        views = ["compact", "normal"]
        view = "normal"
        sorts = ["name"]
        sort_style = "attribute"
        [sync]
        version = "v1.0"
        path = "/things/sync"
        body = ["company_id"]
    """)
    assert things.list_
    assert things.sync
    assert things.list_.always == (("permanent", "true"), ("view", "normal"))
    assert things.list_.sorts == {"name": "name"}
    assert things.list_.sort_style is SortStyle.ATTRIBUTE
    assert (things.sync.method, things.sync.template) == ("PATCH", "/rest/v1.0/things/sync")
    assert (things.sync.key, things.sync.answer) == ("updates", SyncAnswer.ENTITIES)
    assert (things.sync.max_items, things.sync.safe_for_create) == (1000, False)


def test_table_knows_the_file_that_it_stands_in() -> None:
    assert CATALOG.resource("rfis").area == "rfis"
    assert CATALOG.resource("vendors").area == "vendors"


def test_resource_without_a_list_says_so() -> None:
    with pytest.raises(UnsupportedOperationError, match="Things cannot be listed in Procore"):
        made("scope = []").needed(Operation.LIST)
    with pytest.raises(UnsupportedOperationError, match="through their meeting"):
        made("scope = []\nmissing = { list = 'Read through their meeting.' }").needed(
            Operation.LIST
        )


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("RFIs", "RFI"),
        ("Company users", "company user"),
        ("Companies", "company"),
        ("Submittal statuses", "submittal status"),
        ("RFI replies", "RFI reply"),
        ("Equipment", "equipment"),
        ("Inspections (checklists)", "inspection"),
        ("Company projects, in short", "company project"),
        ("Timecard entries of the company", "timecard entry of the company"),
    ],
)
def test_one_record_has_a_name_in_sentences(text: str, one: str) -> None:
    named = CATALOG.resource("rfis").model_copy(update={"text": text})
    assert named.one == one
    assert named.model_copy(update={"singular": "thing"}).one == "thing"


def test_fields_of_lists_are_told_from_others() -> None:
    rfis = CATALOG.resource("rfis")
    assert rfis.holds_several("assignees")
    assert rfis.holds_several("assignees.id")
    assert not rfis.holds_several("assignees.0.id")
    assert not rfis.holds_several("rfi_manager.id")
    assert not rfis.holds_several("subject")

"""What a table says is told in words."""

import tomllib

import pytest

from cloud_connect.calls import Operation
from cloud_connect_agent.procore.catalog import Pager, Resource, load_catalog
from cloud_connect_agent.procore.catalog.describing import (
    area_title,
    body_of,
    document_of,
    filter_words,
    letters_of,
    operations_of,
    paging_of,
    request_of,
    scope_words,
    sort_words,
)

CATALOG = load_catalog()
THINGS = """
name = "things"
area = "punch_list"
text = "Things"
desc = "Some things"
icon = "fa fa-cube"
level = "project"
scope = ["project_id", "box_id"]
[fields]
id = "key out"
name = "string both"
hours = "string/number both"
gone = "date out"
size = "integer out"
[list]
version = "v1.0"
path = "/things"
query = ["project_id", "box_id"]
fixed = [["permanent", "true"]]
sorts = ["name", "size"]
pager = "link"
sort_style = "attribute"
[[list.filters]]
field = "name"
kind = "one"
parameters = ["filters[name]"]
map = { oak = "1", elm = "2" }
default = "0"
[create]
version = "v1.0"
path = "/things"
query = ["project_id"]
body = ["box_id"]
envelope = "thing"
content = "multipart"
top_level = ["hours"]
query_fields = ["name"]
required = ["name"]
[missing]
delete = "Burn it."
"""


@pytest.fixture
def things() -> Resource:
    return Resource.model_validate(tomllib.loads(THINGS))


def test_areas_are_headings() -> None:
    assert [area_title(area) for area in ("rfis", "punch_list", "daily_log_events")] == [
        "RFIs",
        "Punch list",
        "Daily log: events",
    ]
    titles = {area_title(resource.area) for resource in CATALOG}
    assert len(titles) == len({resource.area for resource in CATALOG})


def test_operations_are_told_by_letters_and_by_name(things: Resource) -> None:
    assert letters_of(things) == "L-C--"
    assert [verb for verb, _ in operations_of(things)] == ["list", "create"]
    assert things.missing_reason(Operation.DELETE) == "Burn it."
    assert things.missing_reason(Operation.UPDATE) == "Things cannot be changed in Procore."


def test_requests_are_told_with_their_ids(things: Resource) -> None:
    assert things.list_
    assert things.create
    assert request_of(things, "list", things.list_) == (
        "GET /rest/v1.0/things?project_id={project_id}&box_id={box_id}&permanent=true"
    )
    assert paging_of(things.list_) == "pages of 100"
    assert scope_words(things) == "project_id, box_id"
    assert body_of(things.create) == ('{"thing": {…}} beside box_id, hours; name in the query')


def test_filters_and_orders_are_told(things: Resource) -> None:
    assert things.list_
    (by_name,) = things.list_.filters
    assert filter_words(by_name) == "one value of oak, elm; 0 unless asked for"
    assert sort_words(things) == "size (sort[attribute])"


def test_orders_that_procore_is_not_asked_for_are_not_told(things: Resource) -> None:
    assert things.list_
    once = things.list_.model_copy(update={"pager": Pager.NONE})
    assert sort_words(things.model_copy(update={"list_": once})) == ""
    assert sort_words(things.model_copy(update={"list_": None})) == ""


def test_files_within_a_form_are_told_where_that_is_how_they_are_hung_on() -> None:
    orders = CATALOG.resource("purchase_order_contracts")
    assert orders.update
    assert body_of(orders.update).endswith("a form if a file is in it")


def test_document_tells_what_is_sent_as_what(things: Resource) -> None:
    document = document_of(things)
    assert document["id_type"] == "string"
    assert document["sync"] is None
    assert (document["identity"], document["single"], document["sends"]) == ("id", False, {})
    assert document["takes_files"] is False
    fields = document["fields"]
    assert isinstance(fields, list)
    told = {field["name"]: (field["type"], field["sent_as"], field["required"]) for field in fields}
    assert told == {
        "id": ("key", None, False),
        "name": ("string", "string", True),
        "hours": ("string", "number", False),
        "gone": ("date", None, False),
        "size": ("integer", None, False),
        "project_id": ("integer", "integer", True),
        "box_id": ("integer", "integer", True),
    }


def test_every_table_can_be_told() -> None:
    for resource in CATALOG:
        assert document_of(resource)["name"] == resource.name
        assert set(letters_of(resource)) != {"-"}
        for verb, endpoint in operations_of(resource):
            assert request_of(resource, verb, endpoint).split()[1].startswith("/rest/v")

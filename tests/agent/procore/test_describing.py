"""What a table says is told in words."""

import tomllib

import pytest

from cloud_connect_agent.procore.catalog import Resource, load_catalog
from cloud_connect_agent.procore.catalog.describing import (
    area_title,
    body_of,
    document_of,
    filter_words,
    letters_of,
    missing_words,
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
fields = { id = "key out", name = "string both", hours = "string/number both", gone = "date out" }
[list]
version = "v1.0"
path = "/things"
query = ["project_id", "box_id"]
fixed = [["permanent", "true"]]
sorts = ["name"]
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
    assert missing_words(things, "delete") == "Burn it."
    assert missing_words(things, "update") == "Procore offers no such operation."


def test_requests_are_told_with_their_ids(things: Resource) -> None:
    assert things.list_
    assert things.create
    assert request_of(things, "list", things.list_) == (
        "GET /rest/v1.0/things?project_id={project_id}&box_id={box_id}&permanent=true"
    )
    assert paging_of(things.list_) == "all in one answer"
    assert scope_words(things) == "project_id, box_id"
    assert body_of(things.create) == (
        '{"thing": {…}} beside box_id, hours; name in the query; a form if a file is in it'
    )


def test_filters_and_orders_are_told(things: Resource) -> None:
    assert things.list_
    (by_name,) = things.list_.filters
    assert filter_words(by_name) == "one value of oak, elm; 0 unless asked for"
    assert sort_words(things.list_) == "name (sort[attribute])"


def test_document_tells_what_is_sent_as_what(things: Resource) -> None:
    document = document_of(things)
    assert document["id_type"] == "string"
    assert document["sync"] is None
    fields = document["fields"]
    assert isinstance(fields, list)
    told = {field["name"]: (field["type"], field["sent_as"], field["required"]) for field in fields}
    assert told == {
        "id": ("key", None, False),
        "name": ("string", "string", True),
        "hours": ("string", "number", False),
        "gone": ("date", None, False),
    }


def test_every_table_can_be_told() -> None:
    for resource in CATALOG:
        assert document_of(resource)["name"] == resource.name
        assert set(letters_of(resource)) != {"-"}
        for verb, endpoint in operations_of(resource):
            assert request_of(resource, verb, endpoint).split()[1].startswith("/rest/v")

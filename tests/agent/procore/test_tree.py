from collections.abc import Iterator

import pytest

from cloud_connect.tree import TreeNode
from cloud_connect_agent.procore.catalog import FieldSpec, Resource, load_catalog
from cloud_connect_agent.procore.observed import ObservedFields
from cloud_connect_agent.procore.tree import tree_of
from doubles.scripted_procore import source

CATALOG = load_catalog()


def nothing(_: Resource) -> list[FieldSpec]:
    return []


def tables(observed: ObservedFields | None = None) -> Iterator[TreeNode]:
    shown = observed or ObservedFields()
    for document in tree_of(CATALOG, lambda resource: shown.fields(source(), resource)):
        group = TreeNode.model_validate(document)
        for node in group.nodes:
            assert isinstance(node, TreeNode)
            yield node


def test_groups_hold_the_tables() -> None:
    groups = [TreeNode.model_validate(node) for node in tree_of(CATALOG, nothing)]
    assert [(group.text, group.selectable) for group in groups] == [
        ("Company", False),
        ("Project", False),
    ]
    assert all(group.nodes and not group.fields for group in groups)
    names = [node.name for group in groups for node in group.nodes]
    assert sorted(names) == sorted(resource.name for resource in CATALOG)
    assert len(set(names) | {group.name for group in groups}) == len(names) + 2


@pytest.mark.parametrize("table", list(tables()), ids=lambda table: str(table.name))
def test_tables_are_selectable_and_list_their_fields_twice(table: TreeNode) -> None:
    assert table.selectable
    assert table.type == "STRUCTURE"
    assert table.icon.startswith("fa fa-")
    assert table.nodes == table.fields
    assert len({(field.name, field.inout) for field in table.fields}) == len(table.fields)
    for field in table.fields:
        assert field.type in {"string", "text", "number", "date", "boolean"}
        assert field.text == field.title != ""
        assert field.icon == (
            "fa fa-arrow-right" if field.inout == "IMPORT" else "fa fa-arrow-left"
        )


def directions(table: str, field: str) -> set[str]:
    (found,) = (node for node in tables() if node.name == table)
    return {one.inout for one in found.fields if one.name == field}


def test_direction_of_fields() -> None:
    assert directions("rfis", "subject") == {"IMPORT", "EXPORT"}
    assert directions("rfis", "question.body") == {"IMPORT"}
    assert directions("rfis", "rfi_manager.name") == {"EXPORT"}
    assert directions("rfis", "project_id") == {"IMPORT", "EXPORT"}
    assert directions("rfi_replies", "rfi_id") == {"IMPORT", "EXPORT"}
    assert directions("companies", "name") == {"EXPORT"}


def test_fields_that_a_new_record_needs_say_so() -> None:
    (rfis,) = (node for node in tables() if node.name == "rfis")
    needed = {field.name for field in rfis.fields if field.desc}
    assert needed == {"project_id", "subject", "question.body", "rfi_manager_id", "assignee_ids"}


def test_fields_that_records_showed_are_listed_too() -> None:
    observed = ObservedFields()
    rfis = CATALOG.resource("rfis")
    fields: dict[str, object] = {
        "custom_field_1": {"data_type": "decimal", "value": 2.0},
        "custom_field_2": {"data_type": "lov_entries", "value": []},
        "not custom": {"data_type": "string"},
        "custom_field_3": 7,
    }
    row: dict[str, object] = {
        "id": 1,
        "custom_fields": fields,
        "flagged": True,
        "weight": 2.5,
        "box": {"a": 1},
        "tags": ["a"],
        "on": "2026-11-24",
        "at": "2026-11-24T10:00:00Z",
        "name2": "x",
        "Not A Name": 1,
        "x" * 200: 1,
    }
    observed.note(source(), rfis, [row])
    (table,) = (node for node in tables(observed) if node.name == "rfis")
    known = {spec.name for spec in rfis.fields} | {"project_id"}
    shown = {(one.name, one.type, one.inout) for one in table.fields if one.name not in known}
    assert shown == {
        ("custom_field_1", "number", "EXPORT"),
        ("custom_field_1", "number", "IMPORT"),
        ("custom_field_2", "text", "EXPORT"),
        ("custom_field_2", "text", "IMPORT"),
        ("flagged", "boolean", "EXPORT"),
        ("weight", "number", "EXPORT"),
        ("box", "text", "EXPORT"),
        ("tags", "text", "EXPORT"),
        ("on", "date", "EXPORT"),
        ("at", "date", "EXPORT"),
        ("name2", "string", "EXPORT"),
    }
    assert observed.knows(source(), rfis, "box")
    assert not observed.knows(source(), CATALOG.resource("vendors"), "box")


def test_columns_are_shown_as_procore_titles_them_and_names_as_people_read_them() -> None:
    observed = ObservedFields()
    row: dict[str, object] = {"Cost to Date": 1, "% Complete": 2, "rfi_url": "x"}
    budget, rfis = (CATALOG.resource(name) for name in ("budget_detail_rows", "rfis"))
    for resource in (budget, rfis):
        observed.note(source(), resource, [row])
    labels = {spec.name: spec.label for spec in observed.fields(source(), budget)}
    assert labels == {
        "Cost to Date": "Cost to Date",
        "% Complete": "% Complete",
        "rfi_url": "rfi_url",
    }
    assert [spec.label for spec in observed.fields(source(), rfis)] == ["RFI URL"]


def test_what_is_remembered_is_bounded() -> None:
    observed = ObservedFields()
    rfis = CATALOG.resource("rfis")
    observed.note(source(), rfis, [{f"f{number}": 1 for number in range(2000)}])
    assert len(observed.fields(source(), rfis)) == 300
    for company in range(1, 1100):
        observed.note(source().model_copy(update={"company_id": company}), rfis, [{"extra": 1}])
    assert observed.fields(source(), rfis) == []

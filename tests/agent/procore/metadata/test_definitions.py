"""What a company's field sets and definitions say, read from Procore's answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_agent.procore.catalog import Direction, load_catalog
from cloud_connect_agent.procore.metadata.definitions import company_fields, resources_of
from cloud_connect_agent.procore.values import FieldType

NAMES = frozenset(resource.name for resource in load_catalog())


@pytest.mark.parametrize(
    ("class_name", "tables"),
    [
        ("Rfi::Header", ("rfis",)),
        ("ConfigurableFieldSet::Rfi::Header", ("rfis",)),
        ("PunchItem", ("punch_items",)),
        ("Observations::Item", ("observations",)),
        ("PurchaseOrderContract", ("purchase_order_contracts",)),
        ("ManpowerLog", ("manpower_logs",)),
        ("SubmittalLog", ("submittals",)),
        ("Nonsense::Thing", ()),
        ("", ()),
        ("x" * 100_000, ()),
    ],
)
def test_class_of_a_field_set_leads_to_its_tables(class_name: str, tables: tuple[str, ...]) -> None:
    assert resources_of(class_name, NAMES) == tables


def test_tables_of_one_kind_share_a_field_set() -> None:
    names = frozenset({"vendors", "project_vendors", "submittals_v2", "company_users", "companies"})
    assert set(resources_of("Vendor", names)) == {"vendors", "project_vendors"}
    assert resources_of("Submittal", names) == ("submittals_v2",)
    assert resources_of("User", names) == ("company_users",)
    assert resources_of("Company", names) == ("companies",)


def field_set(class_name: str = "Rfi::Header", **fields: object) -> dict[str, object]:
    return {"id": 1, "class_name": class_name, "fields": fields}


def custom(**facts: object) -> dict[str, object]:
    return {"name": "x", "label": "Effort", "data_type": "decimal", "required": False, **facts}


def test_custom_fields_get_label_type_and_both_directions() -> None:
    found = company_fields(
        [field_set(custom_field_7=custom(), custom_field_8=custom(data_type="lov_entries"))],
        None,
        NAMES,
    )
    first, second = found.custom["rfis"]
    assert (first.name, first.label, first.type) == ("custom_field_7", "Effort", FieldType.NUMBER)
    assert first.direction is Direction.BOTH
    assert second.type is FieldType.LIST
    assert found.covered == {"rfis"}


def test_definition_tells_what_a_field_set_leaves_out() -> None:
    definitions = [
        {"id": 7, "label": "Due\n to", "data_type": "datetime", "active": True},
        {"id": 8, "label": "Old", "data_type": "string", "active": False},
        {"id": "9"},
        "nonsense",
    ]
    sets = [field_set(custom_field_7={"visible": True}, custom_field_8=custom(), custom_field_9={})]
    found = company_fields(sets, definitions, NAMES)
    (only,) = found.custom["rfis"]
    assert (only.name, only.label, only.type) == ("custom_field_7", "Due to", FieldType.DATETIME)
    assert found.active == frozenset({"custom_field_7"})
    assert found.lacks("custom_field_8")
    assert not found.lacks("custom_field_7")


def test_field_without_facts_is_named_after_itself() -> None:
    (only,) = company_fields([field_set(custom_field_7={})], None, NAMES).custom["rfis"]
    assert (only.label, only.type) == ("Custom field 7", FieldType.STRING)
    assert not company_fields([], None, NAMES).lacks("custom_field_7")


def test_what_a_field_set_requires_is_known_by_name() -> None:
    found = company_fields(
        [
            field_set(
                field_1={"name": "location", "visible": True, "required": True},
                field_2={"name": "subject", "visible": False, "required": True},
                custom_field_7=custom(required=True),
                field_3={"name": 5, "required": True},
                field_4="nonsense",
            ),
            field_set(due_date={"required": True}),
        ],
        None,
        NAMES,
    )
    assert found.required["rfis"] == {"location", "custom_field_7", "due_date"}


def test_number_of_custom_fields_is_bounded() -> None:
    many = {f"custom_field_{number}": custom() for number in range(1000)}
    large = {"class_name": "Rfi::Header", "fields": many}
    assert len(company_fields([large], None, NAMES).custom["rfis"]) == 300


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["fields", "class_name", "type", "id", "name", "custom_field_1", "label"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(anything, max_size=4), st.none() | st.lists(anything, max_size=4))
def test_nonsense_of_procore_defines_nothing_that_breaks(
    sets: list[object], definitions: list[object] | None
) -> None:
    found = company_fields(sets, definitions, NAMES)
    assert set(found.custom) <= NAMES

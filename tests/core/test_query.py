import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import (
    Action,
    Condition,
    FilterMode,
    Group,
    Junction,
    Operator,
    Query,
)

DOCUMENTED = b"""{
  "id": null, "action": "select", "signature": null,
  "info": {"text": "RFIs", "name": "rfis", "type": "STRUCTURE", "filter": ""},
  "fields": ["id", "subject"],
  "conditions": [
    {"group": "and", "id": "1", "conditions": [
      {"id": "2", "operator": "eq", "group": "and",
       "arg1": {"name": "status", "text": "Status", "type": "string"},
       "arg2": {"name": "name", "type": "field", "value": "open", "date1": null, "date2": null}}]}
  ],
  "filter": "", "filterBy": "subject", "filterMode": "startswith",
  "orderBy": "created_at", "orderAscending": false,
  "paging": null, "rowLimit": 100, "mappings": {"subject": "New door"}
}"""


def query(**members: object) -> Query:
    return Query.parse({"action": "select", "info": {"name": "rfis"}, **members})


def condition(
    operator: object = "eq", field: object = "status", **arg2: object
) -> dict[str, object]:
    return {"operator": operator, "arg1": {"name": field}, "arg2": arg2}


def test_documented_query_is_read_as_it_stands() -> None:
    parsed = Query.parse(DOCUMENTED)
    assert parsed.action is Action.SELECT
    assert parsed.info.name == "rfis"
    assert parsed.fields == ("id", "subject")
    assert parsed.filter_mode is FilterMode.STARTSWITH
    assert (parsed.order_by, parsed.order_ascending) == ("created_at", False)
    assert (parsed.paging, parsed.row_limit) == (None, 100)
    assert parsed.mappings == {"subject": "New door"}
    group = parsed.condition
    assert group is not None
    inner = group.conditions[0]
    assert isinstance(inner, Group)
    only = inner.conditions[0]
    assert isinstance(only, Condition)
    assert (only.field, only.operator, only.arg2.value) == ("status", Operator.EQ, "open")


def test_action_and_table_are_all_that_a_query_needs() -> None:
    parsed = query()
    assert parsed.condition is None
    assert parsed.row_limit is None
    assert parsed.fields == ()
    assert parsed.order_ascending


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("create", Action.INSERT),
        ("insert", Action.INSERT),
        ("read", Action.SELECT),
        ("Select", Action.SELECT),
        ("update", Action.UPDATE),
        ("remove", Action.DELETE),
        ("delete", Action.DELETE),
    ],
)
def test_actions_have_synonyms(name: str, action: Action) -> None:
    assert query(action=name).action is action


@pytest.mark.parametrize("operator", list(Operator))
def test_every_operator_is_known(operator: Operator) -> None:
    parsed = query(conditions=[condition(operator.value.upper(), value=1)])
    assert parsed.condition is not None


def test_members_that_are_not_known_are_ignored() -> None:
    assert query(foo=1, info={"name": "rfis", "bar": 2}).info.name == "rfis"


def test_fields_may_repeat_and_may_be_objects() -> None:
    assert query(fields=["id", "id", {"name": "subject"}]).fields == ("id", "id", "subject")


def test_mappings_come_as_an_object_or_as_pairs() -> None:
    pairs = [{"left": {"value": 7}, "right": {"name": "rfi_manager_id"}}]
    expected = {"rfi_manager_id": 7}
    assert query(mappings=pairs).mappings == expected
    assert query(mappings=expected).mappings == expected
    assert query(info={"name": "rfis", "mappings": {"inputmappings": pairs}}).mappings == expected
    assert query(info={"name": "rfis", "mappings": []}).mappings == {}


def test_empty_groups_choose_nothing() -> None:
    assert query(conditions=[]).condition is None
    assert query(conditions=[{"group": "or", "conditions": []}]).condition is None
    assert query(conditions=[{"conditions": None}, {"conditions": [{"conditions": []}]}]) == query()


@pytest.mark.parametrize("empty", [None, []])
def test_condition_whose_empty_members_are_written_is_one(empty: object) -> None:
    """Ignoring it would have an update or a delete reach more records."""
    plain = condition()
    one = {**plain, "group": "and", "conditions": empty}
    assert query(conditions=[one]) == query(conditions=[plain])
    group: dict[str, object] = {
        "group": "and", "operator": None, "arg1": {}, "conditions": [plain],
    }  # fmt: skip
    assert query(conditions=[group]) == query(conditions=[{"conditions": [plain]}])
    with pytest.raises(InvalidRequestError, match="as a group"):
        query(conditions=[{**plain, "conditions": [plain]}])


def test_groups_nest_and_a_single_group_needs_no_list() -> None:
    nested = {"group": "or", "conditions": [condition(), {"conditions": [condition()]}]}
    parsed = query(conditions=nested)
    assert parsed.condition is not None
    assert parsed.condition.group is Junction.AND
    inner = parsed.condition.conditions[0]
    assert isinstance(inner, Group)
    assert inner.group is Junction.OR


def test_condition_of_three_parts_is_the_one_that_a_query_writes() -> None:
    made = Condition.of("status", Operator.EQ, "open")
    written = {"operator": "eq", "arg1": {"name": "status"}, "arg2": {"value": "open"}}
    assert made == Condition.model_validate(written)
    assert made.field == "status"


def test_condition_that_needs_no_value_has_none() -> None:
    parsed = query(conditions=[{"operator": "isblank", "arg1": {"name": "subject"}, "arg2": None}])
    assert parsed.condition is not None


def test_flags_and_limits_are_read_from_text_too() -> None:
    parsed = query(rowLimit="25", multiple="true", orderAscending="False")
    assert (parsed.row_limit, parsed.multiple, parsed.order_ascending) == (25, True, False)
    assert query(rowLimit="").row_limit is None


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"action": "explode"}, "“explode”"),
        ({"action": None}, "action “None”"),
        ({"info": None}, "info.name"),
        ({"info": {"name": 7}}, "info.name"),
        ({"info": {"name": "rfis", "filter": "x"}}, "info.filter"),
        ({"fields": "id"}, "fields"),
        ({"fields": [7]}, "“7”"),
        ({"fields": ["x"] * 501}, "500"),
        ({"conditions": "all"}, "conditions"),
        ({"conditions": ["all"]}, "“all”"),
        ({"conditions": [{}]}, "arg1.name"),
        ({"conditions": [{"operator": "eq", "arg1": {"name": ""}}]}, "arg1.name"),
        ({"conditions": [condition("like")]}, "“like”"),
        ({"conditions": [condition(None)]}, "“None”"),
        ({"conditions": [{**dict.fromkeys(["arg2"], 7), "arg1": {"name": "a"}}]}, "operator"),
        ({"conditions": [{"operator": "eq", "arg1": {"name": "a"}, "arg2": 7}]}, "arg2"),
        ({"conditions": [condition(), {"arg2": {}}]}, "arg1.name"),
        ({"conditions": [{"group": "xor", "conditions": []}]}, "“xor”"),
        ({"conditions": [{"group": 1, "conditions": []}]}, "“1”"),
        ({"conditions": [{"conditions": "x"}]}, "conditions"),
        ({"conditions": [condition()] * 501}, "500"),
        ({"filterMode": "regex"}, "“regex”"),
        ({"filterMode": 3}, "“3”"),
        ({"filter": 7}, "“filter”"),
        ({"orderBy": ["id"]}, "“orderBy”"),
        ({"orderAscending": "maybe"}, "“orderAscending”"),
        ({"multiple": 1}, "“multiple”"),
        ({"rowLimit": -1}, "“rowLimit”"),
        ({"rowLimit": "many"}, "“rowLimit”"),
        ({"rowLimit": True}, "“rowLimit”"),
        ({"paging": "x" * 5000}, "“paging”"),
        ({"mappings": "subject"}, "mappings"),
        ({"mappings": ["subject"]}, "right.name"),
        ({"mappings": [{"right": {"name": "subject"}}]}, "left.value"),
        ({"mappings": {"": 1}}, "without a name"),
        ({"mappings": {f"f{n}": n for n in range(501)}}, "500"),
    ],
)
def test_values_that_are_not_known_are_refused_by_name(
    members: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        query(**members)
    assert named in refusal.value.message


def test_conditions_nest_only_so_deep() -> None:
    nested: object = condition()
    for _ in range(30):
        nested = {"conditions": [nested]}
    with pytest.raises(InvalidRequestError, match="deeper"):
        query(conditions=[nested])


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        query(action="x" * 1000)
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"x"', b"\xff"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="query"):
        Query.parse(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
MEMBERS = ("action", "info", "fields", "conditions", "filter", "filterBy", "filterMode")
OTHERS = ("orderBy", "orderAscending", "paging", "rowLimit", "mappings", "multiple")


@given(st.dictionaries(st.sampled_from(MEMBERS + OTHERS), JSON))
def test_any_object_is_a_query_or_a_refusal(document: dict[str, object]) -> None:
    with contextlib.suppress(InvalidRequestError):
        assert query(**document).info.name


@pytest.mark.parametrize("member", ["dryRun", "dryrun", "dry_run", "DryRun"])
def test_dry_run_is_understood_however_it_is_spelt(member: str) -> None:
    assert query(**{member: True}).dry_run
    assert query(**{member: "true"}).dry_run
    assert not query(**{member: False}).dry_run
    with pytest.raises(InvalidRequestError, match=f"“{member}” must be true or false"):
        query(**{member: "perhaps"})


def test_query_writes_in_earnest_unless_it_says_otherwise() -> None:
    assert not query().dry_run
    assert query(dryRun=False, dry_run=True).dry_run


def test_insert_may_bring_several_records() -> None:
    pairs = [{"left": {"value": "B"}, "right": {"name": "name"}}]
    parsed = query(action="insert", records=[{"name": "A"}, pairs])
    assert parsed.records == ({"name": "A"}, {"name": "B"})
    assert query(action="insert", mappings={"name": "A"}).records is None


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"records": []}, "hold some"),
        ({"records": {"name": "A"}}, "must be a list"),
        ({"records": [{"name": "A"}, 7]}, r"“records\[1\]” must be an object"),
        ({"records": [{"name": "A"}, {}]}, r"“records\[1\]” is empty"),
        ({"records": [{"": "A"}]}, "without a name"),
        ({"records": [[{"left": {"value": 1}}]]}, "names no field"),
        ({"records": [{"name": "A"}] * 5001}, "at most 5000 records"),
        ({"records": [{"a": 1}], "mappings": {"b": 1}}, "not both"),
        ({"records": [{"a": 1}], "action": "update"}, "only an insert"),
    ],
)
def test_records_that_are_none_are_refused(members: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        query(**{"action": "insert", **members})

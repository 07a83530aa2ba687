import time
from datetime import UTC, datetime

import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Argument, Condition, Group, Junction, Operator
from cloud_connect_agent.procore.filters import fields_of, operands, predicate
from cloud_connect_agent.procore.values import Calendar, FieldType

CALENDAR = Calendar(now=datetime(2026, 11, 24, 12, tzinfo=UTC), zone=UTC)
TYPES = {
    "id": FieldType.INTEGER,
    "number": FieldType.STRING,
    "due_date": FieldType.DATE,
    "created_at": FieldType.DATETIME,
    "total": FieldType.MONEY,
    "private": FieldType.BOOLEAN,
    "subject": FieldType.STRING,
}
ROW = {
    "id": 562949953421313,
    "number": "007",
    "subject": "Door (West)",
    "due_date": "2026-11-24",
    "created_at": "2026-11-20T23:30:00Z",
    "total": "1000.50",
    "private": False,
    "note": "",
    "nothing": None,
    "manager": {"id": 7, "name": "Ada"},
    "people": [{"name": "Ada"}, {"name": "Ben"}],
    "nobody": [],
    "custom_fields": {"custom_field_7": {"data_type": "decimal", "value": 4.0}},
    "custom_field_8": {"id": 1, "label": "Open"},
    "custom_field_9": [{"id": 1, "label": "Open"}, {"id": 20, "label": "7 days"}],
    "shape": {"id": 1, "corners": 4},
    "nowhere": {},
}


def holds(field: str, operator: str, value: object = None, **dates: object) -> bool:
    condition = Condition(
        operator=Operator(operator),
        arg1=Argument(name=field),
        arg2=Argument(value=value, **dates),
    )
    tree = Group(conditions=(condition,))
    return predicate(tree, TYPES.get, CALENDAR)(ROW)


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("id", "eq", 562949953421313),
        ("id", "eq", "562949953421313"),
        ("id", "ne", 562949953421312),
        ("id", "gt", "562949953421312"),
        ("id", "contains", "1313"),
        ("id", "in", "1, 562949953421313"),
        ("id", "in", [1, 562949953421313]),
        ("id", "in", 562949953421313),
        ("id", "notin", "1,2"),
        ("subject", "eq", "door (west)"),
        ("subject", "contains", "OOR"),
        ("subject", "notcontains", "window"),
        ("subject", "startswith", "DOOR"),
        ("subject", "endswith", "west)"),
        ("subject", "matches", "d??r (*"),
        ("subject", "matches", "*west*"),
        ("subject", "matches", "door (west)"),
        ("subject", "matches", "*"),
        ("subject", "isnotblank", None),
        ("number", "eq", "007"),
        ("number", "lt", "10"),
        ("total", "eq", 1000.5),
        ("total", "ge", "1000.50"),
        ("total", "le", 1000.50),
        ("total", "lt", "1000.51"),
        ("total", "isbetween", "1000, 1001"),
        ("private", "eq", "false"),
        ("private", "ne", True),
        ("private", "contains", "fal"),
        ("note", "isblank", None),
        ("nothing", "isblank", None),
        ("nobody", "isblank", None),
        ("absent", "isblank", None),
        ("note", "eq", ""),
        ("nobody", "eq", None),
        ("subject", "ne", None),
        ("nothing", "ne", "x"),
        ("nothing", "notcontains", "x"),
        ("nothing", "notin", "x"),
        ("subject", "notin", []),
        ("manager.name", "eq", "ada"),
        ("manager", "eq", "ada"),
        ("people", "in", "cid, ben"),
        ("custom_field_8", "eq", "open"),
        ("custom_field_8", "eq", 1),
        ("custom_field_8", "in", ["Closed", "Open"]),
        ("custom_field_8", "startswith", "o"),
        ("custom_field_8", "gt", "Closed"),
        ("custom_field_8", "ne", "Closed"),
        ("custom_field_8", "isnotblank", None),
        ("custom_field_9", "eq", "7 days"),
        ("custom_field_9", "eq", 20),
        ("custom_field_9", "ne", 21),
        ("nowhere", "isblank", None),
        ("nowhere", "ne", "x"),
        ("people.name", "eq", "ben"),
        ("people.name", "contains", "be"),
        ("people.1.name", "eq", "ben"),
        ("custom_fields.custom_field_7.value", "eq", 4),
        ("custom_field_7", "ge", "4"),
        ("due_date", "eq", "2026-11-24"),
        ("due_date", "istoday", None),
        ("due_date", "isbefore", "2026-11-25"),
        ("due_date", "isafter", "2026-11-23T10:00:00Z"),
        ("due_date", "isbetween", ["2026-11-24", "2026-11-24"]),
        ("due_date", "isbetween", "2026-11-01...2026-11-30"),
        ("due_date", "inlastdays", 0),
        ("due_date", "innextdays", "3"),
        ("created_at", "eq", "2026-11-20"),
        ("created_at", "isbeforetoday", None),
        ("created_at", "inlastdays", 4),
        ("created_at", "lt", "2026-11-20T23:30:01Z"),
    ],
)
def test_condition_holds(field: str, operator: str, value: object) -> None:
    assert holds(field, operator, value)


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("id", "eq", 562949953421312),
        ("id", "eq", "seven"),
        ("id", "in", []),
        ("number", "eq", "7"),
        ("subject", "in", "Door"),
        ("subject", "notin", ["DOOR (WEST)"]),
        ("subject", "matches", "door"),
        ("subject", "matches", "door [west]"),
        ("subject", "isblank", None),
        ("nothing", "eq", "x"),
        ("nothing", "contains", "x"),
        ("nothing", "lt", 5),
        ("nothing", "matches", "*"),
        ("nothing", "isbetween", "1,2"),
        ("nothing", "istoday", None),
        ("subject", "istoday", None),
        ("subject", "isbetween", "1,2"),
        ("people.name", "ne", "ada"),
        ("people.name", "notcontains", "be"),
        ("people.name", "eq", "cid"),
        ("people.7.name", "eq", "ada"),
        ("manager", "ne", "ada"),
        ("custom_field_8", "ne", "Open"),
        ("custom_field_8", "notin", "open, closed"),
        ("custom_field_8", "eq", "Closed"),
        ("custom_field_8", "contains", "label"),
        ("custom_field_8", "contains", "1"),
        ("custom_field_8", "isblank", None),
        ("custom_field_9", "ne", "open"),
        ("custom_field_9", "notcontains", "days"),
        ("nowhere", "eq", "x"),
        ("due_date", "isbeforetoday", None),
        ("due_date", "isaftertoday", None),
        ("due_date", "isbefore", "2026-11-24"),
        ("created_at", "inlastdays", 3),
        ("created_at", "innextdays", 30),
        ("created_at", "isaftertoday", None),
    ],
)
def test_condition_does_not_hold(field: str, operator: str, value: object) -> None:
    assert not holds(field, operator, value)


def test_dates_come_in_members_of_their_own() -> None:
    assert holds("due_date", "isbetween", date1="2026-11-01", date2="2026-11-30")
    assert holds("due_date", "isafter", date1="2026-11-01")
    assert not holds("due_date", "isbetween", date1="2026-12-01", date2="2026-12-30")


def test_groups_join_by_their_word() -> None:
    yes, no = (Condition.of("id", op, 562949953421313) for op in (Operator.EQ, Operator.NE))
    cases = [
        (Group(group=Junction.AND, conditions=(yes, no)), False),
        (Group(group=Junction.OR, conditions=(yes, no)), True),
        (Group(conditions=(yes, Group(group=Junction.OR, conditions=(no, yes)))), True),
        (Group(conditions=(yes, Group(group=Junction.OR, conditions=(no, no)))), False),
    ]
    assert [predicate(tree, TYPES.get, CALENDAR)(ROW) for tree, _ in cases] == [
        expected for _, expected in cases
    ]
    assert predicate(None, TYPES.get, CALENDAR)(ROW)
    assert fields_of(cases[2][0]) == {"id"}
    assert fields_of(None) == set()


@pytest.mark.parametrize(
    ("field", "operator", "value", "said"),
    [
        ("subject", "contains", "", "needs a value"),
        ("subject", "startswith", None, "needs a value"),
        ("id", "lt", None, "needs a value"),
        ("id", "lt", "seven", "needs a number"),
        ("total", "isbetween", "a,b", "needs a number"),
        ("subject", "isbetween", "a,b", "needs a number"),
        ("due_date", "gt", "soon", "needs a date"),
        ("due_date", "isbefore", "soon", "needs a date"),
        ("subject", "isafter", "soon", "needs a date"),
        ("due_date", "eq", "31.12.2026", "needs a date"),
        ("due_date", "ne", "31.12.2026", "needs a date"),
        ("due_date", "in", "2026-11-24,soon", "needs a date"),
        ("due_date", "notin", ["2026-02-30"], "needs a date"),
        ("due_date", "isbetween", "2026-11-24", "needs two values"),
        ("due_date", "isbetween", None, "needs a value"),
        ("due_date", "inlastdays", "many", "number of days"),
        ("due_date", "innextdays", -1, "number of days"),
        ("due_date", "innextdays", 10**9, "number of days"),
        ("subject", "matches", "x" * 300, "256"),
        ("subject", "contains", ["x"], "needs one value"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    field: str, operator: str, value: object, said: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        holds(field, operator, value)
    assert said in refusal.value.message
    assert f"“{field}”" in refusal.value.message


def test_no_pattern_takes_long() -> None:
    row = {"subject": "a" * 100_000}
    pattern = Condition.of("subject", Operator.MATCHES, "*a" * 120 + "*b?")
    test = predicate(Group(conditions=(pattern,)), TYPES.get, CALENDAR)
    started = time.perf_counter()
    assert not test(row)
    assert time.perf_counter() - started < 1.0


def test_operands_are_listed() -> None:
    assert operands(Condition.of("id", Operator.IN, "1, 2,,3 ")) == ["1", "2", "3"]
    assert operands(Condition.of("id", Operator.IN)) == []
    assert operands(Condition.of("id", Operator.EQ, "1,2")) == ["1,2"]


@pytest.mark.parametrize("operator", ["eq", "ne", "in", "notin", "contains", "lt"])
def test_objects_of_which_nothing_is_seen_are_not_compared(operator: str) -> None:
    """Nothing would be equal to them and everything not: a deletion would reach all of them."""
    with pytest.raises(InvalidRequestError, match="needs a part of the field"):
        holds("shape", operator, "x")
    assert holds("shape.corners", "eq", 4)
    assert holds("shape", "isnotblank")

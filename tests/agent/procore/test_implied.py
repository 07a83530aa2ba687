from datetime import UTC, date, datetime

import pytest

from cloud_connect.query import Argument, Condition, Group, Junction, Operator
from cloud_connect_agent.procore.implied import (
    Days,
    compares_with_nothing,
    implied_days,
    implied_values,
)
from cloud_connect_agent.procore.values import Calendar

CALENDAR = Calendar(now=datetime(2026, 11, 24, 12, tzinfo=UTC), zone=UTC)
TODAY = date(2026, 11, 24)


def one(operator: str, value: object = None, field: str = "id", **dates: object) -> Condition:
    return Condition(
        operator=Operator(operator),
        arg1=Argument(name=field),
        arg2=Argument(value=value, **dates),
    )


def both(*parts: Condition | Group) -> Group:
    return Group(conditions=parts)


def either(*parts: Condition | Group) -> Group:
    return Group(group=Junction.OR, conditions=parts)


@pytest.mark.parametrize(
    ("tree", "values"),
    [
        (None, None),
        (one("eq", "007"), (7,)),
        (one("eq", 562949953421313), (562949953421313,)),
        (one("eq", "Open"), ("open",)),
        (one("eq", value=False), ("false",)),
        (one("eq"), (None,)),
        (one("in", "1, 2, 1"), (1, 2)),
        (one("in", []), ()),
        (one("gt", 1), None),
        (one("eq", 1, "other"), None),
        (both(one("in", "1,2,3"), one("in", "2,3,4")), (2, 3)),
        (both(one("eq", 1), one("gt", 0)), (1,)),
        (both(one("eq", 1), one("eq", 2)), ()),
        (either(one("eq", 1), one("eq", 2)), (1, 2)),
        (either(one("eq", 1), one("gt", 2)), None),
        (both(either(one("eq", 1), one("eq", 2)), one("eq", 2)), (2,)),
        (both(one("gt", 1)), None),
    ],
)
def test_values_that_conditions_leave(
    tree: Condition | Group | None, values: tuple[object, ...] | None
) -> None:
    assert implied_values(tree, "id") == values


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("tree", "days"),
    [
        (None, Days()),
        (one("eq", "2026-11-01"), Days(day("2026-11-01"), day("2026-11-01"))),
        (one("in", "2026-11-01,2026-11-05"), Days(day("2026-11-01"), day("2026-11-05"))),
        (one("lt", "2026-11-01"), Days(None, day("2026-11-01"))),
        (one("ge", "2026-11-01"), Days(day("2026-11-01"), None)),
        (one("isbetween", date1="2026-11-01", date2="2026-11-05T10:00:00Z"),
         Days(day("2026-11-01"), day("2026-11-05"))),
        (one("istoday"), Days(TODAY, TODAY)),
        (one("isbeforetoday"), Days(None, TODAY)),
        (one("isaftertoday"), Days(TODAY, None)),
        (one("inlastdays", 10), Days(day("2026-11-14"), TODAY)),
        (one("innextdays", "6"), Days(TODAY, day("2026-11-30"))),
        (one("eq", "soon"), Days()),
        (one("in", []), Days()),
        (one("ne", "2026-11-01"), Days()),
        (one("eq", "2026-11-01", "other"), Days()),
        (both(one("ge", "2026-11-01"), one("le", "2026-11-05")),
         Days(day("2026-11-01"), day("2026-11-05"))),
        (either(one("eq", "2026-11-01"), one("eq", "2026-11-09")),
         Days(day("2026-11-01"), day("2026-11-09"))),
        (either(one("eq", "2026-11-01"), one("ge", "2026-12-01")), Days(day("2026-11-01"), None)),
        (either(one("le", "2026-11-01"), one("isnotblank")), Days()),
        (both(one("eq", "2026-11-01"), one("eq", 1, "x")),
         Days(day("2026-11-01"), day("2026-11-01"))),
    ],
)  # fmt: skip
def test_days_that_conditions_leave(tree: Condition | Group | None, days: Days) -> None:
    assert implied_days(tree, "id", CALENDAR) == days


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        (one("eq", 1), None),
        (one("eq"), "id"),
        (one("eq", ""), "id"),
        (one("in", ""), "id"),
        (one("notin", []), "id"),
        (one("in", [1, None]), "id"),
        (one("isblank"), None),
        (one("istoday"), None),
        (one("isbefore", date1="2026-01-01"), None),
        (one("isbetween", date1="2026-01-01"), "id"),
        (both(one("eq", 1), either(one("eq", 2), one("eq", "", "subject"))), "subject"),
    ],
)
def test_conditions_without_a_value_are_found(tree: Condition | Group, field: str | None) -> None:
    assert compares_with_nothing(tree) == field

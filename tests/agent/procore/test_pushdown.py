from datetime import UTC, datetime, timedelta, timezone

import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Condition, Group, Operator
from cloud_connect_agent.procore.catalog import (
    FilterKind,
    Resource,
    ServerFilter,
    load_catalog,
)
from cloud_connect_agent.procore.pushdown import server_query
from cloud_connect_agent.procore.values import Calendar

CALENDAR = Calendar(now=datetime(2026, 11, 24, 12, tzinfo=UTC), zone=UTC)


def sent(resource: str, *conditions: tuple[str, str, object]) -> list[tuple[str, str]]:
    parts = tuple(Condition.of(f, Operator(op), value) for f, op, value in conditions)
    tree = Group(conditions=parts) if parts else None
    return list(server_query(load_catalog().resource(resource), tree, CALENDAR))


def filtered(kind: FilterKind, *conditions: tuple[str, str, object]) -> list[tuple[str, str]]:
    """What a list with one filter, on ``on``, is asked."""
    parts = tuple(Condition.of(f, Operator(op), value) for f, op, value in conditions)
    spec = ServerFilter(field="on", kind=kind, parameters=("p",))
    return list(server_query(things(spec), Group(conditions=parts) if parts else None, CALENDAR))


def things(*filters: ServerFilter) -> Resource:
    fields = {"id": "key out", "on": "date out", "tags": "list out", "tags.id": "integer out"}
    fields["tags.on"] = "date out"
    table = {
        "name": "things",
        "text": "Things",
        "desc": "Some things",
        "icon": "fa fa-cube",
        "level": "company",
        "scope": [],
        "fields": fields,
        "list": {"version": "v1.0", "path": "/things", "filters": filters},
    }
    return Resource.model_validate(table)


def test_projects_are_listed_whatever_their_status_unless_one_is_asked_for() -> None:
    assert sent("projects") == [("filters[by_status]", "All")]
    assert sent("projects", ("active", "eq", True)) == [("filters[by_status]", "Active")]
    assert sent("projects", ("active", "eq", "false")) == [("filters[by_status]", "Inactive")]
    assert sent("projects", ("active", "ne", True)) == [("filters[by_status]", "All")]
    assert sent("projects", ("active", "in", "true,false")) == [("filters[by_status]", "All")]


def test_statuses_are_spelled_as_procore_spells_them() -> None:
    assert sent("rfis", ("status", "eq", "OPEN")) == [("filters[status]", "open")]
    assert sent("rfis", ("status", "eq", "whatever")) == []
    assert sent("observations", ("status", "eq", "closed")) == []
    assert sent("observations", ("priority", "eq", "high")) == [("filters[priority][]", "High")]
    assert sent("observations", ("priority", "in", "high,odd")) == []


def test_ids_are_repeated_and_bounded() -> None:
    assert sent("rfis", ("id", "in", [7, "8"])) == [
        ("filters[id][]", "7"),
        ("filters[id][]", "8"),
    ]
    assert sent("rfis", ("id", "in", list(range(1, 60)))) == []
    assert sent("rfis", ("id", "eq", "x")) == []
    assert sent("rfis", ("id", "eq", 10**30)) == []


def test_ranges_are_a_day_wider_than_asked_since_zones_differ() -> None:
    assert sent("rfis", ("updated_at", "ge", "2026-11-10")) == [
        ("filters[updated_at]", "2026-11-09T00:00:00Z...2199-12-31T23:59:59Z")
    ]
    assert sent("rfis", ("created_at", "isbetween", "2026-11-10...2026-11-12")) == [
        ("filters[created_at]", "2026-11-09T00:00:00Z...2026-11-13T23:59:59Z")
    ]


@pytest.mark.parametrize(
    "conditions",
    [
        [("created_at", "lt", "1965-01-01")],
        [("created_at", "lt", "0001-01-01")],
        [("created_at", "ge", "1965-01-01"), ("created_at", "lt", "2026-01-01")],
        [("created_at", "gt", "2250-01-01")],
        [("created_at", "lt", "9999-12-31")],
    ],
)
def test_range_beyond_the_open_ends_is_left_to_the_agent(
    conditions: list[tuple[str, str, object]],
) -> None:
    assert sent("rfis", *conditions) == []


@pytest.mark.parametrize(
    "condition",
    [("on", "lt", "1965-01-01"), ("on", "ge", "1965-01-01"), ("on", "gt", "2250-01-01")],
)
@pytest.mark.parametrize("kind", [FilterKind.DATES, FilterKind.SINCE])
def test_days_beyond_the_open_ends_are_left_to_the_agent(
    kind: FilterKind, condition: tuple[str, str, object]
) -> None:
    assert filtered(kind, condition) == []


@pytest.mark.parametrize(
    ("conditions", "start", "end"),
    [
        ([], "2000-01-01", "2027-11-25"),
        ([("comment", "contains", "x")], "2000-01-01", "2027-11-25"),
        ([("date", "eq", "2026-11-01")], "2026-11-01", "2026-11-01"),
        ([("date", "istoday", None)], "2026-11-24", "2026-11-24"),
        ([("date", "ge", "2026-11-01")], "2026-11-01", "2027-11-25"),
        ([("date", "ge", "2040-01-01")], "2040-01-01", "2041-01-01"),
        ([("date", "le", "2026-11-01")], "2000-01-01", "2026-11-01"),
        ([("date", "le", "1990-01-01")], "1990-01-01", "1990-01-01"),
        ([("date", "gt", "2026-11-05"), ("date", "lt", "2026-11-01")], "2026-11-05", "2026-11-05"),
    ],
)
def test_daily_logs_are_always_asked_for_with_both_dates(
    conditions: list[tuple[str, str, object]], start: str, end: str
) -> None:
    assert sent("accident_logs", *conditions) == [("start_date", start), ("end_date", end)]


def test_ranges_of_days_and_lower_ends_alone_are_sent_as_procore_writes_them() -> None:
    assert filtered(FilterKind.DATES, ("on", "ge", "2026-11-10"), ("on", "le", "2026-11-12")) == [
        ("p", "2026-11-09...2026-11-13")
    ]
    assert filtered(FilterKind.SINCE, ("on", "ge", "2026-11-10")) == [("p", "2026-11-09T00:00:00Z")]
    assert filtered(FilterKind.SINCE, ("on", "le", "2026-11-10")) == []
    assert filtered(FilterKind.SINCE) == []


def test_list_of_one_day_needs_that_day() -> None:
    assert filtered(FilterKind.DAY, ("on", "eq", "2026-11-10")) == [("p", "2026-11-10")]
    assert filtered(FilterKind.DAY, ("on", "istoday", None)) == [("p", "2026-11-24")]
    for conditions in ([], [("on", "ge", "2026-11-10")]):
        with pytest.raises(InvalidRequestError, match="“on” equals one date"):
            filtered(FilterKind.DAY, *conditions)


def test_time_of_an_evening_chooses_the_day_as_written_and_the_day_it_is_here() -> None:
    east = Calendar(now=CALENDAR.now, zone=timezone(timedelta(hours=2)))
    late = Group(conditions=(Condition.of("date", Operator.GE, "2026-11-01T23:00:00Z"),))
    accidents = load_catalog().resource("accident_logs")
    assert dict(server_query(accidents, late, east))["start_date"] == "2026-11-01"


def test_text_ids_are_sent_as_they_are() -> None:
    ids = ServerFilter(field="id", kind=FilterKind.MANY, parameters=("ids[]",))
    chosen = Group(conditions=(Condition.of("id", Operator.IN, ["01J9aB", 7]),))
    assert server_query(things(ids), chosen, CALENDAR) == (("ids[]", "01J9aB"), ("ids[]", "7"))
    for blank in (None, ""):
        nothing = Group(conditions=(Condition.of("id", Operator.EQ, blank),))
        assert server_query(things(ids), nothing, CALENDAR) == ()


def test_conditions_on_a_list_may_each_be_met_by_another_of_its_values() -> None:
    tags = ServerFilter(field="tags.id", kind=FilterKind.MANY, parameters=("tags[]",))
    days = ServerFilter(field="tags.on", kind=FilterKind.DATES, parameters=("on",))
    both = Group(
        conditions=(
            Condition.of("tags.id", Operator.IN, [1, 2, 3]),
            Condition.of("tags.id", Operator.IN, [3, 4]),
            Condition.of("tags.on", Operator.LT, "2026-11-10"),
            Condition.of("tags.on", Operator.GT, "2026-11-20"),
        )
    )
    assert server_query(things(tags, days), both, CALENDAR) == (
        ("tags[]", "3"),
        ("tags[]", "4"),
        ("on", "1970-01-01...2026-11-11"),
    )

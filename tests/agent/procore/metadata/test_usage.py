"""Which fields calls name: names only, bounded."""

from cloud_connect.calls import Filter
from cloud_connect.query import Query
from cloud_connect_agent.procore.metadata.usage import (
    Usage,
    Use,
    names_of_params,
    names_of_query,
)
from doubles.record_calls import condition, params


def test_every_member_of_a_query_that_names_fields_counts() -> None:
    query = Query.parse(
        {
            "action": "select",
            "info": {"name": "rfis"},
            "fields": ["a", "b"],
            "conditions": [{"conditions": [condition("c", "eq", "secret")]}],
            "filter": "typed",
            "filterBy": "d",
            "orderBy": "e",
            "mappings": {"f": "secret"},
        }
    )
    assert sorted(filter(None, names_of_query(query))) == ["a", "b", "c", "d", "e", "f"]
    insert = Query.parse(
        {"action": "insert", "info": {"name": "rfis"}, "records": [{"g": 1}, {"h": 2}]}
    )
    assert sorted(filter(None, names_of_query(insert))) == ["g", "h"]


def test_every_parameter_of_records_that_names_fields_counts() -> None:
    wanted = params(fields=("a",), filters=[Filter(field="b", value="secret")], sort=("-c", "d"))
    assert list(names_of_params(wanted, [{"e": "secret"}])) == ["a", "b", "c", "d", "e"]


def test_each_call_counts_once() -> None:
    usage = Usage()
    usage.note("rfis", ["a", "a"], at=1)
    usage.note("rfis", ["a"], at=2)
    assert list(usage.items()) == [(("rfis", "a"), Use(2, 2))]


def test_call_that_names_a_field_in_several_parts_counts_once() -> None:
    usage = Usage()
    names = ["question.body", "question.id", "custom_fields.custom_field_7.value", "custom_field_7"]
    usage.note("rfis", [*names, "custom_field_7.label", "custom_fields"], at=1)
    usage.note("rfis", ["question.body"], at=2)
    counts = {name: use.count for (_, name), use in usage.items()}
    assert counts["question"] == counts["question.body"] == 2
    assert counts["question.id"] == counts["custom_field_7"] == counts["custom_fields"] == 1


def test_names_that_are_none_are_not_kept() -> None:
    usage = Usage()
    usage.note("rfis", ["", "x" * 201, "a\nb"], at=1)
    assert list(usage.items()) == []


def test_names_are_bounded_and_the_oldest_make_room() -> None:
    usage = Usage()
    usage.note("rfis", ["first"], at=0)
    for number in range(2000):
        usage.note("rfis", [f"f{number}"], at=1)
    keys = [key for key, _ in usage.items()]
    assert len(keys) == 2000
    assert ("rfis", "first") not in keys


def test_counts_of_two_times_add_up() -> None:
    usage, other = Usage({("rfis", "a"): Use(2, 9.0)}), Usage({("rfis", "a"): Use(3, 4.0)})
    other.note("rfis", ["b"], at=5)
    usage.add(other)
    assert dict(usage.items()) == {("rfis", "a"): Use(5, 9.0), ("rfis", "b"): Use(1, 5)}
    copied = usage.copy()
    usage.note("rfis", ["c"], at=6)
    assert len(list(copied.items())) == 2

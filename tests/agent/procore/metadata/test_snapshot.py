"""Versions of a company's fields, and what has drifted of those in use."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_agent.procore.metadata.snapshot import (
    Field,
    Origin,
    Snapshot,
    drift_of,
    evolved,
)
from cloud_connect_agent.procore.metadata.usage import Usage
from cloud_connect_agent.procore.values import FieldType

Tables = dict[str, dict[str, Field]]


def fields(**types: FieldType) -> Tables:
    return {"rfis": {name: Field(type=kind, origin=Origin.SHOWN) for name, kind in types.items()}}


S, N, B = FieldType.STRING, FieldType.NUMBER, FieldType.BOOLEAN


def used(*names: str, at: float = 50.0) -> Usage:
    usage = Usage()
    for name in names:
        usage.note("rfis", [name], at=at)
    return usage


def test_new_version_is_taken_only_when_something_changed() -> None:
    first = evolved(None, fields(a=S), at=1)
    again = evolved(first, fields(a=S), at=2)
    second = evolved(again, fields(a=S, b=N), at=3)
    assert [one.version for one in (first, again, second)] == [1, 1, 2]
    assert (again.taken_at, again.checked_at) == (1, 2)
    assert [one.previous for one in (first, again, second)] == [None, None, 1]
    assert first.hash != second.hash


def test_label_and_origin_make_no_version() -> None:
    first = evolved(None, fields(a=S), at=1)
    labelled = {"rfis": {"a": Field(type=S, origin=Origin.DEFINED, label="A")}}
    again = evolved(first, labelled, at=2)
    assert again.version == 1
    assert again.fields["rfis"]["a"].label == "A"


def test_field_in_use_that_is_gone_is_told_with_when_it_was_seen() -> None:
    first = evolved(None, fields(a=S, b=S), at=1)
    second = evolved(evolved(first, fields(a=S, b=S), at=7), fields(a=S), at=9)
    usage = used("a", "b", "b", "c")
    (only,) = drift_of(second, usage)
    assert (only.table, only.name, only.kind) == ("rfis", "b", "gone")
    assert (only.last_seen, only.used, only.last_used) == (7, 2, 50)


def test_field_that_is_back_has_not_drifted() -> None:
    steps = [fields(a=S), fields(), fields(a=S)]
    snapshot: Snapshot | None = None
    for at, step in enumerate(steps):
        snapshot = evolved(snapshot, step, at=at)
    assert snapshot is not None
    assert snapshot.version == 3
    assert drift_of(snapshot, used("a")) == []


def test_field_in_use_whose_type_changed_is_told_until_it_changes_back() -> None:
    first = evolved(None, fields(a=S), at=1)
    second = evolved(first, fields(a=N), at=2)
    third = evolved(second, fields(a=B), at=3)
    back = evolved(third, fields(a=S), at=4)
    assert [one.kind for one in drift_of(second, used("a"))] == ["type_changed"]
    assert [one.kind for one in drift_of(third, used("a"))] == ["type_changed"]
    assert drift_of(back, used("a")) == []


def test_field_that_comes_back_as_another_one_is_told() -> None:
    first = evolved(None, fields(a=S), at=1)
    last = evolved(evolved(first, fields(), at=2), fields(a=N), at=3)
    assert [one.kind for one in drift_of(last, used("a"))] == ["type_changed"]


def test_names_of_a_field_are_counted_together() -> None:
    first = evolved(None, fields(custom_field_7=S, box=S), at=1)
    gone = evolved(first, fields(), at=2)
    usage = used("custom_field_7", "custom_fields.custom_field_7.value", "box.a")
    usage.note("rfis", ["custom_field_7"], at=60)
    box, custom = sorted(drift_of(gone, usage), key=lambda one: one.name)
    assert (custom.name, custom.used, custom.last_used) == ("custom_field_7", 3, 60)
    assert (box.name, box.used) == ("box", 1)


def test_last_used_field_comes_first() -> None:
    gone = evolved(evolved(None, fields(a=S, b=S), at=1), fields(), at=2)
    usage = used("a", at=9)
    usage.note("rfis", ["b"], at=3)
    assert [one.name for one in drift_of(gone, usage)] == ["a", "b"]


def test_what_is_remembered_is_bounded() -> None:
    snapshot = evolved(None, fields(), at=0)
    for at in range(30):
        many = {f"f{at}_{number}": S for number in range(100)}
        snapshot = evolved(snapshot, fields(**many), at=at)
    assert len(snapshot.gone) == 1000
    assert len(snapshot.history) == 20
    assert (snapshot.version, snapshot.previous) == (31, 30)


steps = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([S, N]), max_size=3), max_size=8
)


@given(steps)
def test_drift_is_the_difference_between_what_was_and_what_is(
    history: list[dict[str, FieldType]],
) -> None:
    snapshot: Snapshot | None = None
    for at, step in enumerate(history):
        snapshot = evolved(snapshot, fields(**step), at=at)
    if snapshot is None:
        return
    now = history[-1]
    seen = {name for step in history for name in step}
    gone = {one.name for one in drift_of(snapshot, used("a", "b", "c")) if one.kind == "gone"}
    assert gone == seen - now.keys()

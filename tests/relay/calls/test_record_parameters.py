import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.api.record_parameters import (
    dry_run_of,
    list_params,
    resource_params,
    show_params,
)


def test_parameters_that_are_not_given_are_left_out() -> None:
    assert list_params("rfis", []) == {"resource": "rfis"}
    assert list_params("rfis", [("sort", ""), ("fields", " , ")]) == {"resource": "rfis"}
    assert resource_params("rfis", "7", [("project_id", "1")]) == {
        "resource": "rfis",
        "record_id": "7",
        "scope": {"project_id": "1"},
    }


def test_lists_of_names_may_be_repeated() -> None:
    params = list_params("rfis", [("fields", "id, subject"), ("fields", "question.body")])
    assert params["fields"] == ["id", "subject", "question.body"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nonsense", "1"),
        ("Project_id", "1"),
        ("project_id", ""),
        ("project_id", "1" * 5000),
        ("filter", "1"),
        ("filter[]", "1"),
        ("filter[a", "1"),
        ("filter[a][]", "1"),
        ("filter[a][b][c]", "1"),
        ("filter[a][no operator]", "1"),
        ("filters[a]", "1"),
        ("limit", "-1"),
        ("limit", "many"),
        ("limit", "1.0"),
        ("limit", "9" * 17),
        ("page", "2"),
        ("sort", "s" * 5000),
    ],
)
def test_unknown_and_malformed_parameters_are_named(name: str, value: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        list_params("rfis", [(name, value)])
    assert f"'{name}" in caught.value.message


def test_value_longer_than_a_condition_takes_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="filter"):
        list_params("rfis", [("filter[a]", "x" * 5000)])


def test_control_characters_of_a_name_are_not_echoed() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        list_params("rfis", [("a\r\nb", "1")])
    assert "a??b" in caught.value.message


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ([("project_id", "1"), ("project_id", "2")], "twice"),
        ([(f"s{number}_id", "1") for number in range(17)], "16"),
        ([(f"filter[f{number}]", "1") for number in range(101)], "100"),
        ([("sort", ",".join("abcdefghijk"))], "10"),
        ([("fields", ",".join("f" for _ in range(501)))], "500"),
    ],
)
def test_too_much_is_refused(pairs: list[tuple[str, str]], named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named):
        list_params("rfis", pairs)


@pytest.mark.parametrize("resource", ["RFIs", "rfi-replies", "../x", "", "1a", "a" * 65])
def test_resource_names_are_in_snake_case(resource: str) -> None:
    with pytest.raises(InvalidRequestError, match="resource"):
        list_params(resource, [])


@pytest.mark.parametrize("record_id", ["", "a b", "../1", "1" * 65, "1%2F2"])
def test_record_ids_are_plain(record_id: str) -> None:
    with pytest.raises(InvalidRequestError, match="id of a record"):
        resource_params("rfis", record_id, [])


def test_one_record_takes_no_list_parameters() -> None:
    with pytest.raises(InvalidRequestError, match="'limit'"):
        resource_params("rfis", "1", [("limit", "1")])


def test_dry_run_is_told_from_the_scope_ids() -> None:
    pairs = [("project_id", "1"), ("dry_run", "true")]
    assert dry_run_of(pairs) == ([("project_id", "1")], True)
    assert dry_run_of([("dry_run", "false")]) == ([], False)
    assert dry_run_of([]) == ([], False)


@pytest.mark.parametrize(
    "pairs",
    [
        [("dryRun", "1")],
        [("dryRun", "")],
        [("dryRun", "True")],
        [("dryRun", "true"), ("dry_run", "false")],
    ],
)
def test_dry_run_that_may_be_none_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequestError, match="'dryRun' must be true or false"):
        dry_run_of(pairs)


def test_one_record_is_shown_whole_or_in_some_fields() -> None:
    assert show_params("rfis", "7", []) == {"resource": "rfis", "record_id": "7"}
    assert show_params("rfis", "7", [("fields", "id, subject"), ("project_id", "1")]) == {
        "resource": "rfis",
        "record_id": "7",
        "fields": ["id", "subject"],
        "scope": {"project_id": "1"},
    }
    with pytest.raises(InvalidRequestError, match="'sort' is not known; there are fields and"):
        show_params("rfis", "7", [("sort", "id")])
    with pytest.raises(InvalidRequestError, match="'fields' names more than"):
        show_params("rfis", "7", [("fields", "a," * 600)])

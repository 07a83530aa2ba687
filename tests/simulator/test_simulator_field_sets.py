"""Custom fields as a company defines them, and field sets that demand them."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, LARGE_COMPANY, PROJECT, Simulator

DEFINITIONS = f"/rest/v1.1/companies/{COMPANY}/custom_field_definitions"
OLD = "/rest/v1.0/custom_field_definitions"
SETS = f"/rest/v1.0/companies/{COMPANY}/configurable_field_sets"
PUNCH = "/rest/v1.1/punch_items"
QUERY = {"project_id": PROJECT}


def test_definitions_name_what_records_carry_under_numbers(api: httpx.Client) -> None:
    rows = api.get(DEFINITIONS).json()
    record = api.get(PUNCH, params=QUERY).json()[0]
    assert {f"custom_field_{row['id']}" for row in rows} == set(record["custom_fields"])
    types = {f"custom_field_{row['id']}": row["data_type"] for row in rows}
    assert types == {key: value["data_type"] for key, value in record["custom_fields"].items()}
    assert "Zone" in {row["label"] for row in rows}


def test_definitions_are_filtered_sorted_and_counted(api: httpx.Client) -> None:
    query: dict[str, Any] = {"filters[with_label]": "e", "sort": "-label", "per_page": 2}
    answer = api.get(
        DEFINITIONS, params={**query, "includes_configurable_field_sets_count": "true"}
    )
    labels = [row["label"] for row in answer.json()]
    assert labels == sorted(labels, reverse=True)
    assert len(labels) == 2
    assert answer.json()[0]["configurable_field_sets_count"] == 3


def test_old_version_takes_the_company_in_the_query_and_shows_entries(api: httpx.Client) -> None:
    query: dict[str, Any] = {"company_id": COMPANY, "view": "extended"}
    assert api.get(OLD).status_code == 400
    rows = api.get(OLD, params=query).json()
    lists = [row for row in rows if "custom_field_lov_entries" in row]
    assert {row["data_type"] for row in lists} == {"lov_entry", "lov_entries"}
    one = f"{OLD}/{lists[0]['id']}"
    assert api.get(one, params=query).json()["label"] == lists[0]["label"]
    entries = api.get(f"{one}/custom_field_lov_entries", params=query).json()
    assert [entry["label"] for entry in entries] == ["Open", "Waiting", "Done"]
    assert api.get(f"{OLD}/49418/custom_field_lov_entries", params=query).json() == []
    assert api.get(f"{OLD}/1", params=query).status_code == 404


def test_field_sets_tell_what_is_required(api: httpx.Client) -> None:
    (rfis, *_) = sets = api.get(SETS).json()
    assert [row["class_name"] for row in sets] == ["Rfi::Header", "PunchItem", "Observations::Item"]
    zone = rfis["fields"]["custom_field_49418"]
    assert (zone["label"], zone["required"], zone["custom_field_definition_id"]) == (
        "Zone",
        True,
        49418,
    )
    assert "lov_entries" in rfis["fields"]["custom_field_49419"]
    bare = api.get(SETS, params={"include_lov_entries": "false"}).json()[0]
    assert "lov_entries" not in bare["fields"]["custom_field_49419"]
    assert api.get(f"{SETS}/{rfis['id']}").json()["type"] == rfis["type"]
    assert api.get(f"{SETS}/5").status_code == 404
    of_project = f"/rest/v1.0/projects/{PROJECT}/configurable_field_sets"
    (only,) = api.get(of_project, params={"types[]": rfis["type"]}).json()
    assert only["id"] == rfis["id"]


def test_large_company_has_field_sets_with_large_ids(simulator: Simulator) -> None:
    with simulator.client(LARGE_COMPANY) as api:
        path = f"/rest/v1.0/companies/{LARGE_COMPANY}/configurable_field_sets"
        assert all(row["id"] > LARGE_COMPANY for row in api.get(path).json())


@pytest.mark.parametrize(("validated", "status"), [("false", 201), ("true", 422)])
def test_required_custom_field_is_demanded_only_when_asked_for(
    api: httpx.Client, validated: str, status: int
) -> None:
    query: dict[str, Any] = {**QUERY, "run_configurable_validations": validated}
    made = api.post(PUNCH, params=query, json={**QUERY, "punch_item": {"name": "x"}})
    assert made.status_code == status
    if status == 422:
        assert made.json() == {"errors": {"custom_field_49418": ["can't be blank"]}}
    full = {**QUERY, "punch_item": {"name": "x", "custom_field_49418": "North"}}
    assert api.post(PUNCH, params=query, json=full).status_code == 201


def test_administrator_can_remove_a_custom_field_at_run_time(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.state(companies=[{"id": COMPANY, "retired_custom_fields": [49418]}])
    assert 49418 not in {row["id"] for row in api.get(DEFINITIONS).json()}
    record = api.get(PUNCH, params=QUERY).json()[0]
    assert "custom_field_49418" not in record["custom_fields"]
    assert "custom_field_49417" in record["custom_fields"]
    assert "custom_field_49418" not in api.get(SETS).json()[0]["fields"]
    found = simulator.state()["environments"]["developer_sandbox"]["companies"][0]
    assert found["retired_custom_fields"] == [49418]


def test_administrator_can_change_the_type_of_a_custom_field_at_run_time(
    simulator: Simulator, api: httpx.Client
) -> None:
    def values(record: dict[str, Any]) -> dict[str, Any]:
        fields = record["custom_fields"]
        return {name: (one["data_type"], one["value"]) for name, one in fields.items()}

    sent = {
        "custom_field_49417": "2.5",
        "custom_field_49418": "North",
        "custom_field_49419": 1,
        "custom_field_49423": "7",
    }
    punch = {**QUERY, "punch_item": {"name": "x", **sent}}
    made = api.post(PUNCH, json=punch).json()
    before = values(made)
    types = {"49417": "string", "49418": "lov_entries", "49419": "string", "49423": "decimal"}
    simulator.state(companies=[{"id": COMPANY, "retyped_custom_fields": types}])
    after = values(api.get(f"{PUNCH}/{made['id']}", params=QUERY).json())
    assert after == {
        **before,
        "custom_field_49417": ("string", "2.5"),
        "custom_field_49418": ("lov_entries", []),
        "custom_field_49419": ("string", "Open"),
        "custom_field_49423": ("decimal", 7.0),
    }
    defined = {row["id"]: row["data_type"] for row in api.get(DEFINITIONS).json()}
    assert {str(number): defined[int(number)] for number in types} == types
    assert api.get(SETS).json()[0]["fields"]["custom_field_49418"]["data_type"] == "lov_entries"
    punch = {**QUERY, "punch_item": {"name": "y", "custom_field_49423": "none"}}
    assert api.post(PUNCH, json=punch).status_code == 422
    found = simulator.state()["environments"]["developer_sandbox"]["companies"][0]
    assert found["retyped_custom_fields"] == types
    simulator.state(companies=[{"id": COMPANY, "retyped_custom_fields": None}])
    assert values(api.get(f"{PUNCH}/{made['id']}", params=QUERY).json()) == before


@pytest.mark.parametrize(
    "types", [{"49417": "colour"}, {"49417": []}, {"1": "string"}, {"x": "string"}, ["string"]]
)
def test_type_or_field_that_there_is_not_is_refused(simulator: Simulator, types: object) -> None:
    company = {"id": COMPANY, "retyped_custom_fields": types}
    place = f"{simulator.ready['admin_url']}/state"
    answer = simulator.http.post(place, json={"companies": [company]})
    assert answer.status_code == 400
    assert "lov_entry" in answer.json()["message"]

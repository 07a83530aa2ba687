"""Budgets and contracts: the shapes that are Procore's own and nobody would guess."""

import httpx

from doubles.simulator_process import COMPANY, PROJECT, Simulator

QUERY = {"project_id": PROJECT}
IN_PROJECT = f"/rest/v1.0/projects/{PROJECT}"
SECOND = f"/rest/v2.0/companies/{COMPANY}/projects/{PROJECT}"


def test_budget_rows_have_a_key_for_each_column_of_their_view(api: httpx.Client) -> None:
    standard, forecast = api.get("/rest/v1.0/budget_views", params=QUERY).json()
    (row, *_) = api.get(
        f"/rest/v1.0/budget_views/{standard['id']}/detail_rows", params=QUERY
    ).json()
    assert isinstance(row["Total Variance (Over) / Under $"], str)
    other = api.get(standard["links"]["summary_rows"]).json()
    assert "% Complete" in other[0]
    (row, *_) = api.get(forecast["links"]["detail_rows"]).json()
    assert "Est. Cost at Completion" in row
    assert "% Complete" not in row
    wanted = {**QUERY, "cost_code_id[]": row["cost_code_id"]}
    found = api.get(f"/rest/v1.0/budget_views/{forecast['id']}/detail_rows", params=wanted).json()
    assert {one["cost_code_id"] for one in found} == {row["cost_code_id"]}
    assert api.get("/rest/v1.0/budget_views/1/detail_rows", params=QUERY).status_code == 404


def test_budget_changes_answer_under_data_although_their_version_is_one(api: httpx.Client) -> None:
    path = f"{IN_PROJECT}/budget_changes"
    listed = api.get(path)
    assert isinstance(listed.json()["data"], list)
    assert "Link" not in listed.headers
    made = api.post(path, json={"status": "draft", "title": "Glass"})
    assert made.status_code == 201
    number = made.json()["data"]["id"]
    changed = api.patch(f"{path}/{number}", json={"title": "Steel"}).json()
    assert changed["data"]["title"] == "Steel"
    refused = api.post(path, json={"title": "no status"})
    assert refused.status_code == 422
    assert isinstance(refused.json()["errors"], list)
    assert api.delete(f"{path}/{number}").status_code == 204


def test_sync_of_budget_lines_answers_a_bare_list(api: httpx.Client) -> None:
    (code, *_) = api.get(f"{IN_PROJECT}/work_breakdown_structure/wbs_codes").json()
    path = "/rest/v1.0/budget_line_items/sync"
    new = {"wbs_code_id": code["id"], "original_budget_amount": "12.5"}
    (made,) = api.post(path, json={**QUERY, "budget_line_items": [new]}).json()
    assert made["original_budget_amount"] == 12.5
    again = {"id": made["id"], "original_budget_amount": 7}
    (changed,) = api.post(path, json={**QUERY, "budget_line_items": [again]}).json()
    assert (changed["id"], changed["original_budget_amount"]) == (made["id"], 7)
    assert api.post(path, json={**QUERY, "updates": [new]}).status_code == 400
    lost = {**QUERY, "budget_line_items": [{"id": 1}]}
    assert api.post(path, json=lost).status_code == 404
    wrong = {**QUERY, "budget_line_items": [{**new, "original_budget_amount": "much"}]}
    assert api.post(path, json=wrong).status_code == 422


def test_budget_lines_are_not_listed_and_deleted_in_the_second_generation(
    api: httpx.Client,
) -> None:
    assert api.get("/rest/v1.1/budget_line_items", params=QUERY).status_code == 405
    (code, *_) = api.get(f"{IN_PROJECT}/work_breakdown_structure/wbs_codes").json()
    body = {**QUERY, "budget_line_item": {"wbs_code_id": code["id"]}}
    made = api.post("/rest/v1.1/budget_line_items", json=body).json()
    one = f"/rest/v1.1/budget_line_items/{made['id']}"
    assert api.get(one, params=QUERY).status_code == 200
    assert api.delete(one, params=QUERY).status_code == 405
    assert api.delete(f"{SECOND}/budget_line_items/{made['id']}").status_code == 204
    assert api.get(one, params=QUERY).status_code == 404
    assert api.get(f"{IN_PROJECT}/budget").json() == {"locked": False}


def test_prime_contracts_are_listed_in_the_plural_and_shown_in_the_singular(
    api: httpx.Client,
) -> None:
    rows = api.get("/rest/v1.0/prime_contracts", params=QUERY).json()
    number = rows[1]["id"]
    assert api.get(f"/rest/v1.0/prime_contracts/{number}", params=QUERY).status_code == 404
    assert api.get(f"/rest/v1.0/prime_contract/{number}", params=QUERY).json()["id"] == number
    assert api.get("/rest/v1.0/prime_contract", params=QUERY).json()["id"] == rows[0]["id"]


def test_second_generation_of_prime_contracts_is_flat_with_ids_of_text(api: httpx.Client) -> None:
    path = f"{SECOND}/prime_contracts"
    listed = api.get(path)
    assert listed.headers["Per-Page"] == "10"
    (row, *_) = listed.json()["data"]
    assert isinstance(row["id"], str)
    assert isinstance(row["vendor_id"], str)
    made = api.post(path, json={"title": "Quay", "vendor_id": row["vendor_id"]}).json()["data"]
    assert (made["title"], made["vendor_id"]) == ("Quay", row["vendor_id"])
    assert api.delete(f"{path}/{made['id']}").status_code == 204
    lost = api.get(f"{path}/{made['id']}")
    assert lost.status_code == 404
    assert lost.json()["error"]["details"][0]["reason_code"] == "NOT_FOUND"


def test_line_items_belong_to_one_contract(api: httpx.Client) -> None:
    one, other, *_ = api.get("/rest/v1.0/prime_contracts", params=QUERY).json()
    path = "/rest/v1.0/prime_contracts/{}/line_items"
    (item, *_) = api.get(path.format(one["id"]), params=QUERY).json()
    assert item["holder"]["id"] == one["id"]
    foreign = f"{path.format(other['id'])}/{item['id']}"
    assert api.get(foreign, params=QUERY).status_code == 404
    assert api.get(path.format(1), params=QUERY).status_code == 404
    updates = [{"description": "Piles", "quantity": 4, "unit_cost": "2.5"}, {"id": 1}]
    answer = api.patch(
        f"{path.format(one['id'])}/sync", params=QUERY, json={"updates": updates}
    ).json()
    assert [entity["amount"] for entity in answer["entities"]] == ["10.00"]
    assert answer["errors"][0]["errors"] == {"id": ["Entity with this ID not found"]}


def test_snapshots_of_a_budget_view_have_a_limit_of_their_own(
    api: httpx.Client, simulator: Simulator
) -> None:
    first, second = api.get("/rest/v1.0/budget_views", params=QUERY).json()

    def take(view: dict[str, object]) -> httpx.Response:
        body = {**QUERY, "budget_view_snapshot": {"budget_view_id": view["id"], "name": "June"}}
        return api.post("/rest/v1.0/budget_view_snapshots", json=body)

    assert take(first).json()["budget_view"]["id"] == first["id"]
    refused = take(first)
    assert refused.status_code == 429
    assert "last hour" in refused.json()["error"]["error"]
    assert int(refused.headers["X-Rate-Limit-Remaining"]) > 0
    assert take(second).status_code == 201
    simulator.state(advance_seconds=3601)
    assert take(first).status_code == 201
    assert len(api.get("/rest/v1.0/budget_view_snapshots", params=QUERY).json()) == 3

"""Paging, links, filters, sorting, views."""

import re
from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

RFIS = f"/rest/v1.0/projects/{PROJECT}/rfis"


def relations(answer: httpx.Response) -> dict[str, str]:
    found = re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers.get("link", ""))
    return {relation: address for address, relation in found}


def test_pages_carry_total_size_and_absolute_links(simulator: Simulator, api: httpx.Client) -> None:
    first = api.get(RFIS, params={"per_page": 100})
    assert first.headers["total"] == "520"
    assert first.headers["per-page"] == "100"
    assert set(relations(first)) == {"next", "last"}
    assert all(url.startswith(simulator.ready["api_url"]) for url in relations(first).values())
    middle = api.get(relations(first)["next"])
    assert set(relations(middle)) == {"first", "prev", "next", "last"}
    last = api.get(relations(first)["last"])
    assert len(last.json()) == 20
    assert "next" not in relations(last)
    seen = [
        row["id"] for page in range(1, 7) for row in api.get(RFIS, params={"page": page}).json()
    ]
    assert len(seen) == len(set(seen)) == 520


def test_past_the_end_is_an_empty_array(api: httpx.Client) -> None:
    answer = api.get(RFIS, params={"page": 99})
    assert (answer.status_code, answer.json()) == (200, [])


def test_links_forget_the_rest_of_the_query_unless_told(
    simulator: Simulator, api: httpx.Client
) -> None:
    path = "/rest/v1.1/punch_items"
    query: dict[str, Any] = {"project_id": PROJECT, "per_page": 10, "filters[status]": "Open"}
    assert "project_id" not in relations(api.get(path, params=query))["next"]
    simulator.behave(link_keeps_query=True)
    kept = httpx.URL(relations(api.get(path, params=query))["next"])
    assert kept.params["project_id"] == str(PROJECT)
    assert kept.params["filters[status]"] == "Open"


def test_page_size_is_clamped_and_nonsense_is_the_default(api: httpx.Client) -> None:
    projects = f"/rest/v1.1/projects?company_id={COMPANY}"
    assert api.get(projects).headers["per-page"] == "100"
    assert api.get(f"{projects}&per_page=9999").headers["per-page"] == "300"
    assert api.get(f"{projects}&per_page=abc&page=x").headers["per-page"] == "100"
    assert api.get(f"{projects}&per_page=0&page=-4").headers["per-page"] == "100"
    codes = api.get("/rest/v1.0/cost_codes", params={"project_id": PROJECT})
    assert codes.headers["per-page"] == "5000"
    assert "link" not in codes.headers


def test_version_two_has_its_own_shape(api: httpx.Client) -> None:
    path = f"/rest/v2.0/companies/{COMPANY}/projects/{PROJECT}/submittals"
    page = api.get(path)
    assert len(page.json()["data"]) == 10
    assert all(isinstance(row["id"], str) for row in page.json()["data"])
    manager = page.json()["data"][0]["submittal_manager"]
    assert isinstance(manager["id"], str)
    assert api.get(path, params={"per_page": 500}).headers["per-page"] == "100"
    whole = api.get(path, params={"per_page": 100})
    assert whole.headers["link"] == ""
    error = api.get("/rest/v2.0/companies/4242/projects/1/submittals").json()["error"]
    assert error["code"] == "NOT_FOUND"
    assert error["details"][0]["reason_code"] == "NOT_FOUND"


def test_views_of_projects(api: httpx.Client) -> None:
    path = "/rest/v1.1/projects"
    query = {"company_id": COMPANY}
    ids = api.get(path, params={**query, "view": "ids", "per_page": 1})
    assert ids.json() == [5001, 5002, 5003]
    assert ids.headers["per-page"] == "200000"
    compact = api.get(path, params={**query, "view": "compact", "per_page": 1})
    assert compact.headers["total"] == "3"
    assert "address" not in compact.json()[0]
    older = api.get("/rest/v1.0/projects", params={**query, "serializer_view": "compact"})
    assert "address" not in older.json()[0]
    short = api.get(f"/rest/v1.0/companies/{COMPANY}/projects")
    assert "total" not in short.headers
    assert {"street", "city"} <= set(short.json()[0]["address"])


@pytest.mark.parametrize(("status", "count"), [("Active", 3), ("Inactive", 1), ("All", 4)])
def test_projects_are_the_active_ones_unless_asked(
    api: httpx.Client, status: str, count: int
) -> None:
    query: dict[str, Any] = {"company_id": COMPANY, "filters[by_status]": status}
    assert len(api.get("/rest/v1.1/projects", params=query).json()) == count


def rows(api: httpx.Client, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"{RFIS}?per_page=1000&{query}").json()
    return found


def test_filters_by_value_array_reference_flag_text_and_range(api: httpx.Client) -> None:
    every = rows(api, "")
    closed = rows(api, "filters[status]=closed")
    assert 0 < len(closed) < len(every)
    assert {row["status"] for row in closed} == {"closed"}
    both = rows(api, "filters[status][]=closed&filters[status][]=draft")
    assert {row["status"] for row in both} == {"closed", "draft"}
    ids = [row["id"] for row in every[3:6]]
    assert [row["id"] for row in rows(api, f"filters[id]=[{','.join(map(str, ids))}]")] == ids
    manager = every[0]["rfi_manager"]["id"]
    assert {
        row["rfi_manager"]["id"] for row in rows(api, f"filters[rfi_manager_id]={manager}")
    } == {manager}
    assignee = every[0]["assignees"][0]["id"]
    assert every[0] in rows(api, f"filters[assigned_id]={assignee}")
    found = rows(api, "filters[search]=handrail")
    assert found
    assert all("handrail" in row["subject"].lower() for row in found)
    day = every[0]["created_at"][:10]
    for value in (f"{day}...{day}", f'"{day}T00:00:00Z...{day}T23:59:59Z"'):
        ranged = api.get(RFIS, params={"filters[created_at]": value}).json()
        assert every[0] in ranged
        assert {row["created_at"][:10] for row in ranged} == {day}
    first = sorted(row["updated_at"] for row in every)[-5]
    later = rows(api, f"filters[updated_at][gt]={first}")
    assert all(row["updated_at"] > first for row in later)
    assert len(rows(api, f"filters[due_date]={every[0]['due_date']}")) < len(every)
    assert len(rows(api, "filters[unheard_of]=1")) == len(every)


def test_flags_are_filtered_too(api: httpx.Client) -> None:
    path = f"/rest/v1.3/companies/{COMPANY}/users?per_page=1000"
    staff = api.get(f"{path}&filters[is_employee]=true").json()
    assert staff
    assert all(row["is_employee"] for row in staff)


def test_sorting_in_all_its_spellings(api: httpx.Client) -> None:
    down = [row["created_at"] for row in rows(api, "sort=-created_at")]
    assert down == sorted(down, reverse=True)
    pairs = [(row["status"], row["subject"]) for row in rows(api, "sort=status,subject")]
    assert pairs == sorted(pairs)
    odd = rows(api, "sort[attribute]=subject&sort[direction]=desc")
    assert odd[0]["subject"] == max(row["subject"] for row in odd)
    assert rows(api, "sort=nothing") == rows(api, "")


def test_daily_logs_are_todays_unless_dates_are_given(
    simulator: Simulator, api: httpx.Client
) -> None:
    path = f"/rest/v1.0/projects/{PROJECT}/notes_logs"
    today = api.get(path).json()
    dates = {row["date"] for row in today}
    assert len(today) == 3
    assert len(dates) == 1
    (day,) = dates
    assert api.get(path, params={"log_date": day}).json() == today
    assert len(api.get(path, params={"start_date": "2000-01-01"}).json()) == 30
    assert api.get(path, params={"end_date": "2000-01-01"}).json() == []
    assert api.get(path, params={"filters[created_at]": f"{day}...{day}"}).json()
    simulator.state(advance_seconds=86400)
    with simulator.client() as tomorrow:
        assert tomorrow.get(path).json() == []


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_long_list_and_long_single_answer() -> None:
    with (
        simulator_process("--rows", "rfis=50000", "--rows", "files=30000") as simulator,
        simulator.client() as api,
    ):
        page = api.get(f"{RFIS}?per_page=2000&page=25")
        assert page.headers["total"] == "50000"
        assert len(page.json()) == 2000
        tree = api.get("/rest/v1.0/folders", params={"project_id": PROJECT})
        assert len(tree.content) >= 20 * 1024 * 1024
        assert "total" not in tree.headers


def test_filters_judge_what_an_answer_shows_also_where_it_is_the_usual_value(
    api: httpx.Client,
) -> None:
    trades = f"/rest/v1.0/companies/{COMPANY}/trades"
    every = api.get(trades).json()
    assert {row["active"] for row in every} == {True}
    assert api.get(trades, params={"filters[active]": "true"}).json() == every
    logs = f"/rest/v1.0/projects/{PROJECT}/delivery_logs?start_date=2020-01-01&end_date=2030-01-01"
    assert api.get(f"{logs}&filters[status]=approved").json() == api.get(logs).json() != []
    assert api.get(f"{logs}&filters[status]=pending").json() == []

"""Users, vendors and roles of companies and projects."""

import httpx

from doubles.simulator_process import COMPANY, PERSON, PROJECT

IN_PROJECT = f"/rest/v1.0/projects/{PROJECT}"
QUERY = {"project_id": PROJECT}


def test_company_user_that_exists_is_a_conflict_and_can_be_woken(api: httpx.Client) -> None:
    path = f"/rest/v1.3/companies/{COMPANY}/users"
    known = api.get(path).json()[2]
    body = {"user": {"last_name": "Twin", "email_address": known["email_address"]}}
    assert api.post(path, json=body).status_code == 409
    one = f"{path}/{known['id']}"
    assert api.patch(one, json={"user": {"is_active": False}}).json()["is_active"] is False
    woken = api.patch(f"/rest/v1.0/companies/{COMPANY}/users/inactive/{known['id']}")
    assert woken.json()["is_active"] is True
    assert None not in api.get(one).json().values()
    assert None in known.values()
    renamed = api.patch(one, json={"user": {"first_name": "Ada"}}).json()
    assert renamed["name"].startswith("Ada ")


def test_person_who_is_inactive_stands_in_a_list_of_their_own_only(api: httpx.Client) -> None:
    path = f"/rest/v1.3/companies/{COMPANY}/users"
    inactive = f"/rest/v1.0/companies/{COMPANY}/users/inactive"

    def listed(place: str) -> set[int]:
        return {row["id"] for row in api.get(place, params={"sort": "name"}).json()}

    assert listed(path).isdisjoint(listed(inactive))
    (one, *_) = listed(path)
    assert api.patch(f"{path}/{one}", json={"user": {"is_active": False}}).is_success
    for version in ("v1.0", "v1.1", "v1.3"):
        assert one not in listed(f"/rest/{version}/companies/{COMPANY}/users")
    assert one in listed(inactive)
    assert api.patch(f"{inactive}/{one}").is_success
    assert one in listed(path)
    assert one not in listed(inactive)


def test_project_users_are_added_created_and_removed(api: httpx.Client) -> None:
    team = f"{IN_PROJECT}/users"
    members = {row["id"] for row in api.get(team).json()}
    people = api.get(f"/rest/v1.3/companies/{COMPANY}/users").json()
    outsider = next(row for row in people if row["id"] not in members)
    one = f"{team}/{outsider['id']}"
    added = api.post(f"{one}/actions/add", json={"user": {"permission_template_id": "5"}})
    assert added.status_code == 201
    assert added.json()["default_permission_template_id"] == 5
    assert api.patch(one, json={"user": {"job_title": "Boss"}}).json()["job_title"] == "Boss"
    assert api.delete(f"{one}/actions/remove").status_code == 204
    assert api.get(one).status_code == 404
    known = api.post(team, json={"user": {"email_address": outsider["email_address"]}})
    assert known.json()["id"] == outsider["id"]
    new = api.post(team, json={"user": {"email_address": "new@example.com"}})
    assert new.status_code == 201
    again = api.post(team, json={"user": {"email_address": "new@example.com"}})
    assert again.status_code == 409
    assert api.post(team, json={"user": {"first_name": "No"}}).status_code == 422
    assert api.post(f"{team}/1/actions/add", json={}).status_code == 404
    assert api.get(f"/rest/v1.3/companies/{COMPANY}/users/{new.json()['id']}").status_code == 200


def test_project_vendors_are_added_changed_and_removed(api: httpx.Client) -> None:
    path = f"/rest/v1.1/projects/{PROJECT}/vendors"
    present = {row["id"] for row in api.get(path).json()}
    company = api.get("/rest/v1.0/vendors", params={"company_id": COMPANY}).json()
    other = next(row["id"] for row in company if row["id"] not in present)
    assert api.post(f"{path}/{other}/actions/add").status_code == 201
    assert api.post(f"{path}/1/actions/add").status_code == 404
    changed = api.patch(f"{path}/{other}", json={"vendor": {"city": "Ford"}}).json()
    assert changed["city"] == "Ford"
    query = {"company_id": COMPANY}
    assert api.get(f"/rest/v1.0/vendors/{other}", params=query).json()["city"] == "Ford"
    assert api.delete(f"{path}/{other}/actions/remove").status_code == 204
    assert api.get(f"{path}/{other}").status_code == 404


def test_project_roles_have_neither_show_nor_update(api: httpx.Client) -> None:
    path = "/rest/v1.0/project_roles"
    body = {**QUERY, "project_role": {"role": "Owner", "user_id": PERSON}}
    made = api.post(path, json=body)
    assert made.status_code == 201
    assert api.post(path, json=body).status_code == 409
    nobody = {**QUERY, "project_role": {"role": "Owner", "user_id": 5}}
    assert api.post(path, json=nobody).status_code == 404
    one = f"{path}/{made.json()['id']}"
    assert api.get(one, params=QUERY).status_code == 405
    assert api.patch(one, json=body).status_code == 405
    assert api.delete(one, params=QUERY).status_code == 204

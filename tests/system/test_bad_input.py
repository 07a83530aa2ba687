"""What goes wrong is said in a sentence, with the right code, and nothing is lost."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from system.conftest import Running, cli

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def join_token(api: httpx.Client, **body: Any) -> str:
    token: str = api.post("/api/enrolment-tokens", json=body).json()["token"]
    return token


def enrol(home: Path, relay: str, token: str, *more: str) -> Any:
    return cli(
        "cloud_connect_agent",
        *("enrol", "--home", str(home), "--relay", relay, *more),
        stdin=token,
    )


def assert_sentence(said: str) -> None:
    assert said.strip()
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 2, said


def test_wrong_join_token_is_refused(tmp_path: Path, running: Running) -> None:
    ended = enrol(tmp_path / "a", running.ensemble.api_url, "ccj1.not.a.token")
    assert ended.returncode == 1
    assert_sentence(ended.stderr)
    assert "token" in ended.stderr.lower()


def test_used_join_token_is_refused(tmp_path: Path, api: httpx.Client, running: Running) -> None:
    token = join_token(api)
    first = enrol(tmp_path / "a", running.ensemble.api_url, token, "--name", "first", "--json")
    assert first.returncode == 0, first.stderr
    again = enrol(tmp_path / "b", running.ensemble.api_url, token)
    assert again.returncode == 1
    assert_sentence(again.stderr)
    assert "used" in again.stderr or "not valid" in again.stderr
    api.delete(f"/api/connectors/{json.loads(first.stdout)['connector_id']}")


def test_enrolled_home_is_not_enrolled_twice(
    tmp_path: Path, api: httpx.Client, running: Running
) -> None:
    home = tmp_path / "a"
    first = enrol(home, running.ensemble.api_url, join_token(api), "--json")
    assert first.returncode == 0, first.stderr
    again = enrol(home, running.ensemble.api_url, join_token(api))
    assert again.returncode == 1
    assert "--force" in again.stderr
    ended = cli("cloud_connect_agent", "unenrol", "--home", str(home), "--yes")
    assert ended.returncode == 0, ended.stderr
    status = cli("cloud_connect_agent", "status", "--home", str(home), "--json")
    assert status.returncode == 3


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://relay.example.com"])
def test_relay_that_is_not_there_is_named(tmp_path: Path, api: httpx.Client, address: str) -> None:
    ended = enrol(tmp_path / "a", address, join_token(api))
    assert ended.returncode in {2, 4, 78}
    assert_sentence(ended.stderr)


def test_wrong_app_secret_is_a_sign_in_problem(tmp_path: Path, running: Running) -> None:
    simulator = running.ensemble.simulator
    home = ("--home", str(tmp_path / "a"))
    environment = ("--environment", "developer-sandbox")
    stored = cli(
        "cloud_connect_agent",
        *("procore", "app", *home, *environment, "--client-id", "nobody", "--secret-stdin"),
        *("--api-url", simulator["api_url"], "--login-url", simulator["login_url"]),
        stdin="wrong-secret",
    )
    assert stored.returncode == 0, stored.stderr
    ended = cli(
        "cloud_connect_agent",
        *("procore", "login", *home, *environment, "--grant", "client-credentials"),
    )
    assert ended.returncode == 5
    assert_sentence(ended.stderr)
    assert "wrong-secret" not in ended.stderr


def test_commands_on_an_empty_home_say_how_to_enrol(tmp_path: Path) -> None:
    for command in ("status", "run"):
        ended = cli("cloud_connect_agent", command, "--home", str(tmp_path / "a"))
        assert ended.returncode == 3, (command, ended.stderr)
        assert "enrol" in ended.stderr


def test_second_run_on_one_home_is_refused(running: Running) -> None:
    ended = cli("cloud_connect_agent", "run", "--home", str(running.ensemble.home))
    assert ended.returncode == 1
    assert_sentence(ended.stderr)
    assert "already" in ended.stderr


def test_unknown_setting_is_bad_configuration(tmp_path: Path) -> None:
    home = tmp_path / "a"
    home.mkdir(mode=0o700)
    (home / "agent.toml").write_text('nmae = "typo"\n')
    ended = cli("cloud_connect_agent", "status", "--home", str(home))
    assert ended.returncode == 78
    assert "nmae" in ended.stderr


def test_serve_before_init_names_the_command(tmp_path: Path) -> None:
    ended = cli("cloud_connect_relay", "serve", "--data-dir", str(tmp_path / "relay"))
    assert ended.returncode == 78
    assert "init" in ended.stderr


def test_calls_without_a_valid_key_are_unauthorized(running: Running) -> None:
    url = running.ensemble.api_url
    for headers in ({}, {"Authorization": "Bearer cck_live_x_wrong"}, {"Authorization": "Basic x"}):
        native = httpx.get(f"{url}/api/connectors", headers=headers, trust_env=False)
        assert native.status_code == 401
        assert native.json()["code"] == "unauthorized"
        platform = httpx.post(f"{url}{running.base}/test", headers=headers, trust_env=False)
        assert platform.status_code == 401
        assert platform.json() == {"Message": "Authorization has been denied for this request."}


def test_unknown_and_malformed_ids_answer_alike(api: httpx.Client, running: Running) -> None:
    for place in (
        "/api/datasources/ds_unknown0000",
        "/api/datasources/%2e%2e",
        "/api/datasources/ds_unknown0000/records/rfis",
        "/api/connectors/nobody",
        "/api/calls/call_none",
    ):
        answer = api.get(place)
        assert answer.status_code == 404, place
    passed = api.get("/api/datasources/ds_unknown0000/procore/rest/v1.0/me")
    assert passed.status_code == 404
    assert passed.json()["code"] == "not_found"
    assert running


def test_wrong_company_is_named_by_the_connection_test(api: httpx.Client, running: Running) -> None:
    made = api.post(
        "/api/datasources",
        json={
            "title": "Wrong company",
            "type": "procore",
            "settings": {"companyId": "987654321", "environment": "developer_sandbox"},
            "useConnector": True,
            "connectorId": running.ensemble.connector["id"],
        },
    ).json()
    answer = api.post(f"/api/datasources/{made['id']}/test")
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert "987654321" in answer.json()["message"]
    assert api.get(f"/api/datasources/{made['id']}").json()["status"] == "test failed"


def test_incomplete_data_source_is_saved_and_refuses_calls(api: httpx.Client) -> None:
    made = api.post("/api/datasources", json={"title": "Later", "type": "procore"})
    assert made.status_code == 201
    assert made.json()["status"] == "incomplete"
    place = f"/api/datasources/{made.json()['id']}"
    native = api.get(f"{place}/records/rfis")
    assert native.status_code == 409
    assert native.json()["code"] == "data_source_incomplete"
    platform = api.post(f"{place}/query", json={"action": "select", "info": {"name": "rfis"}})
    assert platform.status_code == 200
    assert platform.json()["success"] is False


def test_malformed_and_oversized_bodies_are_named(api: httpx.Client, running: Running) -> None:
    headers = {"Idempotency-Key": f"bad-{uuid.uuid4()}", "Content-Type": "application/json"}
    place = f"{running.base}/records/punch_items"
    malformed = api.post(place, headers=headers, content=b'{"name": ')
    assert malformed.status_code == 400
    assert malformed.json()["code"] == "invalid_request"
    for target in (f"{running.base}/query", "/api/datasources"):
        assert api.post(target, headers=headers, content=b"{").status_code == 400
    huge = api.post("/api/datasources", headers=headers, content=b'{"title":"' + b"x" * 9_000_000)
    assert huge.status_code == 413
    assert huge.json()["code"] == "payload_too_large"


def test_unknown_resource_field_operator_and_verb_are_named(
    api: httpx.Client, running: Running
) -> None:
    rows = f"{running.base}/records"
    scope = {"project_id": running.project["id"]}
    unknown = api.get(f"{rows}/unicorns")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "invalid_request")
    assert "unicorns" in unknown.json()["detail"]
    for parameters in ({"filter[nonsense]": "1"}, {"sort": "nonsense"}, {"nonsense": "1"}):
        answer = api.get(f"{rows}/rfis", params={**scope, **parameters})
        assert answer.status_code == 400, parameters
        assert "nonsense" in answer.json()["detail"]
    verb = api.delete(
        f"{rows}/rfis/1", params=scope, headers={"Idempotency-Key": f"v-{uuid.uuid4()}"}
    )
    assert (verb.status_code, verb.json()["code"]) == (405, "unsupported_operation")


def test_source_rejection_carries_procores_own_reasons(api: httpx.Client, running: Running) -> None:
    answer = api.post(
        f"{running.base}/records/rfis",
        params={"project_id": running.project["id"]},
        headers={"Idempotency-Key": f"r-{uuid.uuid4()}"},
        json={"subject": "Nobody asked", "question": {"body": "?"}},
    )
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "source_rejected"
    assert problem["source"]["errors"]
    assert problem["outcome"] in {"completed", "not_executed"}
    assert problem["lookup"].endswith(problem["call_id"])


def test_write_without_a_project_names_project_id(api: httpx.Client, running: Running) -> None:
    answer = api.post(
        f"{running.base}/records/punch_items",
        headers={"Idempotency-Key": f"p-{uuid.uuid4()}"},
        json={"name": "Where?"},
    )
    assert answer.status_code == 400
    assert "project_id" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    ["rest/../admin", "rest/%2e%2e/admin", "rest//v1.0/me", "admin/me", "rest/v1.0/%252e%252e/x"],
)
def test_passthrough_refuses_path_tricks(running: Running, path: str) -> None:
    import http.client

    host = running.ensemble.api_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request(
            "GET",
            f"{running.base}/procore/{path}",
            headers={"Authorization": f"Bearer {running.ensemble.api_key}"},
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status in {400, 403, 404}
    finally:
        connection.close()

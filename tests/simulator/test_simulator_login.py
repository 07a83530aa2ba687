"""The login origin: grants, rotation, revocation, failures."""

import re
from collections.abc import Iterator

import httpx
import pytest

from doubles.simulator_process import OOB, PERSON, SERVICE_USER, Simulator


@pytest.fixture
def login(simulator: Simulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulator.ready["login_url"], trust_env=False) as client:
        yield client


def facts(simulator: Simulator, **more: str) -> dict[str, str]:
    app = simulator.app
    return {"client_id": app["client_id"], "client_secret": app["client_secret"], **more}


def test_client_credentials_give_a_bearer_token_without_a_refresh_token(
    simulator: Simulator,
) -> None:
    body = simulator.token().json()
    assert set(body) == {"access_token", "token_type", "expires_in", "created_at"}
    assert body["token_type"] == "bearer"
    assert body["expires_in"] == 5400


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/token/"])
@pytest.mark.parametrize("encoding", ["form", "json", "multipart", "basic"])
def test_every_body_encoding_is_accepted(
    simulator: Simulator, login: httpx.Client, path: str, encoding: str
) -> None:
    body = facts(simulator, grant_type="client_credentials")
    match encoding:
        case "form":
            answer = login.post(path, data=body)
        case "json":
            answer = login.post(path, json=body)
        case "multipart":
            answer = login.post(path, files={name: (None, text) for name, text in body.items()})
        case _:
            pair = (body["client_id"], body["client_secret"])
            answer = login.post(path, data={"grant_type": "client_credentials"}, auth=pair)
    assert answer.status_code == 200, answer.text


def test_wrong_secret_is_invalid_client(simulator: Simulator, login: httpx.Client) -> None:
    answer = simulator.token(client_secret="wrong")
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    broken = login.post("/oauth/token", headers={"Authorization": "Basic ###"})
    assert broken.status_code == 401


@pytest.mark.parametrize(
    ("grant", "error"), [("", "invalid_request"), ("password", "unsupported_grant_type")]
)
def test_unknown_grant_is_400(simulator: Simulator, grant: str, error: str) -> None:
    answer = simulator.token(grant_type=grant)
    assert answer.status_code == 400
    assert answer.json()["error"] == error


def test_credentials_of_one_environment_do_not_work_in_another(simulator: Simulator) -> None:
    simulator.environment = "live"
    assert simulator.token().json()["error"] == "invalid_client"


def test_code_works_once_and_state_comes_back(simulator: Simulator) -> None:
    location = httpx.URL(simulator.code(state="abc123").headers["location"])
    assert location.params["state"] == "abc123"
    exchange = {
        "grant_type": "authorization_code",
        "code": location.params["code"],
        "redirect_uri": "http://localhost",
    }
    first = simulator.token(**exchange)
    assert set(first.json()) >= {"access_token", "refresh_token", "created_at", "expires_in"}
    second = simulator.token(**exchange)
    assert second.status_code == 400
    assert second.json()["error"] == "invalid_grant"
    assert "does not match the redirection URI" in second.json()["error_description"]


def test_code_is_bound_to_its_redirect_uri_and_dies_after_ten_minutes(
    simulator: Simulator,
) -> None:
    code = httpx.URL(simulator.code().headers["location"]).params["code"]
    wrong = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://localhost/"}
    assert simulator.token(**wrong).json()["error"] == "invalid_grant"
    code = httpx.URL(simulator.code().headers["location"]).params["code"]
    simulator.state(advance_seconds=601)
    late = simulator.token(
        grant_type="authorization_code", code=code, redirect_uri="http://localhost"
    )
    assert late.json()["error"] == "invalid_grant"


def test_invalid_grant_status_can_be_the_older_401(simulator: Simulator) -> None:
    simulator.behave(invalid_grant_status=401)
    answer = simulator.token(grant_type="refresh_token", refresh_token="never")
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_grant"


def test_redirect_uri_is_compared_exactly(simulator: Simulator) -> None:
    refused = simulator.code("http://localhost:8123/callback")
    assert refused.status_code == 400
    assert "redirect URI" in refused.text
    simulator.state(redirect_uris=["http://localhost:8123/callback?a=1"])
    location = simulator.code("http://localhost:8123/callback?a=1").headers["location"]
    assert location.startswith("http://localhost:8123/callback?a=1&code=")


@pytest.mark.parametrize(
    "wrong", [{"client_id": "nobody"}, {"response_type": "token"}, {"redirect_uri": "urn:x"}]
)
def test_wrong_authorization_request_shows_a_page(
    simulator: Simulator, wrong: dict[str, str]
) -> None:
    assert simulator.code(**wrong).status_code == 400


def test_person_approves_on_a_page(simulator: Simulator, login: httpx.Client) -> None:
    page = simulator.code(auto_approve="", state="s1")
    assert page.status_code == 200
    fields = dict(re.findall(r"name='(\w+)' value='([^']*)'", page.text))
    approved = login.post("/oauth/authorize", data={**fields, "commit": "approve"})
    assert approved.status_code == 302
    assert httpx.URL(approved.headers["location"]).params["state"] == "s1"
    denied = login.post("/oauth/authorize", data={**fields, "commit": "deny"})
    assert httpx.URL(denied.headers["location"]).params["error"] == "access_denied"
    forged = {**fields, "redirect_uri": "https://evil.example"}
    assert login.post("/oauth/authorize", data=forged).status_code == 400


def test_another_person_can_sign_in(simulator: Simulator, login: httpx.Client) -> None:
    page = simulator.code(OOB, auto_approve="")
    people = re.findall(r"<option value='(\d+)'>([^<]+)</option>", page.text)
    assert people[0][0] == str(PERSON)
    assert len(people) == 3
    fields = {
        "response_type": "code",
        "client_id": simulator.app["client_id"],
        "redirect_uri": OOB,
        "commit": "approve",
        "as": people[1][0],
    }
    place = httpx.URL(login.post("/oauth/authorize", data=fields).headers["location"])
    token = simulator.token(
        grant_type="authorization_code", code=place.params["code"], redirect_uri=OOB
    )
    headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
    me = simulator.http.get(f"{simulator.ready['api_url']}/rest/v1.0/me", headers=headers)
    assert me.json()["id"] == int(people[1][0])


def test_headless_sign_in_shows_the_code_on_a_page(
    simulator: Simulator, login: httpx.Client
) -> None:
    page = login.get(simulator.code(OOB).headers["location"])
    found = re.search(r"<code id='authorization_code'>(\w+)</code>", page.text)
    assert found is not None
    answer = simulator.token(grant_type="authorization_code", code=found[1], redirect_uri=OOB)
    assert answer.status_code == 200
    fields = {
        "response_type": "code",
        "client_id": simulator.app["client_id"],
        "redirect_uri": OOB,
        "commit": "deny",
    }
    assert "denied" in login.post("/oauth/authorize", data=fields).text.lower()


def test_refresh_token_works_once_and_its_successor_lives(simulator: Simulator) -> None:
    first = simulator.user_token().json()
    renewed = simulator.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert renewed.json()["refresh_token"] != first["refresh_token"]
    again = simulator.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert again.json()["error"] == "invalid_grant"
    successor = renewed.json()["refresh_token"]
    assert simulator.token(grant_type="refresh_token", refresh_token=successor).status_code == 200
    assert simulator.counters()["refreshes"] == 2
    assert simulator.counters()["refreshes_refused"] == 1


def test_failed_refresh_kills_the_token_too(simulator: Simulator) -> None:
    token = simulator.user_token().json()["refresh_token"]
    body = {"grant_type": "refresh_token", "refresh_token": token}
    assert simulator.token(**body, client_secret="wrong").status_code == 401
    assert simulator.token(**body).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("after_execute", [True, False])
def test_lost_refresh_answer_leaves_the_old_token_dead(
    simulator: Simulator, *, after_execute: bool
) -> None:
    token = simulator.user_token().json()["refresh_token"]
    simulator.fault(
        "reset", origin="login", path="/oauth/token", times=1, after_execute=after_execute
    )
    body = {"grant_type": "refresh_token", "refresh_token": token}
    with pytest.raises(httpx.TransportError):
        simulator.token(**body)
    assert simulator.token(**body).json()["error"] == "invalid_grant"


def test_token_info_counts_down(simulator: Simulator, login: httpx.Client) -> None:
    headers = simulator.headers(None)
    simulator.state(advance_seconds=400)
    info = login.get("/oauth/token/info", headers=headers).json()
    assert info["resource_owner_id"] == SERVICE_USER
    assert info["scopes"] == []
    assert 4990 <= info["expires_in_seconds"] <= 5000
    assert info["application"] == {"uid": simulator.app["client_id"]}
    assert login.get("/oauth/token/info").status_code == 401
    user = login.get("/oauth/token/info", headers=simulator.headers(None, user=True)).json()
    assert user["resource_owner_id"] == PERSON


def test_revoking_either_token_kills_both_and_always_answers_200(
    simulator: Simulator, login: httpx.Client
) -> None:
    for kind in ("access_token", "refresh_token"):
        token = simulator.user_token().json()
        answer = login.post("/oauth/revoke", data=facts(simulator, token=token[kind]))
        assert answer.status_code == 200
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert login.get("/oauth/token/info", headers=headers).status_code == 401
        gone = simulator.token(grant_type="refresh_token", refresh_token=token["refresh_token"])
        assert gone.json()["error"] == "invalid_grant"
    assert login.post("/oauth/revoke", data=facts(simulator, token="none")).status_code == 200
    assert login.post("/oauth/revoke", data={"token": "none"}).status_code == 200


def test_unknown_login_path_is_404(login: httpx.Client) -> None:
    assert login.get("/oauth/nothing").status_code == 404
    assert login.post("/oauth/token", content=b"{", headers={"Content-Type": "application/json"}
                      ).status_code == 400  # fmt: skip

"""The connection test, step by step."""

import json
import time

import pytest

from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.connection_test import (
    StepStatus,
    TestReport,
    run_connection_test,
)
from doubles.fake_procore import SANDBOX, SOURCE, FakeProcore, MemoryVault, Reply, Seen
from doubles.rotating_login import GRANT_NAME, RotatingLogin, sign_in_by_code, stored

COMPANY = {"id": 8089, "name": "Acme", "is_active": True}


class Answers:
    """What a Procore that works says to each step; tests change one of them."""

    def __init__(self) -> None:
        self.me = Reply(body={"id": 5, "login": "app-1@procore.com", "name": " app"})
        self.companies = [Reply(body=[COMPANY])]
        self.projects = Reply(body=[{"id": 1}], headers={"Total": "12"})
        self.permissions = Reply(body={"tools": [{"id": 1}, {"id": 2}]})

    def __call__(self, seen: Seen) -> Reply:
        path = seen.target.partition("?")[0]
        if path == "/rest/v1.0/companies":
            return self.companies.pop(0) if len(self.companies) > 1 else self.companies[0]
        return {
            "/rest/v1.0/me": self.me,
            "/rest/v1.1/projects": self.projects,
            "/rest/v1.0/settings/permissions": self.permissions,
        }[path]


@pytest.fixture
def answers(procore: FakeProcore) -> Answers:
    made = Answers()
    procore.api.default = made
    return made


async def run(client: ProcoreClient, *, within: float = 10.0) -> TestReport:
    return await run_connection_test(client, SOURCE, deadline=time.monotonic() + within)


def statuses(report: TestReport) -> str:
    return " ".join(step.status.value for step in report.steps)


@pytest.mark.usefixtures("answers")
async def test_a_working_connection_passes_every_step(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    report = await run(client)
    assert report.message == "Connection test succeeded"
    assert report.success
    assert statuses(report) == "PASS PASS PASS PASS PASS PASS PASS"
    assert [seen.target for seen in procore.api.seen] == [
        "/rest/v1.0/me",
        "/rest/v1.0/companies?per_page=100&page=1",
        "/rest/v1.1/projects?company_id=8089&per_page=1&view=compact",
        "/rest/v1.0/settings/permissions?company_id=8089",
    ]
    document = report.as_json()
    assert document["success"] is True
    steps = document["steps"]
    assert isinstance(steps, list)
    assert steps[4] == {
        "step": 4,
        "name": "Projects",
        "status": "PASS",
        "message": "The app is connected and sees 12 projects.",
    }


@pytest.mark.usefixtures("answers")
async def test_a_person_whose_sign_in_will_end_is_told_how_to_keep_it(
    client: ProcoreClient, procore: FakeProcore, vault: MemoryVault
) -> None:
    login = RotatingLogin().on(procore)
    await sign_in_by_code(client.authenticator)
    vault.secrets[GRANT_NAME] = json.dumps({**stored(vault), "phase": "refreshing"}).encode()
    step = (await run(client)).steps[1]
    assert step.status is StepStatus.WARN
    assert login.login in step.message
    # The command's default would revoke the person's grant.
    assert f"login --environment {SANDBOX.flag} --grant authorization-code`" in step.message


@pytest.mark.usefixtures("answers")
async def test_each_run_asks_again(client: ProcoreClient, procore: FakeProcore) -> None:
    await run(client)
    before = len(procore.api.seen)
    await run(client)
    assert len(procore.api.seen) == 2 * before


async def test_an_app_that_is_not_connected_is_named(
    client: ProcoreClient, procore: FakeProcore, answers: Answers
) -> None:
    answers.projects = Reply(status=403, body={"errors": ["App is not connected to this company."]})
    report = await run(client)
    assert not report.success
    assert "step 4 (Projects)" in report.message
    assert "not connected" in report.message
    assert "App Management" in report.message
    assert statuses(report) == "PASS PASS PASS PASS FAIL SKIP SKIP"
    assert len(procore.api.seen) == 3


async def test_hosts_that_cannot_be_reached_are_named(
    procore: FakeProcore, vault: MemoryVault
) -> None:
    settings = procore.settings
    gone = settings.environments[SANDBOX.flag].model_copy(update={"api_url": "http://127.0.0.1:9"})
    settings = settings.model_copy(update={"environments": {SANDBOX.flag: gone}})
    async with ProcoreClient.open(settings, vault) as client:
        report = await run(client)
    assert "step 0 (Network): 127.0.0.1 refused the connection" in report.message
    assert statuses(report) == "FAIL SKIP SKIP SKIP SKIP SKIP SKIP"


async def test_a_wrong_secret_fails_the_sign_in(
    client: ProcoreClient, procore: FakeProcore, vault: MemoryVault
) -> None:
    vault.store_app(client_secret="wrong")
    body = {"error": "invalid_client", "error_description": "Client authentication failed"}
    procore.login.default = lambda _: Reply(status=401, body=body)
    for _ in range(2):
        report = await run(client)
        assert "step 1 (Sign-in)" in report.message
        assert "Client authentication failed" in report.message
    assert len(procore.login.seen) == 3  # each run asks for itself


async def test_without_a_sign_in_the_command_is_named(
    procore: FakeProcore, vault: MemoryVault
) -> None:
    async with ProcoreClient.open(procore.settings, vault) as client:
        report = await run(client)
    assert "cloud-connect procore login" in report.message


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "another environment"), (403, "may not know company 8089"), (500, "answered 500")],
)
async def test_a_token_that_the_api_refuses_fails_the_account(
    client: ProcoreClient, answers: Answers, status: int, words: str
) -> None:
    answers.me = Reply(status=status, body={"message": "Nope"})
    report = await run(client)
    assert "step 2 (Account)" in report.message
    assert "Nope" in report.message
    assert words in report.message


async def test_a_page_of_something_else_is_no_success(
    client: ProcoreClient, answers: Answers
) -> None:
    answers.me = Reply(body=b"<html>Sign in</html>", headers={"content-type": "text/html"})
    assert "not its API" in (await run(client)).message


async def test_a_host_that_does_both_is_named_once(client: ProcoreClient) -> None:
    first = (await run(client)).steps[0]
    assert first.message == "127.0.0.1 can be reached."


async def test_the_company_is_looked_for_on_every_page(
    client: ProcoreClient, procore: FakeProcore, answers: Answers
) -> None:
    link = f'<{procore.api.url}/rest/v1.0/companies?page=2&per_page=1>; rel="next"'
    answers.companies = [Reply(body=[{"id": 1}], headers={"Link": link}), Reply(body=[COMPANY])]
    assert (await run(client)).success
    assert procore.api.seen[2].target == "/rest/v1.0/companies?per_page=100&page=2"


async def test_a_list_of_companies_without_links_is_followed_to_its_end(
    client: ProcoreClient, procore: FakeProcore, answers: Answers
) -> None:
    pages = [[{"id": 1}], [{"id": 2}], [COMPANY]]
    answers.companies = [Reply(body=page) for page in pages]
    assert (await run(client)).success
    answers.companies = [Reply(body=page) for page in ([{"id": 1}], [{"id": 2}], [])]
    assert "not among the 2" in (await run(client)).message
    answers.companies = [Reply(body=[{"id": 1}])]  # whatever page is asked for
    procore.api.seen.clear()
    assert "not among the 1" in (await run(client)).message
    assert len(procore.api.seen) == 3


@pytest.mark.parametrize(
    ("companies", "words"),
    [
        ([], "not among the 0"),
        ([{"id": 1}, "odd"], "not among the 1"),
        ([{**COMPANY, "is_active": False}], "Acme is not active"),
        ({"odd": 1}, "not among the 0"),
    ],
)
async def test_a_company_that_is_not_there_is_told(
    client: ProcoreClient, answers: Answers, companies: object, words: str
) -> None:
    answers.companies = [Reply(body=companies)]
    report = await run(client)
    assert "step 3 (Company)" in report.message
    assert words in report.message


@pytest.mark.parametrize(
    "projects", [Reply(body=[], headers={"Total": "0"}), Reply(body=[])], ids=["total", "none"]
)
async def test_no_project_is_a_warning(
    client: ProcoreClient, answers: Answers, projects: Reply
) -> None:
    answers.projects = projects
    report = await run(client)
    assert report.success
    assert report.message == "Connection test succeeded"
    assert statuses(report) == "PASS PASS PASS PASS WARN PASS PASS"


async def test_projects_that_are_not_visible_fail(client: ProcoreClient, answers: Answers) -> None:
    answers.projects = Reply(status=404, body={"message": "Not found"})
    assert "not visible" in (await run(client)).message


async def test_the_last_steps_only_warn(
    client: ProcoreClient, procore: FakeProcore, answers: Answers
) -> None:
    answers.permissions = Reply(status=403, body={"errors": "No permission"})
    procore.login.then(Reply(body={}))
    report = await run(client)
    assert report.success
    assert statuses(report) == "PASS PASS PASS PASS PASS WARN WARN"


async def test_permissions_of_another_shape_pass(client: ProcoreClient, answers: Answers) -> None:
    answers.permissions = Reply(body=[])
    answers.me = Reply(body=[])
    answers.projects = Reply(body=[{"id": 1}], headers={"Total": "1"})
    report = await run(client)
    assert statuses(report) == "PASS PASS PASS PASS PASS PASS PASS"
    assert report.steps[4].message.endswith("1 project.")


async def test_a_rate_limit_is_no_verdict(client: ProcoreClient, answers: Answers) -> None:
    answers.projects = Reply(status=429, body=b"Slow down", headers={"retry-after": "60"})
    report = await run(client, within=2.0)
    assert "says nothing about the connection" in report.message

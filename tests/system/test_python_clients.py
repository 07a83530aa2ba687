"""Unmodified Python clients of Procore work through the pass-through: only base URLs are ours."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from procore import (
    InvalidTokenError,
    NotFoundItemError,
    Procore,
    ProcoreError,
    UnauthorizedClientError,
    WrongParamsError,
)
from procore.apis.api_base import ApiBase
from ProPyCore import exceptions
from ProPyCore.procore import Procore as PropycoreClient

from system.conftest import Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

CLIENTS = Path(__file__).parent.parent / "real_clients"


def propycore(source: Running, key: str | None = None) -> Any:
    return PropycoreClient(
        client_id="any-client",
        client_secret=key or source.ensemble.api_key,
        redirect_uri="",
        base_url=source.passthrough,
        oauth_url=source.passthrough,
    )


@pytest.fixture(scope="module")
def client(running: Running) -> Any:
    return propycore(running)


def test_propycore_signs_in_and_pages_until_the_end(running: Running, client: Any) -> None:
    company, project = running.company["id"], running.project["id"]
    assert company in {found["id"] for found in client.companies.get()}
    assert client.projects.find(company, running.project["name"])["id"] == project
    rfis = client.rfis.get(company, project)
    assert len(rfis) == len({rfi["id"] for rfi in rfis}) >= 500
    shown = client.rfis.show(company, project, rfis[0]["id"])
    assert shown["subject"] == rfis[0]["subject"]


def test_propycore_makes_changes_and_removes_folders(running: Running, client: Any) -> None:
    company, project = running.company["id"], running.project["id"]
    folder = client.folders.create(company, project, folder_name="Made by propycore")
    # It sends the ids of a body as JSON strings.
    below = client.folders.create(company, project, "Below", folder_id=folder["id"])
    assert below["name_with_path"] == "Made by propycore/Below"
    changed = client.folders.update(company, project, below["id"], folder_name="Renamed")
    assert changed["name_with_path"] == "Made by propycore/Renamed"
    assert client.folders.remove(company, project, folder["id"])["status_code"] == 200
    with pytest.raises(exceptions.NotFoundClientError):
        client.folders.show(company, project, below["id"])


# The client leaves the files it sends open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_propycore_sends_files_as_multipart_and_changes_as_a_form(
    running: Running, client: Any, tmp_path: Path
) -> None:
    company, project = running.company["id"], running.project["id"]
    plan = tmp_path / "plan.pdf"
    plan.write_bytes(b"%PDF-1.4\n" + bytes(200_000))
    made = client.files.create(company, project, str(plan), description="From propycore")
    assert (made["name"], made["size"]) == ("plan.pdf", 200_009)
    changed = client.files.update(company, project, made["id"], filename="new.pdf", private=True)
    assert (changed["name"], changed["private"]) == ("new.pdf", True)
    again = client.files.update(company, project, made["id"], filepath=str(plan))
    assert again["size"] == 200_009


def test_propycore_sends_money_and_ids_as_the_text_of_a_form(
    running: Running, client: Any, tmp_path: Path
) -> None:
    company, project = running.company["id"], running.project["id"]
    vendor = client.directory.vendors.get(company)[0]["id"]
    sent = {"invoice_number": "P-77", "vendor_id": vendor, "direct_cost_type": "invoice"}
    made = client.direct_costs.create(company, project, sent, line_items=[])
    assert (made["invoice_number"], made["vendor"]["id"]) == ("P-77", vendor)
    receipt = tmp_path / "receipt.txt"
    receipt.write_text("paid")
    facts = {"description": "Größe & Maß"}
    client.direct_costs.update(company, project, made["id"], facts, attachments=[str(receipt)])
    shown = client.direct_costs.show(company, project, made["id"])
    assert shown["description"] == "Größe & Maß"
    assert client.direct_costs.find(company, project, "P-77")["id"] == made["id"]


def test_propycore_sees_procores_own_errors(running: Running, client: Any) -> None:
    company, project = running.company["id"], running.project["id"]
    with pytest.raises(exceptions.NotFoundClientError) as missing:
        client.rfis.show(company, project, 1)
    assert json.loads(missing.value.response)["message"] == "Record not found"
    root = client.folders.root(company, project)
    with pytest.raises(exceptions.ProcoreException) as refused:
        client.folders.update(company, project, root["folders"][0]["id"], folder_name="Photos")
    assert "already exists" in refused.value.response
    with pytest.raises(exceptions.UnprocessableContentError):
        client.folders.update(company, project, root["folders"][0]["id"], folder_id=5)
    with pytest.raises(KeyError, match="access_token"):
        propycore(running, key="wrong")


def test_propycore_sees_the_rate_limit_as_429(limited: Running) -> None:
    with pytest.raises(exceptions.ProcoreException) as refused:
        propycore(limited).rfis.get(limited.company["id"], limited.project["id"])
    assert refused.value.message == "Error: 429"
    assert json.loads(refused.value.response)["code"] == "rate_limited"


@pytest.fixture
def rate_limited_once(running: Running) -> Iterator[None]:
    """Procore refuses the next list of vendors, for a second."""
    faults = f"{running.ensemble.simulator['admin_url']}/faults"
    rule = {"path": "vendors", "times": 1, "action": "rate_limited"}
    made = httpx.post(faults, json=rule, trust_env=False).json()
    yield
    (rule,) = [
        item
        for item in httpx.get(faults, trust_env=False).json()["items"]
        if item["id"] == made["id"]
    ]
    httpx.delete(f"{faults}/{made['id']}", trust_env=False)
    assert rule["hits"] == 1


@pytest.mark.usefixtures("rate_limited_once")
def test_propycore_waits_with_the_agent_while_the_limit_is_short(
    running: Running, client: Any
) -> None:
    assert client.directory.vendors.get(running.company["id"])


def refresh_token(source: Running) -> str:
    """What somebody who signed in earlier has kept; it works once."""
    answer = httpx.post(
        f"{source.passthrough}/oauth/token",
        data={"grant_type": "client_credentials", "client_secret": source.ensemble.api_key},
        trust_env=False,
    )
    token: str = answer.json()["refresh_token"]
    return token


def procore_sdk(source: Running, *, token: str | None = None, key: str | None = None) -> Any:
    return Procore(
        login_url=source.passthrough,
        base_url=f"{source.passthrough}/rest/v1.0",
        client_id="any-client",
        client_secret=key or source.ensemble.api_key,
        refresh_token=token or refresh_token(source),
    )


class WeatherLogs(ApiBase):  # type: ignore[misc]  # the client has no types
    """A resource added the way the client adds its own: a class of paths."""

    def create(self, project: int, **facts: str) -> Any:
        return self._post_request({"weather_log": facts}, f"/projects/{project}/weather_logs")

    def page(self, project: int, number: int) -> Any:
        params = {"page": number, "per_page": 4, "start_date": "2020-01-01",
                  "end_date": "2099-01-01"}  # fmt: skip
        return self._get_request(params, f"/projects/{project}/weather_logs")

    def show(self, project: int, number: int) -> Any:
        return self._get_request({}, f"/projects/{project}/weather_logs/{number}")


def weather(source: Running, token: str) -> WeatherLogs:
    logs = WeatherLogs()
    logs.change_access_token(token)
    logs.set_server_url(f"{source.passthrough}/rest/v1.0")
    return logs


def test_procore_sdk_signs_in_with_a_refresh_token_and_lists(running: Running) -> None:
    sdk = procore_sdk(running)
    assert running.company["id"] in {found["id"] for found in sdk.companies.get()}
    projects = sdk.projects.get(company_id=str(running.company["id"]))
    assert running.project["id"] in {found["id"] for found in projects}


def test_procore_sdk_pages_and_creates_what_procore_answers_with_200(running: Running) -> None:
    logs = weather(running, procore_sdk(running).access_token)
    project = running.project["id"]
    made = logs.create(project, date="2026-03-01", sky="Clear")
    assert made["sky"] == "Clear"
    assert logs.show(project, made["id"])["date"] == "2026-03-01"
    seen: list[int] = []
    number = 1
    while page := logs.page(project, number):
        seen += [row["id"] for row in page]
        number += 1
    assert made["id"] in seen
    assert len(seen) == len(set(seen)) > 8


def test_procore_sdk_sees_procores_own_errors(running: Running) -> None:
    used = refresh_token(running)
    logs = weather(running, procore_sdk(running, token=used).access_token)
    project = running.project["id"]
    with pytest.raises(NotFoundItemError):
        logs.show(project, 1)
    with pytest.raises(WrongParamsError) as wrong:
        logs._post_request({}, f"/projects/{project}/weather_logs")
    assert "weather_log" in wrong.value.response
    with pytest.raises(ProcoreError, match="422"):
        logs.create(project, sky="Clear")
    with pytest.raises(InvalidTokenError):
        weather(running, "wrong").show(project, 1)
    with pytest.raises(UnauthorizedClientError):
        procore_sdk(running, token=used, key="wrong")
    with pytest.raises(ProcoreError, match="400") as again:
        procore_sdk(running, token=used)
    assert json.loads(again.value.response)["error"] == "invalid_grant"


def test_procore_sdk_sees_the_rate_limit_as_429(limited: Running) -> None:
    sdk = procore_sdk(limited)
    with pytest.raises(ProcoreError, match="429"):
        sdk.projects.get(company_id=str(limited.company["id"]))


def pyprocore_runs_with() -> tuple[str, dict[str, str]] | None:
    """An interpreter that has the client, or ours with the client's wheel on its path.

    The client asks for Python 3.12, and all of it but one file that its client never loads is
    Python 3.11, too.
    """
    own = CLIENTS / ".venv" / "bin" / "python"
    if own.exists():
        return str(own), {}
    if importlib.util.find_spec("pyprocore") is not None:
        return sys.executable, {}
    wheels = sorted((CLIENTS / "wheels").glob("pyprocore-*.whl"))
    return (sys.executable, {"PYTHONPATH": str(wheels[-1])}) if wheels else None


@pytest.mark.slow
def test_pyprocore_lists_writes_and_sees_errors_and_limits(
    running: Running, limited: Running, tmp_path: Path
) -> None:
    found = pyprocore_runs_with()
    if found is None:
        pytest.skip("needs Python 3.12 or pyprocore's wheel in tests/real_clients/wheels")
    python, environment = found
    finished = subprocess.run(
        [
            python,
            str(CLIENTS / "drive_pyprocore.py"),
            running.passthrough,
            str(running.company["id"]),
            str(running.project["id"]),
            limited.passthrough,
            str(limited.project["id"]),
        ],
        input=running.ensemble.api_key,
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    seen = json.loads(finished.stdout.splitlines()[0])
    assert seen["version"] == "2.4.0"
    assert running.project["id"] in seen["projects"]
    # Ten a page: it follows the links, which must not lead out of the tunnel.
    assert len(seen["submittals"]) == len(set(seen["submittals"])) >= 60
    assert seen["title"]
    assert seen["created"] == "Sent by pyprocore"
    assert (seen["updated"], seen["form"]) == ("Changed", "As a form")
    assert seen["errors"] == {
        "missing": ["ResourceNotFoundError", 404],
        "path": ["ResourceNotFoundError", 404],
        "invalid": ["ProcoreAPIError", 400],
        "key": ["AuthenticationError", None],
        "limited": ["RateLimitError", 429],
    }

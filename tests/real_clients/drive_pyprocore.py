"""Drives the unmodified pyprocore through a base URL: prints one JSON document of what it saw.

Arguments: base URL, company id, project id, and the base URL and project id of a data source
whose rate limit is used up. The API key comes on stdin.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import pyprocore
from pyprocore.core.client import ProcoreClient
from pyprocore.core.config import AuthMode, ProcoreSettings
from pyprocore.core.exceptions import ProcoreError
from pyprocore.services.projects import ProjectsService
from pyprocore.services.rfis import RFIsService
from pyprocore.services.submittals import SubmittalsService


def connect(base_url: str, secret: str, company: int) -> tuple[ProcoreClient, ProcoreSettings]:
    settings = ProcoreSettings(
        client_id="any-client",
        client_secret=secret,
        login_url=base_url,
        api_base=base_url,
        company_id=company,
        auth_mode=AuthMode.CLIENT_CREDENTIALS,
        token_store_backend="memory",
    )
    return ProcoreClient(settings=settings), settings


def refusal(call: Callable[[], object]) -> list[Any]:
    try:
        call()
    except ProcoreError as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return ["nothing", None]


def main() -> None:
    base_url, company, project, limited_url, limited_project = sys.argv[1:]
    secret = sys.stdin.read().strip()
    client, settings = connect(base_url, secret, int(company))
    number = int(project)
    seen: dict[str, Any] = {"python": sys.version_info[:2], "version": pyprocore.__version__}

    projects = ProjectsService(client=client, settings=settings)
    seen["projects"] = [item.id for item in projects.list_projects(int(company))]

    no_files: Any = object()  # nothing is downloaded here
    service = SubmittalsService(client=client, file_service=no_files)
    submittals = service.list_submittals(number, params={"per_page": 10})
    seen["submittals"] = [item.id for item in submittals]
    seen["title"] = service.get_submittal(number, submittals[-1].id).title

    # Its services only read; its client writes.
    body = {"submittal": {"number": "S-1", "title": "Sent by pyprocore"}}
    path = f"/rest/v1.1/projects/{number}/submittals"
    made = client.post(path, json=body)
    seen["created"] = made["title"]
    one = f"{path}/{made['id']}"
    changed = client.request("PATCH", one, json={"submittal": {"title": "Changed"}})
    seen["updated"] = changed["title"]
    as_form = client.request("PATCH", one, data={"submittal[description]": "As a form"})
    seen["form"] = as_form["description"]
    seen["deleted"] = client.delete(one)

    seen["errors"] = {
        "missing": refusal(lambda: service.get_submittal(number, 1)),
        # It asks version 1.1 for RFIs, where Procore has version 1.0 only.
        "path": refusal(
            lambda: RFIsService(client=client, file_service=no_files).list_rfis(number)
        ),
        "invalid": refusal(lambda: client.post(path, json={"submittal": {"title": "x"}})),
        "key": refusal(lambda: connect(base_url, "wrong", int(company))[0].get("/rest/v1.0/me")),
    }
    limited = connect(limited_url, secret, int(company))[0]
    path = f"/rest/v1.1/projects/{limited_project}/submittals"
    seen["errors"]["limited"] = refusal(lambda: limited.get(path))
    sys.stdout.write(json.dumps(seen) + "\n")


main()

"""Unmodified Procore clients work through the pass-through: only their base URL is ours."""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from ProPyCore.procore import Procore

from system.conftest import Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

NODE_CLIENT = Path(__file__).parent.parent / "real_clients"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_CLIENT / "node_modules").is_dir(),
    reason="needs Node.js and `npm ci` in tests/real_clients",
)


@needs_node
def test_procores_own_javascript_sdk_lists_shows_creates_and_updates(
    api: httpx.Client, running: Running
) -> None:
    finished = subprocess.run(
        [
            "node",
            "fetch_projects.mjs",
            running.passthrough,
            str(running.company["id"]),
            str(running.project["id"]),
        ],
        cwd=NODE_CLIENT,
        input=running.ensemble.api_key,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    seen = json.loads(finished.stdout)
    assert seen["token"] == {"type": "bearer", "isKey": False}
    assert seen["project"]["id"] == running.project["id"]
    assert seen["pages"] >= 3
    assert seen["foreignLinks"] == []
    assert seen["created"] == {"status": 201, "subject": "Asked by the SDK"}
    assert seen["updated"] == {"status": 200, "subject": "Asked again"}
    assert seen["missing"] == 404
    ours = api.get(
        f"{running.base}/records/rfis", params={"project_id": running.project["id"]}
    ).json()
    assert set(seen["rfiIds"]) <= {row["id"] for row in ours}
    assert len(seen["rfiIds"]) == len(set(seen["rfiIds"])) >= 500


def test_propycore_signs_in_and_pages_until_the_end(running: Running) -> None:
    procore = Procore(
        client_id="any-client",
        client_secret=running.ensemble.api_key,
        redirect_uri="",
        base_url=running.passthrough,
        oauth_url=running.passthrough,
    )
    company, project = running.company["id"], running.project["id"]
    assert company in {found["id"] for found in procore.companies.get()}
    assert procore.projects.find(company, running.project["name"])["id"] == project
    rfis = procore.rfis.get(company, project)
    assert len(rfis) == len({rfi["id"] for rfi in rfis}) >= 500
    shown = procore.rfis.show(company, project, rfis[0]["id"])
    assert shown["subject"] == rfis[0]["subject"]
    folder = procore.folders.create(company, project, folder_name="Made by propycore")
    assert folder["name"] == "Made by propycore"

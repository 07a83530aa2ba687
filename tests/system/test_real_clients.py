"""Procore's own JavaScript SDK works through the pass-through: only its base URL is ours."""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from system.conftest import Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

NODE_CLIENT = Path(__file__).parent.parent / "real_clients"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_CLIENT / "node_modules").is_dir(),
    reason="needs Node.js and `npm ci` in tests/real_clients",
)


@needs_node
def test_procores_own_javascript_sdk_lists_shows_creates_and_updates(
    api: httpx.Client, running: Running, limited: Running
) -> None:
    finished = subprocess.run(
        [
            "node",
            "fetch_projects.mjs",
            running.passthrough,
            str(running.company["id"]),
            str(running.project["id"]),
            limited.passthrough,
            str(limited.company["id"]),
            str(limited.project["id"]),
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
    assert seen["missing"] == {"status": 404, "message": "Record not found"}
    assert seen["invalid"] == {"status": 422, "fields": ["question", "rfi_manager_id"]}
    assert seen["open"] == ["open"]
    assert seen["deleted"] == {"status": 200, "left": 404}
    assert seen["noContent"] == {"status": 204, "body": {}}
    assert seen["renewed"] == 200
    assert 5000 < seen["secondsLeft"] <= 5400
    assert seen["revoked"] == "invalid_token"
    assert seen["wrongKey"] == 401
    assert seen["limited"]["status"] == 429
    with limited.client() as client:
        path = f"{limited.base}/procore/rest/v1.1/projects?company_id={limited.company['id']}"
        left = int(client.get(path).headers["Retry-After"])  # the same hour, some moments later
    assert 600 < left <= int(seen["limited"]["retryAfter"]) <= left + 60
    assert seen["limited"]["code"] == "rate_limited"
    ours = api.get(
        f"{running.base}/records/rfis", params={"project_id": running.project["id"]}
    ).json()
    assert set(seen["rfiIds"]) <= {row["id"] for row in ours}
    assert len(seen["rfiIds"]) == len(set(seen["rfiIds"])) >= 500

"""A person signs a connector's PC in from the platform, with a browser that follows the pages."""

import asyncio
import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault
from cloud_connect_relay.demo import Ensemble, start_ensemble
from doubles.observing import until
from system.conftest import cli

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]

ENVIRONMENT = "developer-sandbox"


async def datasource(ensemble: Ensemble) -> str:
    company = next(c for c in ensemble.simulator["companies"] if c.get("connected"))
    made = await ensemble.api.post(
        "/api/datasources",
        json={
            "title": "Procore",
            "type": "procore",
            "settings": {"companyId": str(company["id"]), "environment": "developer_sandbox"},
            "useConnector": True,
            "connectorId": ensemble.connector["id"],
        },
    )
    return f"/api/datasources/{made.json()['id']}"


async def approve(url: str, *, person: int = 0) -> tuple[httpx.Response, list[str]]:
    """Do what a browser does; return the last page and every address on the way.

    Args:
        person: Whom to choose of those that the page offers; the last one is ``-1``.
    """
    visited: list[str] = []

    async def note(request: httpx.Request) -> None:
        visited.append(str(request.url))

    async with httpx.AsyncClient(
        trust_env=False, timeout=30, follow_redirects=True, event_hooks={"request": [note]}
    ) as browser:
        page = await browser.get(url)
        fields = dict(re.findall(r"name='(\w+)' value='([^']*)'", page.text))
        people = re.findall(r"<option value='(\d+)'>", page.text)
        chosen = {**fields, "as": people[person], "commit": "approve"}
        done = await browser.post(urljoin(url, "/oauth/authorize"), data=chosen)
    return done, visited


async def account(ensemble: Ensemble) -> dict[str, Any]:
    (item,) = (await ensemble.api.get("/api/connectors")).json()["items"]
    found: dict[str, Any] = item["procore"][0]
    return found


async def secrets_of(ensemble: Ensemble) -> list[bytes]:
    """Read every secret of the agent's vault that concerns Procore."""
    async with open_vault(AgentPaths.of(ensemble.home)) as vault:
        app = json.loads(await vault.get(f"procore-app/{ENVIRONMENT}") or b"{}")
        grant = json.loads(await vault.get(f"procore-token/{ENVIRONMENT}") or b"{}")
    found = (app["client_secret"], grant["access_token"], grant["refresh_token"])
    return [secret.encode() for secret in found]


def holding(folder: Path, secrets: list[bytes]) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]


def logs_holding(folder: Path, secrets: list[bytes]) -> list[Path]:
    """Return our logs that hold a secret; the simulator knows them anyway."""
    logs = [folder / "relay.log", folder / "agent.log"]
    return [log for log in logs if any(secret in log.read_bytes() for secret in secrets)]


async def test_a_person_signs_the_pc_in_and_the_relay_learns_nothing(tmp_path: Path) -> None:
    async with start_ensemble(tmp_path) as ensemble:
        base = await datasource(ensemble)
        begun = (await ensemble.api.post(f"{base}/authorize")).json()
        page, visited = await approve(begun["authorize_url"])
        assert page.status_code == 200, page.text
        assert "now acts in Procore as" in page.text

        async def reported() -> bool:
            return bool((await account(ensemble))["grant"] == "authorization-code")

        await until(reported)
        grant = await account(ensemble)
        assert grant["state"] == "ready"
        assert grant["login"] in page.text
        tested = (await ensemble.api.post(f"{base}/test")).json()
        assert tested["success"], tested

        # Another person's code, as a hostile relay might bring it, changes nothing.
        stolen = (await ensemble.api.post(f"{base}/authorize")).json()
        refused, _ = await approve(stolen["authorize_url"], person=-1)
        assert refused.status_code == 409
        assert f"acts for {html.escape(grant['login'])}, but" in refused.text
        assert (await account(ensemble))["login"] == grant["login"]

        secrets = await secrets_of(ensemble)
        assert all(secrets)
        assert not await asyncio.to_thread(holding, ensemble.data_dir, secrets)
        assert not await asyncio.to_thread(logs_holding, tmp_path, secrets)

        # What the relay saw is of no use to it: the code is spent, and was never enough.
        (callback,) = [address for address in visited if "/oauth/callback" in address]
        code = httpx.URL(callback).params["code"]
        app = ensemble.simulator["environments"]["developer_sandbox"]
        async with httpx.AsyncClient(trust_env=False) as stranger:
            for secret in ("guessed", app["client_secret"]):
                answer = await stranger.post(
                    f"{app['login_url']}/oauth/token",
                    data={
                        "grant_type": "authorization_code",
                        "code": code,
                        "client_id": app["client_id"],
                        "client_secret": secret,
                        "redirect_uri": f"{ensemble.api_url}/oauth/callback",
                    },
                )
                assert answer.status_code in {400, 401}
            assert (await stranger.get(callback)).status_code == 400


async def test_another_person_than_the_configured_one_changes_nothing(tmp_path: Path) -> None:
    async with start_ensemble(tmp_path) as ensemble:
        base = await datasource(ensemble)
        bound = await asyncio.to_thread(
            cli,
            "cloud_connect_agent",
            *("procore", "login", "--home", str(ensemble.home), "--environment", ENVIRONMENT),
            *("--user", "boss@example.com"),
        )
        assert bound.returncode == 0, bound.stderr
        begun = (await ensemble.api.post(f"{base}/authorize")).json()
        page, _ = await approve(begun["authorize_url"])
        assert page.status_code == 409
        assert "is for boss@example.com" in page.text
        assert (await account(ensemble))["grant"] == "client-credentials"
        assert (await ensemble.api.post(f"{base}/test")).json()["success"]
        audit = (await ensemble.api.get("/api/audit")).json()["items"]
        failed = next(one for one in audit if one["action"] == "datasource.authorize_failed")
        assert failed["detail"]["reason"] == "sign_in_required"

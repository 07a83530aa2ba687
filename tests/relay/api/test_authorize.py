"""Authorize: the address for a browser, and its return, with an agent on a session."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import CallRelay, call_relay
from doubles.scripted_agent import ScriptedAgent, problem

CODE = "c0de-canary"


class Authorizing(ScriptedAgent):
    """An agent that signs people in."""

    def __init__(self, *, login_url: str = "https://login.procore.com") -> None:
        super().__init__()
        self.login_url = login_url
        self.refusal: ResponseHead | None = None
        self.states: list[str] = []
        self.more: dict[str, str] = {}
        self.script = {Operation.AUTHORIZE: self._begin, Operation.REDEEM: self._redeem}

    async def _begin(self, exchange: Exchange, _: bytes) -> None:
        self.states.append(f"state-{len(self.states)}")
        query = {
            "client_id": "app",
            "redirect_uri": exchange.request.params["redirect_uri"],
            "state": self.states[-1],
            **self.more,
        }
        url = f"{self.login_url}/oauth/authorize?{urlencode(query)}"
        await self._answer(exchange, {"authorize_url": url})

    async def _redeem(self, exchange: Exchange, _: bytes) -> None:
        if self.refusal is not None:
            await exchange.send_head(self.refusal, end_stream=True)
            return
        await self._answer(exchange, {"login": "<ann@example.com>", "machine": "PC-1"})

    async def _answer(self, exchange: Exchange, document: dict[str, str]) -> None:
        await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
        await exchange.send(json.dumps(document).encode(), end_stream=True)

    @property
    def redeemed(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.heard if one.head.operation == "redeem"]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path) as running:
        yield running


async def begin(relay: CallRelay, base: str, **body: str) -> httpx.Response:
    return await relay.api.post(f"{base}/authorize", json=body or None)


async def come_back(relay: CallRelay, **query: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=relay.services.addresses.api_url) as browser:
        return await browser.get("/oauth/callback", params=query)


async def actions(relay: CallRelay) -> list[tuple[str, dict[str, Any]]]:
    found = (await relay.api.get("/api/audit")).json()["items"]
    return [
        (one["action"], one["detail"])
        for one in found
        if one["action"].startswith("datasource.authorize")
    ]


async def test_a_browser_signs_the_connector_in(relay: CallRelay) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    begun = await begin(relay, base)
    assert begun.status_code == 200, begun.text
    assert list(begun.json()) == ["authorize_url", "expires_at"]
    callback = f"{relay.services.addresses.api_url}/oauth/callback"
    assert parse_qs(urlsplit(begun.json()["authorize_url"]).query)["redirect_uri"] == [callback]
    page = await come_back(relay, code=CODE, state="state-0")
    assert page.status_code == 200
    assert "PC-1 now acts in Procore as &lt;ann@example.com&gt;" in page.text
    assert agent.redeemed == [{"code": CODE, "state": "state-0"}]
    assert "source" in agent.heard[-1].params
    assert CODE not in str(agent.heard[-1].head)
    done, started = await actions(relay)
    assert started[0] == "datasource.authorize"
    assert done[0] == "datasource.authorized"
    assert done[1]["login"] == "<ann@example.com>"
    assert done[1]["connector_id"] == started[1]["connector_id"]


async def test_the_page_runs_keeps_and_sends_nothing(relay: CallRelay) -> None:
    page = await come_back(relay, code=CODE, state="unknown")
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in page.text
    assert CODE not in page.text


async def test_a_state_is_good_once(relay: CallRelay) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    await begin(relay, base)
    pages = await asyncio.gather(*[come_back(relay, code=CODE, state="state-0") for _ in range(5)])
    assert sorted(page.status_code for page in pages) == [200, 400, 400, 400, 400]
    assert len(agent.redeemed) == 1


@pytest.mark.parametrize(
    "query",
    ["code=x", "code=x&state=", "code=x&state=other", "code=x&state=state-0&state=state-0"],
)
async def test_a_return_without_the_right_state_reaches_nobody(
    relay: CallRelay, query: str
) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    await begin(relay, base)
    async with httpx.AsyncClient(base_url=relay.services.addresses.api_url) as browser:
        page = await browser.get(f"/oauth/callback?{query}")
    assert page.status_code == 400
    assert "choose Authorize again" in page.text
    assert not agent.redeemed


async def test_guessing_states_is_slowed_down(relay: CallRelay) -> None:
    statuses = [
        (await come_back(relay, code=CODE, state=f"guess-{number}")).status_code
        for number in range(12)
    ]
    assert statuses[0] == 400
    assert statuses[-1] == 429
    page = await come_back(relay, code=CODE, state="guess")
    assert page.headers["content-type"].startswith("text/html")
    assert int(page.headers["retry-after"]) > 0
    assert "Too many" in page.text
    metrics = (await relay.api.get("/metrics")).text
    assert 'cloud_connect_auth_failures_total{kind="authorize"} 13.0' in metrics
    assert 'kind="oauth"' not in metrics


async def test_a_sign_in_ends_after_ten_minutes(relay: CallRelay) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    await begin(relay, base)
    relay.clock.ahead = 601
    assert (await come_back(relay, code=CODE, state="state-0")).status_code == 400
    assert not agent.redeemed


async def test_only_the_connector_that_began_gets_the_code(relay: CallRelay) -> None:
    first, second = Authorizing(), Authorizing()
    one = await relay.connect(first, group="office")
    await relay.connect(second, group="office")
    base = await relay.datasource(connectorGroup="office")
    begun = await begin(relay, base, connectorId=one.live.connector_id)
    assert begun.status_code == 200, begun.text
    await one.lose()
    page = await come_back(relay, code=CODE, state="state-0")
    assert page.status_code == 503
    assert "Not signed in" in page.text
    assert not second.redeemed
    assert (await actions(relay))[0] == (
        "datasource.authorize_failed",
        {"connector_id": one.live.connector_id, "reason": "connector_offline"},
    )


async def test_a_connector_of_another_data_source_is_refused(relay: CallRelay) -> None:
    _, base = await relay.ready(Authorizing())
    other = await relay.enrol(name="other")
    for connector_id in (other, "con_0000000000000000"):
        refused = await begin(relay, base, connectorId=connector_id)
        assert refused.status_code == 400
        assert "connectorId" in refused.json()["detail"]


async def test_a_refusal_of_the_connector_is_told_to_the_person(relay: CallRelay) -> None:
    agent = Authorizing()
    agent.refusal = problem(
        "sign_in_required", "The account is for ann, but eve signed in.", status=409
    )
    _, base = await relay.ready(agent)
    await begin(relay, base)
    page = await come_back(relay, code=CODE, state="state-0")
    assert page.status_code == 409
    assert "but eve signed in" in page.text
    assert "choose Authorize" in page.text


async def test_a_person_who_denies_reaches_nobody(relay: CallRelay) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    await begin(relay, base)
    page = await come_back(relay, error="access_denied", state="state-0")
    assert page.status_code == 200
    assert "closed with Deny" in page.text
    assert "choose Authorize" in page.text
    assert not agent.redeemed
    assert (await actions(relay))[0][1]["reason"] == "access_denied"
    assert (await come_back(relay, code=CODE, state="state-0")).status_code == 400


async def test_a_failure_of_procore_is_not_told_as_a_denial(relay: CallRelay) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    await begin(relay, base)
    page = await come_back(relay, error="server_error", state="state-0")
    assert "without a code" in page.text
    assert "Deny" not in page.text
    assert "choose Authorize" in page.text
    assert (await actions(relay))[0][1]["reason"] == "no_code"
    assert not agent.redeemed


async def test_a_malformed_code_reaches_nobody(relay: CallRelay) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    await begin(relay, base)
    page = await come_back(relay, code="with blank", state="state-0")
    assert page.status_code == 400
    assert "malformed" in page.text
    assert "choose Authorize" in page.text
    assert not agent.redeemed
    failed, _ = await actions(relay)
    assert (failed[0], failed[1]["reason"]) == ("datasource.authorize_failed", "malformed_code")


async def test_an_offline_connector_is_a_problem(relay: CallRelay) -> None:
    base = await relay.datasource(await relay.enrol())
    refused = await begin(relay, base)
    assert refused.status_code == 503
    assert refused.json()["code"] == "connector_offline"


@pytest.mark.parametrize(
    ("login_url", "more"),
    [
        ("javascript://x", {}),
        ("http://login.example.com", {}),
        ("https://login.example.com", {"redirect_uri": "https://evil.example/"}),
    ],
)
async def test_an_address_that_leads_elsewhere_is_not_passed_on(
    relay: CallRelay, login_url: str, more: dict[str, str]
) -> None:
    agent = Authorizing(login_url=login_url)
    agent.more = more
    _, base = await relay.ready(agent)
    refused = await begin(relay, base)
    assert refused.status_code == 502
    assert "javascript" not in refused.text


@pytest.mark.parametrize("document", [{}, {"authorize_url": "https://["}])
async def test_an_answer_that_is_not_understood_is_not_passed_on(
    relay: CallRelay, document: dict[str, str]
) -> None:
    agent = Authorizing()

    async def answer(exchange: Exchange, _: bytes) -> None:
        await agent._answer(exchange, document)

    agent.script[Operation.AUTHORIZE] = answer
    _, base = await relay.ready(agent)
    assert (await begin(relay, base)).status_code == 502


async def test_a_login_host_on_loopback_is_for_rehearsals(relay: CallRelay) -> None:
    _, base = await relay.ready(Authorizing(login_url="http://127.0.0.1:9001"))
    assert (await begin(relay, base)).status_code == 200


async def test_it_takes_the_right_to_change_data_sources(relay: CallRelay) -> None:
    _, base = await relay.ready(Authorizing())
    key = await relay.store.key("datasources:read", "calls:write")
    refused = await relay.api.post(f"{base}/authorize", headers={"Authorization": f"Bearer {key}"})
    assert refused.status_code == 403


async def test_neither_code_nor_state_is_stored(relay: CallRelay, tmp_path: Path) -> None:
    agent = Authorizing()
    _, base = await relay.ready(agent)
    begun = await begin(relay, base)
    await come_back(relay, code=CODE, state="state-0")
    await relay.calls._ledger.flush()
    assert begun.status_code == 200
    assert not files_with(tmp_path, CODE.encode())
    assert not files_with(tmp_path, b"state-0")


def files_with(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from cloud_connect.handshake_messages import enrol_challenge_transcript
from cloud_connect.join_token import JoinToken
from cloud_connect.signing import SigningKey, to_bytes, to_text, verify_signature
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import ConnectorFlag
from cloud_connect_relay.storage.enrolments import Applicant, Enrolments, JoinTokenUsedError
from cloud_connect_relay.storage.subscriptions import Subscriptions
from cloud_connect_relay.storage.tables import subscriptions
from doubles.link_bench import Relay, open_relay, run_agent, serve_enrolment, serve_relay
from doubles.redeeming import challenge, leave, redeem, rotate


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("relay.sqlite3*"))


@dataclass
class Bench:
    relay: Relay
    http: httpx.AsyncClient

    async def challenge(self, token_id: str) -> dict[str, Any]:
        return await challenge(self.http, token_id)

    async def redeem(
        self, token: JoinToken | str, key: SigningKey, **changes: Any
    ) -> httpx.Response:
        return await redeem(self.http, token, key, **changes)

    async def leave(self, connector_id: str, key: SigningKey, **changes: Any) -> httpx.Response:
        return await leave(self.http, connector_id, key, **changes)

    async def rotate(
        self, connector_id: str, old: SigningKey, new: SigningKey, **changes: Any
    ) -> httpx.Response:
        return await rotate(self.http, connector_id, old, new, **changes)

    async def connectors(self) -> int:
        return len(await self.relay.tenant.connectors.list())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_relay(tmp_path) as relay:
        relay.services.addresses.bind(port=1, tunnel_port=2)
        async with (
            serve_enrolment(relay) as url,
            httpx.AsyncClient(base_url=url, trust_env=False) as http,
        ):
            yield Bench(relay, http)


async def test_relay_proves_itself_before_it_sees_the_token(bench: Bench) -> None:
    challenge = await bench.challenge("jt_whatever")
    assert to_bytes(challenge["relay_public_key"]) == bench.relay.identity.public_key
    transcript = enrol_challenge_transcript(
        relay_id=challenge["relay_id"],
        token_id="jt_whatever",
        agent_nonce=bytes(32),
        nonce=to_bytes(challenge["nonce"]),
    )
    signature = to_bytes(challenge["signature"])
    assert verify_signature(bench.relay.identity.public_key, signature, transcript)


async def test_token_becomes_a_connector(bench: Bench) -> None:
    key = SigningKey.generate()
    token = await bench.relay.token(group="east", policy_class="read-only")
    answer = await bench.redeem(token, key)
    assert answer.status_code == 201
    body = answer.json()
    assert body["tunnel_url"] == "ws://127.0.0.1:2/tunnel"
    assert body["key_id"] == key.key_id
    assert body["policy_class"] == "read-only"
    assert body["generation"] == 0
    connector = await bench.relay.connector(body["connector_id"])
    assert (connector.name, connector.machine, connector.group) == ("site office", "pc-1", "east")
    assert connector.public_key == key.public_key
    actions = [entry.action for entry in await bench.relay.tenant.audit.newest(limit=5)]
    assert actions == ["connector.enrol", "join_token.create"]


async def test_lost_answer_can_be_asked_for_again(bench: Bench) -> None:
    key, token = SigningKey.generate(), await bench.relay.token()
    first, again = await bench.redeem(token, key), await bench.redeem(token, key)
    assert first.json() == again.json()
    assert await bench.connectors() == 1


async def test_after_ten_minutes_it_cannot(bench: Bench) -> None:
    key, token = SigningKey.generate(), await bench.relay.token(expires_in=9000)
    await bench.redeem(token, key)
    clock = bench.relay.services.clock
    bench.relay.services.clock = lambda: clock() + 601
    assert (await bench.redeem(token, key)).status_code == 403


async def test_used_token_enrols_nobody_else(bench: Bench) -> None:
    token = await bench.relay.token()
    await bench.redeem(token, SigningKey.generate())
    answer = await bench.redeem(token, SigningKey.generate())
    assert answer.status_code == 403
    assert "used" in answer.json()["detail"]
    assert await bench.connectors() == 1


@pytest.mark.catalogue("T67")
async def test_every_bad_token_gets_the_same_answer(bench: Bench) -> None:
    async with bench.relay.storage.write() as connection:
        await connection.execute(insert(subscriptions).values(id="sub_b", name="b", created_at=0.0))
    theirs, _ = await bench.relay.storage.of("sub_b").join_tokens.issue(
        relay_public_key=bench.relay.identity.public_key,
        actor="test",
        now=bench.relay.services.clock(),
        expires_in=3600,
    )
    expired = await bench.relay.token(expires_in=-1)
    revoked = await bench.relay.token()
    await bench.relay.tenant.join_tokens.revoke(revoked.token_id, actor="test", now=1.0)
    genuine = await bench.relay.token()
    foreign = JoinToken.make(
        token_id="jt_0123456789abcdef", relay_public_key=SigningKey.generate().public_key
    )
    wrong_secret = JoinToken.make(
        token_id=genuine.token_id, relay_public_key=bench.relay.identity.public_key
    )
    other_tenants = replace(genuine, token_id=theirs.id)
    text = genuine.reveal()
    flipped = text[:30] + ("A" if text[30] != "A" else "B") + text[31:]
    answers = [
        await bench.redeem(token, SigningKey.generate())
        for token in (
            expired,
            revoked,
            other_tenants,
            foreign,
            wrong_secret,
            text[:-9],
            flipped,
        )
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert await bench.connectors() == 0
    assert await bench.relay.storage.of("sub_b").connectors.list() == ()


async def test_token_of_a_revoked_subscription_is_refused(bench: Bench) -> None:
    token = await bench.relay.token()
    await Subscriptions(bench.relay.storage).revoke("sub_a", actor="test", at=1.0)
    assert (await bench.redeem(token, SigningKey.generate())).status_code == 401


@pytest.mark.parametrize("_repetition", range(3))
async def test_fifty_parallel_redeems_enrol_exactly_one(bench: Bench, _repetition: int) -> None:
    token = await bench.relay.token()
    statuses: list[int] = []

    async def redeem() -> None:
        statuses.append((await bench.redeem(token, SigningKey.generate())).status_code)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(redeem())
    assert sorted(statuses) == [201] + [403] * 49
    assert await bench.connectors() == 1


async def test_two_nodes_on_one_store_enrol_exactly_one(bench: Bench, tmp_path: Path) -> None:
    token = await bench.relay.token()
    outcomes: list[str] = []

    async def redeem(enrolments: Enrolments) -> None:
        applicant = Applicant(
            public_key=SigningKey.generate().public_key,
            name="",
            machine="",
            os="",
            version="",
            group=None,
        )
        try:
            await enrolments.redeem(token, applicant, now=bench.relay.services.clock())
        except JoinTokenUsedError:
            outcomes.append("used")
        else:
            outcomes.append("enrolled")

    url = f"sqlite+aiosqlite:///{tmp_path / 'relay.sqlite3'}"
    async with Storage.open(url) as other, asyncio.TaskGroup() as tasks:
        for node in (bench.relay.storage, other) * 10:
            tasks.create_task(redeem(Enrolments(node)))
    assert sorted(outcomes) == ["enrolled"] + ["used"] * 19


async def test_proof_by_another_key_is_refused_and_costs_no_token(bench: Bench) -> None:
    key, token = SigningKey.generate(), await bench.relay.token()
    other = to_text(SigningKey.generate().public_key)
    assert (await bench.redeem(token, key, public_key=other)).status_code == 400
    assert (await bench.redeem(token, key, public_key=to_text(bytes(32)))).status_code == 400
    assert (await bench.redeem(token, key)).status_code == 201


async def test_nonce_of_another_token_or_of_nobody_or_of_long_ago_is_refused(bench: Bench) -> None:
    key, token = SigningKey.generate(), await bench.relay.token()
    foreign = (await bench.challenge("jt_another"))["nonce"]
    for nonce in (foreign, to_text(bytes(40)), to_text(bytes(7))):
        assert (await bench.redeem(token, key, nonce=nonce)).status_code == 400
    clock = bench.relay.services.clock
    bench.relay.services.clock = lambda: clock() - 121
    old = (await bench.challenge(token.token_id))["nonce"]
    bench.relay.services.clock = clock
    assert (await bench.redeem(token, key, nonce=old)).status_code == 400
    assert await bench.connectors() == 0


async def test_token_for_one_group_does_not_enrol_into_another(bench: Bench) -> None:
    key, token = SigningKey.generate(), await bench.relay.token(group="east")
    answer = await bench.redeem(token, key, group="west")
    assert answer.status_code == 400
    assert "'east'" in answer.json()["detail"]
    assert (await bench.redeem(token, key, group=" east ")).json()["group"] == "east"


async def test_token_without_group_takes_the_agents(bench: Bench) -> None:
    answer = await bench.redeem(await bench.relay.token(), SigningKey.generate(), group="west")
    assert answer.json()["group"] == "west"


async def test_nameless_pc_is_listed_by_its_machine(bench: Bench) -> None:
    answer = await bench.redeem(await bench.relay.token(), SigningKey.generate(), name=" ")
    assert answer.json()["name"] == "pc-1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token_id": "", "agent_nonce": "AAAA"},
        {"token_id": "jt_a", "agent_nonce": 7},
        {"token_id": "jt_a", "agent_nonce": to_text(bytes(31))},
    ],
)
async def test_malformed_challenge_request_is_named(bench: Bench, body: dict[str, Any]) -> None:
    answer = await bench.http.post("/api/enrol/challenge", json=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"


async def test_name_that_would_break_a_log_line_is_refused(bench: Bench) -> None:
    answer = await bench.redeem(await bench.relay.token(), SigningKey.generate(), name="a\nb")
    assert answer.status_code == 400


async def test_store_holds_no_secret_of_a_token(bench: Bench, tmp_path: Path) -> None:
    key, token = SigningKey.generate(), await bench.relay.token()
    await bench.redeem(token, key)
    stored = await asyncio.to_thread(everything_in, tmp_path)
    assert token.token_id.encode() in stored
    for secret in (token.secret.encode(), to_bytes(token.secret), key.seed()):
        assert secret not in stored


async def test_tokens_are_listed_and_revoked_by_their_own_subscription_only(bench: Bench) -> None:
    token = await bench.relay.token()
    (listed,) = await bench.relay.tenant.join_tokens.list()
    assert listed.id == token.token_id
    stranger = bench.relay.storage.of("sub_b").join_tokens
    assert await stranger.list() == ()
    assert not await stranger.revoke(token.token_id, actor="test", now=1.0)
    assert await bench.relay.tenant.join_tokens.revoke(token.token_id, actor="test", now=1.0)
    assert await bench.relay.tenant.join_tokens.revoke(token.token_id, actor="test", now=2.0)
    (listed,) = await bench.relay.tenant.join_tokens.list()
    assert listed.revoked_at == 1.0


async def test_agent_revokes_its_own_connector(bench: Bench) -> None:
    key = SigningKey.generate()
    connector = await bench.relay.enrol(key)
    answer = await bench.leave(connector.id, key)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await bench.relay.connector(connector.id)).flag is ConnectorFlag.REVOKED
    newest = (await bench.relay.tenant.audit.newest(limit=1))[0]
    assert (newest.action, newest.target) == ("connector.revoke", connector.id)
    assert newest.actor == f"connector:{connector.id}"


async def test_leaving_again_succeeds_and_is_recorded_once(bench: Bench) -> None:
    key = SigningKey.generate()
    connector = await bench.relay.enrol(key)
    answers = [await bench.leave(connector.id, key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    actions = [entry.action for entry in await bench.relay.tenant.audit.newest(limit=9)]
    assert actions.count("connector.revoke") == 1


async def test_leaving_cuts_the_live_session(tmp_path: Path) -> None:
    async with (
        serve_relay(tmp_path) as relay,
        serve_enrolment(relay) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
        run_agent(relay, tmp_path / "a") as agent,
    ):
        await relay.session_of(agent.connector_id)
        answer = await Bench(relay, http).leave(agent.connector_id, agent.key)
        assert answer.status_code == 204
        assert relay.registry.get(agent.connector_id) is None
        await agent.health.until("revoked")


async def test_every_leave_without_the_key_gets_the_same_answer(bench: Bench) -> None:
    key, stranger = SigningKey.generate(), SigningKey.generate()
    connector = await bench.relay.enrol(key)
    answers = [
        await bench.leave("con_0000000000000000", key),
        await bench.leave("no id at all", key),
        await bench.leave(connector.id, stranger),
        await bench.leave(connector.id, stranger, key_id=key.key_id),
        await bench.leave(connector.id, key, signature=to_text(bytes(64))),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert (await bench.relay.connector(connector.id)).flag is ConnectorFlag.ACTIVE


async def test_leave_with_a_nonce_of_somebody_else_or_of_long_ago_is_refused(bench: Bench) -> None:
    key = SigningKey.generate()
    connector = await bench.relay.enrol(key)
    foreign = (await bench.challenge("con_0000000000000000"))["nonce"]
    clock = bench.relay.services.clock
    bench.relay.services.clock = lambda: clock() - 121
    old = (await bench.challenge(connector.id))["nonce"]
    bench.relay.services.clock = clock
    for nonce in (foreign, old):
        assert (await bench.leave(connector.id, key, nonce=nonce)).status_code == 400
    assert (await bench.relay.connector(connector.id)).flag is ConnectorFlag.ACTIVE


async def test_suspected_copy_and_original_may_both_leave(bench: Bench) -> None:
    key = SigningKey.generate()
    connector = await bench.relay.enrol(key)
    await ConnectorSessions(bench.relay.storage).suspect(connector, sign="test", now=1.0)
    assert (await bench.leave(connector.id, key)).status_code == 204
    assert (await bench.relay.connector(connector.id)).flag is ConnectorFlag.REVOKED


async def test_connector_of_a_revoked_subscription_is_unknown(bench: Bench) -> None:
    key = SigningKey.generate()
    connector = await bench.relay.enrol(key)
    await Subscriptions(bench.relay.storage).revoke("sub_a", actor="test", at=1.0)
    assert (await bench.leave(connector.id, key)).status_code == 401

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from cloud_connect.handshake import AgentCredentials
from cloud_connect.handshake_messages import leave_transcript
from cloud_connect.signing import SigningKey, to_bytes, verify_signature
from cloud_connect_agent.leave import leave
from cloud_connect_agent.relay_api import RelayRefusedError, RelayUnreachableError
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.storage.connectors import ConnectorFlag
from doubles.enrolling_pc import RELAY_KEY, FakeRelay
from doubles.link_bench import open_relay, serve_app, serve_enrolment, serve_raw

KEY = SigningKey(bytes(range(32, 64)))
PINNED = AgentCredentials(
    connector_id="con_0000000000000000",
    key=KEY,
    relay_id="rel_a",
    relay_public_key=RELAY_KEY.public_key,
)


class LeavingRelay(FakeRelay):
    """Keeps what an agent asked for in order to leave."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 204
        self.detail = ""
        self.asked: list[dict[str, Any]] = []
        self.app.post("/api/enrol/leave")(self.leave)

    async def leave(self, request: Request) -> Response:
        self.asked.append(await request.json())
        return Response(self.detail, status_code=self.status)


@pytest.fixture
def fake() -> LeavingRelay:
    return LeavingRelay()


async def test_real_relay_revokes_the_connector_and_does_so_again(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay, serve_enrolment(relay) as url:
        connector = await relay.enrol(KEY)
        credentials = AgentCredentials(
            connector_id=connector.id,
            key=KEY,
            relay_id=relay.identity.relay_id,
            relay_public_key=relay.identity.public_key,
        )
        for _ in range(2):
            await leave(url, credentials, tls=client_context())
            assert (await relay.connector(connector.id)).flag is ConnectorFlag.REVOKED


async def test_what_is_signed_names_relay_connector_and_key(fake: LeavingRelay) -> None:
    async with serve_app(fake.app) as url:
        await leave(url, PINNED, tls=client_context())
    (asked,) = fake.asked
    transcript = leave_transcript(
        relay_id="rel_a",
        nonce=to_bytes(asked["nonce"]),
        connector_id=PINNED.connector_id,
        key_id=KEY.key_id,
    )
    assert asked["connector_id"] == PINNED.connector_id
    assert asked["key_id"] == KEY.key_id
    assert verify_signature(KEY.public_key, to_bytes(asked["signature"]), transcript)


@pytest.mark.parametrize("lie", ["another key", "no proof", "another id"])
async def test_relay_that_is_not_the_pinned_one_gets_no_signature(
    fake: LeavingRelay, lie: str
) -> None:
    relay_id = "rel_b" if lie == "another id" else "rel_a"
    if lie == "another key":
        fake.key = fake.signer = SigningKey.generate()
    elif lie == "no proof":
        fake.signer = SigningKey.generate()
    credentials = AgentCredentials(
        connector_id=PINNED.connector_id,
        key=KEY,
        relay_id=relay_id,
        relay_public_key=RELAY_KEY.public_key,
    )
    async with serve_app(fake.app) as url:
        with pytest.raises(RelayRefusedError, match="could not prove"):
            await leave(url, credentials, tls=client_context())
    assert fake.asked == []


@pytest.mark.parametrize(
    ("detail", "said"),
    [('{"detail": "Not you."}', "Not you."), ("oops", "refused (status 401)")],
)
async def test_refusal_is_said(fake: LeavingRelay, detail: str, said: str) -> None:
    fake.status, fake.detail = 401, detail
    async with serve_app(fake.app) as url:
        with pytest.raises(RelayRefusedError) as caught:
            await leave(url, PINNED, tls=client_context())
    assert said in caught.value.message


async def test_relay_that_does_not_know_leaving_is_no_success() -> None:
    async with serve_app(FakeRelay().app) as url:
        with pytest.raises(RelayRefusedError, match="Not Found"):
            await leave(url, PINNED, tls=client_context())


async def test_other_web_server_is_no_relay_to_leave() -> None:
    async with serve_app(FastAPI()) as url:
        with pytest.raises(RelayUnreachableError, match="status 404"):
            await leave(url, PINNED, tls=client_context())


async def test_relay_that_does_not_answer_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read(-1)

    async with serve_raw(silent) as port:
        with pytest.raises(RelayUnreachableError, match="in time"):
            await leave(f"http://127.0.0.1:{port}", PINNED, tls=client_context(), seconds=0.1)

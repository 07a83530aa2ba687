"""A stolen database or backup of it opens nothing and shows no record."""

import asyncio
import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.session import Role, Session
from cloud_connect.signing import SigningKey, to_bytes
from cloud_connect.tunnel import ResponseHead
from cloud_connect_relay.identity import RelayIdentity
from cloud_connect_relay.paths import RelayPaths
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.tables import metadata
from doubles.fleet import SOURCE
from doubles.program import running_relay, told
from doubles.raw_agent import connected
from doubles.redeeming import redeem
from doubles.scripted_agent import ScriptedAgent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def spellings(secret: bytes) -> Iterator[bytes]:
    """Yield what a dump may show of a secret, wherever in a base64 text it begins."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            whole = encode(bytes(offset) + secret)
            yield whole[4 if offset else 0 : -4]


def found_in(dump: bytes, canaries: dict[str, bytes]) -> list[str]:
    return [
        name
        for name, secret in canaries.items()
        if any(spelling in dump for spelling in spellings(secret))
    ]


def test_search_finds_what_it_looks_for() -> None:
    secret = secrets.token_bytes(20)
    for text in (secret, secret.hex().encode(), base64.b64encode(b"xy" + secret + b"z")):
        assert found_in(b"before" + text + b"after", {"it": secret}) == ["it"]
    assert found_in(secrets.token_bytes(4096), {"it": secret}) == []


async def rows_of_all(database_url: str) -> bytes:
    """Every row of every table, as a dump would have it."""
    parts: list[bytes] = []
    async with Storage.open(database_url) as storage, storage.read() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(table.select()):
                parts += [_bytes_of(value) for value in row]
    return b"\0".join(parts)


def _bytes_of(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def files_of(folder: Path, *patterns: str) -> bytes:
    return b"\0".join(
        file.read_bytes() for pattern in patterns for file in sorted(folder.glob(pattern))
    )


@pytest.mark.catalogue("T75")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_dump_of_the_store_holds_no_secret_and_no_body(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    data_dir = tmp_path / "relay"
    database_url = f"sqlite+aiosqlite:///{data_dir / 'relay.sqlite3'}"
    elsewhere: tuple[str, ...] = ()
    if kind == "postgresql":
        database_url = request.getfixturevalue("postgres").database()
        elsewhere = ("--database-url", database_url)
    made = await told("cloud_connect_relay", "init", "--data-dir", str(data_dir), *elsewhere)
    identity = RelayIdentity.load(RelayPaths(data_dir=data_dir))
    key = SigningKey.generate()
    sent, answered = secrets.token_hex(16), secrets.token_hex(16)
    canaries: dict[str, bytes] = {
        "administrator's password": made["administrator"]["password"].encode(),
        "API key": made["api_key"].rpartition("_")[2].encode(),
        "agent's private key": key.seed(),
        "relay's private key": identity.key.seed(),
        "body of the request": sent.encode(),
        "body of the answer": answered.encode(),
    }
    async with running_relay(data_dir, *elsewhere, log=tmp_path / "relay.log") as relay:
        async with httpx.AsyncClient(
            base_url=relay.ready["api_url"],
            headers={"Authorization": f"Bearer {made['api_key']}"},
            timeout=20,
            trust_env=False,
        ) as api:
            token = (await api.post("/api/enrolment-tokens", json={})).json()["token"]
            canaries["join token"] = token.split(".")[2].encode()
            canaries["join token, decoded"] = to_bytes(token.split(".")[2])
            form = {"grant_type": "password", **made["administrator"]}
            bearer = (await api.post("/Token", data=form)).json()["access_token"]
            canaries["access token"] = bearer.rpartition("_")[2].encode()
            enrolled = (await redeem(api, token, key)).json()
            await work(
                api,
                identity,
                relay.ready["tunnel_url"],
                connector_id=enrolled["connector_id"],
                key=key,
                bodies=(sent, answered),
            )
            dump = await rows_of_all(database_url)
            assert enrolled["connector_id"].encode() in dump
            assert found_in(dump, canaries) == []
            # While it runs: what a backup of files would take, the write-ahead log included.
            raw = await asyncio.to_thread(files_of, data_dir, "relay.sqlite3*", "relay.toml")
            assert found_in(raw, canaries) == []
        log = await asyncio.to_thread(files_of, tmp_path, "relay.log")
        assert found_in(log, canaries) == []


async def work(
    api: httpx.AsyncClient,
    identity: RelayIdentity,
    tunnel_url: str,
    *,
    connector_id: str,
    key: SigningKey,
    bodies: tuple[str, str],
) -> None:
    """Connect as the agent and carry one write out whose bodies are canaries."""
    sent, answered = bodies
    agent = ScriptedAgent()

    async def create(exchange: Exchange, body: bytes) -> None:
        assert sent.encode() in body
        head = ResponseHead(status=201, outcome=Outcome.COMPLETED)
        await agent.write(exchange, b'{"id":7,"name":"%s"}' % answered.encode(), head=head)

    agent.script[Operation.CREATE] = create
    made = await api.post(
        "/api/datasources",
        json={
            "title": "Procore",
            "settings": SOURCE,
            "useConnector": True,
            "connectorId": connector_id,
        },
    )
    async with connected(tunnel_url, identity, connector_id, key) as socket:
        session = Session(socket, role=Role.AGENT, handler=agent)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run())
            answer = await api.post(
                f"/api/datasources/{made.json()['id']}/records/rfis",
                headers={"Idempotency-Key": "k"},
                json={"name": sent},
            )
            assert (answer.status_code, answer.json()["name"]) == (201, answered), answer.text
            session.drain()
            await running

"""What is revoked by one process ends in the others within five seconds, whatever runs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from cloud_connect.calls import Operation
from cloud_connect.closing import CloseCode
from cloud_connect.signing import SigningKey
from doubles.fleet import Fleet, fleet
from doubles.program import told
from doubles.raw_agent import closed_with, connected
from doubles.scripted_agent import ScriptedAgent, hang

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WITHIN = 5.0  # seconds from the end of the command


@asynccontextmanager
async def session_of(
    made: Fleet, *, subscription_id: str | None = None
) -> AsyncIterator[tuple[str, "asyncio.Task[int]"]]:
    """Connect as another connector; yields its id and the task that ends with its session."""
    key = SigningKey.generate()
    connector_id = await made.store.connector(
        subscription_id=subscription_id,
        public_key=key.public_key,
        key_id=key.key_id,
        generation=0,
    )
    url = made.relay.ready["tunnel_url"]
    async with (
        connected(url, made.store.identity, connector_id, key) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        closing = tasks.create_task(ended(socket))
        yield connector_id, closing


async def ended(socket: ClientConnection) -> int:
    async with asyncio.timeout(60):
        await socket.wait_closed()
    return await closed_with(socket)


async def test_revoked_by_the_command_line_connectors_and_subscriptions_are_cut_off(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as made:
        store = ("--data-dir", str(tmp_path / "relay"))
        other = await made.store.subscription("other")
        async with (
            session_of(made) as (connector_id, first),
            session_of(made, subscription_id=other) as (_, second),
        ):
            await told("cloud_connect_relay", "connector", "revoke", connector_id, *store)
            began = time.monotonic()
            assert await first == CloseCode.REVOKED
            assert time.monotonic() - began < WITHIN
            await told("cloud_connect_relay", "subscription", "revoke", "other", *store)
            began = time.monotonic()
            assert await second == CloseCode.REVOKED
            assert time.monotonic() - began < WITHIN


async def test_requests_that_run_with_a_revoked_key_or_its_token_are_cut_off(
    tmp_path: Path,
) -> None:
    store = ("--data-dir", str(tmp_path / "relay"))
    agent = ScriptedAgent(script={Operation.LIST: hang})
    async with fleet(tmp_path) as made:
        (member,) = await made.enlist(1, handler=agent)
        await made.until_online(within=20)
        base = await made.datasource(member)
        key = await made.store.key("calls:read", "calls:write", "datasources:read")
        key_id = f"key_{key.split('_')[2]}"
        form = {"grant_type": "client_credentials", "client_secret": key}
        issued = await made.api.post(f"{base}/procore/oauth/token", data=form)
        token = issued.json()["access_token"]

        async def read(credential: str, project: int) -> float:
            """Ask for rows that never come; return when the connection broke."""
            headers = {"Authorization": f"Bearer {credential}"}
            async with httpx.AsyncClient(
                base_url=made.relay.ready["api_url"], trust_env=False, timeout=60
            ) as api:
                with pytest.raises(httpx.RemoteProtocolError):
                    await api.get(f"{base}/records/rfis?project_id={project}", headers=headers)
            return time.monotonic()

        async with asyncio.TaskGroup() as tasks:
            cut = [
                tasks.create_task(read(credential, number))
                for number, credential in enumerate((key, token), start=1)
            ]
            lasting = tasks.create_task(still_running(made, base))
            async with asyncio.timeout(20):
                while len(agent.calls) < 3:
                    await asyncio.sleep(0.02)
            await told("cloud_connect_relay", "key", "revoke", key_id, *store)
            began = time.monotonic()
            for reading in cut:
                assert await reading - began < WITHIN
            refused = await made.api.get(
                f"{base}/records/rfis?project_id=1", headers={"Authorization": f"Bearer {key}"}
            )
            assert refused.status_code == 401
            async with asyncio.timeout(10):
                while len(agent.cancelled) < 2:
                    await asyncio.sleep(0.02)
            assert not lasting.done(), "the request of another key goes on"
            lasting.cancel()


async def still_running(made: Fleet, base: str) -> None:
    await made.api.get(f"{base}/records/vendors")

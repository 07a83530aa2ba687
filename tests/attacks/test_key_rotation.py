"""Keys that change while links break: nobody is locked out, and the old key dies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from cloud_connect.closing import CloseCode
from cloud_connect.errors import CloudConnectError
from cloud_connect.handshake import AgentCredentials
from cloud_connect.handshake_messages import rotate_transcript
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent import key_rotation
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.key_rotation import KeyAge, KeyRotation
from cloud_connect_agent.keyring import Keyring
from cloud_connect_agent.relay_address import RelayAddress
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.storage.connectors import OLD_KEY_SECONDS, Connector, ConnectorFlag
from cloud_connect_relay.storage.tables import connectors
from doubles.chaos_proxy import ChaosProxy
from doubles.enrolling_pc import MemoryVault
from doubles.link_bench import Agent, Relay, run_agent, serve_enrolment, serve_relay
from doubles.observing import until
from doubles.raw_agent import agent_side, greet, refused_with, socket_to
from doubles.redeeming import rotate

CUTS = [
    "before the relay hears of it",
    "answer lost",
    "before the first hello",
    "after the hello",
    "generation not stored",
    "confirmation lost",
    "confirmed",
    "while the vault changes",
]


@dataclass(kw_only=True)
class Rotating:
    """An enrolled PC, its vault, and what lies between it and the relay's API."""

    relay: Relay
    proxy: ChaosProxy
    folder: Path
    vault: MemoryVault
    old: SigningKey
    connector_id: str

    @property
    def keys(self) -> AgentKeys:
        return AgentKeys(self.vault)

    @property
    def generation(self) -> Generation:
        return Generation(self.folder / "generation")

    async def stored(self) -> Connector:
        return await self.relay.connector(self.connector_id)

    async def rotation(self, *, max_days: float = 0.0, clock: Any = None) -> KeyRotation:
        """What the agent's process has, after a start."""
        keyring = await Keyring.load(self.keys)
        address = RelayAddress(
            tunnel_url=self.relay.tunnel_url,
            credentials=AgentCredentials(
                connector_id=self.connector_id,
                key=keyring.current,
                relay_id=self.relay.identity.relay_id,
                relay_public_key=self.relay.identity.public_key,
            ),
            tls=client_context(),
            relay_url=self.proxy.url,
        )
        more = {} if clock is None else {"clock": clock}
        age = KeyAge(self.folder / "key-age", **more)
        return KeyRotation(keyring, address, age, max_days=max_days)

    def agent(self, keyring: Keyring) -> Any:
        return run_agent(
            self.relay,
            self.folder,
            key=self.old,
            connector_id=self.connector_id,
            keyring=keyring,
        )

    async def break_off(self, cut: str) -> None:
        """Change keys as far as the link lasts; the process ends there."""
        rotation = await self.rotation()
        if cut == "before the relay hears of it":
            self.proxy.refusing = True
            with pytest.raises(CloudConnectError):
                await rotation.rotate()
            self.proxy.heal()
            return
        if cut == "answer lost":
            await self._lose_the_answer(rotation)
            return
        new_id = await rotation.rotate()
        new = await self.keys.successor()
        assert new.key_id == new_id
        if cut == "before the first hello":
            return
        async with socket_to(self.relay) as socket:
            side = agent_side(
                self.relay, self.connector_id, new, generation=await self.generation.read()
            )
            if cut == "after the hello":
                await socket.send(side.receive_challenge(await socket.recv()))
                return
            following = await greet(socket, side)
            if cut == "generation not stored":
                return
            await self.generation.store(following)
            if cut == "confirmation lost":
                return
            await socket.send(side.confirm())
            await self.relay.session_of(self.connector_id)
        await self.relay.gone(self.connector_id)
        if cut == "while the vault changes":
            self.vault.secrets["identity"] = new.seed()  # and the successor is still there, too

    async def _lose_the_answer(self, rotation: KeyRotation) -> None:
        async def announced() -> bool:
            return (await self.stored()).next_key_id is not None

        async def rotate_in_vain() -> None:
            with pytest.raises(CloudConnectError):
                await rotation.rotate()

        def sign_into_the_dark(**fields: Any) -> bytes:
            self.proxy.down.blackhole()  # the challenge's answer has come through
            return rotate_transcript(**fields)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(key_rotation, "rotate_transcript", sign_into_the_dark)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(rotate_in_vain())
                await until(announced, what="the relay knows the key")
                self.proxy.reset_all()
        self.proxy.heal()


@pytest.fixture
async def rotating(tmp_path: Path) -> AsyncIterator[Rotating]:
    async with (
        serve_relay(tmp_path) as relay,
        serve_enrolment(relay) as url,
        ChaosProxy.open("127.0.0.1", int(url.rpartition(":")[2])) as proxy,
    ):
        old, vault = SigningKey.generate(), MemoryVault()
        await AgentKeys(vault).adopt(old)
        connector = await relay.enrol(old)
        folder = tmp_path / "pc"
        folder.mkdir()
        await Generation(folder / "generation").store(0)
        yield Rotating(
            relay=relay,
            proxy=proxy,
            folder=folder,
            vault=vault,
            old=old,
            connector_id=connector.id,
        )


async def connected(rotating: Rotating, agent: Agent) -> None:
    await agent.health.until("connected")
    await rotating.relay.session_of(rotating.connector_id)


@pytest.mark.catalogue("T73")
@pytest.mark.parametrize("cut", CUTS)
async def test_link_that_breaks_while_keys_change_locks_nobody_out(
    rotating: Rotating, cut: str
) -> None:
    await rotating.break_off(cut)
    rotation = await rotating.rotation()
    async with rotating.agent(rotation._keyring) as agent:
        await connected(rotating, agent)
        if rotation._keyring.following is not None:  # the relay had not heard of it
            new_id = await rotation.rotate()

            async def taken_over() -> bool:
                return (await rotating.stored()).key_id == new_id

            await until(taken_over, what="the new key has connected")
            await agent.health.until("connected", times=2)
    new = await rotating.keys.load()
    stored = await rotating.stored()
    assert new.key_id == stored.key_id != rotating.old.key_id
    assert stored.next_key_id is None
    assert await rotating.keys.following() is None
    generation = await rotating.generation.read()
    code = await refused_with(
        rotating.relay, rotating.connector_id, rotating.old, generation=generation
    )
    assert code == CloseCode.UNAUTHORIZED, "the old key died when the new one connected"
    assert stored.flag is ConnectorFlag.ACTIVE


@pytest.mark.catalogue("T73")
async def test_old_key_is_dead_a_day_later_even_if_the_new_one_never_came(
    rotating: Rotating,
) -> None:
    await (await rotating.rotation()).rotate()
    try_old = (rotating.relay, rotating.connector_id, rotating.old)
    await age_announcement(rotating, OLD_KEY_SECONDS - 60)
    async with socket_to(rotating.relay) as socket:
        await greet(socket, agent_side(*try_old))  # welcome still
    await age_announcement(rotating, 120)
    assert await refused_with(*try_old) == CloseCode.UNAUTHORIZED
    keyring = await Keyring.load(rotating.keys)
    async with rotating.agent(keyring) as agent:
        await connected(rotating, agent)


async def age_announcement(rotating: Rotating, seconds: float) -> None:
    async with rotating.relay.storage.write() as connection:
        await connection.execute(
            update(connectors).values(key_announced_at=connectors.c.key_announced_at - seconds)
        )


async def test_running_agent_changes_to_the_new_key_by_itself(rotating: Rotating) -> None:
    rotation = await rotating.rotation()
    async with rotating.agent(rotation._keyring) as agent:
        await connected(rotating, agent)
        new_id = await rotation.rotate()
        await agent.health.until("connected", times=2)
        assert rotation.key_id == new_id
        assert (await rotating.stored()).key_id == new_id
    assert (await rotating.keys.load()).key_id == new_id


async def test_key_of_ninety_days_is_changed_and_a_younger_one_is_not(rotating: Rotating) -> None:
    now = 1_000_000.0
    rotation = await rotating.rotation(max_days=90, clock=lambda: now)
    assert not await rotation._is_due()  # a key that nothing is known of counts as new
    now += 89 * 86_400
    assert not await rotation._is_due()
    now += 2 * 86_400
    assert await rotation._is_due()
    never = await rotating.rotation(max_days=0, clock=lambda: now)
    assert not await never._is_due()


async def test_announcing_the_same_key_again_changes_nothing_and_another_one_is_refused(
    rotating: Rotating,
) -> None:
    new = SigningKey.generate()
    async with httpx.AsyncClient(base_url=rotating.proxy.url, trust_env=False) as http:

        async def announce(key: SigningKey, **changes: Any) -> int:
            answer = await rotate(http, rotating.connector_id, rotating.old, key, **changes)
            return answer.status_code

        assert await announce(new) == 204
        first = await rotating.stored()
        assert await announce(new) == 204
        assert (await rotating.stored()).key_announced_at == first.key_announced_at
        assert await announce(SigningKey.generate()) == 400
    assert (await rotating.stored()).next_key_id == new.key_id


async def test_nobody_else_announces_a_key(rotating: Rotating) -> None:
    stranger, new = SigningKey.generate(), SigningKey.generate()
    junk = to_text(bytes(64))
    async with httpx.AsyncClient(base_url=rotating.proxy.url, trust_env=False) as http:
        mine = (rotating.connector_id, rotating.old)
        attempts = [
            (401, await rotate(http, rotating.connector_id, stranger, new)),
            (401, await rotate(http, "con_0000000000000000", rotating.old, new)),
            (401, await rotate(http, *mine, new, signature=junk)),
            (400, await rotate(http, *mine, new, new_signature=junk)),
            (400, await rotate(http, *mine, new, nonce=to_text(bytes(40)))),
            (400, await rotate(http, *mine, new, new_public_key=to_text(bytes(32)))),
        ]
    for status, answer in attempts:
        assert answer.status_code == status, answer.text
    assert (await rotating.stored()).next_key_id is None


async def test_revoked_connector_gets_no_new_key(rotating: Rotating) -> None:
    await rotating.relay.tenant.connectors.revoke(rotating.connector_id, actor="test", at=1.0)
    with pytest.raises(CloudConnectError, match="no connector"):
        await (await rotating.rotation()).rotate()

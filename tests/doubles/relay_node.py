"""A relay in the test's own event loop: real sockets, real SQLite, port 0."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from cloud_connect_relay.addresses import Addresses
from cloud_connect_relay.app import run_relay
from cloud_connect_relay.credentials import Credential, CredentialKind
from cloud_connect_relay.identity import RelayIdentity
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.passwords import Passwords
from cloud_connect_relay.paths import RelayPaths
from cloud_connect_relay.quota import NO_QUOTA, Quota
from cloud_connect_relay.settings import RelaySettings
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.founding import Founding, found
from cloud_connect_relay.storage.migrations import upgrade
from cloud_connect_relay.storage.subscriptions import Subscriptions
from cloud_connect_relay.storage.tables import connectors
from doubles.canaries import remember
from doubles.kept_templates import keep_templates

PASSWORD = "correct horse battery"
remember("password", PASSWORD)
NOW = 1_790_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """A store with one subscription, one administrator and one key."""

    storage: Storage
    identity: RelayIdentity
    subscription_id: str
    api_key: str

    async def key(
        self,
        *scopes: str,
        subscription_id: str | None = None,
        expires_at: float | None = None,
        quota: Quota = NO_QUOTA,
    ) -> str:
        credential = Credential.new(CredentialKind.API_KEY)
        await self.storage.of(subscription_id or self.subscription_id).keys.create(
            credential.id,
            name="test",
            secret_hash=self.identity.pepper.digest(credential.secret),
            scopes=scopes,
            actor="test",
            at=NOW,
            expires_at=expires_at,
            quota=quota,
        )
        return credential.reveal()

    async def subscription(self, name: str) -> str:
        made = await Subscriptions(self.storage).create(name, actor="test", at=NOW)
        return made.id

    async def connector(self, *, subscription_id: str | None = None, **columns: Any) -> str:
        connector_id = new_id("con")
        values = {
            "id": connector_id,
            "subscription_id": subscription_id or self.subscription_id,
            "name": "pc",
            "machine": "PC-1",
            "os": "Linux",
            "version": "0.1.0",
            "group": None,
            "public_key": bytes(32),
            "key_id": "key_1",
            "generation": 1,
            "enrolled_at": NOW,
            "report": None,
            **columns,
        }
        async with self.storage.write() as connection:
            await connection.execute(connectors.insert().values(values))
        return connector_id


keep_templates()


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """What this process made once, and each of its tests takes a copy of."""
    return tempfile.TemporaryDirectory(prefix="cloud-connect-empty-")


async def empty_store(database: Path) -> None:
    """Put a store there that was migrated and has nothing in it; each migration anew is slow."""
    template = Path(_kept().name) / "relay.db"
    if not template.exists():
        making = template.with_name(f"{uuid.uuid4().hex}.db")  # others may make one, too
        async with Storage.open(f"sqlite+aiosqlite:///{making}") as storage:
            await upgrade(storage)
        making.rename(template)
    _copy(template, database)


def _copy(template: Path, database: Path) -> None:
    shutil.copyfile(template, database)
    database.chmod(0o600)


_hashes: list[str] = []


async def _password_hash() -> str:
    if not _hashes:
        _hashes.append(await Passwords().hash(PASSWORD))
    return _hashes[0]


@asynccontextmanager
async def founded(folder: Path, database_url: str | None = None) -> AsyncIterator[Founded]:
    """Found a store: of SQLite in *folder*, unless a URL says where else."""
    paths = RelayPaths(data_dir=folder)
    paths.prepare()
    identity = RelayIdentity.create(paths)
    key = Credential.new(CredentialKind.API_KEY)
    if database_url is None:
        await empty_store(paths.database)
    url = database_url or f"sqlite+aiosqlite:///{paths.database}"
    async with Storage.open(url) as storage:
        await upgrade(storage)
        subscription_id = await found(
            storage,
            Founding(
                relay_id=identity.relay_id,
                public_key=identity.public_key,
                subscription_name="Default",
                username="admin",
                password_hash=await _password_hash(),
                key_id=key.id,
                key_hash=identity.pepper.digest(key.secret),
            ),
            at=NOW,
        )
        yield Founded(
            storage=storage,
            identity=identity,
            subscription_id=subscription_id,
            api_key=key.reveal(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A relay that serves."""

    store: Founded
    addresses: Addresses
    api: httpx.AsyncClient
    stop: asyncio.Event

    def auth(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def running_node(folder: Path, **settings: Any) -> AsyncIterator[Node]:
    chosen: Mapping[str, Any] = {
        "data_dir": folder,
        "port": 0,
        "tunnel_port": 0,
        "auth": {"cache_timeout": 0},
        **settings,
    }
    ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with founded(folder) as store, asyncio.TaskGroup() as tasks:
        tasks.create_task(
            run_relay(
                RelaySettings.model_validate(chosen),
                storage=store.storage,
                identity=store.identity,
                stop=stop,
                on_ready=ready.set_result,
            )
        )
        addresses = await ready
        async with httpx.AsyncClient(
            base_url=addresses.api_url,
            headers={"Authorization": f"Bearer {store.api_key}"},
            timeout=30,
            trust_env=False,
        ) as api:
            yield Node(store=store, addresses=addresses, api=api, stop=stop)
        stop.set()

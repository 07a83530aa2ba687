"""An authenticator against a login host, with clocks that tests move."""

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from cloud_connect_agent.procore.grants.accounts import AccountBook
from cloud_connect_agent.procore.grants.identity import IdentityHost
from cloud_connect_agent.procore.grants.signing_in import Hosts
from cloud_connect_agent.procore.login import LoginHost
from cloud_connect_agent.procore.oauth import Authenticator
from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.settings import AccountSettings, EnvironmentSettings
from cloud_connect_agent.tls import client_context
from cloud_connect_agent.vault import SharedVault
from doubles.fake_procore import SANDBOX, FakeProcore


class Clocks:
    """A monotonic and a wall clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = time.time()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@cache
def _trust() -> ssl.SSLContext:
    return client_context()  # it loads the whole store


@asynccontextmanager
async def opened(
    procore: FakeProcore,
    vault: SharedVault,
    clocks: Clocks,
    **accounts: AccountSettings,
) -> AsyncIterator[Authenticator]:
    origin = Origin(procore.login.url, _trust(), timeouts=Timeouts())
    api = Origin(procore.api.url, _trust(), timeouts=Timeouts())
    sections = {SANDBOX.flag: EnvironmentSettings(accounts=accounts)}

    def hosts(environment: object) -> Hosts:
        assert environment is SANDBOX
        return Hosts(
            login=LoginHost(
                origin,
                user_agent="test",
                wall=lambda: clocks.wall,
                spread=lambda: 0.0,
                pause=0.01,
            ),
            identity=IdentityHost(api, user_agent="test"),
        )

    try:
        async with Authenticator.open(
            vault,
            hosts,
            accounts=AccountBook(lambda: sections),
            login_url=lambda _: procore.login.url,
            clock=lambda: clocks.now,
            wall=lambda: clocks.wall,
        ) as made:
            yield made
    finally:
        await origin.aclose()
        await api.aclose()

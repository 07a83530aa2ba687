"""An authenticator against a login host, with clocks that tests move."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloud_connect_agent.procore.login import LoginHost
from cloud_connect_agent.procore.oauth import Authenticator
from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.tls import client_context
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault


class Clocks:
    """A monotonic and a wall clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = time.time()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@asynccontextmanager
async def opened(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> AsyncIterator[Authenticator]:
    origin = Origin(procore.login.url, client_context(), timeouts=Timeouts())

    def login(environment: object) -> LoginHost:
        assert environment is SANDBOX
        return LoginHost(
            SANDBOX,
            origin,
            user_agent="test",
            wall=lambda: clocks.wall,
            spread=lambda: 0.0,
            pause=0.01,
        )

    try:
        async with Authenticator.open(
            vault, login, clock=lambda: clocks.now, wall=lambda: clocks.wall
        ) as made:
            yield made
    finally:
        await origin.aclose()

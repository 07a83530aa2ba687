"""What the console is tried on: a world of real processes with people of every role.

It is shared by all browser tests of a worker. A test that needs a store without anything in it, or
that changes what others look at, makes a subscription of its own (:meth:`Bed.subscription`).
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from cloud_connect_relay.credentials import ROLES
from doubles.caller import Caller
from doubles.canaries import remember
from doubles.program import running, told
from doubles.world import World, open_world
from doubles.world_agent import Agent, enrol
from doubles.world_relay import client_of

__all__ = ["Bed", "Person", "Subscription", "open_bed"]

# No test that mistypes a password may lock the others out.
_SETTINGS: Final = "[auth]\nfailures_per_minute = 10000\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may sign in."""

    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription of its own: nothing in it but people and one key."""

    id: str
    api: httpx.AsyncClient
    people: dict[str, Person]


@dataclass(kw_only=True)
class Bed:
    """A relay with an agent ``a`` that is online, a data source through it, and people.

    Attributes:
        people: Somebody of each role, by the role's name.
        source: Calls through the data source that everybody sees (``source.base``).
    """

    world: World
    source: Caller
    people: dict[str, Person]
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def origin(self) -> str:
        """Where the relay's pages are."""
        return str(self.world.relay.ready["api_url"])

    def name(self, kind: str) -> str:
        """Return a name that nothing else in this bed has."""
        return f"{kind}-{next(self._numbers)}"

    @asynccontextmanager
    async def agent(
        self, name: str, *, token: str | None = None, group: str | None = None
    ) -> AsyncIterator[Agent]:
        """Run another agent until the block ends.

        Args:
            token: A join token that a page has shown, for example.
        """
        agent = await enrol(self.world, name, token=token, group=group)
        async with running(agent.program):
            await self.world.until_status("online", agent, within=60)
            yield agent

    @asynccontextmanager
    async def subscription(self, *roles: str) -> AsyncIterator[Subscription]:
        """Make a subscription with nothing in it but people of the roles (an administrator)."""
        made = await told(
            "cloud_connect_relay",
            *("subscription", "create", self.name("subscription"), *self.world.store),
        )
        async with client_of(self.world.relay, made["api_key"]) as api:
            people = {
                role: await self._person(api, role, self.name(role))
                for role in roles or ("administrator",)
            }
            yield Subscription(id=made["id"], api=api, people=people)

    async def person(self, role: str) -> Person:
        """Let somebody else in, whom a test may change."""
        return await self._person(self.world.api, role, self.name(role))

    @staticmethod
    async def _person(api: httpx.AsyncClient, role: str, name: str) -> Person:
        made = await api.post("/api/users", json={"username": name, "role": role})
        assert made.status_code == 201, made.text
        remember("password", made.json()["password"])
        return Person(username=name, password=made.json()["password"])


@asynccontextmanager
async def open_bed(folder: Path) -> AsyncIterator[Bed]:
    """Start everything; *folder* must exist."""
    async with open_world(folder, tunnel_proxies=False, relay_settings=_SETTINGS) as world:
        bed = Bed(world=world, source=await world.caller(), people={})
        for role in sorted(ROLES):
            bed.people[role] = await bed._person(world.api, role, f"the-{role}")
        yield bed

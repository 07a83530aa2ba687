"""A relay's and an agent's session over links in memory, running until the test ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cloud_connect.errors import TunnelError
from cloud_connect.session import Handler, Role, Session, SessionSettings
from doubles.memory_link import MemoryLink, link_pair

__all__ = ["SessionPair", "session_pair"]


@dataclass
class SessionPair:
    """Both sessions, their links, and how their ``run`` ended."""

    relay: Session
    agent: Session
    relay_link: MemoryLink
    agent_link: MemoryLink
    relay_run: asyncio.Task[TunnelError | None]
    agent_run: asyncio.Task[TunnelError | None]


async def _run(session: Session) -> TunnelError | None:
    try:
        await session.run()
    except TunnelError as exc:
        return exc
    return None


@asynccontextmanager
async def session_pair(
    handler: Handler | None = None, *, settings: SessionSettings | None = None
) -> AsyncIterator[SessionPair]:
    """Run a pair; *handler* serves at the agent."""
    relay_link, agent_link = link_pair()
    relay = Session(relay_link, role=Role.RELAY, settings=settings)
    agent = Session(agent_link, role=Role.AGENT, handler=handler, settings=settings)
    async with asyncio.TaskGroup() as group:
        relay_run = group.create_task(_run(relay))
        agent_run = group.create_task(_run(agent))
        try:
            yield SessionPair(relay, agent, relay_link, agent_link, relay_run, agent_run)
        finally:
            relay_run.cancel()
            agent_run.cancel()

"""Custom connectors of a relay, as the platform asks them."""

from typing import Any

import httpx

from doubles.call_relay import CallRelay
from doubles.kianda import Kianda
from doubles.scripted_agent import ScriptedAgent

__all__ = ["INSERT", "SELECT", "connected", "executions", "registered"]

SELECT = {"action": "select", "info": {"name": "rfis"}}
INSERT = {"action": "insert", "info": {"name": "rfis"}, "mappings": {"subject": "New"}}


async def registered(
    relay: CallRelay, http: httpx.AsyncClient, settings: dict[str, Any], **members: Any
) -> Kianda:
    return await Kianda.register(relay.api, http, settings, **members)


async def connected(
    relay: CallRelay, http: httpx.AsyncClient, agent: ScriptedAgent | None = None, **members: Any
) -> tuple[ScriptedAgent, Kianda]:
    """An agent, and a custom connector whose settings name a data source of it."""
    agent, base = await relay.ready(agent)
    settings = {"datasourceId": base.rpartition("/")[2]}
    return agent, await registered(relay, http, settings, **members)


def executions(agent: ScriptedAgent) -> int:
    return sum(agent.executed.values())

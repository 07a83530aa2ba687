"""An agent with a small tree, and people who look around in it with the console."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tree import TreeField, TreeNode
from cloud_connect.tunnel import ResponseHead
from cloud_connect_relay.passwords import Passwords
from doubles.call_relay import CallRelay
from doubles.console_browser import Browser
from doubles.relay_node import NOW, PASSWORD
from doubles.scripted_agent import ScriptedAgent

__all__ = ["Explorer", "exploring", "visitor"]


def _field(name: str, text: str, kind: str, inout: str, *, required: bool = False) -> TreeField:
    return TreeField.model_validate(
        {
            "name": name,
            "text": text,
            "title": text,
            "icon": "fa fa-arrow-left",
            "type": kind,
            "desc": "Procore needs it for a new record" if required else "",
            "inout": inout,
            "required": required if inout == "IMPORT" else None,
        }
    )


_FIELDS: Final = (
    _field("project_id", "Project", "number", "IMPORT", required=True),
    _field("project_id", "Project", "number", "EXPORT"),
    _field("id", "ID", "number", "EXPORT"),
    _field("subject", "Subject", "string", "IMPORT", required=True),
    _field("subject", "Subject", "string", "EXPORT"),
    _field("private", "Private", "boolean", "IMPORT"),
    _field("private", "Private", "boolean", "EXPORT"),
    _field("due_date", "Due date", "date", "IMPORT"),
    _field("due_date", "Due date", "date", "EXPORT"),
)


def _node(name: str, text: str, **more: object) -> TreeNode:
    told = {"title": text, "icon": "fa fa-table", "type": "STRUCTURE", "desc": "", **more}
    return TreeNode.model_validate({"name": name, "text": text, "selectable": True, **told})


_TREE: Final = (
    _node("company_level", "Company", nodes=[_node("vendors", "Vendors")]),
    _node("project_level", "Project", nodes=[_node("rfis", "RFIs", fields=_FIELDS)]),
)


async def _tell_tree(exchange: Exchange, _: bytes) -> None:
    items = [node.model_dump(mode="json", exclude_none=True) for node in _TREE]
    await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
    await exchange.send(orjson.dumps({"items": items}), end_stream=True)


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """Somebody who looks at a data source.

    Attributes:
        path: The data source's page of the console.
    """

    relay: CallRelay
    agent: ScriptedAgent
    browser: Browser
    path: str

    def asked(self, operation: Operation) -> list[dict[str, object]]:
        """Return the documents that the agent was sent for an operation."""
        heard = [one for one in self.agent.calls if one.head.operation == operation]
        return [orjson.loads(one.body) for one in heard]


@asynccontextmanager
async def visitor(relay: CallRelay, role: str) -> AsyncIterator[Browser]:
    """Sign somebody with a role in."""
    name = f"the {role}"
    await relay.store.storage.of(relay.store.subscription_id).users.create(
        name,
        role=role,
        password_hash=await Passwords().hash(PASSWORD),
        actor="test",
        at=NOW,
    )
    async with httpx.AsyncClient(
        base_url=relay.api.base_url, timeout=10, trust_env=False
    ) as client:
        browser = Browser(client)
        assert (await browser.sign_in(name)).status_code == 303
        yield browser


@asynccontextmanager
async def exploring(relay: CallRelay, role: str = "operator") -> AsyncIterator[Explorer]:
    """Connect an agent with a tree, and sign somebody in who looks at it."""
    agent, base = await relay.ready(ScriptedAgent(script={Operation.TREE: _tell_tree}))
    async with visitor(relay, role) as browser:
        path = base.replace("/api/", "/")
        yield Explorer(relay=relay, agent=agent, browser=browser, path=path)

"""A data source with security settings, and everybody who might use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cloud_connect.calls import Operation
from cloud_connect.exchange import Exchange
from cloud_connect.query import Condition, Group, Query
from cloud_connect_relay.passwords import Passwords
from doubles.call_relay import CallRelay, call_relay
from doubles.relay_node import NOW
from doubles.scripted_agent import ScriptedAgent, problem

__all__ = [
    "EDITS",
    "MAPPINGS",
    "OF_PARTNERS",
    "SELECT",
    "USES",
    "Bench",
    "leaves",
    "security_bench",
    "where",
]

SELECT = {"action": "select", "info": {"name": "rfis"}}
# Everything that a data source is used for: method, path below it, body.
USES: dict[str, tuple[str, str, Any]] = {
    "test": ("POST", "/test", None),
    "tree": ("POST", "/tree", None),
    "drift": ("GET", "/drift", None),
    "query": ("POST", "/query", SELECT),
    "update": ("POST", "/query", {**SELECT, "action": "update", "mappings": {"a": 1}}),
    "list": ("GET", "/records/rfis", None),
    "create": ("POST", "/records/rfis", {"subject": "x"}),
    "show": ("GET", "/records/rfis/1", None),
    "change": ("PATCH", "/records/rfis/1", {"subject": "x"}),
    "delete": ("DELETE", "/records/rfis/1", None),
    "content": ("GET", "/records/rfis/1/content", None),
    "attachments": ("GET", "/records/rfis/1/attachments", None),
    "attach": ("POST", "/records/rfis/1/attachments", {"upload": "u-1"}),
    "upload": ("POST", "/uploads?filename=a.txt", {}),
    "raw read": ("GET", "/procore/rest/v1.0/projects", None),
    "raw write": ("POST", "/procore/rest/v1.0/projects", {"a": 1}),
}
EDITS: dict[str, tuple[str, str, Any]] = {
    "save": ("PUT", "", {"title": "x"}),
    "security": ("PUT", "/security", {"enableB2B": False}),
    "authorize": ("POST", "/authorize", None),
    "remove": ("DELETE", "", None),
}
OF_PARTNERS = {"tree", "query", "update", "list", "create", "show", "change", "delete"}


@dataclass(frozen=True, kw_only=True)
class Bench:
    relay: CallRelay
    agent: ScriptedAgent
    agent_id: str
    source: str

    async def secure(self, **members: Any) -> None:
        answer = await self.relay.api.put(f"{self.source}/security", json=members)
        assert answer.status_code == 200, answer.text

    async def session(self, name: str, role: str) -> dict[str, str]:
        """Sign somebody in who has a role."""
        users = self.relay.store.storage.of(self.relay.store.subscription_id).users
        if await users.find(name) is None:
            hashed = await Passwords().hash("a long password")
            await users.create(name, password_hash=hashed, role=role, actor="test", at=NOW)
        form = {"grant_type": "password", "username": name, "password": "a long password"}
        answer = await self.relay.api.post("/Token", data=form)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def key(self, *scopes: str, acts_for: str | None = None) -> tuple[str, dict[str, str]]:
        made = await self.relay.api.post(
            "/api/keys", json={"scopes": list(scopes), "acts_for": acts_for}
        )
        return made.json()["id"], {"Authorization": f"Bearer {made.json()['api_key']}"}

    async def ask(
        self, who: dict[str, str], method: str, path: str, body: Any = None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": f"key-{len(self.agent.heard)}", **who}
        return await self.relay.api.request(method, self.source + path, headers=headers, json=body)

    async def closed(self, who: dict[str, str], uses: dict[str, tuple[str, str, Any]]) -> set[str]:
        """Which uses are refused; all others must reach the agent, or what it cannot do."""
        refused = set()
        for name, use in uses.items():
            before = len(self.agent.heard)
            answer = await self.ask(who, *use)
            if answer.status_code == 403:
                assert answer.json()["code"] == "insufficient_scope"
                assert len(self.agent.heard) == before, "nothing of it was sent"
                refused.add(name)
        return refused

    def heard(self) -> Query:
        return Query.parse(self.agent.heard[-1].body)


async def unable(exchange: Exchange, _: bytes) -> None:
    """Say that it has no files: what matters is that it was asked."""
    await exchange.send_head(problem("invalid_request", status=400), end_stream=True)


def where(*conditions: tuple[str, str, Any], group: str = "and") -> list[dict[str, Any]]:
    return [
        {
            "group": group,
            "conditions": [
                {"operator": operator, "arg1": {"name": name}, "arg2": {"value": value}}
                for name, operator, value in conditions
            ],
        }
    ]


def leaves(group: Group | Condition | None) -> list[tuple[str, str, Any]]:
    if group is None:
        return []
    if isinstance(group, Condition):
        return [(group.field, group.operator.value, group.arg2.value)]
    return [leaf for part in group.conditions for leaf in leaves(part)]


MAPPINGS = [
    {"queryType": "Read", "table": "rfis", "conditions": where(("status", "eq", "open"))},
    {"queryType": "Create", "table": "rfis", "conditions": where(("vendor.id", "eq", 7))},
    {"queryType": "Update", "table": "rfis", "conditions": where(("vendor.id", "eq", 7))},
    {
        "queryType": "Read",
        "table": "vendors",
        "conditions": where(("id", "eq", 7), ("parent", "eq", 7), group="or"),
    },
]


@asynccontextmanager
async def security_bench(folder: Path) -> AsyncIterator[Bench]:
    """Run a relay with one data source, whose agent hears what it is asked."""
    async with call_relay(folder, connector_wait=0.1) as relay:
        files = (Operation.CONTENT, Operation.ATTACHMENTS, Operation.ATTACH, Operation.UPLOAD)
        agent, source = await relay.ready(ScriptedAgent(script=dict.fromkeys(files, unable)))
        agent_id = relay.connected[0].live.connector_id
        yield Bench(relay=relay, agent=agent, agent_id=agent_id, source=source)

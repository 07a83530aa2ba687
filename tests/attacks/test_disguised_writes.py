"""A key that may only read, and every way to pass a write off as something else."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cloud_connect.calls import Operation
from doubles.call_relay import CallRelay, call_relay
from doubles.scripted_agent import ScriptedAgent

RECORD = b'{"subject":"x"}'
OVERRIDES = (
    "X-HTTP-Method-Override: POST",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: PATCH",
    "X-Original-Method: POST",
    "_method: DELETE",
)
READS = {Operation.TEST, Operation.TREE, Operation.LIST, Operation.GET, Operation.DRIFT}


async def send(relay: CallRelay, key: str, line: str, *headers: str, body: bytes = b"") -> int:
    """Send a request exactly as it is written, and return the status of its answer."""
    origin = urlsplit(relay.services.addresses.api_url)
    reader, writer = await asyncio.open_connection(origin.hostname, origin.port)
    try:
        head = [
            f"{line} HTTP/1.1",
            "Host: relay.example",
            f"Authorization: Bearer {key}",
            f"Content-Length: {len(body)}",
            "Idempotency-Key: disguised",
            "Connection: close",
            *headers,
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        async with asyncio.timeout(10):
            answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1])


def disguises(source: str) -> list[tuple[str, tuple[str, ...], bytes]]:
    """Requests that would write, if one of them were taken for what it is not."""
    record = f"{source}/records/rfis"
    raw = f"{source}/procore/rest/v1.0/projects/1/rfis"
    query = b'{"action":"%s","info":{"name":"rfis"},"mappings":{"subject":"x"}}'
    made: list[tuple[str, tuple[str, ...], bytes]] = []
    for override in OVERRIDES:
        made += [
            (f"GET {record}", (override,), RECORD),
            (f"GET {record}/1", (override,), RECORD),
            (f"GET {raw}", (override,), RECORD),
            (f"HEAD {raw}", (override,), RECORD),
            (f"POST {raw}", (override.replace("POST", "GET"),), RECORD),
            (f"POST {record}", (override.replace("POST", "GET"),), RECORD),
        ]
    for target in (record, f"{record}/1", raw):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            made += [
                (f"{method} {path}", (), RECORD)
                for path in (
                    target,
                    f"{target}/",
                    f"/{target}",
                    target.replace("/api/", "/API/"),
                    target.replace("/api/", "//api//"),
                    target.replace("/records", "//records").replace("/rest", "//rest"),
                    target.replace("/api/", "/api/./").replace("/records", "/x/../records"),
                    target.replace("rfis", "%72fis").replace("/procore", "/%70rocore"),
                    f"{target}?_method=GET",
                    f"{target};method=GET",
                )
            ]
        made += [
            (f"{method} {target}", (), RECORD)
            for method in ("post", "Post", "get", "HEAD", "OPTIONS", "QUERY", "LINK", "MERGE")
        ]
    for action in ("insert", "Update", " delete ", "CREATE", "remove"):
        for path in (f"{source}/query", f"{source}/query/", f"{source}//query", f"{source}/Query"):
            made.append((f"POST {path}", (), query % action.encode()))
        made += [
            (f"POST {source}/query?action=select", (), query % action.encode()),
            (f"POST {source}/query", ("X-Action: select",), query % action.encode()),
            (f"POST {source}/tree", (), query % action.encode()),
            (f"GET {source}/query", (), query % action.encode()),
        ]
    twice = b'{"action":"select","action":"insert","info":{"name":"rfis"},"mappings":{"a":1}}'
    cased = b'{"action":"select","Action":"insert","info":{"name":"rfis"},"mappings":{"a":1}}'
    escaped = b'{"\\u0061ction":"insert","info":{"name":"rfis"},"mappings":{"a":1}}'
    made += [(f"POST {source}/query", (), body) for body in (twice, cased, escaped)]
    return made


@pytest.mark.catalogue("T86")
async def test_key_that_only_reads_writes_nothing_however_it_asks(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    async with call_relay(tmp_path, connector_wait=0.1) as relay:
        _, source = await relay.ready(agent)
        key = await relay.store.key("calls:read")
        asked = disguises(source)
        statuses = {
            (line, headers): await send(relay, key, line, *headers, body=body)
            for line, headers, body in asked
        }
        assert len(asked) > 150
        for call in agent.heard:
            operation = Operation(call.head.operation)
            if operation is Operation.PASSTHROUGH:
                assert call.params["method"] in {"GET", "HEAD"}, call
            elif operation is Operation.QUERY:
                assert b'"action":"select"' in call.body, call
            else:
                assert operation in READS, call
        assert agent.executed == {}, "nothing that the journal would know"
        listed = await relay.api.get("/api/calls", params={"limit": 1000})
        assert {call["operation"] for call in listed.json()["items"]} <= {
            *(one.value for one in READS),
            Operation.PASSTHROUGH.value,
            Operation.QUERY.value,
        }
        written = [line for (line, _), status in statuses.items() if status == 201]
        assert written == []
        # The same requests, with the scope, are what they say they are.
        writer = await relay.store.key("calls:write")
        await send(relay, writer, f"POST {source}/records/rfis", body=RECORD)
        assert len(agent.executed) == 1

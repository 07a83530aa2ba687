import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from cloud_connect_relay.storage import Storage
from doubles.relay_node import Node

STRANGER = {"Authorization": ""}


async def test_health_and_readiness_need_no_token(node: Node) -> None:
    assert (await node.api.get("/healthz", headers=STRANGER)).json() == {"status": "ok"}
    ready = await node.api.get("/readyz", headers=STRANGER)
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize("error", [OperationalError("x", None, Exception()), OSError()])
async def test_relay_without_its_store_is_not_ready(
    node: Node, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(_: Storage) -> None:
        raise error

    monkeypatch.setattr(Storage, "ping", fail)
    answer = await node.api.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "store_unavailable"}
    assert answer.headers["retry-after"] == "5"


async def test_draining_relay_is_not_ready(node: Node) -> None:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.addresses.port)
        request = b"GET /readyz HTTP/1.1\r\nHost: x\r\n"
        writer.write(request)  # a request that has begun when the drain begins
        await writer.drain()
        await node.api.get("/healthz")
        node.stop.set()
        await asyncio.sleep(0)
        writer.write(b"\r\n")
        answer = await reader.read(4096)
        writer.close()
        await writer.wait_closed()
    assert answer == b"" or b"503" in answer


async def test_metrics_are_prometheus_text(node: Node) -> None:
    answer = await node.api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "cloud_connect_connectors_online 0.0" in answer.text


async def test_metrics_need_their_scope(node: Node) -> None:
    key = await node.store.key("connectors:read")
    assert (await node.api.get("/metrics", headers=node.auth(key))).status_code == 403
    right = await node.store.key("metrics:read")
    assert (await node.api.get("/metrics", headers=node.auth(right))).status_code == 200
